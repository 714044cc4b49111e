"""Text of users reaches a terminal through `lolvit.output` alone, where it is never markup."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.architecture.imports import ROOT

ONLY_HERE = "lolvit/output.py"
PACKAGES = ("lolvit", "data", "training", "export", "runtimes", "benchmarks")
FORBIDDEN = {"rich.markup", "rich.console.Console", "rich.print"}


def imported_at_run_time(path: Path) -> set[str]:
    """Return the names that a file imports, without those for type checkers."""
    found: set[str] = set()

    def visit(node: ast.AST) -> None:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            return
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        if isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
        for child in ast.iter_child_nodes(node):
            visit(child)

    visit(ast.parse(path.read_text()))
    return found


@pytest.mark.parametrize("package", PACKAGES)
def test_no_other_module_makes_a_console_or_writes_markup(package: str) -> None:
    wrong = [
        str(path.relative_to(ROOT))
        for path in (ROOT / package).rglob("*.py")
        if path != ROOT / ONLY_HERE and imported_at_run_time(path) & FORBIDDEN
    ]
    assert wrong == []
