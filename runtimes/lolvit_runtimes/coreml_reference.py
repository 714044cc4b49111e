"""A reference interpreter of Core ML packages, on any system.

Core ML itself runs on a Mac only. Here the saved package is read back, weights included, and its
main function is executed operation by operation with torch on the CPU, in the types that the
program states. A value typed fp16 is computed in float32 from inputs rounded to fp16, and rounded
to fp16 once: hardware that accumulates in fp16 loses more, hardware that fuses operations less.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from lolvit.errors import DeviceError
from lolvit.manifest import Artifact
from lolvit_runtimes.coreml_tools import coremltools
from lolvit_runtimes.mil_operations.program import (
    CONSTANTS,
    prepare,
    type_of,
    unknown_operations,
)
from lolvit_runtimes.mil_package import ModelPackage, broken, printable, read_package
from lolvit_runtimes.native import expect_inputs
from lolvit_runtimes.session import Array


class CoreMLReferenceSession:
    """A Core ML artifact, executed by the interpreter: verifies numerical results, not speed."""

    runtime = "coreml-reference"
    version: str = coremltools.__version__

    def __init__(self, path: Path, artifact: Artifact, *, threads: int = 1) -> None:
        """Read the package and prepare its operations.

        Raises:
            DeviceError: the package is damaged, has an operation that the interpreter does not
                support, or does not match the manifest.
        """
        package = read_package(path)
        _check_operations(package)
        function = package.load_main()
        _check_tensors(path, function, artifact)
        self._precision, self._program = _precision(function), prepare(function)
        self._inputs, self._outputs = artifact.inputs, artifact.outputs
        self._threads = threads

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Return the outputs by name (see `Session.run`).

        Where the artifact takes pixels, they are numbers from 0 to 255, which need not be whole.

        Raises:
            DeviceError: an input does not match the artifact, or an operation failed.
        """
        expect_inputs(inputs, self._inputs)
        tensors = {name: torch.tensor(array) for name, array in inputs.items()}
        with torch.inference_mode(), _torch_threads(self._threads):
            results = self._program.run(tensors)
            return {
                spec.name: results[spec.name].numpy().astype(spec.dtype, copy=False)
                for spec in self._outputs
            }

    def placement(self) -> dict[str, int]:
        """Return the number of operations, all of which the interpreter runs, without constants."""
        return {"interpreter": len(self._program.steps)}

    def options(self) -> dict[str, str]:
        """Return the precision of the program, how sums are taken, and the number of threads."""
        return {
            "precision": self._precision,
            "accumulation": "float32",
            "threads": str(self._threads),
        }

    def close(self) -> None:
        """Free the program and its weights."""
        del self._program


@contextmanager
def _torch_threads(count: int) -> Iterator[None]:
    """Run the block with `count` threads, then restore the previous number: torch has one setting
    for the whole process."""
    before = torch.get_num_threads()
    if before == count:
        yield
        return
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _check_operations(package: ModelPackage) -> None:
    """Check that all operations are supported, before coremltools loads any.

    Raises:
        DeviceError: some are not; the message has the type and name of each.
    """
    names = {op.type: op.outputs[0].name if op.outputs else "" for op in package.operations()}
    unknown = sorted(unknown_operations(names))
    if unknown:
        listed = ", ".join(f"{kind} '{names[kind]}'" for kind in unknown)
        raise DeviceError(
            f"operations that the reference interpreter does not support: {printable(listed)}",
            where=str(package.path),
            remedy="add them to lolvit_runtimes.mil_operations, or run it on a Mac with 'coreml'",
        )


def _check_tensors(path: Path, function: Any, artifact: Artifact) -> None:
    """Check that the program's inputs and outputs match the manifest.

    Raises:
        DeviceError: they do not.
    """
    for what, specs, variables in (
        ("input", artifact.inputs, function.inputs.values()),
        ("output", artifact.outputs, function.outputs),
    ):
        found = {variable.name: tuple(variable.shape) for variable in variables}
        stated = {spec.name: spec.shape for spec in specs}
        if found != stated:
            raise broken(path, f"its {what}s are {found}, the manifest has {stated}")


def _precision(function: Any) -> str:
    """Return the least precise float type that the program computes in."""
    computed = [op for op in function.operations if op.op_type not in CONSTANTS]
    halves = any(type_of(variable) == "fp16" for op in computed for variable in op.outputs)
    return "fp16" if halves else "fp32"
