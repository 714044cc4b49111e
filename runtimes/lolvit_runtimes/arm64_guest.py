"""The program inside the emulator: opens an artifact in a runtime and answers over two pipes.

It runs in Debian's Python with numpy and one runtime, so that of our modules it imports only
`worker.server` and what that one does. Its other end is `arm64_emulator.py`.
"""

from __future__ import annotations

import ctypes
import textwrap
from importlib.metadata import version
from typing import NoReturn

import numpy as np

from lolvit.errors import DeviceError
from lolvit_runtimes.worker import server
from lolvit_runtimes.worker.server import Answer
from lolvit_runtimes.worker.wire import Array, Arrays, Message

_AT_HWCAP, _AT_HWCAP2 = 16, 26
# Bits of Linux's asm/hwcap.h: (word, bit).
_HWCAPS = {
    "asimd": (_AT_HWCAP, 1), "asimdhp": (_AT_HWCAP, 10), "asimddp": (_AT_HWCAP, 20),
    "sve": (_AT_HWCAP, 22), "i8mm": (_AT_HWCAP2, 13), "bf16": (_AT_HWCAP2, 14),
}  # fmt: skip
_ELEMENT_TYPES = {
    "tensor(float)": "float32", "tensor(float16)": "float16", "tensor(double)": "float64",
    "tensor(uint8)": "uint8", "tensor(int8)": "int8", "tensor(int32)": "int32",
    "tensor(int64)": "int64", "tensor(bool)": "bool",
}  # fmt: skip
_FATAL_ONLY = 4
_LONGEST = 300  # characters of a runtime's message, as `native.LONGEST_REASON`


class Ort:
    """ONNX Runtime with the options of `lolvit_runtimes.ort`."""

    distribution = "onnxruntime"

    def __init__(self) -> None:
        import onnxruntime
        from onnxruntime.capi import onnxruntime_pybind11_state as state

        self._ort = onnxruntime
        kinds = [kind for kind in vars(state).values() if isinstance(kind, type)]
        own = tuple(kind for kind in kinds if issubclass(kind, Exception))
        self.own_errors: tuple[type[Exception], ...] = (RuntimeError, ValueError, MemoryError, *own)

    def open(self, path: str, threads: int, outputs: Message) -> Message:
        """Open a file and return its inputs and outputs: shape and element type by name."""
        options = self._ort.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        options.log_severity_level = _FATAL_ONLY
        self._session = self._ort.InferenceSession(
            path, options, providers=["CPUExecutionProvider"]
        )
        return {
            what: {
                node.name: {"shape": node.shape, "dtype": _ELEMENT_TYPES.get(node.type, node.type)}
                for node in nodes
            }
            for what, nodes in (
                ("inputs", self._session.get_inputs()),
                ("outputs", self._session.get_outputs()),
            )
        }

    def run(self, inputs: Arrays) -> dict[str, Array]:
        """Return the outputs by name."""
        names = [node.name for node in self._session.get_outputs()]
        return dict(zip(names, self._session.run(names, dict(inputs)), strict=True))


class LiteRT:
    """LiteRT with the options of `lolvit_runtimes.litert`."""

    distribution = "ai-edge-litert"
    own_errors: tuple[type[Exception], ...] = (RuntimeError, ValueError, MemoryError)

    def __init__(self) -> None:
        from ai_edge_litert import compiled_model
        from ai_edge_litert.environment import Environment

        self._litert, self._environment = compiled_model, Environment.create()

    def open(self, path: str, threads: int, outputs: Message) -> Message:
        """Open a file and return its inputs and outputs: shape and element type by name."""
        options = self._litert.Options(
            hardware_accelerators=self._litert.HardwareAccelerator.CPU,
            cpu_options=self._litert.CpuOptions(num_threads=threads),
        )
        self._model = self._litert.CompiledModel.from_file(
            path, environment=self._environment, options=options
        )
        signatures = self._model.get_signature_list()
        if not signatures:
            raise ValueError("it has no signature to run")
        key = next(iter(signatures))
        self._names: dict[str, list[str]] = signatures[key]
        self._buffers = self._model.create_input_buffers(0), self._model.create_output_buffers(0)
        self._stated = outputs
        details = {
            "inputs": self._model.get_input_tensor_details(key),
            "outputs": self._model.get_output_tensor_details(key),
        }
        return {
            what: {
                name: {"shape": [int(side) for side in each["shape"]], "dtype": str(each["dtype"])}
                for name, each in tensors.items()
            }
            for what, tensors in details.items()
        }

    def run(self, inputs: Arrays) -> dict[str, Array]:
        """Return the outputs by name."""
        given, results = self._buffers
        for name, buffer in zip(self._names["inputs"], given, strict=True):
            buffer.write(inputs[name])
        self._model.run_by_index(0, given, results)
        found: dict[str, Array] = {}
        for name, buffer in zip(self._names["outputs"], results, strict=True):
            shape, dtype = self._stated[name]["shape"], np.dtype(self._stated[name]["dtype"])
            found[name] = buffer.read(int(np.prod(shape)), dtype).reshape(shape)
        return found


RUNTIMES: dict[str, type[Ort] | type[LiteRT]] = {"ort": Ort, "litert": LiteRT}


def instructions() -> list[str]:
    """Return which of the instruction sets that kernels are chosen by this processor has."""
    libc = ctypes.CDLL(None)
    libc.getauxval.restype = ctypes.c_ulong
    libc.getauxval.argtypes = (ctypes.c_ulong,)
    return [name for name, (word, bit) in _HWCAPS.items() if libc.getauxval(word) >> bit & 1]


class Requests:
    """What the program is asked for, with one runtime."""

    def __init__(self, runtime: str) -> None:
        self._runtime: Ort | LiteRT = RUNTIMES[runtime]()

    def handle(self, request: Message, arrays: Arrays) -> Answer:
        """Return the answer to a request.

        Raises:
            DeviceError: the runtime raised an error of its own.
        """
        try:
            return self._do(request, arrays)
        except self._runtime.own_errors as error:
            text = str(error) or type(error).__name__
            raise DeviceError(textwrap.shorten(text, _LONGEST, placeholder=" ...")) from error

    def _do(self, request: Message, arrays: Arrays) -> Answer:
        match request["do"]:
            case "hello":
                number = version(self._runtime.distribution)
                return {"version": number, "instructions": instructions()}, {}
            case "open":
                found = self._runtime.open(request["path"], request["threads"], request["outputs"])
                return found, {}
            case "run":
                return {}, self._runtime.run(arrays)
        raise AssertionError(f"unknown request {request['do']!r}")


def run(runtime: str) -> NoReturn:
    """Answer requests until the parent closes its end, then end the process."""
    server.run(lambda: Requests(runtime).handle)
