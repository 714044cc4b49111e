"""LiteRT on a GPU, by Vulkan, Metal or Direct3D (its WebGPU accelerator)."""

from __future__ import annotations

import re
from pathlib import Path

from ai_edge_litert.compiled_model import CompiledModel, GpuOptions, HardwareAccelerator, Options
from ai_edge_litert.interpreter import Interpreter, OpResolverType

from lolvit.errors import DeviceError
from lolvit.manifest import Artifact
from lolvit_runtimes.litert import RUNTIME_ERRORS, LiteRTSession, shared_environment
from lolvit_runtimes.native import captured_stderr, opening, reason
from lolvit_runtimes.vulkan import choose_driver

ON_GPU, NOT_TOLD = "GPU", "GPU and CPU, shares not told"
# The accelerator tells which adapter it took in its log alone.
_ADAPTER = re.compile(r"Selected adapter: (?P<name>[^\n]*?), arch=.*?adapterType=(?P<type>[^\n]*)")

_TOLD = {"adapter": "not told", "adapter_type": "not told"}


class LiteRTGpuSession(LiteRTSession):
    """A TFLite artifact in LiteRT's CompiledModel, on the GPU; fp32 artifacts are computed in
    float32, others in the precision that the GPU is best at."""

    runtime = "litert-gpu"

    def _open(self, path: Path, artifact: Artifact, threads: int) -> CompiledModel:
        choose_driver()
        self._floats = "float32" if artifact.precision == "fp32" else "the accelerator's choice"
        gpu = GpuOptions(enforce_f32=artifact.precision == "fp32")
        options = Options(hardware_accelerators=HardwareAccelerator.GPU, gpu_options=gpu)
        with captured_stderr() as heard:
            try:
                model = CompiledModel.from_file(
                    str(path), environment=shared_environment(), options=options
                )
            except RUNTIME_ERRORS as error:
                why = "no GPU was found" if "No adapters" in heard() else reason(error)
                raise DeviceError(
                    f"LiteRT cannot open it on a GPU: {why}", where=str(path)
                ) from error
            if adapter := _ADAPTER.search(heard()):  # told once in a process
                _TOLD.update(adapter=adapter["name"], adapter_type=adapter["type"].strip())
        return model

    def placement(self) -> dict[str, int]:
        """Return how many operations the GPU runs: all, or as many as there are under a name that
        says that LiteRT doesn't tell which."""
        with opening("LiteRT", self._path, RUNTIME_ERRORS):
            interpreter = Interpreter(
                str(self._path),
                experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
            )
        count = len(interpreter._get_ops_details())
        return {ON_GPU if self._model.is_fully_accelerated() else NOT_TOLD: count}

    def options(self) -> dict[str, str]:
        """Return the adapter, its type and the arithmetic."""
        return {"accelerator": "GPU", **_TOLD, "arithmetic": self._floats}


def is_software(options: dict[str, str]) -> bool:
    """Whether the adapter of a session's options is a processor that plays a GPU."""
    return "CPU" in options["adapter_type"]
