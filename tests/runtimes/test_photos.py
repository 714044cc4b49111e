"""Photos of every kind become upright 8-bit RGB; what is no photo becomes one line."""

from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from lolvit.errors import UserError
from lolvit_runtimes.photos import load_photo


@pytest.fixture(scope="module")
def photo(photos) -> Image.Image:
    return photos["chelsea"].resize((60, 40))


def saved(image: Image.Image, path: Path, **options: object) -> Path:
    image.save(path, **options)
    return path


# What each EXIF orientation means: how to turn the stored photo upright.
UPRIGHT = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),
    8: lambda a: np.rot90(a, 1),
}


@pytest.mark.parametrize("orientation", UPRIGHT)
def test_exif_orientation_is_honoured(photo, tmp_path, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    loaded = load_photo(saved(photo, tmp_path / "p.png", exif=exif))
    np.testing.assert_array_equal(np.asarray(loaded), UPRIGHT[orientation](np.asarray(photo)))


def test_transparency_is_dropped_and_colours_stay(photo, tmp_path):
    transparent = photo.copy()
    transparent.putalpha(0)
    loaded = load_photo(saved(transparent, tmp_path / "p.png"))
    assert loaded.mode == "RGB"
    np.testing.assert_array_equal(np.asarray(loaded), np.asarray(photo))


@pytest.mark.parametrize("mode", ["L", "LA", "1", "P", "PA", "CMYK", "RGBA", "YCbCr"])
def test_modes_become_what_pillow_converts_them_to(photo, mode):
    converted = photo.convert(mode)
    loaded = load_photo(converted)
    assert loaded.mode == "RGB"
    np.testing.assert_array_equal(np.asarray(loaded), np.asarray(converted.convert("RGB")))


def test_a_cmyk_jpeg_keeps_its_colours(photo, tmp_path):
    loaded = load_photo(saved(photo.convert("CMYK"), tmp_path / "p.jpg", quality=95))
    difference = np.abs(np.asarray(loaded, int) - np.asarray(photo, int))
    assert difference.mean() < 6


@pytest.mark.parametrize("suffix", ["png", "tif", "pgm"])
def test_16_bit_grey_is_scaled_and_not_clipped(tmp_path, suffix):
    levels = np.linspace(0, 65535, 64 * 48).astype(np.uint16).reshape(48, 64)
    loaded = np.asarray(load_photo(saved(Image.fromarray(levels), tmp_path / f"p.{suffix}")))
    expected = np.rint(levels / 257).astype(np.uint8)
    for channel in range(3):
        np.testing.assert_allclose(loaded[..., channel].astype(int), expected, atol=1)
    assert len(np.unique(loaded)) == 256


def test_float_and_32_bit_levels_are_rejected():
    with pytest.raises(UserError, match="floats"):
        load_photo(Image.fromarray(np.ones((4, 4), np.float32)))
    with pytest.raises(UserError, match="exceed 16 bits"):
        load_photo(Image.fromarray(np.full((4, 4), 1 << 20, np.int32)))


def test_the_first_frame_of_an_animation_counts(photo, tmp_path):
    black = Image.new("RGB", photo.size)
    path = saved(photo, tmp_path / "p.webp", save_all=True, append_images=[black], lossless=True)
    np.testing.assert_array_equal(np.asarray(load_photo(path)), np.asarray(photo))


def png_header(width: int, height: int) -> bytes:
    body = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", len(body)) + b"IHDR" + body
    return b"\x89PNG\r\n\x1a\n" + chunk + struct.pack(">I", zlib.crc32(b"IHDR" + body))


BAD_FILES = {
    "empty": b"",
    "text": b"not a photo",
    "header only": b"\x89PNG\r\n\x1a\n",
    "bomb": png_header(60_000, 60_000),
    "no pixels": png_header(10, 10),
    "program for another program": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
}


def test_a_photo_beyond_pillows_limit_is_named_with_the_limit(tmp_path):
    path = saved(Image.new("1", (14_000, 13_000)), tmp_path / "p.png")
    with pytest.raises(UserError, match="scale it down to at most 178 megapixels"):
        load_photo(path)


@pytest.mark.parametrize("content", BAD_FILES.values(), ids=BAD_FILES)
def test_what_is_no_photo_is_one_line_that_names_the_file(tmp_path, content):
    path = tmp_path / "p.png"
    path.write_bytes(content)
    with pytest.raises(UserError) as caught:
        load_photo(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_a_folder_and_a_pipe_are_rejected_at_once(tmp_path):
    with pytest.raises(UserError, match="no such photo"):
        load_photo(tmp_path / "absent.png")
    with pytest.raises(UserError, match="not a file"):
        load_photo(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UserError, match="not a file"):
        load_photo(tmp_path / "pipe")


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "gif", "tif", "bmp"])
def test_a_truncated_photo_is_rejected(photo, tmp_path, suffix):
    path = saved(photo, tmp_path / f"p.{suffix}")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(UserError, match=r"cannot be decoded|not a photo"):
        load_photo(path)


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data(), suffix=st.sampled_from(["png", "jpg", "webp", "gif", "tif"]))
def test_a_mutated_photo_loads_or_is_one_line(photo, tmp_path, data, suffix):
    exif = Image.Exif()
    exif[0x0112] = 6
    content = bytearray(saved(photo, tmp_path / f"p.{suffix}", exif=exif).read_bytes())
    for _ in range(data.draw(st.integers(1, 8))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    mutated = tmp_path / f"m.{suffix}"
    mutated.write_bytes(content)
    try:
        assert load_photo(mutated).mode == "RGB"
    except UserError as error:
        assert "\n" not in str(error)
