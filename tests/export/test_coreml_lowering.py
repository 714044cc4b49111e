"""coremltools checks a program's consistency once a conversion, and none escapes the check."""

from __future__ import annotations

from typing import Any

import pytest

from lolvit_export.lowering.coreml import checked_once
from lolvit_runtimes.coreml_tools import coremltools as ct

mb, Program = ct.converters.mil.Builder, ct.converters.mil.mil.Program


def a_program() -> Any:
    @mb.program(input_specs=[mb.TensorSpec(shape=(2, 3))])
    def program(x: Any) -> Any:
        return mb.relu(x=mb.exp(x=x))

    return program


def break_apart(program: Any) -> None:
    """Have a value forget what reads it, as a faulty pass would."""
    program.functions["main"].operations[0].outputs[0]._child_ops = []


def test_a_program_that_a_pass_has_broken_is_refused_when_all_have_run() -> None:
    broken, passes = a_program(), 0
    with pytest.raises(Exception, match="consumed by op relu"), checked_once():
        for _ in range(3):
            broken.validate()
            break_apart(broken)
            passes += 1
    assert passes == 3


def test_afterwards_coremltools_checks_as_before() -> None:
    before = Program.validate
    with pytest.raises(KeyError), checked_once():
        raise KeyError
    assert Program.validate is before
    broken = a_program()
    break_apart(broken)
    with pytest.raises(Exception, match="consumed by op relu"):
        broken.validate()
