"""`lolvit.benchmark` measures what it is given, and says what it can't measure."""

from __future__ import annotations

from pathlib import Path

import pytest

import lolvit
from lolvit.errors import UserError
from lolvit_benchmarks.results.files import read_result
from tests.benchmarks.tiny import make_folder


@pytest.mark.usefixtures("short_warm_up")
def test_two_folders_give_one_speedup_with_its_interval(tmp_path: Path) -> None:
    small, large = make_folder(tmp_path / "a"), make_folder(tmp_path / "b", layers=4, width=48)
    steps: list[str] = []
    found = lolvit.benchmark(
        small, against=large, profile="quick", out=tmp_path / "out", progress=steps.append
    )
    assert found.speedup.low <= found.speedup.ratio <= found.speedup.high
    assert found.speedup.ratio > 1
    assert [result.runtime for result in found.results] == ["ort"]
    assert read_result(found.path).results == found.results
    assert steps


@pytest.mark.usefixtures("short_warm_up")
def test_several_results_have_no_single_speedup(tmp_path: Path) -> None:
    small, large = make_folder(tmp_path / "a"), make_folder(tmp_path / "b", layers=4)
    found = lolvit.benchmark(
        small, against=large, profile="quick", runtimes="ort,openvino", out=tmp_path / "out"
    )
    assert len(found.results) == 2
    with pytest.raises(UserError, match="has 2 speedups: ort fp32 1, openvino fp32 1"):
        _ = found.speedup


def test_a_module_is_to_be_exported_first() -> None:
    from torch import nn

    with pytest.raises(UserError, match=r"cannot measure Conv2d; export it first"):
        lolvit.benchmark(nn.Conv2d(3, 3, 1), against="mobilevit_xs")
