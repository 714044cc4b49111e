"""Names of Qualcomm's chips, and what each can compute."""

from __future__ import annotations

import pytest

from lolvit.errors import UserError
from lolvit_runtimes.qnn_socs import NEEDED_HEXAGON, SOCS, find_soc, find_socs, unsupported_reason


@pytest.mark.parametrize("soc", SOCS.values(), ids=SOCS)
def test_a_soc_is_found_by_id_number_and_name(soc: object) -> None:
    for text in (soc.id, soc.id.upper(), str(soc.model), soc.name):  # type: ignore[attr-defined]
        assert find_soc(text) is soc


def test_numbers_and_names_of_socs_are_unique() -> None:
    assert len({soc.model for soc in SOCS.values()}) == len({s.name for s in SOCS.values()})
    assert len(SOCS) == len({soc.model for soc in SOCS.values()})


def test_an_unknown_soc_is_one_line_with_the_choices() -> None:
    with pytest.raises(UserError, match=r"did you mean 'sm8850'.*choose from.*sm8750"):
        find_soc("sm8560")


def test_none_selects_no_soc_and_an_empty_list_is_an_error() -> None:
    assert find_socs("none") == ()
    assert [soc.id for soc in find_socs("57, sm8650,sm8750")] == ["sm8650", "sm8750"]
    with pytest.raises(UserError, match="no SoC given"):
        find_socs(" , ")


@pytest.mark.parametrize("precision", NEEDED_HEXAGON)
def test_an_unsupported_precision_of_a_soc_is_reported(precision: str) -> None:
    reason = unsupported_reason(SOCS["sm8450"], precision)
    assert (reason is None) == (precision == "int8")
    assert reason is None or reason.endswith("needs v73")
    assert unsupported_reason(SOCS["sm8650"], precision) is None
