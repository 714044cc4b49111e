"""The targets: which format each reads and which rules it has."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from lolvit.manifest import Format
from lolvit_export.lint.graph import Graph
from lolvit_export.lint.rules import Rule


@dataclass(frozen=True)
class Target:
    """An accelerator, the format in which it takes a model, the module with its rules, and the
    formats that are made for it from the first."""

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


TARGETS: dict[str, Target] = {
    target.name: target
    for target in (
        Target("ort-cpu", "onnx", "ONNX Runtime, CPU", "ort_cpu"),
        Target("xnnpack", "tflite", "LiteRT, CPU (XNNPACK)", "xnnpack"),
        Target("litert-gpu", "tflite", "LiteRT, GPU", "litert_gpu"),
        Target("htp", "onnx", "Qualcomm HTP (QNN)", "htp", also=("qnn",)),
        Target("ane", "coreml", "Apple Neural Engine", "ane"),
    )
}
_READERS: dict[Format, str] = {
    "onnx": "lolvit_export.lint.read_onnx:read_onnx",
    "qnn": "lolvit_export.lint.read_onnx:read_onnx",
    "tflite": "lolvit_export.lint.read_tflite:read_tflite",
    "coreml": "lolvit_export.lint.read_coreml:read_coreml",
}


def targets_of(format: Format) -> tuple[Target, ...]:
    """Return the targets that take a format."""
    return tuple(target for target in TARGETS.values() if format in target.formats)


def read(path: Path, format: Format) -> Graph:
    """Read an artifact's operations; nothing in it is executed.

    Raises:
        UserError: it is not valid.
    """
    module, _, name = _READERS[format].partition(":")
    reader: Callable[[Path], Graph] = getattr(import_module(module), name)
    return reader(path)
