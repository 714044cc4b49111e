"""Each MIL operation, converted, saved and read back, gives what torch gives."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lolvit_runtimes.mil_operations import OPERATIONS
from tests.runtimes import mil_programs
from tests.runtimes.coreml_packages import capture, operations, run, save
from tests.runtimes.mil_cases import CASES, SHAPE, build

# Of the largest absolute value: fp32 reorders sums; fp16 rounds weights and results to 11 bits.
TOLERANCE = {"fp32": 1e-5, "fp16": 3e-3}
# Whole numbers and choices jump where fp16 rounds their input across a step.
STEPS = {"floor_div", "remainder", "floor", "ceil", "round", "cast", "reduce_argmax"}


@pytest.fixture(scope="module")
def image() -> np.ndarray:
    """Input that fp16 holds exactly, so that both precisions start from the same."""
    values = np.random.default_rng(0).standard_normal(SHAPE).astype(np.float16)
    return values.astype(np.float32)


@pytest.mark.parametrize("name", CASES)
def test_operation_equals_torch(name, image, tmp_path):
    wanted, module = build(name)
    program = capture(module, SHAPE)
    with torch.no_grad():
        expected = module(torch.from_numpy(image)).numpy()
    for precision, tolerance in TOLERANCE.items():
        path = save(program, precision, tmp_path / f"{precision}.mlpackage")
        assert wanted <= set(operations(path))
        found = run(path, image, expected.shape)
        error = np.abs(found - expected)
        if precision == "fp16" and name in STEPS:
            assert (error > tolerance).mean() < 0.02
        else:
            assert error.max() <= tolerance * np.abs(expected).max()


@pytest.mark.parametrize("name", mil_programs.PROGRAMS)
def test_parameter_that_torch_never_sets_equals_its_formula(name, tmp_path):
    generator = np.random.default_rng(0)
    image = generator.standard_normal(mil_programs.SHAPE).astype(np.float32)
    expected = mil_programs.PROGRAMS[name][1](torch.from_numpy(image)).numpy()
    program, target = mil_programs.build(name), mil_programs.target(name)
    path = save(program, "fp32", tmp_path / "program.mlpackage", target)
    found = run(path, image, expected.shape)
    assert np.abs(found - expected).max() <= TOLERANCE["fp32"] * np.abs(expected).max()


def test_every_operation_of_the_table_has_a_test():
    converted = {operation for wanted, *_ in CASES.values() for operation in wanted.split()}
    written = {operation for name in mil_programs.PROGRAMS for operation in kinds(name)}
    assert set(OPERATIONS) <= converted | written


def kinds(name: str) -> set[str]:
    """Return the operations of a hand-written program."""
    return {
        operation.op_type for operation in mil_programs.build(name).functions["main"].operations
    }
