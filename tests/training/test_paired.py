"""Intervals of accuracies and of their paired differences, and the document that has them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lolvit.accuracy import ComparisonDocument, read_accuracy
from lolvit.errors import UserError
from lolvit_training.accuracy import Comparison, _Run, compare
from lolvit_training.accuracy_table import as_markdown
from lolvit_training.correctness import CORRECTNESS, Correctness, read_correctness
from lolvit_training.paired import Right, accuracy_of, difference_of

EXPERIMENTS = 400


def trained(
    draw: np.random.Generator, images: np.ndarray, runs: int, better: float = 0, spread: float = 0.4
) -> Right:
    """Return runs of a model on images of some difficulty: seeds change the whole run, by `spread`
    on the logistic scale, and models find different images difficult."""
    own = images + draw.normal(0, 0.7, len(images)) + better
    seeds = draw.normal(0, spread, (runs, 1))
    return draw.random((runs, len(images))) < 1 / (1 + np.exp(-(own + seeds)))


def covered(runs: int) -> tuple[float, float]:
    """Return how often the interval of two equally good models has 0 in it, and how often one that
    leaves out that seeds differ has: that of all runs as one."""
    draw = np.random.default_rng(5)
    hits = alone = 0
    for _ in range(EXPERIMENTS):
        images = draw.normal(1.5, 1.5, 300)
        first, second = trained(draw, images, runs), trained(draw, images, runs)
        found = difference_of(first, second)
        hits += found.low <= 0 <= found.high
        means = [right.mean(axis=0) for right in (first, second)]
        half = 1.96 * (means[0] - means[1]).std() / len(images) ** 0.5
        alone += abs(found.value) <= half
    return hits / EXPERIMENTS, alone / EXPERIMENTS


@pytest.mark.parametrize("runs", [2, 3])
def test_the_interval_holds_for_new_seeds_and_images(runs: int) -> None:
    whole, images_alone = covered(runs)
    assert whole >= 0.93
    assert images_alone < 0.9  # so that the seeds are needed


def test_a_better_model_is_found_and_one_run_has_an_interval_over_images() -> None:
    draw = np.random.default_rng(6)
    images = draw.normal(1, 1.5, 2000)
    first = trained(draw, images, 3, better=0.5, spread=0.1)
    second = trained(draw, images, 3, spread=0.1)
    assert difference_of(first, second).low > 0
    single = difference_of(first[:1], second[:1])
    assert single.over == "images" and single.low > 0
    assert difference_of(first, second).over == "seeds and images"


@pytest.mark.parametrize(("only_first", "only_second", "differ"), [(15, 5, True), (12, 8, False)])
def test_one_run_decides_as_mcnemars_test(only_first: int, only_second: int, differ: bool) -> None:
    """(15 - 5)² / 20 = 5 is above the quantile 3.84 of one degree of freedom, (12 - 8)² / 20 is
    not."""
    outcomes = [(1, 0)] * only_first + [(0, 1)] * only_second + [(1, 1)] * 140 + [(0, 0)] * 40
    pairs = np.array(outcomes, bool)
    found = difference_of(pairs[:, 0][np.newaxis], pairs[:, 1][np.newaxis])
    assert found.value == pytest.approx((only_first - only_second) / 200)
    assert (found.low > 0) == differ


def test_equal_runs_and_runs_without_an_error_have_an_interval_of_some_width() -> None:
    right = np.ones((3, 100), bool)
    same = difference_of(right, right)
    assert same.value == 0 and same.low < 0 < same.high
    assert accuracy_of(right).low < 0.99 and accuracy_of(right).high == 1


def test_other_numbers_of_images_are_no_pairs() -> None:
    with pytest.raises(ValueError, match="3 and 4 images"):
        difference_of(np.ones((1, 3), bool), np.ones((1, 4), bool))


@given(st.lists(st.booleans(), min_size=1, max_size=40))
def test_the_file_of_a_run_has_a_bit_for_each_image(right: list[bool]) -> None:
    document = Correctness.of("digits", list(range(len(right))), np.array(right))
    again = Correctness.model_validate_json(document.model_dump_json())
    assert again.right().tolist() == right


@pytest.mark.parametrize(
    "change", [{"correct": "f"}, {"correct": "zz"}, {"images": 17}, {"images": 0}, {"extra": 1}]
)
def test_a_damaged_file_of_a_run_is_one_line(change: dict[str, object], tmp_path: Path) -> None:
    document = Correctness.of("digits", [1] * 8, np.ones(8, bool)).model_dump() | change
    (tmp_path / CORRECTNESS).write_text(json.dumps(document))
    with pytest.raises(UserError, match=rf"{CORRECTNESS}: .*(field|key) '"):
        read_correctness(tmp_path)


LABELS = [number % 10 for number in range(500)]


def run_of(model: str, right: np.ndarray, labels: list[int] = LABELS) -> _Run:
    found = Correctness.of("digits", labels, right)
    return _Run("digits", model, float(right.mean()), (64, 64), found)


def comparison(tmp_path: Path) -> Comparison:
    return Comparison(("lolvit_x", "mobilevit_xs"), ("digits",), (0, 1), (), tmp_path)


def test_the_document_says_in_a_line_whether_models_differ(tmp_path: Path) -> None:
    draw = np.random.default_rng(7)
    runs = [
        run_of(model, draw.random(500) < chance)
        for model, chance in (("lolvit_x", 0.9), ("mobilevit_xs", 0.7))
        for _ in range(2)
    ]
    document = compare(comparison(tmp_path), runs)
    path = tmp_path / "accuracy.json"
    path.write_text(document.model_dump_json())
    assert read_accuracy(path) == document
    (difference,) = document.differences
    assert difference.significant and difference.low > 0
    line = difference.line()
    assert line.startswith("digits: lolvit_x is ")
    assert "points more accurate than mobilevit_xs (95 % interval +" in line
    table = as_markdown(document)
    assert table.splitlines()[2].startswith("| digits | lolvit_x | ") and line in table
    same = compare(comparison(tmp_path), [*runs[:2], *(run_of("mobilevit_xs", r.correctness.right())
                                                       for r in runs[:2])])  # fmt: skip
    assert "do not differ significantly" in same.differences[0].line()


def test_runs_on_other_images_are_not_paired(tmp_path: Path) -> None:
    right = np.ones(500, bool)
    runs = [run_of("lolvit_x", right)] * 2 + [run_of("mobilevit_xs", right, LABELS[::-1])] * 2
    with pytest.raises(UserError, match="lolvit_x and mobilevit_xs were evaluated on different"):
        compare(comparison(tmp_path), runs)


def test_a_document_of_an_earlier_version_is_read(tmp_path: Path) -> None:
    path = tmp_path / "accuracy.json"
    row = {"data": "digits", "model": "lolvit_x", "top1": [0.9], "mean": 0.9, "deviation": None}
    path.write_text(json.dumps({"options": ["--size", "64"], "seeds": [0], "rows": [row]}))
    document = read_accuracy(path)
    assert isinstance(document, ComparisonDocument)
    assert document.rows[0].low is None and not document.differences
