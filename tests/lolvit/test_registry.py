"""Choosing a name from a table."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lolvit.errors import UserError
from lolvit.registry import choose, choose_many

TARGETS = ("onnx", "tflite", "coreml")


def test_a_known_name_is_returned() -> None:
    assert choose("target", "onnx", TARGETS) == "onnx"


def test_a_near_name_is_suggested_and_the_choices_are_listed() -> None:
    with pytest.raises(UserError) as caught:
        choose("target", "TFlte", TARGETS)
    expected = "unknown target 'TFlte'; did you mean 'tflite'? choose from: coreml, onnx, tflite"
    assert caught.value.line() == expected


def test_a_far_name_is_not_suggested() -> None:
    with pytest.raises(UserError) as caught:
        choose("target", "zzz", TARGETS)
    assert caught.value.line() == "unknown target 'zzz'; choose from: coreml, onnx, tflite"


def test_a_list_keeps_its_order_and_drops_repeats() -> None:
    assert choose_many("target", "tflite, onnx,tflite,", TARGETS) == ["tflite", "onnx"]


@pytest.mark.parametrize("names", ["", " , ", ","])
def test_an_empty_list_is_a_user_error(names: str) -> None:
    with pytest.raises(UserError, match="no target given; choose from: coreml, onnx, tflite"):
        choose_many("target", names, TARGETS)


def test_one_unknown_name_in_a_list_is_a_user_error() -> None:
    with pytest.raises(UserError, match="unknown target 'onx'"):
        choose_many("target", "tflite,onx", TARGETS)


@given(st.text())
def test_any_text_is_a_choice_or_a_one_line_user_error(name: str) -> None:
    try:
        assert choose("target", name, TARGETS) in TARGETS
    except UserError as error:
        assert len(error.line().splitlines()) == 1
