"""Messages between processes arrive as they were sent, or are refused."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lolvit_runtimes.worker.wire import DTYPES, LONGEST_JSON, WireError, receive, send
from tests.runtimes.mutations import mutated


def sent(message, **arrays) -> bytes:
    stream = io.BytesIO()
    send(stream, message, arrays)
    return stream.getvalue()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(), (0,), (3,), (1, 3, 4, 5)])
def test_a_message_and_its_arrays_arrive(dtype, shape):
    array = np.arange(np.prod(shape)).reshape(shape).astype(dtype)
    other = np.arange(5, dtype=np.float32)
    message, found = receive(io.BytesIO(sent({"do": "run", "n": 1.5}, boxes=array, scores=other)))
    assert message == {"do": "run", "n": 1.5}
    assert list(found) == ["boxes", "scores"] and found["boxes"].dtype == dtype
    np.testing.assert_array_equal(found["boxes"], array)
    np.testing.assert_array_equal(found["scores"], other)
    found["boxes"][...] = 1  # a copy of its own, writable


def test_a_message_without_arrays_brings_none():
    assert receive(io.BytesIO(sent({"do": "placement"}))) == ({"do": "placement"}, {})


def test_messages_follow_one_another():
    stream = io.BytesIO(sent({"n": 1}, image=np.zeros(3, np.uint8)) + sent({"n": 2}))
    assert [receive(stream)[0] for _ in range(2)] == [{"n": 1}, {"n": 2}]
    with pytest.raises(EOFError):
        receive(stream)


def framed(text: bytes, payload: bytes = b"") -> bytes:
    return struct.pack("<II", len(text), len(payload)) + text + payload


@pytest.mark.parametrize(
    "content",
    [
        struct.pack("<II", LONGEST_JSON + 1, 0),
        framed(b"not json"),
        framed(b"[1]"),
        framed(b"[" * 100_000),
        framed(b'{"arrays": 5}'),
        framed(b'{"arrays": {"a": 5}}'),
        framed(b'{"arrays": {"a": {"dtype": "float32"}}}'),
        framed(b'{"arrays": {"a": {"dtype": "object", "shape": [1]}}}', b"12345678"),
        framed(b'{"arrays": {"a": {"dtype": "float32", "shape": [2]}}}', b"1234"),
        framed(b'{"arrays": {"a": {"dtype": "float32", "shape": [-1]}}}', b"1234"),
        framed(b'{"arrays": {"a": {"dtype": "float32", "shape": ["x"]}}}', b"1234"),
        framed(b'{"arrays": {"a": {"dtype": "uint8", "shape": [1]}}}', b"12"),
        framed(b'{"arrays": {}}', b"1234"),
        framed(b'{"arrays": {"a": {"dtype": "uint8", "shape": [true]}}}', b"1"),
        framed(b'{"arrays": {"a": {"dtype": "uint8", "shape": [0, 99999999999999999999]}}}'),
        framed(b'{"arrays": {"a": {"dtype": "uint8", "shape": [' + b"1, " * 99 + b"1]}}}", b"1"),
    ],
)
def test_what_is_no_message_is_refused(content):
    with pytest.raises(WireError):
        receive(io.BytesIO(content))


@given(content=mutated(sent({"do": "run"}, image=np.zeros((1, 3, 4, 4), np.float32))) | st.binary())
def test_damaged_messages_are_refused_and_nothing_else(content):
    try:
        message, _ = receive(io.BytesIO(content))
    except (EOFError, WireError):
        return
    assert isinstance(message, dict)
