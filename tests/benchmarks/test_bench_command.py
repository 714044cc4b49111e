"""`lolvit bench`, whole, on small models."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from PIL import Image

from lolvit.cli import main
from lolvit.errors import DeviceError, GateFailedError, UserError
from lolvit_benchmarks.analysis import statistics as stats
from lolvit_benchmarks.backends.registry import choose_devices
from lolvit_benchmarks.cli import bench as command
from lolvit_benchmarks.harness.prepare import offered_by_folders, open_photo
from lolvit_benchmarks.results.document import Document, Failure, Result
from lolvit_benchmarks.results.files import read_result
from lolvit_benchmarks.results.notes import all_notes, model_notes
from lolvit_benchmarks.runner import baseline_of, distinct
from lolvit_runtimes.photos import load_photo
from tests.benchmarks import documents, tiny
from tests.conftest import Run

QUICK = ("--runtime", "ort", "--profile", "quick", "--json")


@pytest.fixture(scope="module")
def measured(fast: Path, slow: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The document of one run of a small model against a larger one, and where it lies."""
    out = tmp_path_factory.mktemp("bench")
    # Without --runtime: the folders hold ONNX alone.
    arguments = ["bench", fast, "--against", slow, *QUICK[2:], "--out", out]
    done = subprocess.run(
        [sys.executable, "-m", "lolvit", *map(str, arguments)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return {"document": json.loads(done.stdout), "stderr": done.stderr, "out": out}


def test_the_document_has_the_keys_that_others_rely_on(measured: dict[str, Any]) -> None:
    (result,) = measured["document"]["results"]
    assert (result["runtime"], result["device"], result["precision"]) == ("ort", "host", "fp32")
    assert result["threads"] == 1
    assert result["placement"]["candidate"]
    assert result["quality"]["state"] in ("precise", "fair", "coarse")
    assert result["speedup"]["over"] in ("rounds", "blocks")
    for model in ("candidate", "baseline"):
        assert len(result[model]["samples"]) == 96
        assert result[model]["median_ms"] == pytest.approx(stats.median(result[model]["samples"]))
        assert result[model]["median_ms"] <= result[model]["p90_ms"]
        assert result[model]["p99_ms"] is None  # of 500 runs and more


def test_the_ratio_is_that_over_rounds_and_reports_the_faster(measured: dict[str, Any]) -> None:
    (result,) = measured["document"]["results"]
    speedup, candidate = result["speedup"], result["candidate"]
    logs = stats.round_log_ratios(
        result["baseline"]["samples"], candidate["samples"], candidate["sample_round"]
    )
    blocks = stats.round_blocks(candidate["sample_block"], candidate["sample_round"])
    expected = stats.ratio_over_rounds(logs, blocks)
    assert len(logs) == 16
    assert speedup["ratio"] == pytest.approx(expected.interval.value)
    assert speedup["low"] <= speedup["ratio"] <= speedup["high"]
    assert result["quality"]["half_width"] == pytest.approx(expected.half_width)
    assert speedup["ratio"] > 2
    assert result["quality"]["winner"] == "candidate"


def test_the_files_hold_what_was_printed(measured: dict[str, Any]) -> None:
    document = dict(measured["document"])
    path = Path(document.pop("path"))
    for name in (path, measured["out"] / "result.json"):
        assert read_result(name) == Document.model_validate(document)
    assert sorted(p.name for p in measured["out"].iterdir()) == sorted([path.name, "result.json"])


def test_untrained_weights_are_reported_in_the_document_and_on_the_terminal(
    measured: dict[str, Any],
) -> None:
    assert "untrained (fast, slow" in measured["document"]["results"][0]["notes"][0]
    assert "untrained (fast, slow" in measured["stderr"]


def test_every_result_of_a_run_is_judged(
    run_here: Run, fast: Path, slow: Path, tmp_path: Path
) -> None:
    """Three models: the first against each other one; --min-speedup beyond reach fails, with the
    document printed all the same."""
    done = run_here("bench", fast, "--against", f"{slow},{fast}", *QUICK, "--out", tmp_path,
                    "--min-speedup", "1000")  # fmt: skip
    assert done.returncode == 1
    results = json.loads(done.stdout)["results"]
    assert [result["baseline"]["model"] for result in results] == ["slow", "fast (2)"]
    last = done.stderr.strip().splitlines()[-1]
    assert "fast against slow, ort fp32, 1 thread" in last
    assert "fast against fast (2), ort fp32, 1 thread" in last


def test_a_busy_neighbour_is_a_finding_and_the_gate_passes(
    run_lolvit: Run, fast: Path, slow: Path, tmp_path: Path
) -> None:
    busy = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        done = run_lolvit("bench", fast, "--against", slow, *QUICK, "--out", tmp_path,
                          "--min-speedup", "0.001")  # fmt: skip
    finally:
        busy.kill()
        busy.wait()
    assert done.returncode == 0, done.stderr
    (result,) = json.loads(done.stdout)["results"]
    assert result["quality"]["state"] != "INVALID"
    assert "load" in [finding["code"] for finding in result["quality"]["findings"]]
    assert "other processes used" in done.stderr


@pytest.mark.slow
def test_an_interrupted_run_keeps_what_it_has_and_marks_it(
    fast: Path, slow: Path, tmp_path: Path
) -> None:
    """Ctrl-C arrives in the second block of the reference profile, in its second process."""
    arguments = ["bench", fast, "--against", slow, "--runtime", "ort", "--precision", "fp32",
                 "--profile", "reference", "--out", tmp_path]  # fmt: skip
    process = subprocess.Popen(
        [sys.executable, "-m", "lolvit", *map(str, arguments)],
        stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True,
        # A shell's background jobs, tests among them, hand an ignored SIGINT down.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    assert process.stderr is not None
    blocks: set[int] = set()
    while len(blocks) < 2 and process.poll() is None:
        children = psutil.Process(process.pid).children(recursive=True)
        blocks |= {c.pid for c in children if "lolvit_benchmarks.harness.processes" in _command(c)}
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    said = process.stderr.read()
    assert process.wait() == 130, said
    document = read_result(tmp_path / "result.json")
    assert document.state == "interrupted"
    (result,) = document.results
    assert "interrupted" in [reason.code for reason in result.quality.reasons]
    assert 0 < len(result.candidate.samples) == len(result.baseline.samples)
    assert set(result.candidate.sample_block) == {0}


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:  # it has ended meanwhile
        return []


def test_a_runtime_that_fails_is_reported_and_the_rest_is_measured(
    run_here: Run, fast: Path, tmp_path: Path
) -> None:
    """The fp16 file can't be opened, the fp32 file is measured, in this order."""
    folder = tiny.make_folder(tmp_path / "half", "half")
    content = (fast / tiny.artifact_of(fast).path).read_bytes()
    tiny.add_artifact(folder, "fp16", tiny.with_unknown_operation(content))
    out = tmp_path / "out"
    done = run_here("bench", folder, "--against", folder, *QUICK, "--precision", "fp16,fp32",
                    "--out", out)  # fmt: skip
    assert done.returncode == 3
    assert "ort fp16, 1 thread gave no result" in done.stderr.splitlines()[-1]
    document = read_result(out / "result.json")
    assert document.state == "complete"
    assert [result.precision for result in document.results] == ["fp32"]
    (failure,) = document.failures
    assert failure.precision == "fp16"
    assert "NoSuchOperation" in failure.what


def test_denormal_activations_are_refused_before_timing(
    run_lolvit: Run, fast: Path, tmp_path: Path
) -> None:
    broken = tiny.make_folder(tmp_path / "broken", layers=3, scale=1e-14)
    done = run_lolvit("bench", fast, "--against", broken, *QUICK, "--out", tmp_path / "out")
    assert done.returncode == 2
    assert "denormal" in json.loads(done.stdout)["error"]["what"]
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--runtime", "onnxruntime"), "unknown runtime 'onnxruntime'"),
        (
            ("--runtime", "litert-reference"),
            "'litert-reference' is for verification and reports no",
        ),
        (("--precision", "int3"), "holds no onnx artifact in int3, only onnx fp32"),
        (("--precision", ","), "no precision given"),
        (("--threads", "0"), "cannot use '0' threads"),
        (("--threads", "many"), "cannot use 'many' threads"),
        (("--threads", "9999"), "cannot use '9999' threads"),
        (("--size", "huge"), "'huge' is no size"),
        (("--size", "32,huge"), "'huge' is no size"),
        (("--size", "64"), "is an export for 32x32, not 64x64"),
        (("--profile", "forever"), "'forever' is not one of"),
        (("--photo", "{fast}/none.jpg"), "no such photo"),
        (("--photo", "{fast}/manifest.json"), "not a photo"),
        (("--runtime", "litert"), "holds no tflite artifact in fp32"),
        (("--against", " , "), "no model to compare with"),
        (("--min-speedup", "0"), "0"),
        (("--against", "{fast}/nothing"), "no such folder"),
    ],
)
def test_wrong_input_is_reported_in_one_line(
    fast: Path,
    slow: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, str],
    message: str,
) -> None:
    option, value = arguments
    given = {"--against": str(slow), "--runtime": "ort", "--out": str(tmp_path / "out")}
    given[option] = value.format(fast=fast)
    assert main(["bench", str(fast), *(part for pair in given.items() for part in pair)]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert message in lines[0]
    assert not (tmp_path / "out").exists()


def test_a_folder_that_cannot_be_written_is_reported_before_measuring(
    fast: Path, slow: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    out = tmp_path / "file" / "out"
    arguments = ["bench", fast, "--against", slow, "--runtime", "ort", "--out", out]
    assert main(list(map(str, arguments))) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "cannot write" in line


def test_threads_are_numbers_or_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "lolvit_benchmarks.harness.system_monitor.available_cores", lambda: [0, 1, 4, 5]
    )
    assert command.parse_threads("1,2,all,4", most=4) == (1, 2, 4)
    with pytest.raises(UserError, match="write 1 to 4"):
        command.parse_threads("5", most=4)


def test_without_against_a_variant_is_measured_against_its_baseline() -> None:
    assert baseline_of("lolvit_x") == "mobilevit_xs"
    assert baseline_of("lolvit_xx") == "mobilevit_xxs"


def test_without_against_what_has_no_baseline_is_one_line(
    fast: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench", str(fast), "--out", str(tmp_path / "out")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "no model to compare" in line and "add --against mobilevit_xs" in line


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("lolvit_y",), "unknown model 'lolvit_y'; did you mean 'lolvit_x'? choose from: "),
        (("lolvit_x", "--against", "mobilevit_xxxs"), "did you mean 'mobilevit_xxs'?"),
        (("lolvit_x", "--against", "timm/mobilnetv3_small_100"),
         "timm has no model 'mobilnetv3_small_100'; did you mean one of: mobilenetv3_small_100"),
        (("lolvit_x", "--against", "resnet18"), "for timm's model, write timm/resnet18"),
        (("my_models.py:net", "--against", "mobilevit_xs"),
         "not exported here; run: lolvit export my_models.py:net, and give the folder"),
    ],
)  # fmt: skip
def test_an_unknown_model_is_one_line_before_any_is_exported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], message: str
) -> None:
    cache = tmp_path / "cache"
    given = ["--cache", str(cache), "--out", str(tmp_path / "out"), "--runtime", "ort"]
    assert main(["bench", *arguments, *given]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line
    assert not cache.exists()


@pytest.mark.parametrize("mode", ["P", "LA", "CMYK", "I;16"])
def test_a_photo_is_decoded_once_and_its_colours_are_those_of_any_reader(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    rng = np.random.default_rng(0)
    path = tmp_path / ("photo.jpg" if mode == "CMYK" else "photo.png")
    if mode == "I;16":
        Image.fromarray(rng.integers(0, 65536, (9, 7), np.uint16)).save(path)
    else:
        image = Image.fromarray(rng.integers(0, 256, (9, 7, 4), np.uint8), "RGBA")
        image = image.convert("RGB").convert(mode) if mode == "CMYK" else image.convert(mode)
        image.save(path, **({"transparency": 3} if mode == "P" else {}))
    expected = load_photo(path)
    opened = []
    real = Image.open
    monkeypatch.setattr(Image, "open", lambda *a, **k: opened.append(a) or real(*a, **k))
    photo = open_photo(path)
    assert len(opened) == 1
    assert np.array_equal(photo.image, expected)


@pytest.mark.parametrize(
    ("devices", "precisions"),
    [("host", "fp32"), ("qnn-estimate:all", "fp16,int8,w8a16"), ("host,qnn-estimate:all", "fp32")],
)
def test_what_is_compared_by_default_is_what_the_device_computes_in(
    devices: str, precisions: str
) -> None:
    assert command.default_precisions(choose_devices(devices, None)) == precisions


def test_folders_are_measured_in_what_all_of_them_have(
    fast: Path, slow: Path, tmp_path: Path
) -> None:
    assert offered_by_folders(["lolvit_x", "timm/resnet18"]) == (set(), [])
    assert offered_by_folders([str(fast), "lolvit_x", str(slow)]) == ({"onnx"}, ["fp32"])
    half = shutil.copytree(fast, tmp_path / "half") / "manifest.json"
    half.write_text(half.read_text().replace('"fp32"', '"fp16"'))
    assert offered_by_folders([str(half.parent)]) == ({"onnx"}, ["fp16"])
    assert offered_by_folders([str(half.parent), str(fast)]) == ({"onnx"}, [])
    (host,) = choose_devices("host", None, offered={"onnx", "coreml"})
    assert host.runtimes == ("ort",)
    assert command.default_precisions((host,), ["fp16"]) == "fp16"
    assert command.default_precisions((host,), ["int8", "fp32"]) == "fp32"


def test_sizes_are_several_or_each_models_own() -> None:
    assert command.parse_sizes("128, 192x320,128") == ((128, 128), (192, 320))
    assert command.parse_sizes(None) == (None,)


def gate(document: Document, min_speedup: float | None) -> None:
    command.raise_failures(document, min_speedup)


def test_the_gate_passes_a_result_whose_whole_interval_is_fast_enough() -> None:
    eight_times = documents.document(documents.result(3.0, 24.0))
    gate(eight_times, 7.5)
    with pytest.raises(GateFailedError):
        gate(eight_times, 8.5)
    speedup = eight_times.results[0].speedup
    gate(eight_times, speedup.low)
    with pytest.raises(GateFailedError, match=r"95 % interval 7\.9\d to 8\.0\d\), below"):
        gate(eight_times, speedup.ratio)


def test_the_gate_names_the_result_that_is_too_slow() -> None:
    both = documents.document(
        documents.result(3.0, 24.0), documents.result(3.0, 9.0, runtime="litert")
    )
    with pytest.raises(GateFailedError) as caught:
        gate(both, 6)
    assert caught.value.line().startswith(
        "lolvit_x against mobilevit_xs, litert fp32, 1 thread, 256x256: speedup 3."
    )
    assert "ort" not in caught.value.line()


def test_the_gate_fails_an_invalid_result_however_fast() -> None:
    document = documents.document(documents.result(3.0, 24.0, quality=documents.INVALID))
    gate(document, None)
    with pytest.raises(GateFailedError, match=r"INVALID, .*\(cut short by a cat\)"):
        gate(document, 1)


def test_findings_do_not_fail_the_gate() -> None:
    gate(documents.document(documents.disturbed(documents.result(3.0, 24.0))), 7.5)


def test_a_runtime_without_result_ends_the_run_as_a_device_failure() -> None:
    failure = Failure(runtime="litert", precision="fp32", threads=1, what="crashed with SIGSEGV")
    with pytest.raises(
        DeviceError, match="litert fp32, 1 thread gave no result: crashed with SIGSEGV"
    ):
        gate(documents.document(failures=(failure,)), None)


def test_models_of_one_name_get_different_names() -> None:
    assert distinct(["x", "y", "x", "x"]) == ["x", "y", "x (2)", "x (3)"]


def test_what_makes_models_unequal_is_noted() -> None:
    result = documents.result(trained=True)
    assert model_notes(result.candidate, (result.baseline,)) == ()
    smaller = result.baseline.model_copy(update={"params": 1_200_000, "size": (224, 224)})
    size, params = model_notes(result.candidate, (smaller,))
    assert "lolvit_x 256x256 and mobilevit_xs 224x224" in size
    assert "lolvit_x has 2.30 M, mobilevit_xs 1.20 M" in params


def test_notes_on_several_baselines_are_one_sentence_of_each_kind() -> None:
    def against(name: str, runtime: str) -> Result:
        found = documents.result(against=name, runtime=runtime)
        changes = {"params": 5_000_000 + len(name), "size": (224, 224)}
        baseline = found.baseline.model_copy(update=changes)
        own = (*model_notes(found.candidate, (baseline,)), "A note of the device.")
        return found.model_copy(update={"baseline": baseline, "notes": own})

    results = [against(name, runtime) for name in "abc" for runtime in ("ort", "litert")]
    untrained, sizes, params, device = all_notes(results)
    assert untrained.startswith("Weights are untrained (lolvit_x, a, b, c; BatchNorm")
    assert sizes.endswith("sizes: lolvit_x 256x256, a 224x224, b 224x224 and c 224x224.")
    assert params.endswith("lolvit_x has 2.30 M, a 5.00 M, b 5.00 M and c 5.00 M.")
    assert device == "A note of the device."


def test_of_several_models_one_that_a_runtime_refuses_is_left_out(
    run_here: Run, fast: Path, slow: Path, tmp_path: Path
) -> None:
    broken = tiny.make_folder(tmp_path / "broken", "broken")
    content = tiny.with_unknown_operation((broken / tiny.artifact_of(broken).path).read_bytes())
    tiny.add_artifact(broken, "fp32", content)
    done = run_here("bench", fast, "--against", f"{broken},{slow}", *QUICK, "--out", tmp_path)
    assert done.returncode == 3
    document = json.loads(done.stdout)
    assert [(r["candidate"]["model"], r["baseline"]["model"]) for r in document["results"]] == [
        ("fast", "slow")
    ]
    (failure,) = document["failures"]
    assert (failure["model"], failure["runtime"]) == ("broken", "ort")
    assert "broken in ort fp32, 1 thread gave no result" in done.stderr.splitlines()[-1]


def test_one_model_against_a_refused_one_gives_no_result(
    run_lolvit: Run, fast: Path, tmp_path: Path
) -> None:
    for name in ("one", "two"):
        folder = tiny.make_folder(tmp_path / name, name)
        content = (folder / tiny.artifact_of(folder).path).read_bytes()
        tiny.add_artifact(folder, "fp32", tiny.with_unknown_operation(content))
    others = f"{tmp_path / 'one'},{tmp_path / 'two'}"
    done = run_lolvit("bench", fast, "--against", others, *QUICK, "--out", tmp_path / "out")
    assert done.returncode == 3
    assert json.loads(done.stdout)["results"] == []
    assert "no model is left to compare with" in done.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    ("command_line", "name", "value"),
    [
        (["--force-export"], "fresh", True),
        (["--fresh"], "fresh", True),
        (["--cool-down-timeout", "5"], "cool_down_limit", 5.0),
        (["--cool-down-limit", "5"], "cool_down_limit", 5.0),
    ],
)
def test_options_are_accepted_under_their_earlier_names_too(
    command_line: list[str], name: str, value: object
) -> None:
    context = command.bench.make_context("bench", command_line)
    assert context.params[name] == value


def test_the_help_lists_no_earlier_name_of_an_option() -> None:
    text = command.bench.get_help(command.bench.make_context("bench", []))
    assert "--force-export" in text and "--cool-down-timeout" in text
    assert "--fresh" not in text and "--cool-down-limit" not in text
