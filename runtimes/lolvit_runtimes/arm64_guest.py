"""The program inside the emulator: opens an artifact in a runtime and answers over two pipes.

It runs in Debian's Python with numpy and one runtime, so that it imports nothing of ours but
`wire`. Its other end is `arm64_emulator.py`.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import traceback
from importlib.metadata import version
from typing import IO, Any

import numpy as np

from lolvit_runtimes.wire import Array, Message, receive, send

EXIT_BUG = 70
_PR_SET_PDEATHSIG = 1
_AT_HWCAP, _AT_HWCAP2 = 16, 26
# Bits of Linux's asm/hwcap.h: (word, bit).
_HWCAPS = {
    "asimd": (_AT_HWCAP, 1), "asimdhp": (_AT_HWCAP, 10), "asimddp": (_AT_HWCAP, 20),
    "sve": (_AT_HWCAP, 22), "i8mm": (_AT_HWCAP2, 13), "bf16": (_AT_HWCAP2, 14),
}  # fmt: skip
_ELEMENT_TYPES = {"tensor(float)": "float32", "tensor(float16)": "float16"}
_FATAL_ONLY = 4
Answer = tuple[Message, Array | None]


class Ort:
    """ONNX Runtime with the options of `lolvit_runtimes.ort`."""

    distribution = "onnxruntime"

    def __init__(self) -> None:
        import onnxruntime
        from onnxruntime.capi import onnxruntime_pybind11_state as state

        self._ort = onnxruntime
        kinds = [kind for kind in vars(state).values() if isinstance(kind, type)]
        own = tuple(kind for kind in kinds if issubclass(kind, Exception))
        self.refusals: tuple[type[Exception], ...] = (RuntimeError, ValueError, MemoryError, *own)

    def open(self, path: str, threads: int, output: Message) -> Message:
        """Open a file and return its input and output: shape and element type of each."""
        options = self._ort.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        options.log_severity_level = _FATAL_ONLY
        self._session = self._ort.InferenceSession(
            path, options, providers=["CPUExecutionProvider"]
        )
        return {
            what: {"shape": node.shape, "dtype": _ELEMENT_TYPES.get(node.type, node.type)}
            for what, node in (
                ("input", self._session.get_inputs()[0]),
                ("output", self._session.get_outputs()[0]),
            )
        }

    def run(self, image: Array) -> Array:
        """Return the logits of one image."""
        logits: Array = self._session.run(None, {self._session.get_inputs()[0].name: image})[0]
        return logits


class LiteRT:
    """LiteRT with the options of `lolvit_runtimes.litert`."""

    distribution = "ai-edge-litert"
    refusals: tuple[type[Exception], ...] = (RuntimeError, ValueError, MemoryError)

    def __init__(self) -> None:
        from ai_edge_litert import compiled_model
        from ai_edge_litert.environment import Environment

        self._litert, self._environment = compiled_model, Environment.create()

    def open(self, path: str, threads: int, output: Message) -> Message:
        """Open a file and return its input and output: shape and element type of each."""
        options = self._litert.Options(
            hardware_accelerators=self._litert.HardwareAccelerator.CPU,
            cpu_options=self._litert.CpuOptions(num_threads=threads),
        )
        self._model = self._litert.CompiledModel.from_file(
            path, environment=self._environment, options=options
        )
        keys = list(self._model.get_signature_list())
        if not keys:
            raise ValueError("it has no signature to run")
        self._inputs = self._model.create_input_buffers(0)
        self._outputs = self._model.create_output_buffers(0)
        self._shape, self._dtype = output["shape"], np.dtype(output["dtype"])
        details = {
            "input": self._model.get_input_tensor_details(keys[0]),
            "output": self._model.get_output_tensor_details(keys[0]),
        }
        firsts = {what: next(iter(tensors.values())) for what, tensors in details.items()}
        return {
            what: {"shape": [int(side) for side in first["shape"]], "dtype": str(first["dtype"])}
            for what, first in firsts.items()
        }

    def run(self, image: Array) -> Array:
        """Return the logits of one image."""
        self._inputs[0].write(image)
        self._model.run_by_index(0, self._inputs, self._outputs)
        logits: Array = self._outputs[0].read(int(np.prod(self._shape)), self._dtype)
        return logits.reshape(self._shape)


RUNTIMES: dict[str, type[Ort] | type[LiteRT]] = {"ort": Ort, "litert": LiteRT}


def instructions() -> list[str]:
    """Return which of the instruction sets that kernels are chosen by this processor has."""
    libc = ctypes.CDLL(None)
    libc.getauxval.restype = ctypes.c_ulong
    libc.getauxval.argtypes = (ctypes.c_ulong,)
    return [name for name, (word, bit) in _HWCAPS.items() if libc.getauxval(word) >> bit & 1]


class Server:
    """Answers one request after another, with one runtime."""

    def __init__(self, runtime: str) -> None:
        self._runtime: Ort | LiteRT = RUNTIMES[runtime]()

    def answer(self, request: Message, array: Array | None) -> Answer:
        """Return the answer to a request; a runtime's refusal is one too."""
        try:
            return self._do(request, array)
        except self._runtime.refusals as error:
            return {"refused": str(error) or type(error).__name__}, None

    def _do(self, request: Message, array: Any) -> Answer:
        match request["do"]:
            case "hello":
                number = version(self._runtime.distribution)
                return {"version": number, "instructions": instructions()}, None
            case "open":
                found = self._runtime.open(request["path"], request["threads"], request["output"])
                return found, None
            case "run":
                return {}, self._runtime.run(array)
        raise AssertionError(f"unknown request {request['do']!r}")


def end_with_parent() -> None:
    """Have the kernel end this process when its parent's thread is gone, however that happened."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def serve(runtime: str, requests: IO[bytes], answers: IO[bytes]) -> None:
    """Answer requests until the parent closes its end."""
    server = Server(runtime)
    while True:
        try:
            request, array = receive(requests)
        except EOFError:
            return
        send(answers, *server.answer(request, array))


def main(runtime: str) -> int:
    """Serve, and return the exit code. What a runtime prints goes to standard error."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    end_with_parent()
    requests, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    try:
        serve(runtime, requests, answers)
    except Exception:  # noqa: BLE001 - the outermost handler: the parent shows the traceback
        traceback.print_exc()
        return EXIT_BUG
    return 0


def run(runtime: str) -> None:
    """Serve, and end the process at once: native libraries may crash while they unload."""
    code = main(runtime)
    sys.stderr.flush()
    os._exit(code)
