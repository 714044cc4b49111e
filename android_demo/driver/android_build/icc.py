"""A colour profile as phones write it into photos: Display P3, ICC version 2.

The colorants are Display P3's primaries adapted to D50; the curve is sRGB's, as ICC.1:2010 encodes
a parametric one (type 3).
"""

from __future__ import annotations

import struct

_COLORANTS = {
    b"rXYZ": (0.51512, 0.24120, -0.00105),
    b"gXYZ": (0.29198, 0.69225, 0.04189),
    b"bXYZ": (0.15710, 0.06657, 0.78407),
    b"wtpt": (0.96420, 1.0, 0.82491),
}
_CURVE = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
_HEADER = 128


def display_p3() -> bytes:
    """Return the profile's bytes."""
    curve = b"para" + bytes(4) + struct.pack(">HH", 3, 0) + _fixed(_CURVE)
    tags = {name: b"XYZ " + bytes(4) + _fixed(xyz) for name, xyz in _COLORANTS.items()}
    tags |= dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve)
    body, table = b"", struct.pack(">I", len(tags))
    start = _HEADER + 4 + 12 * len(tags)
    for name, value in tags.items():
        table += name + struct.pack(">II", start + len(body), len(value))
        body += value
    return _header(start + len(body)) + table + body


def _header(size: int) -> bytes:
    """Return the 128 bytes: a display's profile from RGB to XYZ under D50."""
    kind = struct.pack(">II", size, 0) + struct.pack(">I", 0x02400000) + b"mntrRGB XYZ "
    date, rest = struct.pack(">6H", 2026, 1, 1, 0, 0, 0), bytes(28)
    return (kind + date + b"acsp" + rest + _fixed(_COLORANTS[b"wtpt"])).ljust(_HEADER, b"\0")


def _fixed(values: tuple[float, ...]) -> bytes:
    """Return numbers as ICC's s15Fixed16."""
    return b"".join(struct.pack(">i", round(value * 65536)) for value in values)
