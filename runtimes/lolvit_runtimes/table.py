"""The table of runtimes, as data, so that `lolvit doctor` can list them without loading numpy."""

from __future__ import annotations

import importlib.util
import pkgutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lolvit.errors import MissingExtraError
from lolvit.extras import extra_of

if TYPE_CHECKING:  # importing pydantic takes a tenth of a second, which `doctor` does not need
    from lolvit.manifest import Artifact


@dataclass(frozen=True)
class RuntimeEntry:
    """One runtime.

    Args:
        format: the file format that it opens.
        session: "module:Class" of its session.
        modules: the modules that it needs, the runtime itself first.
        note: one line for `lolvit doctor`.
        timed: whether it can be benchmarked on this machine's CPU (device `host`).
        accelerator: the name in `placement` of the accelerator that every operation should run on.
        system: "module:function" that raises a UserError if the runtime's packages can't be
            installed on this system.
        check: "module:function" that raises a UserError if the runtime's setup is missing.
        verified_on: the largest number of images that quantized artifacts are verified on, for
            runtimes that take a second or more per image.
        isolated: it runs in a child process, because its library can't share one with others.
        distributions: those that have the runtime's version, if not named as its module.
    """

    format: str
    session: str
    modules: tuple[str, ...]
    note: str
    timed: bool = True
    accelerator: str | None = None
    system: str | None = None
    check: str | None = None
    verified_on: int | None = None
    isolated: bool = False
    distributions: tuple[str, ...] = ()

    @property
    def extra(self) -> str:
        """The extra that installs the runtime itself."""
        return extra_of(self.modules[0])


_ARM64 = "lolvit_runtimes.arm64_parts:read_inventory"


# In the order of preference. Each session class is constructed as Class(path, artifact, threads=N)
# and raises DeviceError on failure.
RUNTIMES: dict[str, RuntimeEntry] = {
    "ort": RuntimeEntry(
        "onnx", "lolvit_runtimes.ort:OrtSession", ("onnxruntime",), "ONNX Runtime, CPU"
    ),
    "litert": RuntimeEntry(
        "tflite", "lolvit_runtimes.litert:LiteRTSession", ("ai_edge_litert",),
        "LiteRT CompiledModel, CPU (XNNPACK)",
    ),
    "litert-gpu": RuntimeEntry(
        "tflite", "lolvit_runtimes.litert_gpu:LiteRTGpuSession", ("ai_edge_litert",),
        "LiteRT CompiledModel, GPU (WebGPU accelerator)", timed=False, accelerator="GPU",
        verified_on=8,
    ),
    "openvino": RuntimeEntry(
        "onnx", "lolvit_runtimes.openvino:OpenVinoSession", ("openvino",),
        "OpenVINO, CPU, in float32",
    ),
    "executorch": RuntimeEntry(
        "executorch", "lolvit_runtimes.executorch:ExecuTorchSession", ("executorch", "torch"),
        "ExecuTorch, CPU (XNNPACK)",
    ),
    "coreml": RuntimeEntry(
        "coreml", "lolvit_runtimes.coreml:CoreMLSession", ("coremltools",),
        "Core ML, on a Mac only",
    ),
    "coreml-cpu": RuntimeEntry(
        "coreml", "lolvit_runtimes.coreml_units:CoreMLCpuSession", ("coremltools",),
        "Core ML, CPU, on a Mac only", timed=False,
    ),
    "coreml-gpu": RuntimeEntry(
        "coreml", "lolvit_runtimes.coreml_units:CoreMLGpuSession", ("coremltools",),
        "Core ML, GPU, on a Mac only", timed=False,
    ),
    "coreml-ane": RuntimeEntry(
        "coreml", "lolvit_runtimes.coreml_units:CoreMLAneSession", ("coremltools",),
        "Core ML, Neural Engine, on a Mac only", timed=False,
    ),
    "coreai": RuntimeEntry(
        "coreai", "lolvit_runtimes.coreai:CoreAISession", ("coreai",),
        "Core AI, Apple's runtime: for verification", timed=False, isolated=True,
        system="lolvit_runtimes.coreai_system:require_system", distributions=("coreai-core",),
    ),
    "eager": RuntimeEntry(
        "torch", "lolvit_runtimes.eager:EagerSession", ("torch",),
        "eager PyTorch, CPU, in float32: for reference",
    ),
    "torch-compile": RuntimeEntry(
        "torch", "lolvit_runtimes.torch_compile:TorchCompileSession", ("torch",),
        "torch.compile, CPU: for reference; needs a C++ compiler",
    ),
    "coreml-reference": RuntimeEntry(
        "coreml", "lolvit_runtimes.coreml_reference:CoreMLReferenceSession",
        ("coremltools", "torch"), "interpreter of a saved ML Program: for verification",
        timed=False, verified_on=64,
    ),
    "litert-reference": RuntimeEntry(
        "tflite", "lolvit_runtimes.litert_reference:LiteRTReferenceSession", ("ai_edge_litert",),
        "LiteRT's reference kernels: for verification",
        timed=False, verified_on=8,
    ),
    "tensorflow": RuntimeEntry(
        "tflite", "lolvit_runtimes.tensorflow:TensorFlowSession", ("tensorflow",),
        "TensorFlow's interpreter, CPU: for verification",
        timed=False, isolated=True, distributions=("tensorflow", "tensorflow-cpu"),
    ),
    "qnn": RuntimeEntry(
        "qnn", "lolvit_runtimes.qnn:QnnSession", ("onnxruntime_qnn", "onnxruntime"),
        "Qualcomm's HTP, emulated: for verification", timed=False, accelerator="HTP",
        verified_on=32,  # with 16, w8a16's top-1 threshold would allow no near tie
    ),
    "ort-arm64-a76": RuntimeEntry(
        "onnx", "lolvit_runtimes.arm64:OrtA76", ("onnxruntime",),
        "ONNX Runtime on an emulated Cortex-A76: for verification", timed=False, check=_ARM64,
        verified_on=16,
    ),
    "ort-arm64-i8mm": RuntimeEntry(
        "onnx", "lolvit_runtimes.arm64:OrtI8mm", ("onnxruntime",),
        "ONNX Runtime on an emulated core with i8mm: for verification", timed=False, check=_ARM64,
        verified_on=16,
    ),
    "litert-arm64-a76": RuntimeEntry(
        "tflite", "lolvit_runtimes.arm64:LiteRTA76", ("ai_edge_litert",),
        "LiteRT on an emulated Cortex-A76: for verification", timed=False, check=_ARM64,
        verified_on=16,
    ),
    "litert-arm64-i8mm": RuntimeEntry(
        "tflite", "lolvit_runtimes.arm64:LiteRTI8mm", ("ai_edge_litert",),
        "LiteRT on an emulated core with i8mm: for verification", timed=False, check=_ARM64,
        verified_on=16,
    ),
}  # fmt: skip


def opens(runtime: str, artifact: Artifact) -> bool:
    """Whether a runtime in `RUNTIMES` opens an artifact, by its format or, if no runtime opens
    that, by its container."""
    formats = {entry.format for entry in RUNTIMES.values()}
    format = artifact.format if artifact.format in formats else artifact.container
    return RUNTIMES[runtime].format == format


def require_runtime(runtime: str) -> None:
    """Check that the packages of a runtime in `RUNTIMES` are installed, without importing them, and
    that its setup is done.

    Raises:
        MissingExtraError: a package is not installed.
        UserError: they can't be installed on this system, or the setup is missing.
    """
    check_system(runtime)
    entry = RUNTIMES[runtime]
    if not all(importlib.util.find_spec(module) for module in entry.modules):
        raise MissingExtraError(entry.extra, needed_for=f"runtime '{runtime}'")
    check_setup(runtime)


def check_system(runtime: str) -> None:
    """Check that the packages of a runtime in `RUNTIMES` can be installed on this system.

    Raises:
        UserError: they can't.
    """
    check = RUNTIMES[runtime].system
    if check is not None:
        pkgutil.resolve_name(check)()


def check_setup(runtime: str) -> None:
    """Check the setup that a runtime in `RUNTIMES` needs besides its packages, if any.

    Raises:
        UserError: it is missing.
    """
    check = RUNTIMES[runtime].check
    if check is not None:
        pkgutil.resolve_name(check)()
