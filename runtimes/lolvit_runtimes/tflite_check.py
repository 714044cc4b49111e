"""Validate a TFLite file before a runtime opens it: every index and offset in it is in range.

LiteRT and TensorFlow Lite open a file without validation; a truncated one crashes the process.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from lolvit.errors import UserError
from lolvit_runtimes.flatbuffer import FlatbufferError, Reader, Span, Table
from lolvit_runtimes.tflite_schema import (
    ELEMENT_TYPES,
    IDENTIFIER,
    IDENTIFIER_AT,
    TABLES,
    UNIONS,
)

VERSION = 3
NO_TENSOR = -1  # an optional input that is not given
LARGEST_TENSOR = 1 << 31  # bytes


@dataclass(frozen=True)
class TensorInfo:
    """An input or output of a model file."""

    name: str
    dtype: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Interface:
    """The inputs and outputs of a model file."""

    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]


def check_tflite(path: Path) -> Interface:
    """Return the inputs and outputs of a TFLite file once its structure has been checked.

    Raises:
        UserError: it is not a TFLite file, or an index or offset in it is out of range.
    """
    return checked_file(path, "TFLite", check_tflite_bytes)


def checked_file(path: Path, kind: str, check: Callable[[bytes], Interface]) -> Interface:
    """Return what `check` returns for a file's content. `kind` names the format in messages.

    Raises:
        UserError: the file can't be read, or `check` raised a FlatbufferError.
    """
    try:
        return check(path.read_bytes())
    except FlatbufferError as error:
        raise UserError(
            f"not a valid {kind} file: {error}",
            where=str(path),
            remedy="export or download it again",
        ) from error
    except OSError as error:
        raise UserError(
            f"cannot be read: {error.strerror}", where=str(path), remedy="check its permissions"
        ) from error


def check_tflite_bytes(data: bytes) -> Interface:
    """As `check_tflite`, of a file's content.

    Raises:
        FlatbufferError: the content is not valid.
    """
    if data[IDENTIFIER_AT : IDENTIFIER_AT + len(IDENTIFIER)] != IDENTIFIER:
        raise FlatbufferError("the identifier TFL3 is missing")
    model = Reader(data, TABLES, UNIONS).root("Model")
    _check_model(model, len(data))
    return Interface(_interface(model, "inputs"), _interface(model, "outputs"))


def _interface(model: Table, side: str) -> tuple[TensorInfo, ...]:
    """Return the tensors of the first signature, by its names, which runtimes use; without a
    signature those of the main subgraph, by the tensors' names."""
    signature = next(iter(model.get("signature_defs", ())), None)
    if signature is None:
        subgraph = model["subgraphs"][0]
        named = [(None, index) for index in subgraph.get(side, ())]
    else:
        subgraph = model["subgraphs"][signature.get("subgraph_index", 0)]
        entries = signature.get(side, ())
        named = [(entry.get("name", ""), entry.get("tensor_index", 0)) for entry in entries]
    found = [(name, subgraph["tensors"][index]) for name, index in named]
    return tuple(
        TensorInfo(
            tensor.get("name", "") if name is None else name,
            ELEMENT_TYPES[tensor.get("type", 0)][0],
            tuple(tensor.get("shape", ())),
        )
        for name, tensor in found
    )


def _check_model(model: Table, file_size: int) -> None:
    if model.get("version") != VERSION:
        raise FlatbufferError(f"schema version {model.get('version')}, not {VERSION}")
    for part in ("subgraphs", "buffers", "operator_codes"):
        if part not in model:
            raise FlatbufferError(f"it has no {part}")
    if not model["subgraphs"]:
        raise FlatbufferError("it has no subgraph")
    if model.get("external_buffers") or model.get("external_buffer_groups"):
        raise FlatbufferError("it refers to other files")
    sizes = [_buffer_size(buffer, file_size) for buffer in model["buffers"]]
    for subgraph in model["subgraphs"]:
        _check_subgraph(subgraph, sizes, len(model["operator_codes"]), file_size)
    _check_references(model)


def _check_references(model: Table) -> None:
    buffers, subgraphs = len(model["buffers"]), model["subgraphs"]
    _in_range("metadata", (entry.get("buffer", 0) for entry in model.get("metadata", ())), buffers)
    _in_range("metadata", model.get("metadata_buffer", ()), buffers)
    for signature in model.get("signature_defs", ()):
        index = signature.get("subgraph_index", 0)
        _in_range("signature", [index], len(subgraphs))
        tensors = len(subgraphs[index].get("tensors", ()))
        for side in ("inputs", "outputs"):
            named = (entry.get("tensor_index", 0) for entry in signature.get(side, ()))
            _in_range("signature", named, tensors)


def _buffer_size(buffer: Table, file_size: int) -> int:
    """Return the bytes of a buffer, inside the flatbuffer or appended to it."""
    data = buffer.get("data")
    if isinstance(data, Span):
        return data.length
    offset, size = buffer.get("offset", 0), buffer.get("size", 0)
    if offset + size > file_size:
        raise FlatbufferError("a buffer is beyond the end of the file")
    return int(size)


def _check_subgraph(subgraph: Table, sizes: list[int], opcodes: int, file_size: int) -> None:
    tensors, operators = subgraph.get("tensors", ()), subgraph.get("operators", ())
    constant = {index for index, tensor in enumerate(tensors) if _is_constant(tensor, sizes)}
    for tensor in tensors:
        _check_tensor(tensor, sizes)
    for side in ("inputs", "outputs"):
        _in_range("subgraph", subgraph.get(side, ()), len(tensors))
    for operator in operators:
        _in_range("operator", [operator.get("opcode_index", 0)], opcodes)
        for side in ("inputs", "intermediates"):
            _in_range("operator", operator.get(side, ()), len(tensors), lowest=NO_TENSOR)
        _in_range("operator", operator.get("outputs", ()), len(tensors))
        if constant.intersection(operator.get("outputs", ())):
            raise FlatbufferError("an operator writes into a constant")
        if operator.get("large_offset", 0) + operator.get("large_size", 0) > file_size:
            raise FlatbufferError("an operator's options are beyond the end of the file")


def _in_range(what: str, indices: Iterable[int], count: int, lowest: int = 0) -> None:
    for index in indices:
        if not lowest <= index < count:
            raise FlatbufferError(f"a {what} refers to index {index}, there are {count}")


def _is_constant(tensor: Table, sizes: list[int]) -> bool:
    index = tensor.get("buffer", 0)
    return 0 < index < len(sizes) and sizes[index] > 0


def _check_tensor(tensor: Table, sizes: list[int]) -> None:
    _in_range("tensor's buffer", [tensor.get("buffer", 0)], len(sizes))
    number = tensor.get("type", 0)
    if number not in ELEMENT_TYPES:
        raise FlatbufferError(f"a tensor has the unknown type {number}")
    shape = tensor.get("shape", ())
    if min(shape, default=0) < 0 or min(tensor.get("shape_signature", ()), default=0) < -1:
        raise FlatbufferError(f"a tensor has the impossible shape {tuple(shape)}")
    size = -(-math.prod(shape) * ELEMENT_TYPES[number][1] // 8)
    if size > LARGEST_TENSOR:
        raise FlatbufferError(f"a tensor of shape {tuple(shape)} takes {size} bytes")
    # A string, resource or sparse tensor's size does not follow from its shape.
    fixed = ELEMENT_TYPES[number][1] and "sparsity" not in tensor
    if fixed and _is_constant(tensor, sizes) and sizes[tensor["buffer"]] != size:
        raise FlatbufferError(f"a constant of {size} bytes has {sizes[tensor['buffer']]}")
