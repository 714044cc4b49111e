"""The page itself, as people and their screen readers meet it."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from lolvit.errors import UserError
from lolvit.manifest import Manifest
from lolvit_benchmarks.backends.browser.exchange import no_measurement
from lolvit_benchmarks.backends.browser.server import Address, Site, lan_address, serving
from lolvit_benchmarks.backends.browser.site import (
    PAGE,
    ServedModels,
    job_files,
    page_files,
    runtime_files,
)
from lolvit_benchmarks.harness.prepare import Prepared, default_photo, open_folder
from lolvit_runtimes.predict import Options, open_predictor
from tests.benchmarks.chromium_page import Browser, Page, needs_chromium, needs_runtimes
from tests.benchmarks.trial import CHOOSE_PHOTO, FOUND, ROWS, STATUS

SMALLEST_CONTRAST = 4.5  # WCAG 2.2, level AA, text


@pytest.fixture(scope="module")
def page(chromium_browser: Browser, fast: Path) -> Iterator[Page]:
    """The page without a measurement, with one model and a photo; no runtime is needed to look."""
    models = ServedModels([("fast", open_folder(fast))])
    files = page_files() | models.files() | job_files(models, [], None, None)
    files["photo.png"] = default_photo()
    with serving(Site(files, no_measurement), Address()) as url, chromium_browser.page() as page:
        page.open(url)
        yield page


def themes() -> list[dict[str, str]]:
    """Return the colours of the light theme, and those of the dark one."""
    blocks = re.findall(r":root \{(.*?)\}", (PAGE / "style.css").read_text(), re.DOTALL)
    return [dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", block)) for block in blocks]


def luminance(colour: str) -> float:
    """Return the relative luminance of WCAG 2.2."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return float(np.dot(linear, (0.2126, 0.7152, 0.0722)))


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
def test_text_has_enough_contrast(theme: int) -> None:
    colours = themes()[theme]
    pairs = [*product(("ink", "quiet", "accent", "middle"), ("paper", "panel"))]
    for front, behind in [*pairs, ("on-accent", "accent")]:
        lighter, darker = sorted((luminance(colours[front]), luminance(colours[behind])))[::-1]
        assert (lighter + 0.05) / (darker + 0.05) >= SMALLEST_CONTRAST, (front, behind)


@needs_chromium
@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [320, 360, 1280])
def test_nothing_sticks_out_of_the_window(page: Page, width: int, dark: bool) -> None:
    page.resize(width, 740, dark=dark)
    assert page.evaluate("document.documentElement.scrollWidth") <= width


@needs_chromium
def test_dark_is_dark(page: Page) -> None:
    for dark, colour in ((False, "rgb(255, 255, 255)"), (True, "rgb(15, 19, 24)")):
        page.resize(360, 740, dark=dark)
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == colour


@needs_chromium
def test_every_control_has_a_name_and_results_are_announced(page: Page) -> None:
    page.send("Accessibility.enable")
    nodes = page.send("Accessibility.getFullAXTree")["nodes"]
    controls = {"button", "combobox", "tab", "textbox", "checkbox"}
    found = [node for node in nodes if node["role"]["value"] in controls and not node["ignored"]]
    assert len(found) >= 5
    assert all(node["name"]["value"] for node in found)
    assert any(node["role"]["value"] == "status" for node in nodes)


@needs_chromium
def test_the_tabs_are_walked_with_the_arrows(chromium_browser: Browser, fast: Path) -> None:
    """With a measurement to wait for, both tabs are there."""
    models = ServedModels([("fast", open_folder(fast))])
    files = page_files() | models.files() | job_files(models, [], None, None)
    files["job.json"] = files["job.json"].replace(b'"cases": []', b'"cases": [{"candidates": []}]')  # type: ignore[union-attr]
    with serving(Site(files, no_measurement), Address()) as url, chromium_browser.page() as page:
        page.open(url)
        page.until("!document.getElementById('start').hidden")
        page.evaluate("document.getElementById('tab-bench').focus()")
        for key, seen in (("ArrowRight", "predict"), ("ArrowLeft", "bench")):
            page.press(key)
            assert page.evaluate("document.activeElement.getAttribute('aria-controls')") == seen
            shown = "[...document.querySelectorAll('[role=tabpanel]')].filter((p) => !p.hidden)"
            assert page.evaluate(f"{shown}.map((p) => p.id)") == [seen]
        # A measurement that the server doesn't know ends in a line on the page.
        page.evaluate("document.getElementById('start').click()")
        page.until("document.getElementById('status').textContent.startsWith('Stopped:')")


@needs_chromium
@needs_runtimes
def test_a_photo_gets_the_classes_that_python_finds(chromium_browser: Browser, fast: Path) -> None:
    """Through the page's own controls, in onnxruntime-web."""
    models = ServedModels([("fast", open_folder(fast))])
    files = page_files() | runtime_files() | models.files() | job_files(models, [], None, None)
    files["photo.png"] = default_photo()
    with open_predictor(fast, Options(runtime="ort")) as predictor:
        expected = predictor(default_photo(), top=5).top
    with serving(Site(files, no_measurement), Address()) as url, chromium_browser.page() as page:
        page.open(url)
        page.evaluate(CHOOSE_PHOTO)
        page.until(FOUND)
        rows, status = page.evaluate(ROWS), page.evaluate(STATUS)
    assert rows == [[f"class {one.index}", f"{100 * one.score:.1f} %"] for one in expected]
    assert status.startswith(f"class {expected[0].index}: {100 * expected[0].score:.1f} %.")


@needs_chromium
@needs_runtimes
def test_the_camera_is_classified_until_it_is_stopped(
    chromium_browser: Browser, fast: Path
) -> None:
    models = ServedModels([("fast", open_folder(fast))])
    files = page_files() | runtime_files() | models.files() | job_files(models, [], None, None)
    with serving(Site(files, no_measurement), Address()) as url, chromium_browser.page() as page:
        page.open(url)
        page.evaluate("document.getElementById('camera').click()")
        page.until(FOUND)
        assert not page.evaluate("document.getElementById('video').hidden")
        camera = "document.getElementById('camera')"
        assert page.evaluate(f"{camera}.textContent") == "Stop the camera"
        assert page.evaluate(f"{camera}.getAttribute('aria-pressed')") == "true"
        page.evaluate(f"{camera}.click()")
        assert page.evaluate("document.getElementById('video').hidden")


@needs_chromium
def test_without_a_secure_context_the_page_names_what_needs_one(
    chromium_browser: Browser, fast: Path
) -> None:
    """As another machine of the network sees it by plain http."""
    try:
        host = lan_address()
    except UserError as error:
        pytest.skip(error.line())
    models = ServedModels([("fast", open_folder(fast))])
    files = page_files() | models.files() | job_files(models, [], None, None)
    with (
        serving(Site(files, no_measurement), Address(host)) as url,
        chromium_browser.page() as page,
    ):
        page.open(url)
        assert "no threads: not a secure context" in page.evaluate("document.body.innerText")
        for gpu, threads in (("false", 2), ("true", 1)):
            message = page.evaluate(
                f"""import("./lolvit/engine.js").then(({{ requireSupport }}) =>
                  requireSupport({gpu}, {threads})).catch((error) => error.message)"""
            )
            assert "a secure context: open this page on localhost or by https" in message


@needs_chromium
def test_an_undecodable_photo_is_a_message_on_the_page(page: Page) -> None:
    page.evaluate(
        """(() => {
          const input = document.getElementById("photo");
          const chosen = new DataTransfer();
          chosen.items.add(new File(["text"], "letter.txt"));
          input.files = chosen.files;
          input.dispatchEvent(new Event("change"));
        })()"""
    )
    expected = "this browser can't decode that photo; save it as JPEG or PNG"
    page.until(f'{STATUS} === "letter.txt: {expected}"')


def test_two_files_of_one_folder_are_two_models_and_a_folder_given_twice_is_one(
    fast: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(fast, tmp_path / "fast")
    first = open_folder(folder)
    (artifact,) = first.manifest.artifacts
    shutil.copy(folder / artifact.path, folder / "second.onnx")
    other = artifact.model_copy(update={"path": "second.onnx"})
    second = Prepared(folder, first.manifest.model_copy(update={"artifacts": (other,)}))
    models = ServedModels([("first", first), ("second", second), ("third", open_folder(folder))])
    assert [[one["path"] for one in each["artifacts"]] for each in models.described()] == [
        [artifact.path], ["second.onnx"],
    ]  # fmt: skip
    files = models.files()
    for prepared, path in ((first, artifact.path), (second, "second.onnx")):
        served = models.folder(prepared)
        manifest = Manifest.model_validate_json(files[f"{served}/manifest.json"])
        assert [each.path for each in manifest.artifacts] == [path]
        assert files[f"{served}/{path}"] == folder / path
