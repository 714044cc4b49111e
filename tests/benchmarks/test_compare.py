"""Regressions are found, and unlike conditions are refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lolvit.errors import UserError
from lolvit_benchmarks.analysis import comparison
from lolvit_benchmarks.analysis.comparison import Comparison
from lolvit_benchmarks.cli.compare import CONDITIONS, measurements_of, parse_threshold
from lolvit_benchmarks.results.document import Document
from lolvit_benchmarks.results.files import save
from tests.benchmarks import documents
from tests.conftest import Run


def of(candidate_ms: float, baseline_ms: float = 24.0, **changes: Any) -> Document:
    """Return a document with one result of these medians, about."""
    return documents.document(documents.result(candidate_ms, baseline_ms, **changes))


def compare(old: Document, new: Document, **options: Any) -> Comparison:
    """Compare two documents as the command does."""
    return comparison.compare(measurements_of(old), measurements_of(new), **options)


def test_a_model_that_became_slower_is_a_regression_with_its_interval() -> None:
    (change,) = compare(of(3.0), of(3.3), threshold=0.05).changes
    assert change.change == pytest.approx(0.1, abs=0.01)
    assert change.low < change.change < change.high
    assert change.high - change.low < 0.02
    assert change.regressed


@pytest.mark.parametrize(("old", "new"), [(3.0, 3.12), (3.0, 2.0), (3.0, 3.0)])
def test_less_than_the_threshold_is_no_regression(old: float, new: float) -> None:
    (change,) = compare(of(old), of(new), threshold=0.05).changes
    assert not change.regressed


def test_the_threshold_is_a_share_of_the_old_figure() -> None:
    old, new = of(3.0), of(3.3)
    worse = compare(old, new, threshold=0).changes[0].low
    assert not compare(old, new, threshold=worse + 1e-9).changes[0].regressed
    assert compare(old, new, threshold=worse - 1e-9).changes[0].regressed


def test_by_speedup_a_slower_machine_is_no_regression() -> None:
    old, new = of(3.0, 24.0), of(6.0, 48.0)
    assert compare(old, new, threshold=0.05).changes[0].regressed
    (change,) = compare(old, new, threshold=0.05, metric="speedup").changes
    assert not change.regressed
    assert change.low < 0 < change.high


def test_by_speedup_a_lower_ratio_is_a_regression() -> None:
    (change,) = compare(of(3.0, 24.0), of(4.0, 24.0), threshold=0.05, metric="speedup").changes
    assert change.change == pytest.approx(1 / 3, abs=0.02)
    assert change.regressed


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("cpu", {"cpu": "Other CPU"}),
        ("cores", {"cores": 64}),
        ("governor", {"governor": "powersave"}),
        ("architecture", {"architecture": "aarch64"}),
        ("mains", {"on_mains": False}),
        ("device", {"device": "phone"}),
    ],
)
def test_unlike_machines_are_refused_by_name_unless_ignored(
    name: str, changes: dict[str, Any]
) -> None:
    old = of(3.0)
    new = of(3.0).model_copy(update={"environment": documents.environment(**changes)})
    with pytest.raises(UserError, match=f"unlike conditions: {name} \\("):
        compare(old, new, threshold=0.05)
    assert compare(old, new, threshold=0.05, ignore=[name]).changes


@pytest.mark.parametrize(
    ("name", "changes"),
    [("runtime-version", {"runtime_version": "2.0"}), ("pinning", {"pinned_cores": None})],
)
def test_unlike_measurements_are_refused_by_name(name: str, changes: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=f"unlike conditions: {name} "):
        compare(of(3.0), of(3.0, **changes), threshold=0.05)


@pytest.mark.parametrize("model", ["candidate", "baseline"])
def test_results_of_another_input_size_are_other_results(model: str) -> None:
    new = documents.result()
    resized = getattr(new, model).model_copy(update={"size": (224, 224)})
    smaller = new.model_copy(update={model: resized})
    with pytest.raises(UserError, match="no result in common; compare the same models, sizes"):
        compare(of(3.0), documents.document(smaller), threshold=0.05)


def test_all_unlike_conditions_are_named_at_once() -> None:
    machine = documents.environment(cpu="Other CPU", cores=4)
    new = of(3.0).model_copy(update={"environment": machine})
    with pytest.raises(UserError) as caught:
        compare(of(3.0), new, threshold=0.05)
    assert "cpu (Some CPU and Other CPU), cores (2 and 4)" in caught.value.line()


def test_results_of_one_document_alone_are_listed() -> None:
    ort, litert = documents.result(), documents.result(runtime="litert")
    found = compare(documents.document(ort, litert), documents.document(ort), threshold=0.05)
    assert found.only_old == ("lolvit_x against mobilevit_xs, litert fp32, 1 thread, 256x256",)
    assert found.only_new == ()
    assert len(found.changes) == 1


def test_documents_with_nothing_in_common_are_refused() -> None:
    with pytest.raises(UserError, match="no result in common"):
        compare(of(3.0), of(3.0, threads=2), threshold=0.05)


def test_a_change_that_the_interval_does_not_exclude_is_no_regression() -> None:
    """A 7 % slowdown is found among runs that vary by 1 %, and not among those by 20 %."""
    quiet, noisy = (
        compare(of(3.0, spread=spread), of(3.21, spread=spread), threshold=0.02).changes[0]
        for spread in (0.01, 0.2)
    )
    assert quiet.regressed and quiet.low > 0.02
    assert not noisy.regressed and noisy.low < 0.02


def test_an_invalid_result_is_reported() -> None:
    invalid = of(3.0, quality=documents.INVALID)
    assert not compare(of(3.0), invalid, threshold=0.05).changes[0].valid
    assert compare(of(3.0), of(3.0), threshold=0.05).changes[0].valid


@pytest.mark.parametrize(("text", "share"), [("5%", 0.05), ("0.05", 0.05), ("12.5%", 0.125)])
def test_thresholds_are_shares_or_percent(text: str, share: float) -> None:
    assert parse_threshold(text) == pytest.approx(share)


@pytest.mark.parametrize("text", ["", "five", "-5%", "5 percent", "nan", "1e3", "٥%"])
def test_other_thresholds_are_refused(text: str) -> None:
    with pytest.raises(UserError, match="is no threshold"):
        parse_threshold(text)


def test_the_command_exits_with_1_beyond_the_threshold_and_0_within(
    run_lolvit: Run, tmp_path: Path
) -> None:
    save(of(3.0), tmp_path / "old.json")
    save(of(3.3), tmp_path / "new.json")
    files = (tmp_path / "old.json", tmp_path / "new.json")
    failed = run_lolvit("compare", *files, "--threshold", "5%", "--json")
    assert failed.returncode == 1
    assert json.loads(failed.stdout)["changes"][0]["regressed"] is True
    assert "worse by more than" in failed.stderr.splitlines()[-1]
    assert run_lolvit("compare", *files, "--threshold", "20%").returncode == 0


def test_the_command_knows_the_conditions_that_it_may_ignore(
    run_lolvit: Run, document: Document, tmp_path: Path
) -> None:
    save(document, tmp_path / "r.json")
    done = run_lolvit("compare", tmp_path / "r.json", tmp_path / "r.json", "--ignore", "cpus")
    assert done.returncode == 2
    assert "unknown condition 'cpus'" in done.stderr
    assert all(name in done.stderr for name in CONDITIONS)


def test_pinning_to_as_many_cores_is_alike_whichever_they_are() -> None:
    assert compare(of(3.0), of(3.0, pinned_cores=(0,)), threshold=0.05).changes


def test_rounds_of_unequal_sizes_are_refused_in_one_line() -> None:
    document = of(3.0)
    (result,) = document.results
    rounds = (1, *result.candidate.sample_round[1:])
    candidate = result.candidate.model_copy(update={"sample_round": rounds})
    unequal = documents.document(result.model_copy(update={"candidate": candidate}))
    with pytest.raises(UserError, match="its samples allow no estimate: rounds of unequal sizes"):
        compare(unequal, document, threshold=0.05)


def test_samples_are_what_is_compared() -> None:
    old, new = of(3.0), of(3.0)
    assert np.isclose(compare(old, new, threshold=0.05).changes[0].change, 0, atol=1e-12)
