"""Places for the labels of points in a plot, such that none covers another label or point."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

Place = tuple[float, float]
_ANGLES: Final = tuple(math.radians(angle) for angle in (45, -45, 135, -135, 90, -90, 0, 180))
_RINGS: Final = 8  # of places to try around a point, nearest first
# Costs of a place: of each square point that is covered of what should stay free, of what a label
# may cover if need be, and of each point of distance.
_COVERED, _CROSSED, _FAR = 1000.0, 1.0, 1.0


@dataclass(frozen=True)
class Box:
    """A rectangle, in points."""

    left: float
    bottom: float
    right: float
    top: float

    @classmethod
    def around(cls, centre: Place, width: float, height: float) -> Box:
        """Return the rectangle of a size around a place."""
        x, y = centre
        return cls(x - width / 2, y - height / 2, x + width / 2, y + height / 2)

    def shared(self, other: Box) -> float:
        """Return the area that two rectangles share."""
        width = min(self.right, other.right) - max(self.left, other.left)
        height = min(self.top, other.top) - max(self.bottom, other.bottom)
        return max(0.0, width) * max(0.0, height)


def label_places(
    points: Sequence[Place],
    sizes: Sequence[Place],
    markers: Sequence[Box],
    lines: Sequence[Box],
    frame: Box,
) -> list[Place]:
    """Return the centre of each point's label, all in points (1/72 inch): near its point, inside
    the frame, on no other label and no marker, and on as little of the lines as can be.

    `sizes` are the widths and heights of the labels. One label is placed after another: with more
    of them than there is room for, some cover each other.
    """
    taken = list(markers)
    found: list[Place] = []
    for point, size in zip(points, sizes, strict=True):

        def cost(place: Place, point: Place = point, size: Place = size) -> float:
            own = Box.around(place, *size)
            outside = size[0] * size[1] - own.shared(frame)
            covered = outside + sum(own.shared(each) for each in taken)
            crossed = sum(own.shared(each) for each in lines)
            return _COVERED * covered + _CROSSED * crossed + _FAR * math.dist(point, place)

        best = min(_around(point, size), key=cost)
        found.append(best)
        taken.append(Box.around(best, *size))
    return found


def _around(point: Place, size: Place) -> Iterator[Place]:
    """Yield places around a point, the nearest beside a marker, the farthest some labels away."""
    for ring in range(_RINGS):
        across, up = (6 + length / 2 + ring * 5 for length in size)
        for angle in _ANGLES:
            yield point[0] + across * math.cos(angle), point[1] + up * math.sin(angle)
