"""The accelerators (`--target`): which formats each takes, and its rules."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from lolvit.manifest import Format
from lolvit_export.lint.graph import Graph
from lolvit_export.lint.rules import Rule


@dataclass(frozen=True)
class Accelerator:
    """Hardware with its runtime, the format in which it takes a model, the module with its rules,
    and the formats that are made for it alone."""

    name: str
    format: Format
    title: str
    module: str
    also: tuple[Format, ...] = ()

    @property
    def formats(self) -> tuple[Format, ...]:
        """Every format that it is linted in."""
        return (self.format, *self.also)

    @property
    def rules(self) -> tuple[Rule, ...]:
        """What can be wrong for it."""
        rules: tuple[Rule, ...] = import_module(f"lolvit_export.lint.{self.module}").RULES
        return rules


ACCELERATORS: dict[str, Accelerator] = {
    each.name: each
    for each in (
        Accelerator("ort-cpu", "onnx", "ONNX Runtime, CPU", "ort_cpu"),
        Accelerator("xnnpack", "tflite", "LiteRT, CPU (XNNPACK)", "xnnpack"),
        Accelerator("litert-gpu", "tflite", "LiteRT, GPU", "litert_gpu"),
        Accelerator("htp", "onnx", "Qualcomm HTP (QNN)", "htp", also=("qnn",)),
        Accelerator("ane", "coreml", "Apple Neural Engine", "ane"),
    )
}
_READERS: dict[Format, str] = {
    "onnx": "lolvit_export.lint.read_onnx:read_onnx",
    "qnn": "lolvit_export.lint.read_onnx:read_onnx",
    "tflite": "lolvit_export.lint.read_tflite:read_tflite",
    "coreml": "lolvit_export.lint.read_coreml:read_coreml",
}


def accelerators_of(format: Format) -> tuple[Accelerator, ...]:
    """Return the accelerators that take a format."""
    return tuple(each for each in ACCELERATORS.values() if format in each.formats)


def read(path: Path, format: Format) -> Graph:
    """Read an artifact's operations; nothing in it is executed.

    Raises:
        UserError: it is not valid.
    """
    module, _, name = _READERS[format].partition(":")
    reader: Callable[[Path], Graph] = getattr(import_module(module), name)
    return reader(path)
