"""What is looked at before timing, in a process of its own."""

from __future__ import annotations

import importlib
from pathlib import Path

import numpy as np
import pytest

from lolvit.errors import DeviceError, GateFailedError, LolvitError, UserError
from lolvit_benchmarks.harness.child import run_module
from lolvit_benchmarks.harness.inspection import (
    check_denormals,
    inspect_artifact,
    largest_denormal_share,
    share_of_artifact,
)
from tests.benchmarks import tiny

DENORMAL = 1e-14  # times this in each of five layers: activations near 1e-42


def test_an_inspection_has_load_first_run_memory_and_placement(
    fast: Path, image: np.ndarray
) -> None:
    seen = inspect_artifact("ort", fast, tiny.artifact_of(fast), 1, image)
    assert seen.load_ms > 0
    assert seen.first_ms > 0
    assert sum(seen.placement.values()) >= 5
    assert seen.options["threads"] == "1"
    assert seen.denormal_share == 0.0


def test_memory_grows_with_the_model(fast: Path, image: np.ndarray, tmp_path: Path) -> None:
    heavy = tiny.make_folder(tmp_path / "heavy", layers=4, width=512)  # 28 MB of weights
    memory = [
        inspect_artifact("ort", folder, tiny.artifact_of(folder), 1, image).peak_memory_bytes
        for folder in (fast, heavy)
    ]
    if None in memory:
        pytest.skip("the system does not report a process's peak memory")
    assert memory[1] - memory[0] > 25_000_000


def test_denormal_activations_are_seen_and_refused(tmp_path: Path, image: np.ndarray) -> None:
    folder = tiny.make_folder(tmp_path / "tiny", layers=3, scale=DENORMAL)
    seen = inspect_artifact("ort", folder, tiny.artifact_of(folder), 1, image)
    assert seen.denormal_share is not None
    assert seen.denormal_share > 0.2
    with pytest.raises(UserError, match=r"% of a layer's activations are denormal"):
        check_denormals(seen.denormal_share, where=str(folder))


def test_healthy_activations_and_formats_that_cannot_be_inspected_pass() -> None:
    check_denormals(0.0, where="model")
    check_denormals(0.001, where="model")
    check_denormals(None, where="model")
    assert share_of_artifact(Path("model.mlpackage"), "coreml", np.zeros(1)) is None


def test_one_denormal_layer_among_healthy_ones_counts() -> None:
    healthy, denormal = np.ones(4096, np.float32), np.full(4096, 1e-40, np.float32)
    assert largest_denormal_share(iter([healthy, denormal, healthy])) == 1.0


def test_zeros_and_small_normal_numbers_are_not_denormal() -> None:
    tiny_normal = np.full(4096, -np.finfo(np.float32).tiny, np.float32)
    assert largest_denormal_share(iter([np.zeros(4096, np.float32), tiny_normal])) == 0.0


def test_values_that_are_not_finite_are_refused_in_tensors_of_any_size() -> None:
    for value in (np.nan, np.inf):
        share = largest_denormal_share(iter([np.array([1.0, value], np.float32)]))
        with pytest.raises(UserError, match="not finite"):
            check_denormals(share, where="model")


def test_small_tensors_and_other_types_are_passed_over() -> None:
    few = np.full(8, 1e-40, np.float32)
    half = np.full(4096, 1e-7, np.float16)  # normal again once it is computed with in float32
    assert largest_denormal_share(iter([few, half, np.zeros(4096, np.int8)])) == 0.0


def test_an_artifact_that_was_changed_is_not_opened(
    fast: Path, image: np.ndarray, tmp_path: Path
) -> None:
    copy = tiny.make_folder(tmp_path / "copy")
    (copy / "model-fp32.onnx").write_bytes(b"x" * 100)
    with pytest.raises(UserError, match="has 100 bytes, its manifest has"):
        inspect_artifact("ort", copy, tiny.artifact_of(copy), 1, image)


def test_what_a_runtime_refuses_is_a_device_error(image: np.ndarray, tmp_path: Path) -> None:
    folder = tiny.make_folder(tmp_path / "wrong")
    path = folder / tiny.artifact_of(folder).path
    tiny.add_artifact(folder, "fp32", tiny.with_unknown_operation(path.read_bytes()))
    with pytest.raises(DeviceError, match=r"ONNX Runtime cannot open it: .*NoSuchOperation"):
        inspect_artifact("ort", folder, tiny.artifact_of(folder), 1, image)


@pytest.mark.slow
def test_denormal_activations_of_a_tflite_file_are_seen(tmp_path: Path) -> None:
    torch = importlib.import_module("torch")
    shares = []
    for scale in (1.0, 1e-40):
        module = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.ReLU(), torch.nn.Flatten())
        with torch.no_grad():
            module[0].weight.abs_().mul_(scale)  # so that ReLU leaves all channels
            module[0].bias.zero_()
        example = torch.ones(1, 3, tiny.SIDE, tiny.SIDE)
        converted = importlib.import_module("litert_torch").convert(module.eval(), (example,))
        path = tmp_path / f"{scale}.tflite"
        converted.export(str(path))
        shares.append(share_of_artifact(path, "tflite", example.numpy()))
    assert shares[0] == 0.0
    assert shares[1] > 0.9


@pytest.fixture
def child(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Run a module of the given source as a child."""

    def run(source: str) -> dict[str, object]:
        (tmp_path / "some_child.py").write_text(f"import json, os, signal, sys\n{source}\n")
        monkeypatch.syspath_prepend(tmp_path)
        return run_module("some_child", ["argument"], what="the work")

    return run


def test_a_child_answers_with_one_document(child) -> None:
    assert child("print(json.dumps({'got': sys.argv[1]}))") == {"got": "argument"}


def test_lines_of_a_child_s_standard_error_are_relayed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "loud_child.py").write_text(
        "import sys\nprint('one', file=sys.stderr)\nprint('two', file=sys.stderr)\nprint('{}')\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    lines: list[str] = []
    assert run_module("loud_child", [], what="the work", on_line=lines.append) == {}
    assert lines == ["one", "two"]


def test_a_crash_of_a_child_is_one_line(child) -> None:
    with pytest.raises(DeviceError, match=r"^the work crashed \(SIGSEGV\)$"):
        child("os.kill(os.getpid(), signal.SIGSEGV)")


@pytest.mark.parametrize(
    ("code", "kind"), [(1, GateFailedError), (2, UserError), (3, DeviceError), (130, LolvitError)]
)
def test_a_failure_of_a_child_keeps_its_line_and_exit_code(
    child, code: int, kind: type[LolvitError]
) -> None:
    error = {"what": "no such thing", "where": "there", "remedy": "try again", "exit_code": code}
    with pytest.raises(kind) as caught:
        child(f"print(json.dumps({{'error': {error}}})); sys.exit({code})")
    assert caught.value.line() == "there: the work failed: no such thing; try again"
    assert caught.value.exit_code == code


@pytest.mark.parametrize("source", ["raise ValueError('oh')", "print('no document')"])
def test_a_bug_in_a_child_is_a_bug_here(child, source: str) -> None:
    with pytest.raises(RuntimeError, match="the work ended with exit code"):
        child(source)
