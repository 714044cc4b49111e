"""Read an ExecuTorch program's file: its inputs and outputs, and the placement of its operations.

A program is a flatbuffer followed by segments, among them the data of each delegate, which for
XNNPACK is a small header and another flatbuffer. Source: exir/_serialize/program.fbs (ET12) and
backends/xnnpack/serialization/schema.fbs (XN01) of ExecuTorch 1.5. Field order is the schema's.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

from lolvit_runtimes.flatbuffer import FlatbufferError, Reader, Span, Table, Tables
from lolvit_runtimes.tflite_check import Interface, TensorInfo, checked_file

METHOD = "forward"
DELEGATED, NOT_DELEGATED = "XNNPACK", "ExecuTorch kernels"
XNNPACK = "XnnpackBackend"
_IDENTIFIER, _EXTENDED = b"ET12", b"eh00"
# Identifier, that of the longer header, the program's size, where the segments begin.
_HEADER = struct.Struct("<4x4s4s4xQQ")
_XNN_MAGIC = b"XH00"
_XNN_HEADER = struct.Struct("<4x4s2xII")  # magic, where the flatbuffer begins, its size
_ELEMENT_TYPES = {0: "uint8", 1: "int8", 5: "float16", 6: "float32"}  # enum ScalarType

_NAMED = {
    "Program": "version:I plans:[Plan constant_buffer:[Buffer delegate_data:[Buffer "
    "segments:[Segment constant_segment:{Subsegments mutable_segments:[Subsegments "
    "named_data:[NamedData",
    "Plan": "name:s - values:[Value inputs:*i outputs:*i chains:[Chain operators:[Operator "
    "delegates:[Delegate buffer_sizes:*q -",
    "Value": "VALUE:B value:<VALUE",
    "Tensor": "scalar_type:b storage_offset:i sizes:*i dim_order:*B requires_grad:? buffer:I - "
    "layout:b dynamism:b -",
    "Other": "",
    "Chain": "inputs:*i outputs:*i instructions:[Instruction -",
    "Instruction": "CALL:B call:<CALL",
    "Call": "index:i args:*i",
    "Operator": "name:s overload:s",
    "Delegate": "id:s processed:{Processed -",
    "Processed": "location:b index:I",
    "Buffer": "data:*B",
    "Segment": "offset:Q size:Q",
    "Subsegments": "segment:I offsets:*Q",
    "NamedData": "key:s segment:I",
    "Graph": "version:s nodes:[Other",
}
_TABLES: Tables = {
    name: tuple((field, code or "-") for field, _, code in (f.partition(":") for f in text.split()))
    for name, text in _NAMED.items()
}
_TENSOR, _KERNEL_CALL, _DELEGATE_CALL = 5, 1, 2  # members of the unions VALUE and CALL
_UNIONS = {
    "VALUE": {_TENSOR: "Tensor"},
    "CALL": {_KERNEL_CALL: "Call", _DELEGATE_CALL: "Call"},
}
_IN_SEGMENT = 1  # enum DataLocation


def check_pte(path: Path) -> Interface:
    """Return the inputs and outputs of an ExecuTorch program whose structure has been checked.

    Raises:
        UserError: it is not an ExecuTorch file, or an offset in it is invalid.
    """
    return checked_file(path, "ExecuTorch", check_pte_bytes)


def check_pte_bytes(data: bytes) -> Interface:
    """As `check_pte`, of a file's content.

    Raises:
        FlatbufferError: the content is not valid.
    """
    program, base = _program(data)
    for segment in program.get("segments", ()):
        _slice(data, base + segment.get("offset", 0), segment.get("size", 0))
    for delegate in _plan(program).get("delegates", ()):
        _blob(data, program, base, delegate)
    return Interface(_tensors(program, "inputs"), _tensors(program, "outputs"))


def placement_of(data: bytes) -> dict[str, int]:
    """Return the number of operations in XNNPACK and in ExecuTorch's own kernels; empty for a
    program with another delegate.

    Raises:
        FlatbufferError: the content is not valid.
    """
    program, base = _program(data)
    plan = _plan(program)
    calls = [i for chain in plan.get("chains", ()) for i in chain.get("instructions", ())]
    delegates = plan.get("delegates", ())
    if any(delegate.get("id") != XNNPACK for delegate in delegates):
        return {}
    delegated = sum(_operations(_blob(data, program, base, delegate)) for delegate in delegates)
    portable = sum(call.get("CALL") == _KERNEL_CALL for call in calls)
    return {name: n for name, n in {DELEGATED: delegated, NOT_DELEGATED: portable}.items() if n}


def _program(data: bytes) -> tuple[Table, int]:
    """Return the program, and the byte offset of its segments."""
    if len(data) < _HEADER.size:
        raise FlatbufferError("the header is truncated")
    identifier, extended, size, base = _HEADER.unpack_from(data)
    if identifier != _IDENTIFIER or extended != _EXTENDED:
        raise FlatbufferError(f"the identifier {_IDENTIFIER.decode()} is missing")
    return Reader(_slice(data, 0, size), _TABLES, _UNIONS).root("Program"), base


def _slice(data: bytes, start: int, size: int) -> bytes:
    if start + size > len(data):
        raise FlatbufferError("a segment is beyond the end of the file")
    return data[start : start + size]


def _plan(program: Table) -> Table:
    for plan in program.get("plans", ()):
        if plan.get("name") == METHOD:
            found: Table = plan
            return found
    raise FlatbufferError(f"it has no method '{METHOD}'")


def _tensors(program: Table, side: str) -> tuple[TensorInfo, ...]:
    plan = _plan(program)
    tensors = []
    indices = plan.get(side, ())
    for number, index in enumerate(indices):
        value = _pick(plan.get("values", ()), index)
        if value.get("VALUE") != _TENSOR:
            raise FlatbufferError(f"its {side} are not all tensors")
        tensor = value.get("value") or {}
        scalar_type = tensor.get("scalar_type", 0)
        dtype = _ELEMENT_TYPES.get(scalar_type, f"scalar type {scalar_type}")
        name = side[:-1] if len(indices) == 1 else f"{side[:-1]}_{number}"  # a program has no names
        tensors.append(TensorInfo(name, dtype, tuple(tensor.get("sizes", ()))))
    return tuple(tensors)


def _pick(items: Any, index: int) -> Any:
    if not 0 <= index < len(items):
        raise FlatbufferError(f"index {index} is out of range, there are {len(items)}")
    return items[index]


def _blob(data: bytes, program: Table, base: int, delegate: Table) -> bytes:
    """Return the data of a delegate."""
    processed = delegate.get("processed") or {}
    index = processed.get("index", 0)
    if processed.get("location") == _IN_SEGMENT:
        segment = _pick(program.get("segments", ()), index)
        return _slice(data, base + segment.get("offset", 0), segment.get("size", 0))
    span = _pick(program.get("delegate_data", ()), index).get("data", Span(0, 0))
    return _slice(data, span.start, span.length)


def _operations(blob: bytes) -> int:
    """Return the number of operations in the data of an XNNPACK delegate."""
    if len(blob) < _XNN_HEADER.size:
        raise FlatbufferError("the data of XNNPACK is truncated")
    magic, start, size = _XNN_HEADER.unpack_from(blob)
    if magic != _XNN_MAGIC:
        raise FlatbufferError("the data of XNNPACK has no header")
    graph = Reader(_slice(blob, start, size), _TABLES, {}).root("Graph")
    return len(graph.get("nodes", ()))
