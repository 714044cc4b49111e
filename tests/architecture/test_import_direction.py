"""Imports point one way: lolvit <- lolvit_runtimes <- lolvit_data <- lolvit_export and
lolvit_training, lolvit_runtimes <- lolvit_benchmarks; torch stays out of what runs without it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.architecture.imports import PACKAGES, Import, _of_file, imports_of

# package: the packages of ours that it may import
ALLOWED = {
    "lolvit": {"lolvit"},
    "lolvit_runtimes": {"lolvit", "lolvit_runtimes"},
    "lolvit_data": {"lolvit", "lolvit_runtimes", "lolvit_data"},
    "lolvit_training": {"lolvit", "lolvit_runtimes", "lolvit_data", "lolvit_training"},
    "lolvit_export": {"lolvit", "lolvit_runtimes", "lolvit_data", "lolvit_export"},
    "lolvit_benchmarks": {"lolvit", "lolvit_runtimes", "lolvit_benchmarks"},
}
# What brings torch with it when imported.
TORCH = {"torch", "torchvision", "timm", "litert_torch", "executorch", "torchao"}
# The parts of `lolvit` that are the model itself.
TORCH_IN_LOLVIT = ("lolvit.models",)
# The sessions that execute with torch, or hand it their tensors.
TORCH_IN_RUNTIMES = (
    "lolvit_runtimes.eager",
    "lolvit_runtimes.torch_compile",
    "lolvit_runtimes.torch_program",
    "lolvit_runtimes.executorch",  # its binding takes torch tensors; torch computes nothing there
    "lolvit_runtimes.coreml_reference",
    "lolvit_runtimes.mil_operations",
)


def package_of(module: str) -> str:
    return module.partition(".")[0]


def inside(module: str, parents: Iterable[str]) -> bool:
    return any(module == parent or module.startswith(parent + ".") for parent in parents)


def brings_torch(entry: Import) -> bool:
    return package_of(entry.imported) in TORCH or inside(entry.imported, TORCH_IN_LOLVIT)


def report(offenders: list[Import]) -> str:
    return "\n".join(map(str, offenders))


@pytest.mark.parametrize("package", PACKAGES)
def test_imports_point_one_way(package: str) -> None:
    ours = [entry for entry in imports_of(package) if package_of(entry.imported) in PACKAGES]
    offenders = [e for e in ours if package_of(e.imported) not in ALLOWED[package]]
    assert not offenders, report(offenders)


def test_lolvit_loads_torch_only_in_the_model() -> None:
    offenders = [
        entry
        for entry in imports_of("lolvit")
        if brings_torch(entry)
        and entry.at_import_time
        and not inside(entry.importer, TORCH_IN_LOLVIT)
    ]
    assert not offenders, report(offenders)


def test_runtimes_use_torch_only_where_they_execute_with_it() -> None:
    offenders = [
        entry
        for entry in imports_of("lolvit_runtimes")
        if brings_torch(entry) and not inside(entry.importer, TORCH_IN_RUNTIMES)
    ]
    assert not offenders, report(offenders)


@pytest.mark.parametrize("package", ["lolvit_data", "lolvit_benchmarks"])
def test_data_and_benchmarks_never_use_torch(package: str) -> None:
    offenders = [entry for entry in imports_of(package) if brings_torch(entry)]
    assert not offenders, report(offenders)


def test_no_runtime_that_runs_without_torch_reaches_one_that_needs_it() -> None:
    """The sessions that execute with torch are found by string, and imported on use alone."""
    offenders = [
        entry
        for package in ("lolvit", "lolvit_runtimes", "lolvit_data", "lolvit_benchmarks")
        for entry in imports_of(package)
        if inside(entry.imported, TORCH_IN_RUNTIMES)
        and not inside(entry.importer, TORCH_IN_RUNTIMES)
        and entry.at_import_time
    ]
    assert not offenders, report(offenders)


def test_the_walk_sees_every_way_to_import(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rules above hold only as far as the walk sees."""
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "g.py").touch()
    source = tmp_path / "sub" / "module.py"
    source.write_text(
        "import a.b as c\n"
        "from d.e import f\n"
        "from . import g\n"
        "from ..h import i\n"
        "if TYPE_CHECKING:\n    import unseen\n"
        "try:\n    import j\nexcept ImportError:\n    pass\n"
        "def use():\n    import k\n    importlib.import_module('m')\n"
        "class Body:\n    import n\n"
    )
    monkeypatch.setitem(PACKAGES, "pkg", tmp_path)
    found = {entry.imported: entry.at_import_time for entry in _of_file("pkg", source)}
    assert found == {
        "a.b": True,
        "d.e": True,
        "pkg.sub": True,
        "pkg.sub.g": True,
        "pkg.h": True,
        "j": True,
        "k": False,
        "m": False,
        "n": True,
    }
