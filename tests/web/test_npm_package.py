"""The npm package: its own tests, the guide's five steps in an empty project, and its predictions
there against Python's."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from skimage import data

import lolvit
from lolvit.tasks.classification import Classification
from lolvit.tasks.detection import Detections
from lolvit.tasks.segmentation import SegmentationMap
from lolvit_benchmarks.backends.browser import install
from lolvit_runtimes import self_check
from tests.benchmarks.chromium_page import Page, needs_chromium, opened_page
from tests.benchmarks.trial import CHOOSE_PHOTO
from tests.export.requests import export, request

ROOT = Path(__file__).parents[2]
WEB = ROOT / "web"
GUIDE = ROOT / "docs" / "web.md"
PACKAGE = json.loads((WEB / "package.json").read_text())
SIZE = (64, 96)

needs_npm = pytest.mark.skipif(
    shutil.which("npm") is None or not (WEB / "node_modules" / ".package-lock.json").is_file(),
    reason="npm or web/node_modules is missing; run: make system-deps web-package",
)


@needs_npm
@needs_chromium
def test_the_types_and_the_tests_in_node_and_chromium_pass() -> None:
    done = subprocess.run(["npm", "test"], cwd=WEB, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^# fail 0$", done.stdout, re.MULTILINE)
    assert "tests pass in a headless Chromium" in done.stdout


def test_the_package_has_this_versions_number_and_names_the_tested_runtimes() -> None:
    assert PACKAGE["version"] == lolvit.__version__
    guide = GUIDE.read_text()
    for name, accepted in PACKAGE["peerDependencies"].items():
        tested = install.versions()[name]
        assert accepted == f"^{tested}"
        assert f"{name}@{tested}" in guide
    assert f"lolvit-{PACKAGE['version']}.tgz" in guide


def blocks(language: str, heading: str = "## Into your own app, in five steps") -> list[str]:
    """Return the blocks of a section of the guide."""
    section = re.split(r"\n##+ ", GUIDE.read_text().split(f"\n{heading}\n")[1])[0]
    return re.findall(rf"^```{language}\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)


def run_block(text: str, project: Path) -> None:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = os.environ | {"LOLVIT": str(ROOT), "PATH": path, "npm_config_prefer_offline": "1"}
    done = subprocess.run(
        ["sh", "-ec", text], cwd=project, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty project in which the guide's steps, but for the last, have been taken."""
    project = tmp_path_factory.mktemp("project")
    (project / "package.json").write_text('{"private": true}')
    *commands, _ = blocks("sh")
    for command in commands:
        run_block(command, project)
    (page,), (script,) = blocks("html"), blocks("js")
    (project / "index.html").write_text(page)
    (project / "app.js").write_text(script)
    return project


@pytest.fixture(scope="module")
def photo(project: Path) -> Path:
    path = project / "photo.png"
    Image.fromarray(data.coffee()).save(path)
    return path


@pytest.fixture(scope="module")
def site(project: Path) -> Iterator[str]:
    """The address of the project, served by the guide's last step, on a free port."""
    command = blocks("sh")[-1]
    assert "8000" in command
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = subprocess.Popen(
        ["sh", "-ec", f"exec {command.replace('8000', str(port))}"],
        cwd=project, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        wait_for(port)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait()


def wait_for(port: int) -> None:
    end = time.monotonic() + 30
    while time.monotonic() < end:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return
        except OSError:
            time.sleep(0.05)
    raise AssertionError("the server did not start")


@pytest.fixture(scope="module")
def page(site: str) -> Iterator[Page]:
    """The guide's page in a Chromium."""
    with opened_page() as page:
        page.send("Page.navigate", url=f"{site}/index.html")
        page.until("document.readyState === 'complete' && location.pathname === '/index.html'")
        yield page


@needs_npm
@needs_chromium
@pytest.mark.slow
def test_the_guides_app_shows_what_python_predicts(page: Page, project: Path, photo: Path) -> None:
    page.evaluate(CHOOSE_PHOTO)
    page.until("/: /.test(document.getElementById('status').textContent)")
    label, _, probability = page.evaluate(
        "document.getElementById('status').textContent"
    ).rpartition(": ")
    (folder,) = (project / "models").iterdir()
    with lolvit.load(folder, runtime="ort") as predictor:
        expected = predictor(photo)
    assert isinstance(expected, Classification)
    assert label == expected.top[0].label
    assert float(probability) == pytest.approx(expected.top[0].score, abs=1e-5)


@needs_npm
@pytest.mark.slow
def test_the_archive_holds_modules_and_types_and_nothing_else(project: Path) -> None:
    installed = project / "node_modules" / "lolvit"
    files = {p.relative_to(installed).as_posix() for p in installed.rglob("*") if p.is_file()}
    names = {path.stem for path in (WEB / "src").glob("*.js")}
    assert files == {
        "package.json",
        "README.md",
        "LICENSE",
        *(f"src/{name}.js" for name in names),
        *(f"types/{name}.d.ts" for name in names),
    }


@needs_npm
@pytest.mark.slow
def test_a_typed_app_compiles_against_the_package_and_the_runtimes_own_types(
    project: Path,
) -> None:
    shutil.copy(Path(__file__).with_name("typed_app.ts"), project)
    compiler = WEB / "node_modules" / "typescript" / "bin" / "tsc"
    options = ["--noEmit", "--strict", "--module", "nodenext", "--target", "es2022",
               "--lib", "es2022,dom", "--skipLibCheck"]  # fmt: skip
    command = ["node", str(compiler), *options, "typed_app.ts"]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


@pytest.fixture(scope="module")
def detector(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """LOLViT-XX as a detector in the project: untrained, BatchNorm statistics of photos; with a
    self-check as `lolvit package` writes it for phones."""
    folder, _ = export(
        request(
            tmp_path_factory.mktemp("detector"), task="detection", num_classes=3, size=SIZE,
            targets=("onnx", "tflite"), precisions=("fp32",), labels=("cup", "cat", "cell"),
            resize="letterbox",
        )
    )  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(self_check, "_REFERENCE", {"onnx": "ort", "tflite": "litert"})
        self_check.write_self_check(folder)
    return Path(shutil.copytree(folder, project / "models" / "detector"))


@pytest.fixture(scope="module")
def both_runtimes(page: Page, project: Path, site: str) -> Page:
    """A page with the guide's import maps, of onnxruntime-web and of LiteRT.js."""
    version = install.versions()["@litertjs/core"]
    run_block(f"npm install @litertjs/core@{version}", project)
    imports: dict[str, str] = {}
    for block in (*blocks("html"), *blocks("html", "### LiteRT.js without a bundler")):
        (found,) = re.findall(r'<script type="importmap">(.*?)</script>', block, re.DOTALL)
        imports |= json.loads(found)["imports"]
    document = json.dumps({"imports": imports})
    html = f'<!doctype html><title>Both</title><script type="importmap">{document}</script>'
    (project / "both.html").write_text(html)
    page.send("Page.navigate", url=f"{site}/both.html")
    page.until("document.readyState === 'complete' && location.pathname === '/both.html'")
    return page


IMPORTS = """
  const { Detector, Segmenter, liteRt, onnxRuntime } = await import("lolvit");
  const ort = onnxRuntime(await import("onnxruntime-web/wasm"));
  const litert = liteRt(await import("@litertjs/core"),
    { wasm: "node_modules/@litertjs/core/wasm/" });
  const photo = await (await fetch("photo.png")).blob();
"""


@needs_npm
@needs_chromium
@pytest.mark.slow
@pytest.mark.parametrize("runtime", ["ort", "litert"])
def test_detections_in_the_project_are_pythons(
    both_runtimes: Page, detector: Path, photo: Path, runtime: str
) -> None:
    found, checked = both_runtimes.evaluate(
        f"""(async () => {{{IMPORTS}
          const detector = await Detector.load("models/detector", {runtime});
          await detector.prewarm();
          const {{ objects }} = await detector.predict(photo, {{ score_threshold: 0 }});
          await detector.close();
          return [objects, detector.selfCheck];
        }})()"""
    )
    with lolvit.load(detector, runtime=runtime) as predictor:
        expected = predictor(photo, score_threshold=0.0)
    assert isinstance(expected, Detections)
    assert len(expected.objects) > 20
    assert checked["min_snr_db"] == 60
    assert checked["snr_db"] > 100
    compare_detections(found, expected)


@pytest.fixture(scope="module")
def segmenter(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """LOLViT-XX as a segmentation model in the project, untrained likewise."""
    folder, _ = export(
        request(
            tmp_path_factory.mktemp("segmenter"), task="segmentation", num_classes=5, size=SIZE,
            targets=("onnx",), precisions=("fp32",),
        )
    )  # fmt: skip
    return Path(shutil.copytree(folder, project / "models" / "segmenter"))


@needs_npm
@needs_chromium
@pytest.mark.slow
def test_a_map_of_classes_in_the_project_is_pythons(
    both_runtimes: Page, segmenter: Path, photo: Path
) -> None:
    width, height, classes = both_runtimes.evaluate(
        f"""(async () => {{{IMPORTS}
          const segmenter = await Segmenter.load("models/segmenter", ort);
          const {{ width, height, classes }} = await segmenter.predict(photo);
          await segmenter.close();
          return [width, height, Array.from(classes)];
        }})()"""
    )
    with lolvit.load(segmenter, runtime="ort") as predictor:
        expected = predictor(photo)
    assert isinstance(expected, SegmentationMap)
    assert (height, width) == expected.classes.shape
    assert len(expected.shares()) >= 2  # else any map would do
    differ = np.asarray(classes) != expected.classes.ravel()
    assert differ.mean() < 1e-4  # the browser's kernels round otherwise, which turns near ties


def compare_detections(found: list[dict[str, Any]], expected: Detections) -> None:
    """Scores that differ by rounding may be in another order."""
    assert len(found) == len(expected.objects)
    left = [
        (
            one["label"],
            one["score"],
            [one["box"][side] for side in ("left", "top", "right", "bottom")],
        )
        for one in found
    ]
    for python in expected.objects:
        same = [
            each
            for each in left
            if each[0] == python.label
            and each[1] == pytest.approx(python.score, abs=1e-5)
            and each[2] == pytest.approx(python.box, abs=1e-2)
        ]
        assert same, python
        left.remove(same[0])
