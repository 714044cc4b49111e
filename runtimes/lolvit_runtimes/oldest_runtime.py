"""The oldest release of a runtime that opens an artifact, read from the artifact itself."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from lolvit_runtimes.flatbuffer import FlatbufferError, Reader, Span
from lolvit_runtimes.tflite_schema import TABLES, UNIONS

# The first ONNX Runtime release (1.x) that supports an opset or an IR version, from
# onnxruntime.ai/docs/reference/compatibility.html. Exports use no newer ones.
_OPSETS = {15: 9, 16: 11, 17: 12, 18: 14, 19: 15, 20: 17, 21: 18}
_IR_VERSIONS = {7: 3, 8: 9, 9: 16, 10: 18}

# Core ML's specification versions, from coremltools' `AvailableTarget`.
_IOS = {6: 15, 7: 16, 8: 17, 9: 18, 10: 26}
_COREAI_IOS = 27  # the first release with Core AI

_TFLITE_KEY = "min_runtime_version"  # the converter writes it into the file's metadata
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5  # protobuf's wire types
_LONGEST_VARINT = 70  # bits
_IR_VERSION, _OPSET_IMPORT = 1, 8  # fields of ModelProto
_DOMAIN, _VERSION = 1, 2  # fields of OperatorSetIdProto
_SPECIFICATION = 1  # of Core ML's Model: specificationVersion


def oldest_runtime(path: Path, format: str) -> str | None:
    """Return the oldest release that opens an artifact, such as "TensorFlow Lite 2.3.0" or
    "iOS 16"; None if the file does not record it. The file has been checked against its
    manifest."""
    readers = {"tflite": _of_tflite, "onnx": _of_onnx, "coreml": _of_coreml, "coreai": _of_coreai}
    return readers[format](path)


def _of_coreai(path: Path) -> str | None:
    return f"iOS {_COREAI_IOS}"


def _of_coreml(path: Path) -> str | None:
    for model in path.glob("Data/*/*.mlmodel"):
        version = next(
            (v for field, v in _fields(model.read_bytes()) if field == _SPECIFICATION), 0
        )
        if isinstance(version, int) and version in _IOS:
            return f"iOS {_IOS[version]}"
    return None


def _of_tflite(path: Path) -> str | None:
    data = path.read_bytes()
    try:
        model = Reader(data, TABLES, UNIONS).root("Model")
    except FlatbufferError:
        return None
    buffers = model.get("buffers", ())
    for entry in model.get("metadata", ()):
        index = entry.get("buffer", 0)
        held = buffers[index].get("data") if index < len(buffers) else None
        if entry.get("name") == _TFLITE_KEY and isinstance(held, Span):
            text = data[held.start : held.start + held.length].rstrip(b"\0")
            return f"TensorFlow Lite {text.decode('ascii', 'replace')}" if text else None
    return None


def _of_onnx(path: Path) -> str | None:
    ir_version, opset = 0, 0
    for field, value in _fields(path.read_bytes()):
        if field == _IR_VERSION and isinstance(value, int):
            ir_version = value
        elif field == _OPSET_IMPORT and isinstance(value, bytes):
            inner = dict(_fields(value))
            version = inner.get(_VERSION, 0)
            if not inner.get(_DOMAIN) and isinstance(version, int):  # ONNX's own operations
                opset = version
    if ir_version not in _IR_VERSIONS or opset not in _OPSETS:
        return None
    return f"ONNX Runtime 1.{max(_IR_VERSIONS[ir_version], _OPSETS[opset])}"


def _fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Yield number and value of each field of a protobuf message, up to the first invalid one."""
    position = 0
    while position < len(data):
        key, position = _varint(data, position)
        kind = key & 7
        if kind == _VARINT:
            value, position = _varint(data, position)
            yield key >> 3, value
            continue
        if kind == _BYTES:
            length, position = _varint(data, position)
        elif kind in (_FIXED32, _FIXED64):
            length = 4 if kind == _FIXED32 else 8
        else:
            return
        yield key >> 3, data[position : position + length]
        position += length


def _varint(data: bytes, position: int) -> tuple[int, int]:
    """Return the varint at `position` and the position after it; a truncated one ends the file, and
    one of more than ten bytes is none: it ends after them."""
    value = shift = 0
    while position < len(data) and shift < _LONGEST_VARINT:
        byte = data[position]
        position, value, shift = position + 1, value | (byte & 0x7F) << shift, shift + 7
        if byte < 0x80:
            break
    return value, position
