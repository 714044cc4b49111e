"""Mutation check: one constant of the Swift library is changed at a time, and tests must fail."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lolvit.errors import GateFailedError


@dataclass(frozen=True)
class Mutation:
    """A text that is replaced by another one in a source file, which has it once."""

    name: str
    file: str
    old: str
    new: str

    def apply(self, package: Path) -> None:
        """Change the file in a copy of the Swift package.

        Raises:
            GateFailedError: the file does not have the text exactly once.
        """
        path = package / "Sources" / "LOLViT" / self.file
        text = path.read_text()
        if text.count(self.old) != 1:
            raise GateFailedError(
                f"mutation '{self.name}': its text occurs {text.count(self.old)} times",
                where=str(path),
                remedy="adapt ios_build/mutations.py",
            )
        path.write_text(text.replace(self.old, self.new))


MUTATIONS = (
    Mutation("cubic filter", "Resampling.swift", "let a = -0.5", "let a = -0.501"),
    Mutation(
        "suppression's comparison", "Boxes.swift", "overlap(boxes[$0]) <= threshold",
        "overlap(boxes[$0]) < threshold * 0.999",
    ),
)  # fmt: skip
