"""Photos in the browser against the same photos in Python, pixel by pixel."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lolvit.manifest import Preprocessing, TensorSpec
from lolvit_benchmarks.backends.browser.exchange import no_measurement
from lolvit_benchmarks.backends.browser.server import Address, Site, serving
from lolvit_benchmarks.backends.browser.site import ServedModels, job_files, page_files
from lolvit_benchmarks.harness.prepare import default_photo, open_folder
from lolvit_runtimes.photos import load_encoded
from lolvit_runtimes.preprocessing import placement_of, to_input, to_pixels
from tests.benchmarks.chromium_page import Browser, Page, needs_chromium

pytestmark = needs_chromium

ORIENTATION = 274
_IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
PREPROCESSES = {
    "square": Preprocessing(size=(256, 256), crop_pct=1.0, **_IMAGENET),
    "wide": Preprocessing(size=(192, 320), crop_pct=0.9, **_IMAGENET),
    "bilinear": Preprocessing(
        size=(224, 224), crop_pct=0.875, interpolation="bilinear", **_IMAGENET
    ),
    "stretched": Preprocessing(size=(96, 128), resize="stretch", crop_pct=0.95, **_IMAGENET),
    "padded": Preprocessing(size=(97, 64), crop_pct=1.15, **_IMAGENET),
    "letterboxed": Preprocessing(
        size=(96, 128), resize="letterbox", crop_pct=1, interpolation="bilinear", **_IMAGENET
    ),
    "grey": Preprocessing(size=(64, 96), crop_pct=0.9, mean=(0.5,), std=(0.25,), color="L"),
}


def _encoded(image: Image.Image, format: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, format, **options)
    return stream.getvalue()


def _turned(image: Image.Image, orientation: int) -> bytes:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    return _encoded(image, "JPEG", quality=92, exif=exif.tobytes())


def _with_alpha(image: Image.Image) -> Image.Image:
    """Give every pixel a random transparency: zero too, where a canvas forgets the colour."""
    alpha = np.random.default_rng(0).integers(0, 256, (image.height, image.width), np.uint8)
    alpha[:50] = 0
    made = image.copy()
    made.putalpha(Image.fromarray(alpha))
    return made


def _photos() -> dict[str, bytes]:
    data = default_photo().parent
    photo = Image.open(data / "astronaut.png").convert("RGB")
    noise = np.random.default_rng(1).integers(0, 256, (203, 311, 3), np.uint8)
    return {
        "astronaut.png": (data / "astronaut.png").read_bytes(),
        "coffee.png": (data / "coffee.png").read_bytes(),
        "rocket.jpg": (data / "rocket.jpg").read_bytes(),
        "odd sizes, 4:4:4": _encoded(
            photo.crop((3, 5, 340, 298)), "JPEG", quality=95, subsampling=0
        ),
        "odd sizes, 4:2:0": _encoded(
            photo.crop((3, 5, 340, 298)), "JPEG", quality=75, subsampling=2
        ),
        "grey JPEG": _encoded(photo.convert("L").resize((77, 131)), "JPEG", quality=90),
        "grey PNG": _encoded(photo.convert("L"), "PNG"),
        "palette": _encoded(photo.convert("P"), "PNG"),
        "smaller than the crop": _encoded(photo.resize((31, 17)), "PNG"),
        "noise": _encoded(Image.fromarray(noise), "PNG"),
        "tall noise": _encoded(Image.fromarray(noise).resize((97, 411)), "PNG"),
        "transparent": _encoded(_with_alpha(photo), "PNG"),
        "transparent grey": _encoded(_with_alpha(photo.convert("L")), "PNG"),
        "WebP": _encoded(photo.crop((0, 0, 301, 200)), "WEBP", quality=80),
    } | {f"EXIF {o}": _turned(photo.crop((0, 0, 400, 300)), o) for o in range(2, 9)}


PHOTOS = _photos()


@pytest.fixture(scope="module")
def page(chromium_browser: Browser, fast: Path) -> Iterator[Page]:
    """The page, with the photos beside it."""
    models = ServedModels([("fast", open_folder(fast))])
    files = page_files() | models.files() | job_files(models, [], None, None)
    files |= {f"photos/{number}": data for number, data in enumerate(PHOTOS.values())}
    with serving(Site(files, no_measurement), Address()) as url, chromium_browser.page() as page:
        page.open(url)
        yield page


def pixels_of_page(page: Page, name: str, preprocess: Preprocessing) -> np.ndarray:
    """Return the crop that the page makes: uint8 of shape (H, W, channels)."""
    number = list(PHOTOS).index(name)
    height, width, data = page.evaluate(
        f"""import("./lolvit/index.js").then(async ({{ Photo, toPixels }}) => {{
          const photo = await Photo.from(await (await fetch("photos/{number}")).blob());
          const {{ height, width, rgb }} = toPixels(photo, {preprocess.model_dump_json()});
          let text = "";
          for (const value of rgb) text += String.fromCharCode(value);
          return [height, width, btoa(text)];
        }})"""
    )
    rgb = np.frombuffer(base64.b64decode(data), np.uint8).reshape(height, width, 3)
    return rgb[..., : preprocess.channels]


@pytest.mark.parametrize("preprocess", PREPROCESSES)
@pytest.mark.parametrize("name", PHOTOS)
def test_a_photo_has_the_pixels_that_python_gives_it(
    page: Page, name: str, preprocess: str
) -> None:
    settings = PREPROCESSES[preprocess]
    expected = to_pixels(load_encoded(PHOTOS[name], name, settings.color), settings)
    found = pixels_of_page(page, name, PREPROCESSES[preprocess])
    assert found.shape == expected.shape
    assert np.abs(found.astype(int) - expected.astype(int)).max() <= 1


def test_resizing_itself_is_exact(page: Page) -> None:
    """Decoders may round otherwise; of the same decoded pixels, every one is Pillow's."""
    for name in ("noise", "tall noise"):
        for preprocess in PREPROCESSES.values():
            expected = to_pixels(load_encoded(PHOTOS[name], name, preprocess.color), preprocess)
            assert (pixels_of_page(page, name, preprocess) == expected).all()


def test_sizes_are_those_of_python_for_any_photo(page: Page) -> None:
    generator = np.random.default_rng(2)
    photos = [*generator.integers(1, 5000, (300, 2)).tolist(), [1, 5000], [5000, 1], [256, 256]]
    for preprocess in PREPROCESSES.values():
        found = page.evaluate(
            f"""import("./lolvit/index.js").then(({{ placementOf }}) =>
              {photos}.map((photo) => placementOf(photo, {preprocess.model_dump_json()})))"""
        )
        expected = [placement_of((h, w), preprocess) for h, w in photos]
        assert [(tuple(p["resized"]), tuple(p["offset"])) for p in found] == [
            (p.resized, p.offset) for p in expected
        ]


@pytest.mark.parametrize("name", ["square", "grey"])
@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_values_are_those_of_python_to_the_last_bit(page: Page, layout: str, name: str) -> None:
    preprocess = PREPROCESSES[name]
    channels = preprocess.channels
    shape = (1, channels, 256, 256) if layout == "NCHW" else (1, 256, 256, channels)
    spec = TensorSpec(name="image", shape=shape, layout=layout, meaning="normalized")  # type: ignore[arg-type]
    levels = np.random.default_rng(3).integers(0, 256, (256, 256, channels), np.uint8)
    pixels = np.repeat(levels, 3 // channels, axis=2)
    found = page.evaluate(
        f"""import("./lolvit/index.js").then(({{ toInput }}) => {{
          const bytes = atob("{base64.b64encode(pixels.tobytes()).decode()}");
          const rgb = Uint8Array.from(bytes, (c) => c.charCodeAt(0));
          const values = toInput({{ height: 256, width: 256, rgb }},
            {preprocess.model_dump_json()}, {spec.model_dump_json()});
          let text = "";
          for (const value of new Uint8Array(values.buffer)) text += String.fromCharCode(value);
          return btoa(text);
        }})"""
    )
    expected = to_input(levels, preprocess, spec)
    assert np.frombuffer(base64.b64decode(found), np.float32).tobytes() == expected.tobytes()
