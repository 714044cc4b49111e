"""Lint: names each operation of an artifact that would leave an accelerator, and why."""

from __future__ import annotations

from lolvit_export.lint.graph import Graph, Operation, Tensor
from lolvit_export.lint.rules import Finding, Rule, apply
from lolvit_export.lint.targets import TARGETS, Target, read, targets_of

__all__ = [
    "TARGETS", "Finding", "Graph", "Operation", "Rule", "Target", "Tensor", "apply", "lint", "read",
    "targets_of",
]  # fmt: skip


def lint(graph: Graph, target: Target) -> list[Finding]:
    """Return what is known to be wrong with a graph on a target, findings and advice."""
    return apply(target.name, target.rules, graph)
