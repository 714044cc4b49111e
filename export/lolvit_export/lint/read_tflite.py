"""Read a TFLite file as operations, in pure Python and with every offset checked."""

from __future__ import annotations

import struct
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from lolvit_export.lint.graph import Graph, Operation, Shape, Tensor
from lolvit_runtimes.flatbuffer import Reader, Span, Table
from lolvit_runtimes.tflite_check import check_tflite
from lolvit_runtimes.tflite_schema import ELEMENT_TYPES, TABLES, UNIONS

SMALL = 64  # elements of a constant that are kept
CUSTOM = "CUSTOM"
COMPOSITE = 21  # StableHLOCompositeOptions, a member of BuiltinOptions2
FUSED = {0: None, 1: "RELU", 2: "RELU_N1_TO_1", 3: "RELU6", 4: "TANH", 5: "SIGN_BIT"}

# number in union BuiltinOptions: the names of its first fields, in the order of the schema
OPTIONS: dict[int, tuple[str, ...]] = {
    1: ("padding", "stride_w", "stride_h", "fused", "dilation_w", "dilation_h"),
    2: ("padding", "stride_w", "stride_h", "multiplier", "fused", "dilation_w", "dilation_h"),
    5: ("padding", "stride_w", "stride_h", "filter_w", "filter_h", "fused"),
    8: ("fused", "weights_format", "keep_num_dims"),
    9: ("beta",),
    10: ("axis", "fused"),
    11: ("fused",),
    21: ("fused",),
    23: ("axis", "batch_dims"),
    28: ("fused",),
    29: ("fused",),
    32: ("begin_mask", "end_mask", "ellipsis_mask", "new_axis_mask", "shrink_axis_mask"),
    77: ("mode",),
    101: ("adj_x", "adj_y"),
}


def read_tflite(path: Path) -> Graph:
    """Return the main subgraph of a TFLite file.

    Raises:
        UserError: it is no TFLite file, or a part of it points at what is not there.
    """
    check_tflite(path)
    data = path.read_bytes()
    model = Reader(data, TABLES, UNIONS).root("Model")
    subgraph = model["subgraphs"][0]
    tensors = [
        _tensor(number, table, model["buffers"], data)
        for number, table in enumerate(subgraph.get("tensors", ()))
    ]
    codes = [_kind(code) for code in model["operator_codes"]]
    operations = [
        _operation(number, table, codes, tensors)
        for number, table in enumerate(subgraph.get("operators", ()))
    ]
    return Graph(
        "tflite",
        operations,
        (tensors[index] for index in subgraph.get("inputs", ())),
        (tensors[index] for index in subgraph.get("outputs", ())),
    )


def _kind(code: Table) -> str:
    number = max(code.get("builtin_code", 0), code.get("deprecated_builtin_code", 0))
    name = builtin_names().get(number, f"BUILTIN_{number}")
    return f"{CUSTOM}.{code.get('custom_code', '')}" if name == CUSTOM else name


@cache
def builtin_names() -> dict[int, str]:
    """Return the name of each built-in operation by its number in the schema."""
    from ai_edge_litert.schema_py_generated import BuiltinOperator

    return {v: name for name, v in vars(BuiltinOperator).items() if isinstance(v, int)}


def _tensor(number: int, table: Table, buffers: Any, data: bytes) -> Tensor:
    dtype, _ = ELEMENT_TYPES[table.get("type", 0)]
    stored = _bytes(buffers[table.get("buffer", 0)], data) if table.get("buffer") else b""
    shape = _shape(table)
    return Tensor(
        name=f"{table.get('name', '')}#{number}",  # names need not be unique
        shape=shape,
        dtype=dtype,
        constant=bool(stored),
        values=_values(stored, dtype),
    )


def _shape(table: Table) -> Shape:
    sizes = tuple(table.get("shape", ()))
    signature = tuple(table.get("shape_signature", ()))
    if len(signature) != len(sizes):
        return sizes
    return tuple(
        None if wanted < 0 else size for size, wanted in zip(sizes, signature, strict=True)
    )


def _bytes(buffer: Table, data: bytes) -> bytes:
    span = buffer.get("data")
    if isinstance(span, Span):
        return data[span.start : span.start + span.length]
    start = buffer.get("offset", 0)
    return data[start : start + buffer.get("size", 0)]


def _values(stored: bytes, dtype: str) -> tuple[float, ...] | None:
    if not stored or dtype not in ("int32", "int64", "float32", "bool"):
        return None
    width = np.dtype(dtype).itemsize
    if len(stored) > SMALL * width or len(stored) % width:
        return None
    return tuple(np.frombuffer(stored, dtype).tolist())


def _operation(number: int, table: Table, codes: list[str], tensors: list[Tensor]) -> Operation:
    outputs = tuple(tensors[index] for index in table.get("outputs", ()))
    return Operation(
        kind=codes[table.get("opcode_index", 0)],
        place=f"#{number} {_short(outputs[0].name) if outputs else ''}".strip(),
        inputs=tuple(tensors[i] if i >= 0 else None for i in table.get("inputs", ())),
        outputs=outputs,
        attributes=_options(table),
    )


def _short(name: str) -> str:
    """Return the end of a tensor's name: its start is the path of the modules that made it."""
    return name.rpartition("#")[0].rpartition("/")[2].rpartition(".")[2]


def _options(table: Table) -> dict[str, Any]:
    if table.get("OPTIONS_2") == COMPOSITE:
        return {"name": (table.get("options_2") or {}).get("0", "")}
    fields = OPTIONS.get(table.get("OPTIONS", 0), ())
    stored = table.get("options") or {}
    options = {name: stored.get(str(slot), 0) for slot, name in enumerate(fields)}
    if "fused" in options:
        options["fused"] = FUSED.get(options["fused"], f"activation {options['fused']}")
    if "beta" in options:  # the schema is read for bounds, so a float comes as the same bits
        options["beta"] = struct.unpack("<f", struct.pack("<i", options["beta"]))[0]
    return options
