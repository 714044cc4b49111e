"""Read the program of a Core ML package as operations. Its weights are not read."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from lolvit.errors import DeviceError, UserError
from lolvit_export.lint.graph import Graph, Operation, Shape, Tensor
from lolvit_runtimes.mil_package import ModelPackage, read_package

SMALL = 64  # elements of a constant that are kept
CONST = "const"
_NAMES = {
    "FLOAT16": "float16", "FLOAT32": "float32", "FLOAT64": "float64", "INT8": "int8",
    "INT16": "int16", "INT32": "int32", "INT64": "int64", "UINT8": "uint8", "UINT16": "uint16",
    "BOOL": "bool", "STRING": "string",
}  # fmt: skip


def read_coreml(path: Path) -> Graph:
    """Return the main function of a package's ML Program.

    Raises:
        UserError: it is no package, its model is cut short, or it holds no ML Program.
    """
    try:
        package = read_package(path)
    except DeviceError as error:  # what a runtime refuses is wrong input here: nothing is run
        raise UserError(error.what, where=error.where, remedy=error.remedy) from error
    return _graph(package)


def _graph(package: ModelPackage) -> Graph:
    function = package.model.mlProgram.functions["main"]
    tensors = {feature.name: _value(feature.name, feature.type) for feature in function.inputs}
    inputs = _flexible(package, tuple(tensors.values()))
    block = function.block_specializations[function.opset]
    constants: dict[str, Any] = {}
    operations: list[Operation] = []
    for operation in block.operations:
        for output in operation.outputs:
            tensors[output.name] = _value(output.name, output.type)
        if operation.type == CONST:
            _keep(operation, tensors, constants)
        else:
            operations.append(_operation(operation, tensors, constants))
    outputs = (tensors[name] for name in block.outputs if name in tensors)
    return Graph("coreml", operations, inputs, outputs)


def _flexible(package: ModelPackage, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """Return the inputs, with sizes open where the package lets an app choose from a range."""
    ranges = {
        feature.name: _open_sizes(feature.type.multiArrayType)
        for feature in package.model.description.input
    }
    images = {
        feature.name
        for feature in package.model.description.input
        if feature.type.imageType.WhichOneof("SizeFlexibility") == "imageSizeRange"
    }
    return tuple(_opened(tensor, ranges.get(tensor.name, ()), images) for tensor in inputs)


def _open_sizes(array: Any) -> tuple[bool, ...]:
    if array.WhichOneof("ShapeFlexibility") != "shapeRange":
        return ()
    return tuple(each.lowerBound != each.upperBound for each in array.shapeRange.sizeRanges)


def _opened(tensor: Tensor, opened: tuple[bool, ...], images: set[str]) -> Tensor:
    shape = tensor.shape or ()
    if tensor.name in images:
        opened = (False,) * (len(shape) - 2) + (True, True)
    if len(opened) != len(shape):
        return tensor
    sizes = tuple(None if o else size for size, o in zip(shape, opened, strict=True))
    return Tensor(tensor.name, sizes, tensor.dtype)


def _value(name: str, kind: Any) -> Tensor:
    if kind.WhichOneof("type") != "tensorType":
        return Tensor(name, None, kind.WhichOneof("type") or "unknown")
    tensor = kind.tensorType
    shape: Shape = tuple(
        d.constant.size if d.WhichOneof("dimension") == "constant" else None
        for d in tensor.dimensions
    )
    return Tensor(name, shape, _dtype(tensor))


def _dtype(tensor: Any) -> str:
    kinds = tensor.DESCRIPTOR.fields_by_name["dataType"].enum_type.values_by_number
    name = kinds[tensor.dataType].name if tensor.dataType in kinds else "unknown"
    return _NAMES.get(name, name.lower())


def _keep(operation: Any, tensors: dict[str, Tensor], constants: dict[str, Any]) -> None:
    """Remember a constant, with its value if it is small and stored in the program itself."""
    name = operation.outputs[0].name
    plain = tensors[name]
    stored = "val" in operation.attributes  # reading what a protobuf map lacks would add it
    constants[name] = _immediate(operation.attributes["val"]) if stored else None
    tensors[name] = Tensor(name, plain.shape, plain.dtype, constant=True)


def _immediate(value: Any) -> Any:
    """Return a small value: a scalar as itself, more as a tuple; None for weights in a file."""
    if value.WhichOneof("value") != "immediateValue":
        return None
    tensor = value.immediateValue.tensor
    kind = tensor.WhichOneof("value")
    if kind is None or kind == "bytes":
        return None
    values = tuple(getattr(tensor, kind).values)
    scalar = not value.type.tensorType.dimensions
    return None if len(values) > SMALL else values[0] if scalar and values else values


def _operation(operation: Any, tensors: dict[str, Tensor], constants: dict[str, Any]) -> Operation:
    inputs: list[Tensor] = []
    attributes: dict[str, Any] = {}
    for argument in sorted(operation.inputs):
        bindings = operation.inputs[argument].arguments
        names = [binding.name for binding in bindings if binding.WhichOneof("binding") == "name"]
        given = [tensors[name] for name in names if name in tensors]
        known = [constants[name] for name in names if constants.get(name) is not None]
        known += [_immediate(b.value) for b in bindings if b.WhichOneof("binding") == "value"]
        if known and len(known) == len(bindings):
            attributes[argument] = known[0] if len(known) == 1 else tuple(known)
        if given and not (known and _is_setting(given)):
            attributes.setdefault("arguments", {})[argument] = given[0]
            inputs += given
    outputs = tuple(tensors[output.name] for output in operation.outputs)
    place = outputs[0].name if outputs else operation.type
    return Operation(operation.type, place, tuple(inputs), outputs, attributes)


def _is_setting(given: list[Tensor]) -> bool:
    """Whether an argument is one of an operation's settings and no tensor that it computes on."""
    numbers = all(tensor.dtype not in ("float16", "float32") for tensor in given)
    return numbers or math.prod(given[0].shape or ()) == 1  # type: ignore[arg-type]
