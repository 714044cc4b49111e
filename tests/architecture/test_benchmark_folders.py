"""Inside lolvit_benchmarks imports point one way:

cli, api -> runner -> backends -> profiling -> harness -> results -> analysis; cli -> reporting ->
results, analysis; coverage -> harness. A folder may also import what lies further along.
"""

from __future__ import annotations

from graphlib import TopologicalSorter

from tests.architecture.imports import imports_of

PACKAGE = "lolvit_benchmarks"
# A folder (or `runner`, a file): the folders that its files import, on use too. A new arrow is a
# decision about the design, and so is one that is no longer there.
ARROWS = {
    "coverage": {"harness", "results", "analysis"},
    "api": {"runner", "backends", "harness", "results"},
    "cli": {"runner", "backends", "harness", "results", "reporting", "analysis"},
    "runner": {"backends", "harness", "results", "analysis"},
    "reporting": {"results", "analysis"},
    "backends": {"profiling", "harness", "results", "analysis"},
    "profiling": {"harness", "results", "analysis"},
    "harness": {"results", "analysis"},
    "results": {"analysis"},
    "analysis": set(),
}


def arrows() -> dict[str, set[str]]:
    """Return the folders that each folder imports, itself left out."""
    found: dict[str, set[str]] = {folder: set() for folder in ARROWS}
    for entry in imports_of(PACKAGE):
        importer, imported = entry.importer.split("."), entry.imported.split(".")
        if imported[0] != PACKAGE or len(importer) < 2 or len(imported) < 2:
            continue
        if importer[1] != imported[1]:
            found.setdefault(importer[1], set()).add(imported[1])
    return found


def test_folders_import_each_other_as_the_table_has_it() -> None:
    assert arrows() == ARROWS


def test_folders_have_no_cycle() -> None:
    assert set(TopologicalSorter(arrows()).static_order()) == set(ARROWS)
