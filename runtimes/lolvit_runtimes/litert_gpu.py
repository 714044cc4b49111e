"""LiteRT on a GPU by its WebGPU accelerator: Vulkan, Metal or Direct3D."""

from __future__ import annotations

import re
from pathlib import Path

from ai_edge_litert.compiled_model import CompiledModel, GpuOptions, HardwareAccelerator, Options
from ai_edge_litert.interpreter import Interpreter, OpResolverType

from lolvit.errors import DeviceError
from lolvit.manifest import Artifact
from lolvit_runtimes.litert import RUNTIME_ERRORS, LiteRTSession, shared_environment
from lolvit_runtimes.native import captured_stderr, native_path, opening, reason
from lolvit_runtimes.vulkan import choose_driver

ON_GPU, SPLIT_UNKNOWN = "GPU", "GPU and CPU, split unknown"
# The accelerator reports its adapter only in its log, once per process.
_ADAPTER = re.compile(r"Selected adapter: (?P<name>[^\n]*?), arch=.*?adapterType=(?P<type>[^\n]*)")
_adapter = {"adapter": "unknown", "adapter_type": "unknown"}


class LiteRTGpuSession(LiteRTSession):
    """A TFLite artifact in LiteRT's CompiledModel on the GPU; fp32 artifacts are computed in
    float32, others in the accelerator's default precision."""

    runtime = "litert-gpu"

    def _open(self, path: Path, artifact: Artifact, threads: int) -> CompiledModel:
        choose_driver()
        self._floats = "float32" if artifact.precision == "fp32" else "the accelerator's choice"
        gpu = GpuOptions(enforce_f32=artifact.precision == "fp32")
        options = Options(hardware_accelerators=HardwareAccelerator.GPU, gpu_options=gpu)
        with captured_stderr() as captured:
            try:
                model = CompiledModel.from_file(
                    native_path(path), environment=shared_environment(), options=options
                )
            except RUNTIME_ERRORS as error:
                why = "no GPU was found" if "No adapters" in captured() else reason(error)
                raise DeviceError(
                    f"LiteRT cannot open it on a GPU: {why}", where=str(path)
                ) from error
            if match := _ADAPTER.search(captured()):
                _adapter.update(adapter=match["name"], adapter_type=match["type"].strip())
        return model

    def placement(self) -> dict[str, int]:
        """Return the number of operations, as "GPU" if it runs all of them; LiteRT does not report
        how many run on the CPU otherwise."""
        with opening("LiteRT", self._path, RUNTIME_ERRORS):
            interpreter = Interpreter(
                str(self._path),
                experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
            )
        count = len(interpreter._get_ops_details())
        return {ON_GPU if self._model.is_fully_accelerated() else SPLIT_UNKNOWN: count}

    def options(self) -> dict[str, str]:
        """Return the GPU adapter, its type and the arithmetic."""
        return {"accelerator": "GPU", **_adapter, "arithmetic": self._floats}


def is_software(options: dict[str, str]) -> bool:
    """Whether the adapter in a session's options is a software GPU on the CPU."""
    return "CPU" in options["adapter_type"]
