"""Each model in the precision that it is fastest in, as it would be deployed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lolvit.manifest import read_manifest
from lolvit_benchmarks.harness.prepare import ExportRequest
from lolvit_benchmarks.reporting import text as words
from lolvit_benchmarks.runner import parse_precisions
from tests.benchmarks import documents, tiny
from tests.conftest import Run


def test_best_is_a_precision_among_others() -> None:
    assert parse_precisions("fp32,best") == ("fp32", "best")


def test_what_is_tried_is_exported_and_need_not_be_there() -> None:
    wanted = ExportRequest("lolvit_x", ("onnx",), ("fp32",), ("fp32", "fp16"), None)
    assert wanted.all_precisions() == ["fp32", "fp16"]
    assert wanted.pairs() == [("onnx", "fp32")]


def test_each_model_takes_its_fastest_artifact_and_lists_the_others(
    run_here: Run, tmp_path: Path
) -> None:
    """Model one has a small file in fp16 and a large one in fp32; model two the other way round."""
    small = tiny.make_folder(tmp_path / "small", "small", layers=1, width=8)
    large = tiny.make_folder(tmp_path / "large", "large", layers=6, width=64)
    one = tiny.make_folder(tmp_path / "one", "one", layers=6, width=64)
    tiny.add_artifact(one, "fp16", (small / tiny.artifact_of(small).path).read_bytes())
    two = tiny.make_folder(tmp_path / "two", "two", layers=1, width=8)
    tiny.add_artifact(two, "fp16", (large / tiny.artifact_of(large).path).read_bytes())
    done = run_here("bench", one, "--against", two, "--runtime", "ort", "--profile", "quick",
                    "--precision", "best", "--json", "--out", tmp_path / "out")  # fmt: skip
    assert done.returncode == 0, done.stderr
    (result,) = json.loads(done.stdout)["results"]
    assert result["precision"] == "best"
    assert (result["candidate"]["precision"], result["baseline"]["precision"]) == ("fp16", "fp32")
    for model, other in (("candidate", "fp32"), ("baseline", "fp16")):
        ((name, median),) = result[model]["slower_precisions_ms"].items()
        assert name == other
        assert median > result[model]["median_ms"]
    assert "finding the fastest precision" in done.stderr
    # Measured again, alone: two models share the places of the recorded runs, without a gap.
    orders = [result[model]["sample_order"] for model in ("candidate", "baseline")]
    assert sorted(orders[0] + orders[1]) == list(range(2 * len(orders[0])))
    assert "one (fp16)" in done.stderr and "two (fp32)" in done.stderr


def test_two_artifacts_need_no_runtime_and_no_precision(run_here: Run, tmp_path: Path) -> None:
    folders = [tiny.make_folder(tmp_path / name, name) for name in ("one", "two")]
    one, two = (folder / tiny.artifact_of(folder).path for folder in folders)
    done = run_here("bench", one, "--against", two, "--profile", "quick", "--json",
                    "--out", tmp_path / "out")  # fmt: skip
    assert done.returncode == 0, done.stderr
    (result,) = json.loads(done.stdout)["results"]
    assert result["runtime"] == "ort"


@pytest.mark.parametrize("precision", ["fp32", "best"])
def test_a_headline_names_precisions_where_models_have_their_own(precision: str) -> None:
    result = documents.result(precision=precision)
    candidate = result.candidate.model_copy(update={"precision": "fp16"})
    text = words.headline(result.model_copy(update={"candidate": candidate}))
    assert ("speedup of lolvit_x (fp16) over" in text) == (precision == "best")


def test_best_of_a_format_that_is_not_there_is_reported_in_one_line(
    run_lolvit: Run, fast: Path, slow: Path, tmp_path: Path
) -> None:
    done = run_lolvit("bench", fast, "--against", slow, "--runtime", "litert",
                      "--precision", "best", "--out", tmp_path / "out")  # fmt: skip
    assert done.returncode == 2
    assert "holds no tflite artifact" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


def test_two_artifacts_of_one_folder_are_compared(run_here: Run, tmp_path: Path) -> None:
    large = tiny.make_folder(tmp_path / "large", "large", layers=6, width=64)
    folder = tiny.make_folder(tmp_path / "one", "one", layers=1, width=8)
    tiny.add_artifact(folder, "fp16", (large / tiny.artifact_of(large).path).read_bytes())
    artifacts = {a.precision: folder / a.path for a in read_manifest(folder).artifacts}
    done = run_here("bench", artifacts["fp32"], "--against", artifacts["fp16"], "--runtime",
                    "ort", "--profile", "quick", "--json", "--out", tmp_path / "out")  # fmt: skip
    assert done.returncode == 0, done.stderr
    (result,) = json.loads(done.stdout)["results"]
    assert (result["candidate"]["precision"], result["baseline"]["precision"]) == ("fp32", "fp16")
    assert result["speedup"]["ratio"] > 1
