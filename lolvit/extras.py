"""Which extra of this distribution brings which module, so that a missing one names its remedy."""

from __future__ import annotations

from lolvit.errors import MissingExtraError

# extra: the modules that it brings and that this toolkit imports
MODULES: dict[str, tuple[str, ...]] = {
    "ort": ("onnxruntime",),
    "litert": ("ai_edge_litert", "flatbuffers"),
    "openvino": ("openvino",),
    "executorch": ("executorch",),
    "qnn": ("onnxruntime_qnn",),
    "tensorflow": ("tensorflow",),
    "export": (
        "ai_edge_quantizer",
        "coremltools",
        "litert_torch",
        "onnx",
        "onnxscript",
        "onnxsim",
        "safetensors",
        "skimage",
        "timm",
        "torch",
        "torchvision",
    ),
    "bench": ("jinja2", "matplotlib", "platformdirs", "psutil", "segno"),
    "train": ("datasets", "huggingface_hub", "sklearn", "tensorboard"),
}


def missing_extra(error: ModuleNotFoundError) -> MissingExtraError | None:
    """Return what to tell a user whose installation lacks the module of `error`, or None when no
    extra brings it, so that the module's absence is our own bug."""
    module = (error.name or "").partition(".")[0]
    if not any(module in modules for modules in MODULES.values()):
        return None
    return MissingExtraError(extra_of(module), needed_for=f"this command (it uses {module})")


def extra_of(module: str) -> str:
    """Return the extra that brings a module of the table."""
    return next(extra for extra, modules in MODULES.items() if module in modules)
