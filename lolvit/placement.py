"""Where a photo lies in a model's input: predictions are in the input's pixels, users see the
photo's."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Placement:
    """A photo, resized to `resized`, of which the input shows `size` pixels from `offset` on.

    All are (height, width) in pixels, `offset` (top, left): positive where the input is a crop,
    negative where the photo is padded. Pixel centres are at half integers.
    """

    photo: tuple[int, int]
    resized: tuple[int, int]
    size: tuple[int, int]
    offset: tuple[int, int] = (0, 0)

    @classmethod
    def whole(cls, size: tuple[int, int]) -> Placement:
        """Return that of a photo which has the input's size already."""
        return cls(size, size, size)

    def boxes_on_photo(self, boxes: Floats) -> Floats:
        """Return boxes (N, 4), as left, top, right, bottom in the input's pixels, in the photo's
        pixels, clipped to it."""
        (height, width), (top, left) = self.photo, self.offset
        scale = np.array([width / self.resized[1], height / self.resized[0]] * 2)
        limits = np.array([width, height] * 2, np.float64)
        placed: Floats = (boxes + np.array([left, top] * 2)) * scale
        return np.clip(placed, 0, limits)

    def boxes_on_input(self, boxes: Floats) -> Floats:
        """Return boxes (N, 4) in the photo's pixels in the input's, clipped to it."""
        (height, width), (top, left) = self.photo, self.offset
        scale = np.array([self.resized[1] / width, self.resized[0] / height] * 2)
        limits = np.array([self.size[1], self.size[0]] * 2, np.float64)
        placed: Floats = boxes * scale - np.array([left, top] * 2)
        return np.clip(placed, 0, limits)

    def map_on_photo(self, classes: npt.NDArray[np.uint8], outside: int) -> npt.NDArray[np.uint8]:
        """Return a map of classes (H, W) on the input's pixels for each pixel of the photo: that
        of the input's pixel in which the photo's pixel centre lies; `outside` where there is
        none."""
        rows, rows_inside = self._nearest(0)
        columns, columns_inside = self._nearest(1)
        found = classes[np.ix_(rows, columns)]
        found[~rows_inside] = outside
        found[:, ~columns_inside] = outside
        return found

    def _nearest(self, axis: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
        """Return the input's pixel for each of the photo's along an axis, and whether it exists."""
        photo, resized = self.photo[axis], self.resized[axis]
        centres = (np.arange(photo) + 0.5) * (resized / photo) - self.offset[axis]
        pixels = np.floor(centres).astype(np.int64)
        inside = (pixels >= 0) & (pixels < self.size[axis])
        return np.clip(pixels, 0, self.size[axis] - 1), inside
