"""Photos and the camera in the page: what each task shows, and what is said of bad input."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lolvit.manifest import MANIFEST_NAME
from lolvit.tasks.detection import Detections
from lolvit.tasks.segmentation import SegmentationMap
from lolvit_benchmarks.backends.browser.site import PAGE
from lolvit_benchmarks.harness.prepare import default_photo
from lolvit_runtimes.predict import Options, open_predictor
from tests.benchmarks import tiny
from tests.benchmarks.chromium_page import Browser, Page, needs_chromium, needs_runtimes
from tests.benchmarks.trial import FOUND, ROWS, STATUS, Files, choose_photo, files_of, opened

pytestmark = [needs_chromium, needs_runtimes]

HOSTILE = (
    '<img src=x onerror="window.hacked = true">',
    "<script>window.hacked = true</script>",
    "\u202e" + "very long " * 30,
)
MANIFEST = f"models/0/{MANIFEST_NAME}"
ARTIFACT = "models/0/model-fp32.onnx"


@pytest.fixture(scope="module")
def detector(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A detector, whose labels would become a part of the page if they were markup."""
    folder = tmp_path_factory.mktemp("models") / "detector"
    return tiny.make_dense_folder(folder, "detection", HOSTILE)


@pytest.fixture(scope="module")
def segmenter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "segmenter"
    return tiny.make_dense_folder(folder, "segmentation", HOSTILE)


def predicted(folder: Path) -> Any:
    """Return Python's prediction for the photo."""
    with open_predictor(folder, Options(runtime="ort")) as predictor:
        return predictor(default_photo())


def picture(page: Page) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Return the pixels of the drawn photo, (height, width, 3)."""
    height, width, data = page.evaluate(
        """(() => {
          const canvas = document.getElementById("picture");
          const { width, height } = canvas;
          const { data } = canvas.getContext("2d").getImageData(0, 0, width, height);
          return [height, width, Array.from(data)];
        })()"""
    )
    return np.array(data, np.uint8).reshape(height, width, 4)[..., :3]


def test_objects_are_those_of_python_and_their_boxes_are_drawn(
    chromium_browser: Browser, detector: Path
) -> None:
    expected = predicted(detector)
    assert isinstance(expected, Detections)
    assert len(expected.objects) > 20
    with opened(chromium_browser, files_of(detector)) as page:
        status = choose_photo(page)
        rows, drawn = page.evaluate(ROWS), picture(page)
        caption = page.evaluate("document.getElementById('found-caption').textContent")
    assert status.startswith(f"{len(expected.objects)} objects. The artifact took ")
    assert caption == f"Objects: the first 20 of {len(expected.objects)}"
    shown = [[" ".join(str(e.label).split()), f"{e.score:.2f}"] for e in expected.objects[:20]]
    assert [[" ".join(label.split()), score] for label, score in rows] == shown
    photo = np.asarray(Image.open(default_photo()).convert("RGB"))
    assert drawn.shape == photo.shape
    best = expected.objects[0]
    left, _, right, bottom = (round(side) for side in best.box)
    below = drawn[bottom - 1, (left + right) // 2].astype(int)
    assert np.abs(below - expected.colors[best.index]).max() <= 2  # over all others


def test_the_classes_of_pixels_are_those_of_python_and_tint_the_photo(
    chromium_browser: Browser, segmenter: Path
) -> None:
    expected = predicted(segmenter)
    assert isinstance(expected, SegmentationMap)
    assert len(expected.shares()) > 1
    with opened(chromium_browser, files_of(segmenter)) as page:
        status = choose_photo(page)
        rows, drawn = page.evaluate(ROWS), picture(page)
    assert status.startswith(f"{len(expected.shares())} classes. ")
    assert [value for _, value in rows] == [f"{100 * s:.1f} %" for s in expected.shares().values()]
    photo = Image.open(default_photo()).convert("RGB")
    pythons = np.asarray(expected.draw(photo), int)
    assert np.mean(np.abs(drawn - pythons).max(2) <= 2) > 0.999


def test_labels_are_text_whatever_they_contain(chromium_browser: Browser, detector: Path) -> None:
    with opened(chromium_browser, files_of(detector)) as page:
        choose_photo(page)
        assert page.evaluate(FOUND)
        assert page.evaluate("document.querySelectorAll('#found img, #found script').length") == 0
        text = page.evaluate("document.getElementById('found').textContent")
        assert HOSTILE[0] in text or HOSTILE[1] in text
        assert page.evaluate("'hacked' in window") is False
        for width in (390, 1280):
            page.resize(width, 800)
            assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_the_camera_shows_the_frame_with_its_boxes_until_it_is_stopped(
    chromium_browser: Browser, detector: Path
) -> None:
    with opened(chromium_browser, files_of(detector)) as page:
        page.evaluate("document.getElementById('camera').click()")
        page.until(FOUND)
        page.until("document.getElementById('video').hidden")  # boxes are on their own frame
        page.evaluate("window.first = document.getElementById('picture').toDataURL()")
        page.until("document.getElementById('picture').toDataURL() !== window.first")
        page.evaluate("document.getElementById('camera').click()")
        assert page.evaluate("document.getElementById('camera').textContent") == "Start the camera"


def changed(name: str, change: Callable[[dict[str, Any]], Any]) -> Callable[[Files], None]:
    """Return a function that changes a served JSON document."""

    def apply(files: Files) -> None:
        content = files[name]
        assert isinstance(content, bytes)
        document = json.loads(content)
        change(document)
        files[name] = json.dumps(document).encode()

    return apply


def another_shape(document: dict[str, Any]) -> None:
    for owner in (document["signature"], document["artifacts"][0]):
        owner["inputs"][0]["shape"] = [1, 3, 48, 48]


def without(name: str) -> Callable[[Files], None]:
    return lambda files: files.pop(name) and None


def truncated(files: Files) -> None:
    path = files[ARTIFACT]
    assert isinstance(path, Path)
    files[ARTIFACT] = path.read_bytes()[:-100]


def in_worker(script: str) -> Callable[[Files], None]:
    """Return a function that runs a script in the page's worker before everything else."""

    def apply(files: Files) -> None:
        files["worker.js"] = f"{script}\n{(PAGE / 'worker.js').read_text()}".encode()

    return apply


NO_GPU = "Object.defineProperty(navigator, 'gpu', { value: undefined });"
NO_MEMORY = (
    "WebAssembly.Memory = class { constructor() { throw new RangeError("
    "'WebAssembly.Memory(): could not allocate memory'); } };"
)
BAD_INPUT: dict[str, tuple[str, Callable[[Files], None], str, str]] = {
    "no manifest": (
        "", without(MANIFEST), "no manifest.json here", "export the model into this folder",
    ),
    "a manifest of a newer version": (
        "", changed(MANIFEST, lambda document: document.update(schema_version=3)),
        f"{MANIFEST}: schema version 3, this app reads 1 and 2", "export the model with",
    ),
    "an unknown task": (
        "", changed(MANIFEST, lambda document: document.update(task="tensors")),
        f"{MANIFEST}: task 'tensors', this app runs classification, detection, segmentation",
        "choose such a model",
    ),
    "a manifest without a field": (
        "", changed(MANIFEST, lambda document: document.pop("weights")),
        f"{MANIFEST}: weights is not an object", "export the model again",
    ),
    "no artifact": (
        "", without(ARTIFACT), f"{ARTIFACT}: missing (404", "put the exported file there",
    ),
    "a truncated artifact": ("", truncated, "bytes instead of", "export the model again"),
    "a manifest that is not the model's": (
        "", changed(MANIFEST, another_shape), "its manifest has float32 'image' of 1x3x48x48",
        "export the model again",
    ),
    "no WebAssembly": (
        "", in_worker("delete self.WebAssembly;"), "this browser has no WebAssembly",
        "use another browser",
    ),
    "no WebGPU": (
        "ort-web-webgpu", in_worker(NO_GPU), "this browser offers no WebGPU",
        "choose an engine on the CPU",
    ),
    "no memory": ("", in_worker(NO_MEMORY), "not enough memory for ", "close other tabs"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD_INPUT)
def test_bad_input_is_a_message_with_the_remedy_on_the_page(
    chromium_browser: Browser, fast: Path, case: str
) -> None:
    runtime, change, problem, remedy = BAD_INPUT[case]
    files = files_of(fast)
    change(files)
    with opened(chromium_browser, files) as page:
        status = choose_photo(page, runtime)
        assert problem in status
        assert remedy in status
        assert "http" not in status  # the address has the token
        assert not page.evaluate(FOUND)


def test_after_bad_input_a_good_photo_is_shown(chromium_browser: Browser, fast: Path) -> None:
    files = files_of(fast)
    with opened(chromium_browser, files) as page:
        good = files["photo.png"]
        files["photo.png"] = b"no photo"
        assert choose_photo(page) == (
            "photo.png: this browser can't decode that photo; save it as JPEG or PNG"
        )
        files["photo.png"] = good
        page.evaluate("document.getElementById('predict-status').textContent = 'Loading'")
        choose_photo(page)
        page.until(FOUND)
        assert "The artifact took" in page.evaluate(STATUS)
