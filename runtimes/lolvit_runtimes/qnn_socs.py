"""Qualcomm's SoCs with a Hexagon tensor processor (HTP), as data.

The numbers are Qnn_SocModel_t in QnnTypes.h of Qualcomm's SDK; Hexagon versions are from its
documentation and ExecuTorch's table. The version is None for an SoC whose name is not published.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from lolvit.errors import UserError
from lolvit.registry import choose


@dataclass(frozen=True)
class Soc:
    """One SoC: its `soc_model` number, market name and Hexagon version, and whether the vendor's
    compiler estimates latency for it."""

    id: str
    model: int
    name: str
    hexagon: int | None
    estimates: bool = False


SOCS: dict[str, Soc] = {
    soc.id: soc
    for soc in (
        Soc("sm8350", 30, "Snapdragon 888", 68),
        Soc("sm8450", 36, "Snapdragon 8 Gen 1", 69),
        Soc("sm8475", 42, "Snapdragon 8+ Gen 1", 69),
        Soc("sm8550", 43, "Snapdragon 8 Gen 2", 73),
        Soc("sm8650", 57, "Snapdragon 8 Gen 3", 75),
        Soc("sm8750", 69, "Snapdragon 8 Elite", 79),
        Soc("sm8850", 87, "Snapdragon 8 Elite Gen 5", 81),
        Soc("sc8280x", 37, "Snapdragon 8cx Gen 3", 68),
        Soc("sc8380xp", 60, "Snapdragon X Elite", 73),
        Soc("sc8480xp", 88, "Snapdragon X2 Elite", 81),
        Soc("sa8295", 39, "SA8295P", 68),
        Soc("sa8255", 52, "SA8255P", 73, estimates=True),
        Soc("sa8540", 62, "SA8540P", 68, estimates=True),
        Soc("aic100", 63, "Cloud AI 100", 68, estimates=True),
        Soc("sa8797", 72, "SA8797P", 81, estimates=True),
        Soc("qcs9100", 77, "QCS9100", 73, estimates=True),
        Soc("soc114", 114, "soc_model 114", None, estimates=True),
    )
}
DEFAULT_SOC = "sm8650"
# The first Hexagon version that supports a precision: products of two 16-bit operands, and half
# precision, need v73.
NEEDED_HEXAGON = {"int8": 68, "w8a16": 73, "fp16": 73}


def find_soc(text: str) -> Soc:
    """Return an SoC by its id (sm8650), number (57) or name (Snapdragon 8 Gen 3).

    Raises:
        UserError: there is none; the message lists the choices.
    """
    wanted = _plain(text)
    for soc in SOCS.values():
        if wanted in (soc.id, str(soc.model), _plain(soc.name)):
            return soc
    return SOCS[choose("SoC", text, SOCS)]


def find_socs(text: str) -> tuple[Soc, ...]:
    """Return the SoCs of a comma-separated list without repeats; empty for `none`.

    Raises:
        UserError: one is unknown, or the list is empty.
    """
    if text.strip() == "none":
        return ()
    found = dict.fromkeys(find_soc(part) for part in text.split(",") if part.strip())
    if not found:
        raise UserError("no SoC given", remedy=f"choose from: {', '.join(SOCS)}")
    return tuple(found)


def unsupported_reason(soc: Soc, precision: str) -> str | None:
    """Return why an SoC does not support a precision, or None if it does."""
    needed = NEEDED_HEXAGON[precision]
    if soc.hexagon is None or soc.hexagon >= needed:
        return None
    return f"{soc.name} has Hexagon v{soc.hexagon}, but {precision} needs v{needed}"


def _plain(text: str) -> str:
    return re.sub(r"^(qualcomm)?snapdragon", "snapdragon", re.sub(r"[^a-z0-9+]", "", text.lower()))
