"""Failures a user can act on, as types."""

from __future__ import annotations

import importlib.metadata
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from lolvit.errors import (
    LONGEST_PART,
    DeviceError,
    GateFailedError,
    LolvitError,
    MissingExtraError,
    UserError,
)
from lolvit.extras import MODULES, missing_extra

PYPROJECT = Path(__file__).parents[2] / "pyproject.toml"


def test_a_line_has_where_what_and_remedy_in_this_order() -> None:
    error = UserError("not an image", where="a.png", remedy="choose a photo")
    assert error.line() == str(error) == "a.png: not an image; choose a photo"


def test_line_breaks_of_the_parts_do_not_reach_the_line() -> None:
    assert UserError("a\n  b", where="c\nd", remedy="e\tf").line() == "c d: a b; e f"


def test_control_codes_of_a_file_name_do_not_reach_the_terminal() -> None:
    assert (
        UserError("not an image", where="\x1b[2J\u202ea.png").line()
        == r"\x1b[2J\u202ea.png: not an image"
    )


@pytest.mark.parametrize(("kind", "code"), [(GateFailedError, 1), (UserError, 2), (DeviceError, 3)])
def test_exit_codes_are_the_contract_s(kind: type[LolvitError], code: int) -> None:
    assert kind("x").exit_code == code


def test_a_missing_extra_is_a_user_error_with_its_command() -> None:
    error = MissingExtraError("ort", needed_for="runtime 'ort'")
    assert isinstance(error, UserError)
    assert error.line().endswith("run: pip install 'lolvit[ort]'")


def test_a_module_of_no_extra_is_not_explained() -> None:
    assert missing_extra(ModuleNotFoundError(name="lolvit.nothing")) is None
    assert missing_extra(ModuleNotFoundError()) is None


@pytest.mark.parametrize("extra", MODULES)
def test_each_module_s_distribution_is_in_its_extra(extra: str) -> None:
    listed = tomllib.loads(PYPROJECT.read_text())["project"]["optional-dependencies"][extra]
    distributions = {canonicalize_name(Requirement(line).name) for line in listed}
    providers = importlib.metadata.packages_distributions()
    if extra == "tensorflow" and "tensorflow" not in providers:
        pytest.skip("TensorFlow, 1.3 GB, is not installed; run: make tensorflow")
    for module in MODULES[extra]:
        names = {canonicalize_name(name) for name in providers[module]}
        assert distributions & names, f"{module} is not brought by [{extra}]"


@pytest.mark.parametrize("letter", ["x", "\x1b", "é", "\n"])
def test_a_line_that_quotes_a_file_is_short_and_keeps_its_remedy(letter: str) -> None:
    line = UserError(letter * 1_000_000 + "y", where=letter * 5000, remedy="export again").line()
    assert len(line) <= 2 * LONGEST_PART + 30
    assert line.isprintable() and line.endswith("; export again")
