"""The extra that installs each optional module, for the remedy of a missing one."""

from __future__ import annotations

from lolvit.errors import MissingExtraError

# extra: the modules that it installs and that this toolkit imports
MODULES: dict[str, tuple[str, ...]] = {
    "ort": ("onnxruntime",),
    "litert": ("ai_edge_litert", "flatbuffers"),
    "openvino": ("openvino",),
    "executorch": ("executorch",),
    "qnn": ("onnxruntime_qnn",),
    "coreai": ("coreai", "coreai_torch"),
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
    "train": ("datasets", "huggingface_hub", "pycocotools", "sklearn", "tensorboard"),
}


def missing_extra(error: ModuleNotFoundError) -> MissingExtraError | None:
    """Return the error for a missing optional module, or None if no extra installs the module; that
    is an internal error."""
    module = (error.name or "").partition(".")[0]
    if not any(module in modules for modules in MODULES.values()):
        return None
    return MissingExtraError(extra_of(module), needed_for=f"this command (it uses {module})")


def extra_of(module: str) -> str:
    """Return the extra that installs a module of the table."""
    return next(extra for extra, modules in MODULES.items() if module in modules)
