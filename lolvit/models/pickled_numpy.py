"""Stand-ins for numpy's types in torch files.

numpy's own constructors are not safe with arguments of a file: `ndarray` takes a buffer for object
pointers, and `dtype.__setstate__` any flags, so that a file could have memory read as objects.
These make numbers, texts and arrays of them from plain bytes, and nothing else.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from typing import Any

import numpy as np

_KINDS = "biufcUS"  # booleans, numbers, texts: no objects, no structures


class PickledDtype:
    """What a file's `numpy.dtype` becomes; `value` is of a plain kind."""

    def __init__(self, code: object = None, *_: object) -> None:
        try:
            self.value = np.dtype(code) if isinstance(code, str) else np.dtype("O")
        except TypeError as error:
            raise pickle.UnpicklingError(f"the dtype {code!r:.40}") from error
        if self.value.kind not in _KINDS:
            raise pickle.UnpicklingError(f"a dtype of kind {self.value.kind}")

    def __setstate__(self, state: Any) -> None:
        """Take the byte order alone."""
        if isinstance(state, tuple) and len(state) > 1 and state[1] in ("<", ">"):
            self.value = self.value.newbyteorder(state[1])


class PickledArray:
    """What a file's `numpy.ndarray` becomes; `value` is the array once its state is there."""

    def __init__(self, *_: object) -> None:
        self.value: np.ndarray[Any, Any] | None = None

    def __setstate__(self, state: Any) -> None:
        """Make the array from (version, shape, dtype, Fortran order, bytes)."""
        _, shape, dtype, fortran, data = state
        self.value = np.frombuffer(_bytes(data), _plain(dtype)).reshape(
            shape, order="F" if fortran else "C"
        )


def reconstruct(*_: object) -> PickledArray:
    """Stand in for `numpy._core.multiarray._reconstruct`."""
    return PickledArray()


def scalar(dtype: object, data: object = b"") -> Any:
    """Stand in for `numpy._core.multiarray.scalar`."""
    (value,) = np.frombuffer(_bytes(data), _plain(dtype))
    return value


def _plain(dtype: object) -> np.dtype[Any]:
    if not isinstance(dtype, PickledDtype):
        raise pickle.UnpicklingError("an array without a dtype")
    return dtype.value


def _bytes(data: object) -> bytes:
    if not isinstance(data, bytes):
        raise pickle.UnpicklingError("an array without bytes")
    return data


def stand_ins() -> Iterator[tuple[Any, str]]:
    """Yield each stand-in with the name of what it stands in for."""
    yield PickledArray, "numpy.ndarray"
    yield PickledDtype, "numpy.dtype"
    for module in ("numpy._core.multiarray", "numpy.core.multiarray"):
        yield scalar, f"{module}.scalar"
        yield reconstruct, f"{module}._reconstruct"
