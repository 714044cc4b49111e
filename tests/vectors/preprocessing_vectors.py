"""The vectors by which the preprocessing in other languages is checked:
`python -m tests.vectors.preprocessing_vectors` writes `preprocessing.json`.

A photo's levels are the highest 8 bits of x(i+1) = 1664525 x(i) + 1013904223 modulo 2^32, row by
row, red, green, blue, from x(0) = `seed` on (the first level is of x(1)). Of the result there are
the sha256 of the pixels (uint8, height x width x channels) and of the input as float32,
little-endian, in both layouts.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from lolvit.manifest import Preprocessing, TensorSpec
from lolvit_runtimes.preprocessing import placement_of, to_input, to_pixels

PATH = Path(__file__).parent / "preprocessing.json"
_RGB = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
_GREY = {"mean": (0.5,), "std": (0.25,), "color": "L"}

# Name: the photo's height and width, and the preprocessing.
_CASES: dict[str, tuple[tuple[int, int], dict[str, Any]]] = {
    "a square crop": ((61, 83), {"size": (32, 32), "crop_pct": 0.9, **_RGB}),
    "a wide crop": ((90, 47), {"size": (24, 40), "crop_pct": 0.875, **_RGB}),
    "a crop that is larger than the photo": ((40, 40), {"size": (48, 32), "crop_pct": 1.2, **_RGB}),
    "bilinear": (
        (64, 50), {"size": (32, 32), "crop_pct": 1.0, "interpolation": "bilinear", **_RGB},
    ),
    "enlarged": ((7, 11), {"size": (32, 32), "crop_pct": 1.0, **_RGB}),
    "as it is": ((32, 32), {"size": (32, 32), "crop_pct": 1.0, **_RGB}),
    "stretched": ((37, 91), {"size": (32, 48), "resize": "stretch", "crop_pct": 1.0, **_RGB}),
    "stretched and cropped": (
        (37, 91), {"size": (32, 48), "resize": "stretch", "crop_pct": 0.95, **_RGB},
    ),
    "much higher than wide: the height is resized first": (
        (300, 20), {"size": (32, 32), "resize": "stretch", "crop_pct": 1.0, **_RGB},
    ),
    "a letterbox with bars above and below, one higher": (
        (32, 91), {"size": (32, 48), "resize": "letterbox", "crop_pct": 1.0, **_RGB},
    ),
    "a letterbox with bars at the sides, one wider": (
        (71, 28), {"size": (32, 48), "resize": "letterbox", "crop_pct": 1.0, **_RGB},
    ),
    "a letterbox of a line": (
        (1, 200), {"size": (32, 48), "resize": "letterbox", "crop_pct": 1.0, **_RGB},
    ),
    "a grey letterbox": (
        (30, 91), {"size": (32, 48), "resize": "letterbox", "crop_pct": 1.0, **_GREY},
    ),
    "grey": ((61, 83), {"size": (32, 40), "crop_pct": 0.9, **_GREY}),
}  # fmt: skip


def vectors() -> list[dict[str, Any]]:
    """Return all vectors, the same each time."""
    return [_vector(seed, name, *case) for seed, (name, case) in enumerate(_CASES.items())]


def _vector(
    seed: int, name: str, photo: tuple[int, int], settings: dict[str, Any]
) -> dict[str, Any]:
    preprocessing = Preprocessing.model_validate(settings)
    pixels = to_pixels(Image.fromarray(_photo(seed, photo)), preprocessing)
    placement = placement_of(photo, preprocessing)
    height, width, channels = pixels.shape
    shapes = {"NCHW": (1, channels, height, width), "NHWC": (1, height, width, channels)}
    inputs = {}
    for layout, shape in shapes.items():
        spec = {"name": "image", "shape": shape, "layout": layout, "meaning": "normalized"}
        values = to_input(pixels, preprocessing, TensorSpec.model_validate(spec))
        inputs[layout] = _digest(values.astype("<f4"))
    return {
        "name": name,
        "seed": seed,
        "photo": photo,
        "preprocessing": preprocessing.model_dump(mode="json"),
        "resized": placement.resized,
        "offset": placement.offset,
        "pixels": _digest(pixels),
        "inputs": inputs,
    }


def _photo(seed: int, size: tuple[int, int]) -> np.ndarray[Any, np.dtype[np.uint8]]:
    levels, x = [], seed
    for _ in range(size[0] * size[1] * 3):
        x = (1664525 * x + 1013904223) % 2**32
        levels.append(x >> 24)
    return np.array(levels, np.uint8).reshape(*size, 3)


def _digest(array: np.ndarray[Any, Any]) -> str:
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()


if __name__ == "__main__":
    PATH.write_text(json.dumps(vectors(), indent=1) + "\n")
