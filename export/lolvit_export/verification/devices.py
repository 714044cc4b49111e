"""Where `lolvit verify` can run artifacts: data alone. A device is, for each format that it takes,
the runtimes that stand for it; a runtime is an entry of `lolvit_runtimes.table.RUNTIMES`."""

from __future__ import annotations

import platform

from lolvit.registry import choose

HOST = "host"
_CORE_ML = "coreml" if platform.system() == "Darwin" else "coreml-reference"

VERIFY_DEVICES: dict[str, dict[str, tuple[str, ...]]] = {
    HOST: {
        "onnx": ("ort",),
        "tflite": ("litert", "litert-reference"),
        "coreml": (_CORE_ML,),
        "executorch": ("executorch",),
        "torch": ("eager",),
        "qnn": ("qnn",),
    },
    "qnn-emulator": {"qnn": ("qnn",)},
    "litert-gpu": {"tflite": ("litert-gpu",)},
    "tensorflow": {"tflite": ("tensorflow",)},
    "arm64": {
        "onnx": ("ort-arm64-a76", "ort-arm64-i8mm"),
        "tflite": ("litert-arm64-a76", "litert-arm64-i8mm"),
    },
}


def runtimes_for(format: str, device: str = HOST) -> tuple[str, ...]:
    """Return the runtimes that an artifact of this format is run in on a device; none where the
    device does not take the format.

    Raises:
        UserError: the device is unknown.
    """
    return VERIFY_DEVICES[choose("device", device, VERIFY_DEVICES)].get(format, ())
