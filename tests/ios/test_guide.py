"""The guide's steps, run as they stand there, make an empty Swift package classify as Python
does."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lolvit
from lolvit.manifest import read_manifest
from lolvit.system.swift import command, environment
from lolvit_data.bundled import bundled_photo
from lolvit_runtimes import package_command
from lolvit_runtimes.photos import bundled_photo_path, load_photo
from lolvit_runtimes.preprocessing import to_pixels
from tests.guides import steps
from tests.ios.parts import parse, require_swift

ROOT = Path(__file__).parents[2]
PAGE = "ios.md"
FOLDER, ARTIFACT = "lolvit_x-256x256", "model-fp16.mlpackage"
PACKAGE = """\
// swift-tools-version: 6.0
import PackageDescription

let package = Package(
    name: "Photos", platforms: [.iOS(.v16), .macOS(.v13)],
    targets: [.executableTarget(name: "Photos")])

"""


def follow(project: Path) -> None:
    """Follow the guide, with its own blocks, in the folder of an app that is a Swift package."""
    sources = project / "Sources" / "Photos"
    sources.mkdir(parents=True)
    (project / "Package.swift").write_text(PACKAGE)
    paths = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    for block in steps(PAGE, "sh"):
        subprocess.run(
            ["sh", "-ec", block.text], cwd=project, check=True, stdout=subprocess.DEVNULL,
            env={**os.environ, "LOLVIT": str(ROOT), "PATH": paths},
        )  # fmt: skip
    dependencies, classifier, _ = steps(PAGE, "swift")
    with (project / "Package.swift").open("a") as file:
        file.write(dependencies.text)
    (sources / "PhotoClassifier.swift").write_text(classifier.text)


def as_text(array: np.ndarray[Any, Any]) -> str:
    return base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()


def write_fixture(fixtures: Path, model: Path) -> dict[str, Any]:
    """Write a photo, its pixels, and the model's inputs and outputs for it and for the photo of the
    self-check; return Python's first class."""
    fixtures.mkdir()
    bundled_photo("coffee").save(fixtures / "photo.jpg", quality=92)
    photos = [load_photo(fixtures / "photo.jpg"), load_photo(bundled_photo_path())]
    with lolvit.load(model / ARTIFACT, runtime="coreml-reference") as predictor:
        cases = []
        for photo in photos:
            (logits,) = predictor.outputs(predictor.prepare(photo).inputs).values()
            pixels = to_pixels(photo, predictor.preprocessing)
            cases.append({"input": as_text(pixels), "logits": logits.ravel().tolist()})
        best = predictor(photos[0]).as_document()["top"][0]
    document = {
        "folder": FOLDER, "artifact": ARTIFACT, "cases": cases, "height": photos[0].height,
        "width": photos[0].width, "rgb": as_text(np.asarray(photos[0])),
    }  # fmt: skip
    (fixtures / "fixture.json").write_text(json.dumps(document))
    return dict(best)


def run_in_swift(project: Path, fixtures: Path) -> dict[str, Any]:
    """Compile the app with stubs of Apple's frameworks, and run it; return what it shows."""
    main = Path(__file__).with_name("GuideMain.swift").read_text()
    (project / "Sources" / "Photos" / "main.swift").write_text(main)
    script = (
        "cd /project && export LOLVIT_STUBS=1 && swift build --scratch-path /guide"
        " && /guide/debug/Photos /fixtures"
    )
    build = project.parent / "build"
    build.mkdir()
    folders = {"/project": project, "/fixtures": fixtures, "/guide": build}
    ended = subprocess.run(
        command(script, folders=folders), env=environment(), capture_output=True, text=True,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stdout[-4000:] + ended.stderr[-4000:]
    return dict(json.loads((fixtures / "shown.json").read_text()))


@pytest.mark.slow
def test_followed_in_an_empty_package_it_gives_pythons_answer(tmp_path):
    require_swift()
    follow(tmp_path / "project")
    model = tmp_path / "project/LOLViTModels/Sources/LOLViTModels/lolvit" / FOLDER
    best = write_fixture(tmp_path / "fixtures", model)
    shown = run_in_swift(tmp_path / "project", tmp_path / "fixtures")
    print(f"Swift: {shown}; Python: {best}")  # -rP
    assert shown["engine"] == "coreml/fp16/gpu"  # the Neural Engine computed something else
    assert (shown["index"], shown["label"]) == (best["index"], f"class {best['index']}")
    assert shown["probability"] == pytest.approx(best["score"], abs=1e-5)
    assert read_manifest(model).labels is None


def test_all_swift_of_the_guide_and_of_the_app_parses():
    require_swift()
    app = ROOT / "ios_demo" / "App" / "LOLViTDemo"
    sources = {path.name: path.read_text() for path in app.glob("*.swift")}
    _, classifier, view = steps(PAGE, "swift")  # the first one is part of a Package.swift
    sources |= {"PhotoClassifier.swift": classifier.text, "ClassifyView.swift": view.text}
    assert parse(sources) == ""
    assert "expected" in parse({"broken.swift": "struct {"})


def test_the_model_that_it_opens_is_what_its_export_writes():
    assert "lolvit export lolvit_x " in steps(PAGE, "sh")[0].text
    assert f'"{FOLDER}"' in steps(PAGE, "swift")[1].text


def test_the_code_that_package_prints_uses_what_the_guide_compiles():
    imports = [line for line in package_command._SWIFT.splitlines() if line.startswith("import ")]
    assert imports
    assert set(imports) <= set(steps(PAGE, "swift")[1].text.splitlines())
