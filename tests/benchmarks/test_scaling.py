"""Tables and exponents of models that were measured at several sizes or among several others."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lolvit_benchmarks.analysis import statistics as stats
from lolvit_benchmarks.reporting import grids
from lolvit_benchmarks.reporting.html import as_html
from lolvit_benchmarks.reporting.table import as_markdown
from lolvit_benchmarks.results.document import Result
from tests.benchmarks import documents

EDGES = (128, 256, 512)


def at_sizes(exponent: float = 1.5) -> list[Result]:
    """Return results in which the candidate is linear in its pixels and the baseline grows with
    the exponent."""
    grown = [(edge / 128) ** 2 for edge in EDGES]
    return [
        documents.result(1.5 * g, 5.0 * g**exponent, size=(edge, edge), spread=1e-6)
        for edge, g in zip(EDGES, grown, strict=True)
    ]


@given(
    st.lists(st.floats(1, 1e6), min_size=2, max_size=8, unique_by=lambda x: round(x, 3)),
    st.floats(0.1, 3),
    st.floats(1e-3, 1e3),
)
def test_the_exponent_of_a_power_law_is_found(
    sizes: list[float], exponent: float, factor: float
) -> None:
    times = [factor * size**exponent for size in sizes]
    assert stats.power(sizes, times) == pytest.approx(exponent, rel=1e-3, abs=1e-3)


def test_one_size_has_no_exponent() -> None:
    with pytest.raises(ValueError, match="no slope"):
        stats.power([4.0, 4.0], [1.0, 2.0])


def test_each_model_grows_with_its_own_exponent_whatever_the_order() -> None:
    (group,) = grids.growths(at_sizes()[::-1]).values()
    assert [growth.model for growth in group] == ["lolvit_x", "mobilevit_xs"]
    assert [growth.exponent for growth in group] == pytest.approx([1.0, 1.5], abs=1e-4)
    assert [one.size[0] for one in group[0].results] == list(EDGES)


def test_the_table_of_sizes_has_a_column_a_size_and_the_exponent() -> None:
    (grid,) = grids.sizes(at_sizes())
    assert grid.headings == ("model", "128x128", "256x256", "512x512", "exponent")
    assert grid.rows[0] == ("lolvit_x", "1.50", "6.00", "24.0", "1.00")
    assert grid.rows[1][-1] == "1.50"


def test_one_size_makes_no_table_of_sizes() -> None:
    assert grids.sizes([documents.result()]) == []


def among_others() -> list[Result]:
    return [
        documents.result(3.0, ms, against=name, runtime=runtime, spread=1e-6)
        for runtime in ("ort", "litert")
        for name, ms in (("one", 24.0), ("two", 7.5))
    ]


def test_the_table_of_peers_has_a_row_a_model_and_two_columns_a_runtime() -> None:
    (grid,) = grids.peers(among_others())
    assert len(grid.headings) == 4 + 2 * 2
    assert all(len(row) == len(grid.headings) for row in grid.rows)
    rows = {row[0]: row for row in grid.rows}
    assert rows["lolvit_x"][1:] == ("256x256", "2.30 M", "155 M", "3.00", "", "3.00", "")
    assert rows["one"][4:] == ("24.0", "8.0x", "24.0", "8.0x")


def test_a_model_that_one_runtime_refused_keeps_its_row() -> None:
    (grid,) = grids.peers(among_others()[:3])
    (row,) = (row for row in grid.rows if row[0] == "two")
    assert row[4:] == ("7.50", "2.5x", "–", "–")


def test_an_invalid_ratio_is_marked() -> None:
    invalid = documents.result(3.0, 6.0, against="two", quality=documents.INVALID)
    (grid,) = grids.peers([documents.result(3.0, 24.0, against="one"), invalid])
    ratios = {row[0]: row[-1] for row in grid.rows}
    assert ratios["two"].endswith("*") and not ratios["one"].endswith("*")


def test_one_other_model_makes_no_table_of_peers() -> None:
    assert grids.peers(at_sizes()) == []


@pytest.mark.parametrize("results", [at_sizes(), among_others()], ids=["sizes", "peers"])
def test_page_and_markdown_hold_the_tables(results: list[Result]) -> None:
    (grid,) = [*grids.sizes(results), *grids.peers(results)]
    document = documents.document(*results)
    markdown, page = as_markdown([document]), as_html([document])
    assert f"### {grid.title}" in markdown and grid.title in page
    for row in grid.rows:
        assert f"| {' | '.join(row)} |" in markdown
    assert ("latency over input size" in page) == bool(grids.sizes(results))
