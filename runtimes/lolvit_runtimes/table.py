"""Which runtimes there are: data alone, so that `doctor` need not load numpy to list them."""

from __future__ import annotations

import importlib
import importlib.util
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lolvit.errors import MissingExtraError
from lolvit.extras import extra_of

if TYPE_CHECKING:  # pydantic takes a tenth of a second, which `doctor` can do without
    from lolvit.manifest import Artifact


@dataclass(frozen=True)
class RuntimeEntry:
    """One runtime: the file format that it opens, where its session class is, and the modules that
    it needs (the first is the runtime itself).

    `timed`: `host` offers it, for its speed on this machine's processor means something.
    `accelerator`: what its `placement` calls the place where every operation is to run, if it is no
    processor. `check`: what raises a UserError where a set-up of its own is missing. `verified_on`:
    on how many images quantized artifacts are verified in it at most, where one takes a second and
    more (plain loops, an interpreter in Python, an emulator). `isolated`: it runs in a child
    process, for its library can't share one with others. `distributions`: those whose version is
    the runtime's, if they have other names than its module.
    """

    format: str
    session: str
    modules: tuple[str, ...]
    note: str
    timed: bool = True
    accelerator: str | None = None
    check: str | None = None
    verified_on: int | None = None
    isolated: bool = False
    distributions: tuple[str, ...] = ()

    @property
    def extra(self) -> str:
        """The extra that brings the runtime itself."""
        return extra_of(self.modules[0])


_ARM64 = "lolvit_runtimes.arm64_parts:read_inventory"


# In the order in which a command takes the first ready one. Each session class is built as
# Class(path, artifact, threads=N) and raises DeviceError on failure.
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
        ("coremltools", "torch"), "interpreter of a saved ML Program: numbers, not speed",
        timed=False, verified_on=64,
    ),
    "litert-reference": RuntimeEntry(
        "tflite", "lolvit_runtimes.litert_reference:LiteRTReferenceSession", ("ai_edge_litert",),
        "LiteRT's reference kernels: a second opinion, not for speed",
        timed=False, verified_on=8,
    ),
    "tensorflow": RuntimeEntry(
        "tflite", "lolvit_runtimes.tensorflow:TensorFlowSession", ("tensorflow",),
        "TensorFlow's interpreter, CPU: a second opinion, not for speed",
        timed=False, isolated=True, distributions=("tensorflow", "tensorflow-cpu"),
    ),
    "qnn": RuntimeEntry(
        "qnn", "lolvit_runtimes.qnn:QnnSession", ("onnxruntime_qnn", "onnxruntime"),
        "Qualcomm's HTP, emulated: numbers, not speed", timed=False, accelerator="HTP",
        verified_on=32,  # of 16, w8a16's threshold for the top class would let none be a near tie
    ),
    "ort-arm64-a76": RuntimeEntry(
        "onnx", "lolvit_runtimes.arm64:OrtA76", ("onnxruntime",),
        "ONNX Runtime on an emulated Cortex-A76: numbers, not speed", timed=False, check=_ARM64,
        verified_on=16,
    ),
    "ort-arm64-i8mm": RuntimeEntry(
        "onnx", "lolvit_runtimes.arm64:OrtI8mm", ("onnxruntime",),
        "ONNX Runtime on an emulated core with i8mm: numbers, not speed", timed=False, check=_ARM64,
        verified_on=16,
    ),
    "litert-arm64-a76": RuntimeEntry(
        "tflite", "lolvit_runtimes.arm64:LiteRTA76", ("ai_edge_litert",),
        "LiteRT on an emulated Cortex-A76: numbers, not speed", timed=False, check=_ARM64,
        verified_on=16,
    ),
    "litert-arm64-i8mm": RuntimeEntry(
        "tflite", "lolvit_runtimes.arm64:LiteRTI8mm", ("ai_edge_litert",),
        "LiteRT on an emulated core with i8mm: numbers, not speed", timed=False, check=_ARM64,
        verified_on=16,
    ),
}  # fmt: skip


def opens(runtime: str, artifact: Artifact) -> bool:
    """Whether a runtime in `RUNTIMES` is one for an artifact: for its format, or, where no runtime
    is for that, for the file format that it is in."""
    known = {entry.format for entry in RUNTIMES.values()}
    wanted = artifact.format if artifact.format in known else artifact.container
    return RUNTIMES[runtime].format == wanted


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
