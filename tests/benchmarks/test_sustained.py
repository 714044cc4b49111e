"""The curve of a model that runs without a pause: burst, plateau, and what is shown of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lolvit.cli import main
from lolvit.errors import DeviceError
from lolvit_benchmarks.harness.timing import POINTS, Curve, curve, sustain
from lolvit_benchmarks.reporting import grids
from lolvit_benchmarks.reporting.html import as_html
from lolvit_benchmarks.results.document import Sustained
from tests.benchmarks import documents
from tests.conftest import Run

DURATIONS = st.lists(st.floats(0.5, 500), min_size=1, max_size=300)


def made(durations: list[float]) -> Curve:
    """Return the curve of runs that follow each other at once."""
    starts = [sum(durations[:number]) / 1e3 for number in range(len(durations))]
    return curve(starts, durations)


@given(DURATIONS)
def test_a_curve_lies_among_its_runs_and_its_seconds_are_theirs(durations: list[float]) -> None:
    found = made(durations)
    assert found.seconds == pytest.approx(sum(durations) / 1e3)
    assert len(found.at_s) == len(found.median_ms) <= POINTS + 1
    assert list(found.at_s) == sorted(set(found.at_s))
    for value in (*found.median_ms, found.burst_ms, found.plateau_ms):
        assert min(durations) <= value <= max(durations)


@given(st.floats(1, 10), st.floats(1.05, 4))
def test_a_machine_that_throttles_half_way_shows_burst_and_plateau(
    burst: float, factor: float
) -> None:
    found = made([burst] * 500 + [factor * burst] * 500)
    assert found.burst_ms == pytest.approx(burst)
    assert found.plateau_ms == pytest.approx(factor * burst)
    assert found.median_ms[0] == pytest.approx(burst)
    assert found.median_ms[-1] == pytest.approx(factor * burst)


def test_runs_and_starts_have_to_match() -> None:
    with pytest.raises(ValueError, match="1 starts and 2 durations"):
        curve([0.0], [1.0, 2.0])


def ticking(step_ns: int) -> Callable[[], int]:
    now = [0]

    def clock() -> int:
        now[0] += step_ns
        return now[0]

    return clock


@pytest.mark.parametrize(("seconds", "rest"), [(1.0, 1.0), (60.0, 5.0)])
def test_it_rests_then_runs_for_the_time_asked(seconds: float, rest: float) -> None:
    rests: list[float] = []
    runs: list[int] = []
    found = sustain(lambda: runs.append(1), seconds, rest=rests.append, clock=ticking(100_000_000))
    assert rests == [rest]
    assert len(runs) == round(seconds / 0.1)
    assert found.burst_ms == found.plateau_ms == pytest.approx(100)


def test_a_run_longer_than_the_time_is_still_a_curve() -> None:
    found = sustain(lambda: None, 1e-3, rest=lambda _: None, clock=ticking(1_000_000_000))
    assert found.median_ms == (1000.0,)


def test_the_table_and_the_page_show_how_far_a_model_slowed_down() -> None:
    result = documents.result()
    curves = {
        "candidate": Sustained(
            seconds=120, at_s=(0, 60), median_ms=(3, 4), burst_ms=3, plateau_ms=4
        ),
        "baseline": Sustained(
            seconds=120, at_s=(0, 60), median_ms=(24, 24), burst_ms=24, plateau_ms=24
        ),
    }
    models = {
        name: getattr(result, name).model_copy(update={"sustained": found})
        for name, found in curves.items()
    }
    result = result.model_copy(update=models)
    (grid,) = grids.sustained([result])
    assert grid.rows[0] == (
        "lolvit_x", "ort fp32, 1 thread, 256x256", "2.0", "3.00", "4.00", "+33.3%",
    )  # fmt: skip
    assert grid.rows[1][-1] == "+0.0%"
    assert "latency without a pause" in as_html([documents.document(result)])
    assert grids.sustained([documents.result()]) == []


def test_bench_runs_each_model_by_itself_for_as_long(
    run_here: Run, fast: Path, slow: Path, tmp_path: Path
) -> None:
    done = run_here("bench", fast, "--against", slow, "--runtime", "ort", "--profile", "quick",
                    "--sustain", "0.01", "--json", "--out", tmp_path)  # fmt: skip
    assert done.returncode == 0, done.stderr
    (result,) = json.loads(done.stdout)["results"]
    for one in (result["candidate"], result["baseline"]):
        assert 0.6 <= one["sustained"]["seconds"] < 1.2
    assert "fast without a pause for 0.6 s" in done.stderr
    assert "Without a pause" in done.stderr


@pytest.mark.usefixtures("short_warm_up")
def test_a_runtime_that_fails_without_a_pause_loses_nothing_of_what_was_measured(
    fast: Path, slow: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise DeviceError("the delegate gave up")

    monkeypatch.setattr("lolvit_benchmarks.backends.benchmark_case.sustain", fails)
    arguments = [str(fast), "--against", str(slow), "--runtime", "ort", "--profile", "quick"]
    assert main(["bench", *arguments, "--sustain", "0.01", "--out", str(tmp_path)]) == 3
    document = json.loads((tmp_path / "result.json").read_text())
    (result,) = document["results"]
    assert len(result["candidate"]["samples"]) > 0 and result["candidate"]["sustained"] is None
    assert [failure["what"] for failure in document["failures"]] == ["the delegate gave up"]
