"""An ML Program as its quantizer sees it, and its way from a package and back into one.

load(package) -> function -> its layers; weights and activations made 8 bits -> save
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lolvit.files import staged_folder
from lolvit_export.quantization.quantizer import Layer, output_operations
from lolvit_runtimes.coreml_tools import coremltools as ct
from lolvit_runtimes.mil_package import MAIN, ModelPackage

# Operations that hardware with 8-bit arithmetic takes between `dequantize` and `quantize`: those of
# coremltools' own activation quantization, and concat, which joins without arithmetic.
KINDS = ("conv", "linear", "add", "concat", "avg_pool", "max_pool")
WEIGHTED = ("conv", "linear")
# Computed with the operation before it: only its result is rounded to 8 bits.
_CLAMPS = ("relu", "relu6", "clip", "leaky_relu")


def load(package: ModelPackage, specification: int) -> Any:
    """Return a package's program; `specification` is at least the package's version."""
    loader = ct.converters.mil.frontend.milproto.load
    return loader.load(package.model, specification, str(package.model_folder / "weights"))


def save(
    program: Any, package: ModelPackage, specification: int, path: Path, *, halve: bool = False
) -> None:
    """Write a program with the description that it had in `package`, whole or not at all. With
    `halve` its arithmetic becomes fp16; without, nothing in it is changed.

    Raises:
        UserError: the place cannot be written.
    """
    passes = ct.PassPipeline.DEFAULT if halve else ct.PassPipeline.EMPTY
    model = ct.converters.mil.converter.mil_convert(
        program,
        convert_from="milinternal",
        convert_to="mlprogram",
        main_pipeline=passes,
        specification_version=specification,
        compute_units=ct.ComputeUnit.ALL,
        model_description=package.model.description,
        skip_model_load=True,
    )
    with staged_folder(path) as folder:
        written = folder / "written.mlpackage"  # coremltools asks for the ending
        model.save(str(written))
        for member in written.iterdir():
            member.rename(folder / member.name)
        written.rmdir()


def main(program: Any) -> Any:
    """Return the function that an app runs."""
    return program.functions[MAIN]


def layers(function: Any, kinds: tuple[str, ...]) -> list[Layer]:
    """Return what can be quantized, in the order of execution.

    An addition of a constant is none, nor is one that gives a divisor: a small sum, rounded in 8
    bits, becomes zero.
    """
    last = output_operations(
        function.outputs,
        lambda variable: variable.op,
        lambda operation: list(activations(operation)),
        lambda operation: operation.op_type in WEIGHTED,
    )
    names = {operation.name for operation in last}
    return [
        Layer(str(operation.name), str(operation.op_type), is_output=operation.name in names)
        for operation in function.operations
        if operation.op_type in kinds and _can_be_integer(operation)
    ]


def _can_be_integer(operation: Any) -> bool:
    read = list(activations(operation))
    if operation.op_type in WEIGHTED:
        return len(read) == 1 and operation.inputs["weight"].val is not None
    if operation.op_type == "add":
        return len(read) == 2 and not _divides(operation)
    return bool(read)


def _divides(operation: Any) -> bool:
    (result,) = operation.outputs
    return any(
        reader.op_type == "real_div" and reader.inputs["y"] is result for reader in result.child_ops
    )


def activations(operation: Any) -> Iterator[Any]:
    """Yield the variables that an operation reads and that are no constants."""
    for given in operation.inputs.values():
        for variable in given if isinstance(given, (list, tuple)) else [given]:
            if variable.val is None and not _is_compressed(variable):
                yield variable


def _is_compressed(variable: Any) -> bool:
    return variable.op is not None and str(variable.op.op_type).startswith("constexpr_")


def end(operation: Any) -> Any:
    """Return the variable that an operation gives once the clamp behind it is computed with it."""
    (result,) = operation.outputs
    readers = result.child_ops
    if len(readers) == 1 and readers[0].op_type in _CLAMPS:
        return readers[0].outputs[0]
    return result
