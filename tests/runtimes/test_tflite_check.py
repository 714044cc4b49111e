"""The TFLite check accepts what converters write, and nothing that points out of itself."""

from __future__ import annotations

import importlib
import random
import time
from pathlib import Path

import flatbuffers
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lolvit.errors import UserError
from lolvit_runtimes.flatbuffer import FlatbufferError, Reader
from lolvit_runtimes.tflite_check import check_tflite, check_tflite_bytes
from lolvit_runtimes.tflite_schema import TABLES, UNIONS
from tests.runtimes.mutations import mutated, overwritten

schema = importlib.import_module("ai_edge_litert.schema_py_generated")


@pytest.fixture(scope="module")
def content(exported) -> bytes:
    return (exported / "model-fp32.tflite").read_bytes()


def test_a_converted_file_is_accepted_and_its_tensors_are_returned(exported):
    found = check_tflite(exported / "model-fp32.tflite")
    assert [(t.dtype, t.shape) for t in found.inputs] == [("float32", (1, 3, 32, 32))]
    assert [(t.dtype, t.shape) for t in found.outputs] == [("float32", (1, 10))]


def test_what_is_read_is_what_the_generated_reader_reads(content):
    found = Reader(content, TABLES, UNIONS).root("Model")
    expected = schema.ModelT.InitFromPackedBuf(content, 0)
    main, expected_main = found["subgraphs"][0], expected.subgraphs[0]
    assert len(main["tensors"]) == len(expected_main.tensors) > 8
    for tensor, other in zip(main["tensors"], expected_main.tensors, strict=True):
        assert tensor["name"].encode() == other.name
        assert list(tensor.get("shape", ())) == list(other.shape if other.shape is not None else ())
        span = found["buffers"][tensor.get("buffer", 0)].get("data")
        data = expected.buffers[other.buffer].data
        assert (span.length if span else 0) == (len(data) if data is not None else 0)
    for operator, other in zip(main["operators"], expected_main.operators, strict=True):
        assert list(operator["inputs"]) == list(other.inputs)
        assert list(operator["outputs"]) == list(other.outputs)
        assert operator.get("opcode_index", 0) == other.opcodeIndex


def test_the_tables_are_those_of_the_installed_schema():
    """Each union member that LiteRT knows has fields here, so that none goes unchecked."""
    for union, name in (("OPTIONS", "BuiltinOptions"), ("OPTIONS_2", "BuiltinOptions2")):
        kinds = vars(getattr(schema, name))
        numbers = {number for kind, number in kinds.items() if isinstance(number, int)} - {0}
        assert numbers == set(UNIONS[union])


@pytest.mark.parametrize("file", ["", "1800000054464c33", "0000000054464c33", "ffffffff54464c33"])
def test_a_file_of_a_few_bytes_is_rejected(file, tmp_path):
    path = tmp_path / "model.tflite"
    path.write_bytes(bytes.fromhex(file))
    with pytest.raises(UserError, match="not a valid TFLite file") as caught:
        check_tflite(path)
    assert str(path) in str(caught.value)


def test_every_truncation_is_rejected(content):
    for length in [*range(0, len(content), 61), len(content) - 1]:
        with pytest.raises(FlatbufferError):
            check_tflite_bytes(content[:length])


def changed(content: bytes, change) -> bytes:
    """Return the file with a change made to its parsed form and written by flatbuffers itself."""
    model = schema.ModelT.InitFromPackedBuf(content, 0)
    change(model)
    builder = flatbuffers.Builder(len(content))
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def test_a_rewritten_file_is_accepted(content):
    rewritten = changed(content, lambda model: None)
    assert check_tflite_bytes(rewritten) == check_tflite_bytes(content)


def first_operator(model):
    return model.subgraphs[0].operators[0]


def constant(model) -> int:
    tensors = model.subgraphs[0].tensors
    return next(i for i, t in enumerate(tensors) if model.buffers[t.buffer].data is not None)


def external(model):
    model.externalBuffers = [schema.ExternalBufferT()]


CHANGES = {
    "version": (lambda m: setattr(m, "version", 2), "schema version 2"),
    "no subgraph": (lambda m: setattr(m, "subgraphs", []), "no subgraph"),
    "no buffers": (lambda m: setattr(m, "buffers", None), "no buffers"),
    "opcode": (
        lambda m: setattr(first_operator(m), "opcodeIndex", 99),
        "operator refers to index 99",
    ),
    "input": (lambda m: setattr(first_operator(m), "inputs", [77]), "operator refers to index 77"),
    "output": (
        lambda m: setattr(first_operator(m), "outputs", [-1]),
        "operator refers to index -1",
    ),
    "graph input": (
        lambda m: setattr(m.subgraphs[0], "inputs", [50]),
        "subgraph refers to index 50",
    ),
    "buffer": (
        lambda m: setattr(m.subgraphs[0].tensors[0], "buffer", 40),
        "buffer refers to index",
    ),
    "type": (lambda m: setattr(m.subgraphs[0].tensors[0], "type", 99), "unknown type 99"),
    "shape": (lambda m: setattr(m.subgraphs[0].tensors[0], "shape", [-4]), "impossible shape"),
    "giant": (lambda m: setattr(m.subgraphs[0].tensors[0], "shape", [1 << 30, 64]), "takes"),
    "constant size": (
        lambda m: setattr(m.subgraphs[0].tensors[constant(m)], "shape", [9, 9, 9]),
        "a constant of",
    ),
    "constant output": (
        lambda m: setattr(first_operator(m), "outputs", [constant(m)]),
        "writes into a constant",
    ),
    "appended": (lambda m: setattr(m.buffers[1], "offset", 1 << 40), "beyond the end"),
    "external": (external, "refers to other files"),
    "name": (lambda m: setattr(m.subgraphs[0].tensors[0], "name", b"\xff\xfe"), "is not UTF-8"),
    "signature": (lambda m: setattr(m.signatureDefs[0], "subgraphIndex", 3), "signature refers to"),
}


@pytest.mark.parametrize(("change", "message"), CHANGES.values(), ids=CHANGES)
def test_a_reference_to_what_is_not_there_is_rejected(content, change, message):
    def apply(model):
        change(model)
        if message == "beyond the end":
            model.buffers[1].data, model.buffers[1].size = None, 8

    with pytest.raises(FlatbufferError, match=message):
        check_tflite_bytes(changed(content, apply))


def test_objects_that_overlap_cost_no_more_than_the_file(content):
    """Thousands of vectors that each span the rest of the file would take quadratic time."""
    count = 20_000
    words = [count] * count  # read as a vector from any of these words, it has `count` entries
    model = schema.ModelT.InitFromPackedBuf(content, 0)
    model.metadataBuffer = words
    builder = flatbuffers.Builder(len(content))
    builder.Finish(model.Pack(builder), b"TFL3")
    packed = bytearray(builder.Output())
    start = packed.index(count.to_bytes(4, "little") * 3)
    root = int.from_bytes(packed[:4], "little")
    vtable = root - int.from_bytes(packed[root : root + 4], "little", signed=True)
    tensors_at = root + int.from_bytes(packed[vtable + 8 : vtable + 10], "little")
    packed[tensors_at : tensors_at + 4] = (start - tensors_at).to_bytes(4, "little")
    began = time.perf_counter()
    with pytest.raises(FlatbufferError):
        check_tflite_bytes(bytes(packed))
    assert time.perf_counter() - began < 2


def accepts_or_refuses(content: bytes) -> None:
    try:
        found = check_tflite_bytes(content)
    except FlatbufferError as error:
        assert str(error)
    else:
        assert all(side >= 0 for tensor in found.inputs for side in tensor.shape)


@settings(max_examples=500, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_mutated_files_are_accepted_or_rejected(content, data):
    accepts_or_refuses(data.draw(mutated(content)))


@pytest.mark.slow
def test_many_mutated_files_are_accepted_or_rejected(content):
    generator = random.Random(0)  # hypothesis would take most of the time for itself
    for _ in range(5_000):
        accepts_or_refuses(overwritten(content, generator))


def test_a_folder_and_a_missing_file_are_one_line(tmp_path):
    for path in (tmp_path, tmp_path / "absent.tflite"):
        with pytest.raises(UserError, match="cannot be read"):
            check_tflite(Path(path))
