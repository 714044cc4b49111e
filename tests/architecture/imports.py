"""Which modules each file of the packages imports, and whether at import time or on use."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = {
    "lolvit": ROOT / "lolvit",
    "lolvit_data": ROOT / "data" / "lolvit_data",
    "lolvit_training": ROOT / "training" / "lolvit_training",
    "lolvit_export": ROOT / "export" / "lolvit_export",
    "lolvit_runtimes": ROOT / "runtimes" / "lolvit_runtimes",
    "lolvit_benchmarks": ROOT / "benchmarks" / "lolvit_benchmarks",
}


@dataclass(frozen=True)
class Import:
    """One imported module: the file it is in, its line, and whether importing the file runs it."""

    importer: str
    imported: str
    line: int
    at_import_time: bool

    def __str__(self) -> str:
        return f"{self.importer} line {self.line} imports {self.imported}"


def imports_of(package: str) -> list[Import]:
    """Return all imports of a package's files, those inside functions and strings of
    `import_module` included, those for type checking alone excluded."""
    folder = PACKAGES[package]
    found = [entry for path in sorted(folder.rglob("*.py")) for entry in _of_file(package, path)]
    assert found, f"no import found below {folder}"
    return found


def reached_at_import(module: str) -> set[str]:
    """Return the modules that importing `module` imports, walking on through our own files."""
    seen: set[str] = set()
    waiting = [module]
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        path = _path_of(name)
        if path is not None:
            entries = _of_file(name.partition(".")[0], path)
            waiting += [entry.imported for entry in entries if entry.at_import_time]
    return seen


def _path_of(name: str) -> Path | None:
    """Return the file of one of our modules; None for others' and for packages without code."""
    package, *parts = name.split(".")
    if package not in PACKAGES:
        return None
    path = PACKAGES[package].joinpath(*parts)
    candidates = (path.with_suffix(".py"), path / "__init__.py")
    return next((candidate for candidate in candidates if candidate.is_file()), None)


def _of_file(package: str, path: Path) -> Iterator[Import]:
    parts = path.relative_to(PACKAGES[package]).with_suffix("").parts
    importer = ".".join((package, *(part for part in parts if part != "__init__")))
    tree = ast.parse(path.read_text(), str(path))
    is_package = path.name == "__init__.py"
    for node, at_import_time in _walk(tree, at_import_time=True):
        for imported in _modules(node, importer, is_package):
            yield Import(importer, imported, getattr(node, "lineno", 0), at_import_time)


def _walk(node: ast.AST, *, at_import_time: bool) -> Iterator[tuple[ast.AST, bool]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            continue
        yield child, at_import_time
        deferred = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        yield from _walk(child, at_import_time=at_import_time and not deferred)


def _modules(node: ast.AST, importer: str, is_package: bool) -> list[str]:
    match node:
        case ast.Import(names):
            return [alias.name for alias in names]
        case ast.ImportFrom(module, names, level):
            base = _absolute(module or "", level, importer, is_package)
            members = [f"{base}.{alias.name}" for alias in names]
            return [base, *(member for member in members if _is_our_module(member))]
        case ast.Call(ast.Attribute(attr="import_module") | ast.Name("import_module"), args):
            return [a.value for a in args if isinstance(a, ast.Constant) and _is_text(a.value)]
    return []


def _absolute(module: str, level: int, importer: str, is_package: bool) -> str:
    if level == 0:
        return module
    parts = importer.split(".")
    base = parts[: len(parts) - level + (1 if is_package else 0)]
    return ".".join([*base, module] if module else base)


def _is_our_module(name: str) -> bool:
    return "." in name and _path_of(name) is not None


def _is_text(value: object) -> bool:
    return isinstance(value, str)
