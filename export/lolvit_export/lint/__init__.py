"""Lint: names each operation of an artifact that would leave an accelerator, and why."""

from __future__ import annotations

from lolvit_export.lint.accelerators import ACCELERATORS, Accelerator, accelerators_of, read
from lolvit_export.lint.graph import Graph, Operation, Tensor
from lolvit_export.lint.rules import Finding, Rule, apply

__all__ = [
    "ACCELERATORS",
    "Accelerator",
    "Finding",
    "Graph",
    "Operation",
    "Rule",
    "Tensor",
    "accelerators_of",
    "apply",
    "lint",
    "read",
]  # fmt: skip


def lint(graph: Graph, accelerator: Accelerator) -> list[Finding]:
    """Return what is known to be wrong with a graph on an accelerator, findings and advice."""
    return apply(accelerator.name, accelerator.rules, graph)
