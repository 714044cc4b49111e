"""Which runtimes there are: data alone, so that `doctor` need not load numpy to list them."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass

from lolvit.errors import MissingExtraError


@dataclass(frozen=True)
class RuntimeEntry:
    """One runtime: the artifact format it opens, where its session class is, the modules that it
    needs (the first is the runtime itself) and the extra that brings them.

    `timed`: its speed on this machine means something. `accelerator`: what its `placement` calls
    the place where every operation is to run, if it is no processor.
    """

    format: str
    session: str
    modules: tuple[str, ...]
    extra: str
    note: str
    timed: bool = True
    accelerator: str | None = None


# In the order in which a command that is not told takes one. Each session class is built as
# Class(path, artifact, threads=N) and raises DeviceError on failure.
RUNTIMES: dict[str, RuntimeEntry] = {
    "ort": RuntimeEntry(
        "onnx", "lolvit_runtimes.ort:OrtSession", ("onnxruntime",), "ort", "ONNX Runtime, CPU"
    ),
    "litert": RuntimeEntry(
        "tflite", "lolvit_runtimes.litert:LiteRTSession", ("ai_edge_litert",), "litert",
        "LiteRT CompiledModel, CPU (XNNPACK)",
    ),
    "litert-gpu": RuntimeEntry(
        "tflite", "lolvit_runtimes.litert_gpu:LiteRTGpuSession", ("ai_edge_litert",), "litert",
        "LiteRT CompiledModel, GPU (WebGPU accelerator)", timed=False, accelerator="GPU",
    ),
    "openvino": RuntimeEntry(
        "onnx", "lolvit_runtimes.openvino:OpenVinoSession", ("openvino",), "openvino",
        "OpenVINO, CPU, in float32",
    ),
    "executorch": RuntimeEntry(
        "executorch", "lolvit_runtimes.executorch:ExecuTorchSession", ("executorch", "torch"),
        "executorch", "ExecuTorch, CPU (XNNPACK)",
    ),
    "coreml": RuntimeEntry(
        "coreml", "lolvit_runtimes.coreml:CoreMLSession", ("coremltools",), "export",
        "Core ML, on a Mac only",
    ),
    "eager": RuntimeEntry(
        "torch", "lolvit_runtimes.eager:EagerSession", ("torch",), "export",
        "eager PyTorch, CPU, in float32: for reference",
    ),
    "torch-compile": RuntimeEntry(
        "torch", "lolvit_runtimes.torch_compile:TorchCompileSession", ("torch",), "export",
        "torch.compile, CPU: for reference; needs a C++ compiler",
    ),
    "coreml-reference": RuntimeEntry(
        "coreml", "lolvit_runtimes.coreml_reference:CoreMLReferenceSession",
        ("coremltools", "torch"), "export", "interpreter of a saved ML Program: numbers, not speed",
        timed=False,
    ),
    "litert-reference": RuntimeEntry(
        "tflite", "lolvit_runtimes.litert_reference:LiteRTReferenceSession", ("ai_edge_litert",),
        "litert", "LiteRT's reference kernels: a second opinion, not for speed",
        timed=False,
    ),
    "qnn": RuntimeEntry(
        "qnn", "lolvit_runtimes.qnn:QnnSession", ("onnxruntime_qnn", "onnxruntime"), "qnn",
        "Qualcomm's HTP, emulated: numbers, not speed", timed=False, accelerator="HTP",
    ),
}  # fmt: skip


def require_runtime(runtime: str) -> None:
    """Check that the packages of a runtime in `RUNTIMES` are installed, without importing them.

    Raises:
        MissingExtraError: one is not.
    """
    entry = RUNTIMES[runtime]
    if not all(importlib.util.find_spec(module) for module in entry.modules):
        raise MissingExtraError(entry.extra, needed_for=f"runtime '{runtime}'")
