"""Read a saved `.mlpackage` on any system, validating it first.

coremltools' loader is native code that creates missing files, and its weight reader follows offsets
unchecked: the folder and the offsets are checked here, in Python, before coremltools reads them.
"""

from __future__ import annotations

import math
import struct
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lolvit.documents import parse_json
from lolvit.errors import DeviceError
from lolvit_runtimes.coreml_tools import coremltools
from lolvit_runtimes.native import LONGEST_REASON, reason

MAIN = "main"
_PROGRAM = "mlProgram"
_WEIGHT_PREFIX = "@model_path/"

# A weight file is a header, then for each tensor a record of 64 bytes and, elsewhere, its values.
_RECORD = struct.Struct("<IIQQ")  # sentinel, element type, bytes, offset of the values
_RECORD_BYTES = 64
_SENTINEL = 0xDEADBEEF
_ALIGNMENT = 64
# Bits of each element type that a weight file holds, by its name in the program's own enumeration.
_BITS = {
    "FLOAT16": 16, "FLOAT32": 32, "INT8": 8, "UINT8": 8, "INT16": 16, "UINT16": 16, "INT32": 32,
    "UINT32": 32, "UINT1": 1, "UINT2": 2, "UINT3": 3, "UINT4": 4, "INT4": 4, "UINT6": 6,
}  # fmt: skip


@dataclass(frozen=True)
class ModelPackage:
    """A package's model, parsed, and the path it came from."""

    path: Path
    model: Any  # coremltools.proto.Model_pb2.Model
    model_folder: Path

    def operations(self) -> Iterator[Any]:
        """Yield the operations of the main function, as the file has them."""
        function = self.model.mlProgram.functions[MAIN]
        yield from function.block_specializations[function.opset].operations

    def load_main(self) -> Any:
        """Return the main function as coremltools' program, weights included.

        Raises:
            DeviceError: the weights are missing or cut short, or the program is malformed.
        """
        _check_weights(self)
        from coremltools.converters.mil.frontend.milproto.load import load

        version = self.model.specificationVersion
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # numpy's, about malformed data
                program = load(self.model, version, str(self.model_folder / "weights"))
            return program.functions[MAIN]
        except Exception as error:  # the loader raises many types for malformed data
            raise broken(self.path, f"its program is malformed: {reason(error)}") from error


def read_package(path: Path) -> ModelPackage:
    """Find and parse the model of a `.mlpackage`.

    Raises:
        DeviceError: it is not a Core ML package, its model is truncated, or it has no ML Program.
    """
    specification = _find_specification(path)
    model = coremltools.proto.Model_pb2.Model()
    try:
        model.ParseFromString(specification.read_bytes())
    except Exception as error:  # protobuf's backends raise types of their own
        raise broken(path, f"its model cannot be parsed: {reason(error)}") from error
    package = ModelPackage(path, model, specification.parent)
    _check_program(package)
    return package


def broken(path: Path, what: str) -> DeviceError:
    """Return the error for an invalid package."""
    return DeviceError(printable(what), where=str(path), remedy="export again")


def printable(text: str) -> str:
    """Return text from an untrusted file, shortened and without control characters."""
    short = text if len(text) <= 2 * LONGEST_REASON else f"{text[: 2 * LONGEST_REASON]} ..."
    return "".join(letter if letter.isprintable() else "?" for letter in short)


def _find_specification(path: Path) -> Path:
    manifest = path / "Manifest.json"
    if not manifest.is_file():
        raise broken(path, "not a Core ML package: it has no Manifest.json")
    try:
        document = parse_json(manifest.read_bytes())
        item = document["itemInfoEntries"][document["rootModelIdentifier"]]["path"]
        specification = path / "Data" / str(item)
        inside = specification.resolve().is_relative_to(path.resolve())
        found = inside and specification.is_file()
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise broken(path, f"its Manifest.json cannot be read: {reason(error)}") from error
    if not found:
        raise broken(path, f"its model '{item}' is missing")
    return specification


def _check_program(package: ModelPackage) -> None:
    model = package.model
    kind = model.WhichOneof("Type")
    if kind != _PROGRAM:
        raise broken(package.path, f"its model is {kind or 'of no type'}, not an ML Program")
    function = model.mlProgram.functions.get(MAIN)
    if function is None or function.opset not in function.block_specializations:
        raise broken(package.path, f"its program has no function '{MAIN}'")


def _check_weights(package: ModelPackage) -> None:
    """Check that each tensor that the program keeps in a file lies inside that file.

    Raises:
        DeviceError: a file is missing or ends before a tensor does.
    """
    for operation in package.operations():
        values = [*operation.attributes.values(), *_bound_values(operation)]
        for value in values:
            if value.WhichOneof("value") == "blobFileValue":
                _check_tensor(package, operation, value)


def _bound_values(operation: Any) -> Iterator[Any]:
    for argument in operation.inputs.values():
        for binding in argument.arguments:
            if binding.WhichOneof("binding") == "value":
                yield binding.value


def _check_tensor(package: ModelPackage, operation: Any, value: Any) -> None:
    name = operation.outputs[0].name if operation.outputs else operation.type
    file = _weight_file(package, value.blobFileValue.fileName)
    fault = _fault(file, value.blobFileValue.offset, _expected_bytes(value.type.tensorType))
    if fault:
        raise broken(package.path, f"its weights are damaged: '{name}' {fault}")


def _weight_file(package: ModelPackage, name: str) -> Path:
    """Return the path that coremltools reads for a weight file's name."""
    file = package.model_folder / "weights" / name.split("/")[-1]
    if not name.startswith(_WEIGHT_PREFIX) or not file.is_file():
        raise broken(package.path, f"its weight file '{name}' is missing")
    return file


def _expected_bytes(tensor: Any) -> int | None:
    """Return the bytes of a tensor of that type, or None if the weight file can't hold the type."""
    descriptor = tensor.DESCRIPTOR.fields_by_name["dataType"].enum_type
    known = descriptor.values_by_number.get(tensor.dataType)
    bits = _BITS.get(known.name) if known else None
    sizes = [dimension.constant.size for dimension in tensor.dimensions]
    return None if bits is None else -(-bits * math.prod(sizes) // 8)


def _fault(file: Path, offset: int, expected: int | None) -> str:
    """Return what is wrong with the record at `offset` of a weight file; empty if it is valid."""
    size = file.stat().st_size
    if expected is None:
        return "has a type that weight files don't support"
    if offset % _ALIGNMENT or offset + _RECORD_BYTES > size:
        return f"is recorded at {offset}, the file has {size} bytes"
    with file.open("rb") as stream:
        stream.seek(offset)
        sentinel, _, count, start = _RECORD.unpack(stream.read(_RECORD.size))
    if sentinel != _SENTINEL:
        return f"has no record at {offset}"
    if count != expected:
        return f"has {count} bytes, its type needs {expected}"
    if start % _ALIGNMENT or start + count > size:
        return f"ends at {start + count}, the file has {size} bytes"
    return ""
