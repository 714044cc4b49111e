"""Profiles of real sessions, the roofline, and how both are reported."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper
from rich.console import Console

from lolvit.errors import DeviceError
from lolvit_benchmarks.profiling import worker as profile_ops
from lolvit_benchmarks.profiling.onnx_layers import Layer
from lolvit_benchmarks.profiling.openvino import follow
from lolvit_benchmarks.profiling.operations import NO_STAGE, Recorded, summarise
from lolvit_benchmarks.profiling.ort import recorded, runs_of
from lolvit_benchmarks.profiling.roofline import measure_roofline
from lolvit_benchmarks.profiling.worker import Profiled, collect, record
from lolvit_benchmarks.reporting.grids import kind_rows, operations
from lolvit_benchmarks.reporting.html import as_html
from lolvit_benchmarks.reporting.table import as_markdown, show
from lolvit_benchmarks.results.document import (
    Document,
    KindTime,
    Load,
    OperationProfile,
    Result,
    Roofline,
    StageTime,
)
from lolvit_benchmarks.results.files import read_result, save
from tests.benchmarks import documents, tiny
from tests.benchmarks.test_operations import layer, operation
from tests.conftest import Run

SIDE, WIDTH, LAYERS = tiny.SIDE, 48, 5  # of the fixture `slow`
FIRST = SIDE**2 * WIDTH * 3 * 9
OTHERS = SIDE**2 * WIDTH**2 * 9
HEAD = WIDTH * tiny.CLASSES
MACS = FIRST + (LAYERS - 1) * OTHERS + HEAD


@pytest.fixture(scope="module", params=["ort", "openvino"])
def found(request: pytest.FixtureRequest, slow: Path, image: np.ndarray) -> Recorded:
    """What a profiler recorded of the larger small model."""
    return record(request.param, slow, tiny.artifact_of(slow), 1, image)


def test_a_real_profile_has_the_models_stages_and_all_its_multiply_adds(found: Recorded) -> None:
    profile = summarise(found, median_ms=found.run_ms, roofline=50)
    macs = {time.stage: time.macs for time in profile.stages}
    assert {stage: macs[stage] for stage in macs if stage != NO_STAGE} == {
        "stem": FIRST,
        **{f"stages.{n}": OTHERS for n in range(LAYERS - 1)},
        "head": HEAD,
    }
    assert profile.macs == MACS
    wide = next(time for time in profile.operations if time.kind.endswith(" 3x3"))
    assert wide.calls == LAYERS and wide.macs == MACS - HEAD
    assert sum(time.share for time in profile.operations) == pytest.approx(1)
    assert 0 < wide.share < 1
    assert 0 <= profile.without_macs_share < 1


def test_operations_take_no_longer_than_the_run_that_they_are_part_of(found: Recorded) -> None:
    assert found.runs >= 20
    assert 0 < sum(one.ms for one in found.operations) <= 1.05 * found.run_ms


def event(name: str, us: int, kind: str = "Conv", cat: str = "Node") -> dict[str, object]:
    return {"cat": cat, "name": name, "dur": us, "args": {"op_name": kind}}


def test_events_are_parted_into_runs() -> None:
    run = [event("a/conv_nchwc_kernel_time", 30), event("ReorderOutput_kernel_time", 5, "Reorder"),
           event("SequentialExecutor::Execute", 40, cat="Session"),
           event("model_run", 50, cat="Session")]  # fmt: skip
    events = [event("model_loading_uri", 9, cat="Session"), *run, *run]
    times = {"a/conv_nchwc": ("Conv", 0.03), "ReorderOutput": ("Reorder", 0.005)}
    assert list(runs_of(events)) == [(0.05, times)] * 2


def test_slow_runs_do_not_count_and_a_change_of_layout_is_placed_by_its_values() -> None:
    def run(us: float) -> tuple[float, dict[str, tuple[str, float]]]:
        times = {"a.b/conv_nchwc": ("Conv", us), "ReorderOutput_token_3": ("ReorderOutput", 1.0)}
        return us + 2, times

    layers = [layer("a.b/conv", 100)]
    nodes = [helper.make_node("ReorderOutput", ["x"], ["a.b/conv"], name="ReorderOutput_token_3")]
    runs = [run(us) for us in (10, 400, 20, 900, 800, 700, 600, 500)]
    found = recorded(runs, layers, nodes)
    assert found.run_ms == pytest.approx((12 + 22) / 2)
    assert [(one.kind, one.ms, one.path, one.layers) for one in found.operations] == [
        ("Conv", 15, "a.b", ("a.b/conv",)),
        ("ReorderOutput", 1, "a.b", ()),
    ]


def test_a_layer_of_openvinos_own_is_placed_with_the_one_before_it() -> None:
    given = [operation(1), operation(1, "a/conv"), operation(1), operation(1, "own"), operation(1)]
    assert [one.path for one in follow(given)] == ["a", "a", "a", "", ""]


@pytest.fixture(scope="module")
def roofline() -> Roofline:
    """The roofline of ONNX Runtime here."""
    return measure_roofline("ort", 1)


def test_the_roofline_is_the_larger_rate_of_two_loads(roofline: Roofline) -> None:
    rates = {load.name: load.gmacs_per_s for load in roofline.loads}
    assert rates.keys() == {"matmul", "convolutions"}
    assert roofline.gmacs_per_s == rates[roofline.by] == max(rates.values())
    assert 0.5 < roofline.gmacs_per_s < 1000
    for load in roofline.loads:
        assert load.gmacs_per_s == pytest.approx(load.macs / load.median_ms / 1e6)


def profiled_model(folder: Path, image: np.ndarray) -> Profiled:
    return Profiled("tiny", folder, tiny.artifact_of(folder), image, MACS)


def test_a_runtime_that_does_not_report_is_noted(slow: Path, image: np.ndarray) -> None:
    found = collect("litert", 1, [profiled_model(slow, image)], say=lambda line: None)
    assert found.notes == ["No profile: litert does not report the time of single operations here."]
    assert found.roofline is None and found.of("tiny", 1.0) is None


def test_a_profile_that_fails_is_noted_and_what_was_measured_stands(
    fast: Path,
    image: np.ndarray,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    roofline: Roofline,
) -> None:
    monkeypatch.setattr(profile_ops, "measure_roofline", lambda runtime, threads: roofline)
    folder = tiny.make_folder(tmp_path / "broken", "broken")
    content = (fast / tiny.artifact_of(fast).path).read_bytes()
    tiny.add_artifact(folder, "fp32", tiny.with_unknown_operation(content))
    found = collect("ort", 1, [profiled_model(folder, image)], say=lambda line: None)
    (note,) = found.notes
    assert note.startswith("No whole profile: ") and "NoSuchOperation" in note
    assert found.of("tiny", 1.0) is None


def test_a_roofline_that_fails_is_noted(
    slow: Path, image: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(runtime: str, threads: int) -> Roofline:
        raise DeviceError("roofline of ort crashed with SIGSEGV")

    monkeypatch.setattr(profile_ops, "measure_roofline", crash)
    found = collect("ort", 1, [profiled_model(slow, image)], say=lambda line: None)
    assert found.notes == ["No whole profile: roofline of ort crashed with SIGSEGV"]


def test_bench_adds_profiles_to_its_document_and_says_what_does_not_fit(
    run_here: Run, fast: Path, slow: Path, tmp_path: Path
) -> None:
    """The small models' manifests state multiply-adds that are made up."""
    done = run_here("bench", fast, "--against", slow, "--runtime", "ort", "--profile", "quick",
                    "--profile-ops", "--json", "--out", tmp_path)  # fmt: skip
    assert done.returncode == 0, done.stderr
    (result,) = json.loads(done.stdout)["results"]
    assert result["baseline"]["operation_profile"]["macs"] == MACS
    assert [time["stage"] for time in result["candidate"]["operation_profile"]["stages"]][:2] == [
        "stem",
        "stages.0",
    ]
    rate = MACS / result["baseline"]["median_ms"] / 1e6
    assert result["baseline"]["operation_profile"]["gmacs_per_s"] == pytest.approx(rate)
    assert result["roofline"]["by"] in ("matmul", "convolutions")
    assert any("slow: " in note and "its manifest says 10.0 M" in note for note in result["notes"])
    assert "slow by stage, ort fp32, 1 thread" in done.stderr
    assert read_result(tmp_path / "result.json").results[0].candidate.operation_profile is not None


def profile(name: str) -> OperationProfile:
    return OperationProfile(
        runs=100, run_ms=4.0, operations_ms=3.0, macs=150_000_000, without_macs_share=0.25,
        gmacs_per_s=50.0, roofline_share=0.6,
        operations=(
            KindTime(kind=f"Conv of {name}", calls=30, ms=2.25, share=0.75, macs=150_000_000),
            KindTime(kind="Concat", calls=8, ms=0.75, share=0.25, macs=0),
        ),
        stages=(
            StageTime(stage="stem", ms=1.0, share=1 / 3, macs=0, gmacs_per_s=None),
            StageTime(stage="stages.0", ms=2.0, share=2 / 3, macs=150_000_000, gmacs_per_s=75.0),
        ),
    )  # fmt: skip


def profiled() -> Result:
    result = documents.result()
    load = Load(name="matmul", what="one product", macs=10, median_ms=1.0, gmacs_per_s=83.0)
    return result.model_copy(
        update={
            "candidate": result.candidate.model_copy(update={"operation_profile": profile("a")}),
            "baseline": result.baseline.model_copy(update={"operation_profile": profile("b")}),
            "roofline": Roofline(gmacs_per_s=83.0, by="matmul", loads=(load,)),
        }
    )


def terminal(document: Document) -> str:
    out = Console(width=400, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    show(document, out)
    return out.export_text()


def test_terminal_markdown_and_page_all_report_stages_rate_and_roof() -> None:
    document = documents.document(profiled())
    for text in (terminal(document), as_markdown([document]), as_html([document])):
        assert "lolvit_x by stage, ort fp32, 1 thread" in text
        assert "Conv of b" in text and "75.0" in text
        assert "50 GMAC/s, 60% of the roofline of 83 (one product: 83)" in text
        assert "25% of the time goes to operations that are not multiply-adds" in text
        assert "a run took 4.00 ms, of which 3.00 in operations" in text
    page = as_html([document])
    assert "Where the time goes" in page and 'aria-label="time by stage' in page


def test_without_profiles_nothing_is_shown_of_them() -> None:
    document = documents.document()
    assert operations(document.results) == []
    for text in (terminal(document), as_markdown([document]), as_html([document])):
        assert "by stage" not in text and "roofline" not in text


def test_a_profile_that_took_much_longer_than_the_timed_runs_is_read_with_care() -> None:
    result = profiled()
    slow = profile("b").model_copy(update={"operations_ms": 40.0})
    shown = [
        (result.baseline, "3.00"),
        (result.baseline.model_copy(update={"operation_profile": slow}), "40.0"),
    ]
    notes = [operations([result.model_copy(update={"baseline": one})])[2].note for one, _ in shown]
    assert ["much longer than when it was timed" in note for note in notes] == [False, True]


def test_two_results_that_share_a_model_report_its_profile_once() -> None:
    first = profiled()
    other = first.model_copy(
        update={"baseline": first.baseline.model_copy(update={"model": "other"})}
    )
    titles = [grid.title.split(" by ")[0] for grid in operations([first, other])]
    assert titles == ["lolvit_x", "lolvit_x", "mobilevit_xs", "mobilevit_xs", "other", "other"]


def test_kinds_behind_the_twelfth_are_summed_up() -> None:
    times = tuple(
        KindTime(kind=f"k{n}", calls=n + 1, ms=20.0 - n, share=0.05, macs=n) for n in range(15)
    )
    rows = kind_rows(profile("a").model_copy(update={"operations": times}))
    assert len(rows) == 13
    assert rows[-1] == ("3 other kinds", "42", "21.000", "15.0%", "0.0")


def test_a_document_from_before_profiles_is_read(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    save(documents.document(), path)
    content = json.loads(path.read_text())
    for result in content["results"]:
        del (
            result["roofline"],
            result["candidate"]["operation_profile"],
            result["baseline"]["operation_profile"],
        )
    path.write_text(json.dumps(content))
    (result,) = read_result(path).results
    assert result.roofline is None and result.candidate.operation_profile is None


def test_layers_of_a_file_know_who_reads_them(slow: Path) -> None:
    from lolvit_benchmarks.profiling.onnx_layers import read_layers

    layers = {one.name: one for one in read_layers(slow / "model-fp32.onnx")}
    assert layers["stem.conv/conv"] == Layer(
        name="stem.conv/conv", detail="3x3", macs=FIRST, values=("c0",), readers=("stem/relu",)
    )
    assert layers["head/fc"].readers == ()
    assert onnx.load(slow / "model-fp32.onnx").graph.node[0].name == "stem.conv/conv"
