"""A program's main function, prepared once and executed many times.

Every value has a slot in one list; constants fill theirs when the program is prepared. A value
typed fp16 is held as float32 and rounded to fp16 whenever an operation gives one.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lolvit.errors import DeviceError
from lolvit_runtimes.mil_operations import OPERATIONS
from lolvit_runtimes.mil_operations.arguments import Operation, tensor
from lolvit_runtimes.native import reason

# Weights stored compressed: coremltools expands them, they are constants as `const` is one.
CONSTANTS = (
    "const", "constexpr_affine_dequantize", "constexpr_blockwise_shift_scale", "constexpr_cast",
    "constexpr_lut_to_dense", "constexpr_sparse_to_dense",
)  # fmt: skip

Store = Callable[[Tensor], Tensor]
Observe = Callable[[str, Tensor], None]  # gets each value's name, and the value
Source = int | tuple[int, ...]  # a slot, or the slots of an operation's list of values

_STORES: dict[str, Store] = {
    "fp16": lambda value: value.half().float(),
    "fp32": lambda value: value.float(),
    "int32": lambda value: value.to(torch.int32),
    "int8": lambda value: value.to(torch.int8),
    "uint8": lambda value: value.to(torch.uint8),
    "bool": lambda value: value.bool(),
}
# NotImplementedError, of unsupported parameters, is a RuntimeError.
_FAILURES = (RuntimeError, ValueError, TypeError, IndexError, KeyError)


@dataclass(frozen=True)
class Step:
    """One operation: where it reads, where it writes, and what its results must be."""

    title: str
    function: Operation
    arguments: dict[str, Source]
    tensors: frozenset[str]  # the arguments that must be tensors, also where they are constants
    outputs: tuple[int, ...]
    names: tuple[str, ...]  # of the outputs
    stores: tuple[Store, ...]
    shapes: tuple[tuple[int, ...], ...]
    finished: tuple[int, ...]  # slots that no later step reads

    def run(self, slots: list[Any], observe: Observe | None = None) -> None:
        """Execute the operation, and show its results to `observe`.

        Raises:
            DeviceError: it failed, or its result has another shape than in the program.
        """
        arguments: dict[str, Any] = {
            name: slots[source]
            if isinstance(source, int)
            else [tensor(slots[slot]) for slot in source]
            for name, source in self.arguments.items()
        }
        arguments |= {name: tensor(arguments[name]) for name in self.tensors}
        try:
            given = self.function(**arguments)
            values = [given] if isinstance(given, Tensor) else list(given)
            results = [store(value) for store, value in zip(self.stores, values, strict=True)]
        except _FAILURES as error:
            raise DeviceError(f"operation {self.title} failed: {reason(error)}") from error
        shapes = tuple(tuple(value.shape) for value in results)
        if shapes != self.shapes:
            raise DeviceError(
                f"operation {self.title} returned shapes {shapes}, the program has {self.shapes}"
            )
        for slot, name, value in zip(self.outputs, self.names, results, strict=True):
            slots[slot] = value
            if observe is not None:
                observe(name, value)
        for slot in self.finished:
            slots[slot] = None


@dataclass(frozen=True)
class Program:
    """A function of named inputs and outputs, ready to run."""

    steps: tuple[Step, ...]
    constants: tuple[Any, ...]  # one a slot; None where a step writes
    inputs: dict[str, tuple[int, Store]]  # name: its slot, and how it is stored
    outputs: dict[str, int]  # name: its slot

    def run(
        self, inputs: Mapping[str, Tensor], observe: Observe | None = None
    ) -> dict[str, Tensor]:
        """Return the outputs by name, floats as float32; `observe` sees all values on the way.

        Raises:
            DeviceError: an operation failed; the message names it.
        """
        slots = list(self.constants)
        for name, (slot, store) in self.inputs.items():
            slots[slot] = store(inputs[name])
            if observe is not None:
                observe(name, slots[slot])
        for step in self.steps:
            step.run(slots, observe)
        return {name: slots[slot] for name, slot in self.outputs.items()}


def unknown_operations(kinds: Iterable[str]) -> set[str]:
    """Return those operation types that can't be executed."""
    return set(kinds) - OPERATIONS.keys() - set(CONSTANTS)


def type_of(variable: Any) -> str:
    """Return the element type of a program's variable: "fp16", "fp32", "int32", "bool", ..."""
    from coremltools.converters.mil.mil.types import builtin_to_string

    return str(builtin_to_string(variable.dtype))


@dataclass
class _Slots:
    """A slot for each variable, handed out as they are met."""

    constants: list[Any] = field(default_factory=list)
    of_variable: dict[int, int] = field(default_factory=dict)

    def add(self, variable: Any, constant: Any = None) -> int:
        self.of_variable[id(variable)] = len(self.constants)
        self.constants.append(constant)
        return len(self.constants) - 1

    def find(self, variable: Any) -> int:
        return self.of_variable[id(variable)]

    def source(self, given: Any) -> Source:
        if isinstance(given, (list, tuple)):
            return tuple(self.find(variable) for variable in given)
        return self.find(given)


def prepare(function: Any) -> Program:
    """Prepare a function that coremltools loaded, of known operations.

    Raises:
        DeviceError: an operation has a parameter or a type that can't be executed.
    """
    slots = _Slots()
    for image in function.inputs.values():
        slots.add(image)
    for operation in function.operations:
        for variable in operation.outputs:
            constant = _constant(operation) if operation.op_type in CONSTANTS else None
            slots.add(variable, constant)
    computed = [op for op in function.operations if op.op_type not in CONSTANTS]
    outputs = {output.name: slots.find(output) for output in function.outputs}
    finished = _finished(slots, computed, set(outputs.values()))
    return Program(
        steps=tuple(
            _step(slots, operation, slots_left)
            for operation, slots_left in zip(computed, finished, strict=True)
        ),
        constants=tuple(slots.constants),
        inputs={
            image.name: (slots.find(image), _store("input", image))
            for image in function.inputs.values()
        },
        outputs=outputs,
    )


def _constant(operation: Any) -> Any:
    """Return a constant as operations take it (see `mil_operations.arguments`)."""
    compressed = operation.op_type != "const"
    value = operation.materialized_val_inference() if compressed else operation.outputs[0].val
    if isinstance(value, (str, bool)) or value is None:
        return value
    array = np.asarray(value)
    if array.ndim == 0:
        return array.item()
    if array.dtype.kind == "f":
        return torch.from_numpy(array.astype(np.float32))
    return tuple(array.tolist()) if array.ndim == 1 else torch.from_numpy(array.copy())


def _sources(operation: Any) -> Iterator[Any]:
    """Yield the variables that an operation reads."""
    for given in operation.inputs.values():
        yield from given if isinstance(given, (list, tuple)) else [given]


def _finished(slots: _Slots, operations: list[Any], outputs: set[int]) -> list[tuple[int, ...]]:
    """Return, for each operation, the slots that it is the last to read."""
    last: dict[int, int] = {}
    for index, operation in enumerate(operations):
        for variable in (*_sources(operation), *operation.outputs):
            last[slots.find(variable)] = index
    finished: list[list[int]] = [[] for _ in operations]
    for slot, index in last.items():
        if slot not in outputs and slots.constants[slot] is None:
            finished[index].append(slot)
    return [tuple(group) for group in finished]


def _step(slots: _Slots, operation: Any, finished: tuple[int, ...]) -> Step:
    title = f"{operation.op_type} {operation.name!r}"
    function = OPERATIONS[operation.op_type]
    arguments = {name: slots.source(given) for name, given in operation.inputs.items()}
    signature = inspect.signature(function)
    try:
        signature.bind(**arguments)
    except TypeError as error:
        raise DeviceError(f"operation {title} can't be executed: {error}") from error
    return Step(
        title,
        function,
        arguments,
        frozenset(name for name in arguments if _takes_tensor(signature, name)),
        tuple(slots.find(variable) for variable in operation.outputs),
        tuple(variable.name for variable in operation.outputs),
        tuple(_store(title, variable) for variable in operation.outputs),
        tuple(tuple(variable.shape) for variable in operation.outputs),
        finished,
    )


def _takes_tensor(signature: inspect.Signature, name: str) -> bool:
    parameter = signature.parameters.get(name)
    return parameter is not None and parameter.annotation in (Tensor, Tensor.__name__)


def _store(title: str, variable: Any) -> Store:
    kind = type_of(variable)
    if kind not in _STORES:
        raise DeviceError(f"{title} has type {kind}, which can't be executed")
    return _STORES[kind]
