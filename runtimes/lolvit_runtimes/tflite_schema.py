"""TFLite's file format as data, for `flatbuffer.Reader`.

Source: tensorflow/compiler/mlir/lite/schema/schema.fbs, version 3, as of LiteRT 2.3. Field order is
the schema's: a field's place is its id.
"""

from __future__ import annotations

from lolvit_runtimes.flatbuffer import Fields, Tables, Unions

IDENTIFIER = b"TFL3"
IDENTIFIER_AT = 4

# Members of a union by the codes of their fields, for only their bounds matter here.
Members = dict[str, tuple[int, ...]]  # codes: the numbers in the union that have them

# Options of built-in operations: union BuiltinOptions.
_OPTIONS: Members = {
    "": (
        22, 24, 25, 26, 33, 34, 36, 38, 39, 41, 42, 43, 44, 45, 46, 47, 48, 51, 52, 53, 54, 56, 60,
        62, 63, 65, 66, 67, 68, 72, 73, 76, 78, 81, 82, 83, 84, 85, 86, 88, 89, 90, 91, 95, 96, 97,
        98, 99, 100, 104, 105, 108, 109, 110, 112, 113, 117, 118, 119, 120, 121, 122, 123, 124, 125,
        126,
    ),
    "b": (4, 12, 20, 21, 27, 29, 40, 50, 55, 57, 77, 80, 116),
    "i": (9, 16, 19, 35, 61, 75, 79, 94, 103),
    "*i": (17, 30, 115),
    "b b": (7, 11, 28, 37, 74, 102),
    "i b": (10,),
    "i i": (23, 59, 64, 87, 92, 93),
    "q q": (114,),
    "s s": (111,),
    "b b b": (31, 101),
    "i b b": (6, 107),
    "i i b": (18,),
    "i *i *i": (3,),
    "- - b b": (15,),
    "b b b b": (70,),
    "i i i b": (58,),
    "i i i i": (13,),
    "b i i b b": (14, 49),
    "b b b b b *B": (8,),
    "b i i b b b": (69, 71),
    "b i i i i b": (5,),
    "i i i i i b": (32,),
    "b i i b i i b": (1,),
    "b i i i b i i": (2,),
    "b i i i b i i i": (106,),
}  # fmt: skip
# The same: union BuiltinOptions2.
_OPTIONS_2: Members = {
    "": (18, 22),
    "b": (19,),
    "i": (20,),
    "q": (1, 11),
    "*i": (23,),
    "*q": (2, 9, 17),
    "i i": (8, 15),
    "*q i": (6,),
    "q b i": (14,),
    "*q *q *q": (3, 10),
    "*q *q *q *q *i": (12,),
    "s i *B b i": (21,),
    "*q *q *q q *q b": (16,),
    "*q *q *q *q *q i": (13,),
    "s b s i *i *B": (5,),
    "b *q *q *q q b i": (7,),
    "*q *q *q *q *b q q *q q q *q q q *q q q *i": (4,),
}
_DETAILS: Members = {"*B": (1,), "i i i *i": (2, 3)}
_SPARSE_INDEX: Members = {"*i": (1,), "*H": (2,), "*B": (3,)}

_NAMED: dict[str, str] = {
    "Model": "version:I operator_codes:[OperatorCode subgraphs:[SubGraph description:s "
    "buffers:[Buffer metadata_buffer:*i metadata:[Metadata signature_defs:[SignatureDef "
    "external_buffer_groups:[Opaque external_buffers:[Opaque",
    "OperatorCode": "deprecated_builtin_code:b custom_code:s version:i builtin_code:i",
    "SubGraph": "tensors:[Tensor inputs:*i outputs:*i operators:[Operator name:s debug:i",
    "Tensor": "shape:*i type:b buffer:I name:s quantization:{Quantization is_variable:? "
    "sparsity:{Sparsity shape_signature:*i has_rank:? variant_tensors:[Variant external_buffer:I",
    "Quantization": "min:*f max:*f scale:*f zero_point:*q DETAILS:B details:<DETAILS dimension:i",
    "Sparsity": "traversal_order:*i block_map:*i dim_metadata:[Dimension",
    "Dimension": "format:b dense_size:i SEGMENTS:B segments:<SEGMENTS INDICES:B indices:<INDICES",
    "Variant": "shape:*i type:b has_rank:?",
    "Operator": "opcode_index:I inputs:*i outputs:*i OPTIONS:B options:<OPTIONS custom_options:*B "
    "custom_options_format:b mutating_variable_inputs:*? intermediates:*i large_offset:Q "
    "large_size:Q OPTIONS_2:B options_2:<OPTIONS_2 debug:i",
    "Buffer": "data:*B offset:Q size:Q",
    "Metadata": "name:s buffer:I",
    "TensorMap": "name:s tensor_index:I",
    "SignatureDef": "inputs:[TensorMap outputs:[TensorMap signature_key:s - subgraph_index:I",
    "Opaque": "",
}  # fmt: skip

# number in enum TensorType: (name, bits of an element); 0 bits where it has no fixed size
ELEMENT_TYPES: dict[int, tuple[str, int]] = {
    0: ("float32", 32), 1: ("float16", 16), 2: ("int32", 32), 3: ("uint8", 8), 4: ("int64", 64),
    5: ("string", 0), 6: ("bool", 8), 7: ("int16", 16), 8: ("complex64", 64), 9: ("int8", 8),
    10: ("float64", 64), 11: ("complex128", 128), 12: ("uint64", 64), 13: ("resource", 0),
    14: ("variant", 0), 15: ("uint32", 32), 16: ("uint16", 16), 17: ("int4", 4),
    18: ("bfloat16", 16), 19: ("int2", 2), 20: ("uint4", 4), 21: ("float8_e4m3fn", 8),
    22: ("float8_e5m2", 8),
}  # fmt: skip


def _named_fields(text: str) -> Fields:
    parts = (part.partition(":") for part in text.split())
    return tuple((name, code or "-") for name, _, code in parts)


def _numbered_fields(codes: str) -> Fields:
    return tuple((str(slot), code) for slot, code in enumerate(codes.split()))


def _union(name: str, members: Members) -> dict[int, str]:
    return {number: f"{name} {codes}" for codes, numbers in members.items() for number in numbers}


_UNION_MEMBERS: dict[str, Members] = {
    "OPTIONS": _OPTIONS,
    "OPTIONS_2": _OPTIONS_2,
    "DETAILS": _DETAILS,
    "SEGMENTS": _SPARSE_INDEX,
    "INDICES": _SPARSE_INDEX,
}
UNIONS: Unions = {name: _union(name, members) for name, members in _UNION_MEMBERS.items()}
TABLES: Tables = {name: _named_fields(text) for name, text in _NAMED.items()} | {
    f"{name} {codes}": _numbered_fields(codes)
    for name, members in _UNION_MEMBERS.items()
    for codes in members
}
