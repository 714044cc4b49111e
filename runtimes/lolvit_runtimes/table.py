"""Which runtimes there are: data alone, so that `doctor` need not load numpy to list them."""

from __future__ import annotations

import importlib
import importlib.util
from dataclasses import dataclass

from lolvit.errors import MissingExtraError


@dataclass(frozen=True)
class RuntimeEntry:
    """One runtime: the artifact format it opens, where its session class is, the modules that it
    needs (the first is the runtime itself) and the extra that brings them.

    `timed`: `host` offers it, for its speed on this machine's processor means something.
    `accelerator`: what its `placement` calls the place where every operation is to run, if it is no
    processor. `check`: what raises a UserError where a set-up of its own is missing.
    `isolated`: it runs in a child process alone, for its library can't share one with others.
    `distributions`: those whose version is the runtime's, if they have other names than its module.
    """

    format: str
    session: str
    modules: tuple[str, ...]
    extra: str
    note: str
    timed: bool = True
    accelerator: str | None = None
    check: str | None = None
    isolated: bool = False
    distributions: tuple[str, ...] = ()


_ARM64 = "lolvit_runtimes.arm64_parts:installed"


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
    "coreml-cpu": RuntimeEntry(
        "coreml", "lolvit_runtimes.coreml_units:CoreMLCpuSession", ("coremltools",), "export",
        "Core ML, CPU, on a Mac only", timed=False,
    ),
    "coreml-gpu": RuntimeEntry(
        "coreml", "lolvit_runtimes.coreml_units:CoreMLGpuSession", ("coremltools",), "export",
        "Core ML, GPU, on a Mac only", timed=False,
    ),
    "coreml-ane": RuntimeEntry(
        "coreml", "lolvit_runtimes.coreml_units:CoreMLAneSession", ("coremltools",), "export",
        "Core ML, Neural Engine, on a Mac only", timed=False,
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
    "tensorflow": RuntimeEntry(
        "tflite", "lolvit_runtimes.tensorflow:TensorFlowSession", ("tensorflow",), "tensorflow",
        "TensorFlow's interpreter, CPU: a second opinion, not for speed",
        timed=False, isolated=True, distributions=("tensorflow", "tensorflow-cpu"),
    ),
    "qnn": RuntimeEntry(
        "qnn", "lolvit_runtimes.qnn:QnnSession", ("onnxruntime_qnn", "onnxruntime"), "qnn",
        "Qualcomm's HTP, emulated: numbers, not speed", timed=False, accelerator="HTP",
    ),
    "ort-arm64-a76": RuntimeEntry(
        "onnx", "lolvit_runtimes.arm64:OrtA76", ("onnxruntime",), "ort",
        "ONNX Runtime on an emulated Cortex-A76: numbers, not speed", timed=False, check=_ARM64,
    ),
    "ort-arm64-i8mm": RuntimeEntry(
        "onnx", "lolvit_runtimes.arm64:OrtI8mm", ("onnxruntime",), "ort",
        "ONNX Runtime on an emulated core with i8mm: numbers, not speed", timed=False, check=_ARM64,
    ),
    "litert-arm64-a76": RuntimeEntry(
        "tflite", "lolvit_runtimes.arm64:LiteRTA76", ("ai_edge_litert",), "litert",
        "LiteRT on an emulated Cortex-A76: numbers, not speed", timed=False, check=_ARM64,
    ),
    "litert-arm64-i8mm": RuntimeEntry(
        "tflite", "lolvit_runtimes.arm64:LiteRTI8mm", ("ai_edge_litert",), "litert",
        "LiteRT on an emulated core with i8mm: numbers, not speed", timed=False, check=_ARM64,
    ),
}  # fmt: skip


def require_runtime(runtime: str) -> None:
    """Check that the packages of a runtime in `RUNTIMES` are installed, without importing them,
    and the set-up of its own that it may need.

    Raises:
        MissingExtraError: a package is not.
        UserError: the set-up is missing.
    """
    entry = RUNTIMES[runtime]
    if not all(importlib.util.find_spec(module) for module in entry.modules):
        raise MissingExtraError(entry.extra, needed_for=f"runtime '{runtime}'")
    check_setup(runtime)


def check_setup(runtime: str) -> None:
    """Check the set-up of its own that a runtime in `RUNTIMES` may need.

    Raises:
        UserError: it is missing.
    """
    check = RUNTIMES[runtime].check
    if check is not None:
        module, _, function = check.partition(":")
        getattr(importlib.import_module(module), function)()
