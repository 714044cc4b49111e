"""Ask LiteRT's GPU accelerator about models: `python lint_gpu_probe.py FILE...` prints, for each, a
line of JSON: does it take all of it, and how far is its result from the reference kernels'?

A program of its own, because the accelerator may end the process and writes to standard error.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import numpy as np
from ai_edge_litert.compiled_model import CompiledModel, HardwareAccelerator
from ai_edge_litert.interpreter import Interpreter, OpResolverType


def inputs_of(interpreter: Any) -> list[Any]:
    """Return random inputs between 0.1 and 2 with either sign; a power's are positive."""
    generator = np.random.default_rng(1)
    kinds = {op["op_name"] for op in interpreter._get_ops_details()}
    values = []
    for detail in interpreter.get_input_details():
        value = generator.uniform(0.1, 2, detail["shape"])
        if "POW" not in kinds:
            value *= generator.choice((-1, 1), detail["shape"])
        values.append(value.astype(detail["dtype"]))
    return values


def reference(path: str) -> tuple[list[Any], list[Any]]:
    """Return inputs, and what the reference kernels make of them."""
    interpreter = Interpreter(path, experimental_op_resolver_type=OpResolverType.BUILTIN_REF)
    interpreter.allocate_tensors()
    values = inputs_of(interpreter)
    for detail, value in zip(interpreter.get_input_details(), values, strict=True):
        interpreter.set_tensor(detail["index"], value)
    interpreter.invoke()
    return values, [interpreter.get_tensor(d["index"]) for d in interpreter.get_output_details()]


def worst_error(model: Any, path: str) -> float:
    """Return the largest difference from the reference, relative to its largest value."""
    values, expected = reference(path)
    given, made = model.create_input_buffers(0), model.create_output_buffers(0)
    for buffer, value in zip(given, values, strict=True):
        buffer.write(np.ascontiguousarray(value))
    model.run_by_index(0, given, made)
    errors = []
    for buffer, right in zip(made, expected, strict=True):
        result = buffer.read(right.size, right.dtype.type).reshape(right.shape)
        errors.append(np.abs(result - right).max() / np.abs(right).max())
    return float(max(errors))


def answer(path: str) -> dict[str, object]:
    try:
        model = CompiledModel.from_file(path, hardware_accel=HardwareAccelerator.GPU)
        taken = bool(model.is_fully_accelerated())
    except RuntimeError:
        return {"path": path, "taken": False}
    return {"path": path, "taken": taken, "error": worst_error(model, path) if taken else None}


if __name__ == "__main__":
    for name in sys.argv[1:]:
        print(json.dumps(answer(name)), flush=True)
