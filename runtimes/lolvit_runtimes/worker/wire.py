"""Messages between a process and its child: lengths, one JSON object, raw bytes of named arrays.

Nothing is unpickled: a child that a broken file has corrupted can send wrong answers, no code.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping
from typing import IO, Any

import numpy as np
import numpy.typing as npt

Message = dict[str, Any]
Array = npt.NDArray[np.generic]
Arrays = Mapping[str, Array]

LONGEST_JSON = 1 << 20
LONGEST_ARRAYS = 1 << 30  # bytes, of all arrays together
MOST_AXES = 32
DTYPES = (
    "float64", "float32", "float16", "uint8", "int8", "int16", "int32", "int64", "bool",
)  # fmt: skip
_LENGTHS = struct.Struct("<II")
_ARRAYS = "arrays"


class WireError(ValueError):
    """What arrived is no message."""


def send(stream: IO[bytes], message: Message, arrays: Arrays | None = None) -> None:
    """Write a message and flush; `arrays` come out of `receive` at the other end."""
    contiguous = {name: np.ascontiguousarray(array) for name, array in (arrays or {}).items()}
    if contiguous:
        described = {
            name: {"dtype": array.dtype.name, "shape": array.shape}
            for name, array in contiguous.items()
        }
        message = message | {_ARRAYS: described}
    text = json.dumps(message).encode()
    length = sum(array.nbytes for array in contiguous.values())
    stream.write(_LENGTHS.pack(len(text), length) + text)
    for array in contiguous.values():
        stream.write(array.tobytes())
    stream.flush()


def receive(stream: IO[bytes]) -> tuple[Message, dict[str, Array]]:
    """Read the next message and the arrays that it brings, by name.

    Raises:
        EOFError: the other end is gone.
        WireError: the bytes are no message.
    """
    json_length, array_length = _LENGTHS.unpack(_read(stream, _LENGTHS.size))
    if json_length > LONGEST_JSON or array_length > LONGEST_ARRAYS:
        raise WireError(f"a message of {json_length} and {array_length} bytes")
    text, payload = _read(stream, json_length), _read(stream, array_length)
    try:
        message = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise WireError("a message that is not JSON") from error
    if not isinstance(message, dict):
        raise WireError("a message that is no JSON object")
    return message, _arrays(message.pop(_ARRAYS, {}), payload)


def _read(stream: IO[bytes], length: int) -> bytes:
    data = stream.read(length)
    if len(data) < length:
        raise EOFError
    return data


def _arrays(described: Any, payload: bytes) -> dict[str, Array]:
    if not isinstance(described, dict):
        raise WireError("arrays without names")
    arrays: dict[str, Array] = {}
    start = 0
    for name, description in described.items():
        dtype, shape = _checked(description)
        end = start + math.prod(shape) * np.dtype(dtype).itemsize
        if end > len(payload):
            raise WireError(f"an array of {dtype} {shape} in {len(payload) - start} bytes")
        arrays[str(name)] = np.frombuffer(payload[start:end], dtype).reshape(shape).copy()
        start = end
    if start != len(payload):
        raise WireError(f"{len(payload) - start} bytes behind the last array")
    return arrays


def _checked(description: Any) -> tuple[str, list[int]]:
    """Return element type and shape of an array, once they are such."""
    dtype, shape = (
        description.get(part) if isinstance(description, dict) else None
        for part in ("dtype", "shape")
    )
    plain = isinstance(shape, list) and len(shape) <= MOST_AXES and all(map(_is_extent, shape))
    if dtype not in DTYPES or not isinstance(shape, list) or not plain:
        raise WireError(f"an array of {dtype} {shape}")
    return str(dtype), shape


def _is_extent(side: Any) -> bool:
    return type(side) is int and 0 <= side <= LONGEST_ARRAYS
