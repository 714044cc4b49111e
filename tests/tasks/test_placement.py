"""Where a photo lies in a model's input, for each way to fit it."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError

from lolvit.manifest import Preprocessing
from lolvit_runtimes.preprocessing import placement_of, to_pixels

PHOTOS = [(150, 200), (200, 150), (64, 96), (37, 301), (1, 1)]
SIZE = (64, 96)


def fitted(resize: str, crop_pct: float = 1.0) -> Preprocessing:
    return Preprocessing.model_validate(
        {"size": SIZE, "resize": resize, "crop_pct": crop_pct, "interpolation": "bilinear",
         "mean": (0.5,) * 3, "std": (0.5,) * 3}
    )  # fmt: skip


@pytest.mark.parametrize("photo", PHOTOS)
@pytest.mark.parametrize(("resize", "crop_pct"), [("stretch", 1), ("letterbox", 1), ("crop", 0.9)])
def test_boxes_come_back_from_the_input(
    photo: tuple[int, int], resize: str, crop_pct: float
) -> None:
    place = placement_of(photo, fitted(resize, crop_pct))
    middle = np.array([[0.45, 0.45, 0.55, 0.55]]) * np.array([photo[1], photo[0]] * 2)
    back = place.boxes_on_photo(place.boxes_on_input(middle))
    np.testing.assert_allclose(back, middle, atol=1e-9)


def test_a_square_lies_in_the_pixels_where_its_placement_says() -> None:
    photo = np.zeros((150, 200, 3), np.uint8)
    photo[30:120, 50:150] = 255
    for resize in ("stretch", "letterbox", "crop"):
        preprocessing = fitted(resize)
        pixels = to_pixels(Image.fromarray(photo), preprocessing)
        place = placement_of((150, 200), preprocessing)
        left, top, right, bottom = place.boxes_on_input(np.array([[50.0, 30, 150, 120]]))[0]
        bright = np.argwhere(pixels[..., 0] > 192)
        assert np.abs(bright.min(0) - (top, left)).max() <= 1.5
        assert np.abs(bright.max(0) + 1 - (bottom, right)).max() <= 1.5


def test_a_letterbox_pads_with_grey_and_keeps_the_aspect_ratio() -> None:
    pixels = to_pixels(Image.new("RGB", (100, 200), "red"), fitted("letterbox"))
    assert pixels.shape == (64, 96, 3)
    assert (pixels[:, :32] == 128).all() and (pixels[:, 64:] == 128).all()
    assert (pixels[:, 32:64] == (255, 0, 0)).all()


def test_a_stretch_is_pillows_resize() -> None:
    photo = Image.effect_noise((200, 150), 90).convert("RGB")
    expected = np.asarray(photo.resize((96, 64), Image.Resampling.BILINEAR))
    np.testing.assert_array_equal(to_pixels(photo, fitted("stretch")), expected)


def test_a_letterbox_has_no_crop_pct() -> None:
    with pytest.raises(ValidationError, match="crops nothing"):
        fitted("letterbox", 0.9)


def test_the_centre_of_a_stretched_photo_is_placed_where_it_was_cropped() -> None:
    photo = Image.effect_noise((200, 150), 90).convert("RGB")
    preprocessing = fitted("stretch", 0.8)
    box = photo.resize((120, 80), Image.Resampling.BILINEAR).crop((12, 8, 108, 72))
    np.testing.assert_array_equal(to_pixels(photo, preprocessing), np.asarray(box))
    place = placement_of((150, 200), preprocessing)
    assert (place.resized, place.offset) == ((80, 120), (8, 12))
