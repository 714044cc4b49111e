"""Checks the members of Android's framework that an APK's code uses against the public API."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from android_build.dex import Dex, Reference
from android_build.public_api import PublicApi

# In a module's folder: members that its code uses although the oldest version lacks them.
REVIEWED = "newer-api.txt"
# Engines that an app may leave out: the library asks whether they are there before it uses them.
OPTIONAL = ("ai/onnxruntime/",)
_OBJECT = "java/lang/Object"


@dataclass(frozen=True)
class Findings:
    """Members that an app must not use, or only behind a version test, sorted."""

    hidden: tuple[str, ...]  # no public API: may be missing or blocked on any phone
    unguarded: tuple[str, ...]  # newer than the oldest version, and not reviewed
    unused: tuple[str, ...]  # reviewed, and no longer referred to
    checked: int


def find_problems(
    dex: Dex, oldest: PublicApi, newest: PublicApi, reviewed: Iterable[str]
) -> Findings:
    """Look up every reference out of a dex file in the public API of two levels."""
    outer = [reference for reference in dex.references if not _inside(dex, reference)]
    lookups = [_Lookup(dex, reference) for reference in outer if not _optional(reference.owner)]
    types = [t for t in dex.types if _framework(t) and t not in newest and t not in dex.classes]
    hidden = {str(entry.reference) for entry in lookups if not entry.found(newest)}
    newer = {str(e.reference) for e in lookups if e.found(newest) and not e.found(oldest)}
    known = set(reviewed)
    return Findings(
        hidden=tuple(sorted((hidden - known) | set(types))),
        unguarded=tuple(sorted(newer - known)),
        unused=tuple(sorted(known - newer - hidden)),
        checked=len(lookups),
    )


def read_reviewed(module: Path) -> dict[str, str]:
    """Return a module's reviewed members, each with where its use is guarded."""
    path = module / REVIEWED
    text = path.read_text() if path.is_file() else ""
    lines = [line.split("#", 1)[0].strip() for line in text.splitlines()]
    pairs = (line.partition(" ") for line in lines if line)
    return {member: guard.strip() for member, _, guard in pairs}


@dataclass(frozen=True)
class _Lookup:
    """A reference that the dex file does not resolve in itself."""

    dex: Dex
    reference: Reference

    def found(self, api: PublicApi) -> bool:
        owners = _outermost(self.dex, self.reference.owner)
        return any(api.has(owner, self.reference.member) for owner in owners)


def _inside(dex: Dex, reference: Reference) -> bool:
    """Whether a class in the file, or an ancestor of it in the file, defines the member."""
    found = dex.classes.get(reference.owner)
    if found is None:
        return False
    parents = (Reference(parent, reference.member) for parent in found.parents)
    return reference.member in found.members or any(_inside(dex, parent) for parent in parents)


def _outermost(dex: Dex, owner: str) -> set[str]:
    """Return the framework's classes that a class inherits from; itself, if it is one of them."""
    if owner.startswith("["):
        return {_OBJECT}
    found = dex.classes.get(owner)
    if found is None:
        return {owner}
    return {outer for parent in found.parents for outer in _outermost(dex, parent)}


def _optional(owner: str) -> bool:
    return owner.lstrip("[L").startswith(OPTIONAL)


def _framework(name: str) -> bool:
    """Whether a class is of the framework; annotations of the dex format itself are not."""
    packages = ("android/", "java/", "javax/", "dalvik/", "libcore/", "com/android/")
    return name.startswith(packages) and not name.startswith("dalvik/annotation/")
