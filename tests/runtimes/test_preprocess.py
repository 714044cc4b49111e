"""Preprocessing from the manifest is the training framework's evaluation transform."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image
from timm.data import create_transform

from lolvit.errors import UserError
from lolvit.manifest import Preprocessing, TensorSpec
from lolvit_runtimes.photos import load_photo
from lolvit_runtimes.preprocessing import normalize, resized_size, to_input, to_pixels
from tests.vectors import preprocessing_vectors

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
SIZES = [(224, 224), (256, 256), (192, 320), (320, 192), (64, 64), (65, 97)]


# timm's names of the ways to fit a photo into the input
CROP_MODES = {"crop": "center", "stretch": "squash"}


def settings(size, crop_pct=0.875, interpolation="bicubic", resize="crop") -> Preprocessing:
    return Preprocessing(
        size=size, resize=resize, crop_pct=crop_pct, interpolation=interpolation, mean=MEAN, std=STD
    )


def timm_input(photo: Image.Image, preprocessing: Preprocessing) -> np.ndarray:
    transform = create_transform(
        preprocessing.size,
        is_training=False,
        crop_pct=preprocessing.crop_pct,
        crop_mode=CROP_MODES[preprocessing.resize],
        interpolation=preprocessing.interpolation,
        mean=preprocessing.mean,
        std=preprocessing.std,
    )
    return transform(photo).numpy()[np.newaxis]


@pytest.mark.parametrize("resize", CROP_MODES)
@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
@pytest.mark.parametrize("crop_pct", [1.0, 0.9, 0.875, 1.15])
@pytest.mark.parametrize("size", SIZES)
def test_inputs_equal_timm_on_photos(photos, size, crop_pct, interpolation, resize):
    preprocessing = settings(size, crop_pct, interpolation, resize)
    assert len(photos) >= 8
    for photo in photos.values():
        found = normalize(to_pixels(load_photo(photo), preprocessing), preprocessing)
        np.testing.assert_array_equal(found, timm_input(photo, preprocessing))


@pytest.mark.parametrize(("resize", "crop_pct"), [("crop", 0.875), ("crop", 1.3), ("stretch", 0.9)])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("photo_size", [(17, 40), (40, 17), (301, 31), (31, 301), (1, 1), (64, 64)])
def test_inputs_equal_timm_when_a_small_photo_is_enlarged(
    photos, size, photo_size, resize, crop_pct
):
    photo = photos["coffee"].resize(photo_size)
    preprocessing = settings(size, crop_pct, resize=resize)
    found = normalize(to_pixels(photo, preprocessing), preprocessing)
    np.testing.assert_array_equal(found, timm_input(photo, preprocessing))


def test_a_photo_always_covers_the_crop():
    for height in range(1, 90, 7):
        for width in range(1, 90, 7):
            for size in SIZES:
                found = resized_size((height, width), settings(size, 1.0))
                assert found[0] >= size[0]
                assert found[1] >= size[1]


def test_an_elongated_photo_is_rejected_before_memory_is_spent():
    with pytest.raises(UserError, match="too elongated"):
        to_pixels(Image.new("RGB", (60_000, 1)), settings((224, 224)))


def spec(layout="NCHW", meaning="normalized", dtype="float32", shape=(1, 3, 64, 32)) -> TensorSpec:
    return TensorSpec(name="image", shape=shape, dtype=dtype, layout=layout, meaning=meaning)


def test_layouts_hold_the_same_values(photos):
    preprocessing = settings((64, 32))
    pixels = to_pixels(photos["chelsea"], preprocessing)
    planar = to_input(pixels, preprocessing, spec())
    interleaved = to_input(pixels, preprocessing, spec("NHWC", shape=(1, 64, 32, 3)))
    np.testing.assert_array_equal(interleaved, planar.transpose(0, 2, 3, 1))
    assert interleaved.flags.c_contiguous


@pytest.mark.parametrize("dtype", ["float32", "float16", "uint8"])
def test_pixel_inputs_are_the_crop_itself(photos, dtype):
    preprocessing = settings((64, 32))
    pixels = to_pixels(photos["chelsea"], preprocessing)
    found = to_input(pixels, preprocessing, spec("NHWC", "pixels", dtype, (1, 64, 32, 3)))
    assert found.dtype == dtype
    np.testing.assert_array_equal(found[0], pixels)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (spec(shape=(1, 3, 32, 32)), "shape"),
        (spec(dtype="int8"), "takes normalized values as int8"),
        (spec(meaning="pixels", dtype="int8"), "takes pixels values as int8"),
        (spec(meaning="logits"), "takes logits values"),
    ],
)
def test_a_manifest_that_contradicts_itself_is_rejected(photos, wrong, message):
    preprocessing = settings((64, 32))
    with pytest.raises(UserError, match=message):
        to_input(to_pixels(photos["chelsea"], preprocessing), preprocessing, wrong)


def test_vectors_for_other_languages_are_what_this_one_computes() -> None:
    written = json.loads(preprocessing_vectors.PATH.read_text())
    assert json.loads(json.dumps(preprocessing_vectors.vectors())) == written
