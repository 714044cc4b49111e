"""The photo in the app's pictures: a handwritten digit that the model was not trained on."""

from __future__ import annotations

import io

DIGIT = "digit-2.png"
_CLASS, _WHICH = 2, 3


def digit() -> bytes:
    """Return a test image of the set that `lolvit_xx.digits` was trained on, as PNG."""
    from lolvit_data.digits import load

    digits = load("test")
    twos = [
        image for image, label in zip(digits.images, digits.labels, strict=True) if label == _CLASS
    ]
    stream = io.BytesIO()
    twos[_WHICH].save(stream, "PNG")
    return stream.getvalue()
