"""Messages between a process and its child: lengths, one JSON object, raw bytes of one array.

Nothing is unpickled: a child that a broken file has corrupted can send wrong answers, no code.
"""

from __future__ import annotations

import json
import math
import struct
from typing import IO, Any

import numpy as np
import numpy.typing as npt

Message = dict[str, Any]
Array = npt.NDArray[np.generic]

LONGEST_JSON = 1 << 20
LONGEST_ARRAY = 1 << 30  # bytes
DTYPES = ("float32", "float16", "uint8", "int8")
_LENGTHS = struct.Struct("<II")
_ARRAY = "array"


class WireError(ValueError):
    """What arrived is no message."""


def send(stream: IO[bytes], message: Message, array: Array | None = None) -> None:
    """Write a message and flush; `array` comes out of `receive` at the other end."""
    payload = b""
    if array is not None:
        payload = np.ascontiguousarray(array).tobytes()
        message = message | {_ARRAY: {"dtype": array.dtype.name, "shape": array.shape}}
    text = json.dumps(message).encode()
    stream.write(_LENGTHS.pack(len(text), len(payload)) + text)
    stream.write(payload)
    stream.flush()


def receive(stream: IO[bytes]) -> tuple[Message, Array | None]:
    """Read the next message and its array, if it brings one.

    Raises:
        EOFError: the other end is gone.
        WireError: the bytes are no message.
    """
    json_length, array_length = _LENGTHS.unpack(_read(stream, _LENGTHS.size))
    if json_length > LONGEST_JSON or array_length > LONGEST_ARRAY:
        raise WireError(f"a message of {json_length} and {array_length} bytes")
    text, payload = _read(stream, json_length), _read(stream, array_length)
    try:
        message = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise WireError("a message that is not JSON") from error
    if not isinstance(message, dict):
        raise WireError("a message that is no JSON object")
    return message, _array(message.pop(_ARRAY, None), payload)


def _read(stream: IO[bytes], length: int) -> bytes:
    data = stream.read(length)
    if len(data) < length:
        raise EOFError
    return data


def _array(description: Any, payload: bytes) -> Array | None:
    if description is None:
        return None
    dtype, shape = (_get(description, part) for part in ("dtype", "shape"))
    if dtype not in DTYPES or not isinstance(shape, list):
        raise WireError(f"an array of {dtype} {shape}")
    if not all(isinstance(side, int) and side >= 0 for side in shape):
        raise WireError(f"an array of {dtype} {shape}")
    if math.prod(shape) * np.dtype(dtype).itemsize != len(payload):
        raise WireError(f"an array of {dtype} {shape} in {len(payload)} bytes")
    return np.frombuffer(payload, dtype).reshape(shape).copy()


def _get(description: Any, part: str) -> Any:
    return description.get(part) if isinstance(description, dict) else None
