"""The guide's five steps, run as they stand there, make an empty app classify as Python does."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from PIL import Image
from skimage import data

from android_build.apk_build import ApkFiles, build_apk
from android_build.apk_checks import check_apk
from android_build.apk_size import sizes_by_part
from android_build.dex import dex_of_apk
from android_build.fetch import APK_PROGRAMS, fetch, fetch_apk_parts
from android_build.project import ANDROID, Build
from android_build.resources import link_resources
from android_build.tools import run
from lolvit_runtimes import package_command
from tests import guides
from tests.android.parts import REPOSITORY, require_build
from tests.guides import Block

ROOT = Path(__file__).parents[2]
MANIFEST = """<?xml version="1.0" encoding="utf-8"?>
<manifest xmlns:android="http://schemas.android.com/apk/res/android">
    <application android:label="@string/app_name">
        <activity android:name=".ClassifyActivity" android:exported="true">
            <intent-filter>
                <action android:name="android.intent.action.MAIN" />
                <category android:name="android.intent.category.LAUNCHER" />
            </intent-filter>
        </activity>
    </application>
</manifest>
"""
STRINGS = '<resources><string name="app_name">Photos</string></resources>\n'
BUILD_FILE = (
    'plugins { id("com.android.application") }\n\nandroid { namespace = "com.example.photos" }\n'
)


def steps(language: str) -> list[Block]:
    return guides.steps("android.md", language)


def make_project(project: Path) -> None:
    """Write a project with an empty app, as Android Studio makes one."""
    main = project / "app" / "src" / "main"
    (main / "res" / "values").mkdir(parents=True)
    (main / "AndroidManifest.xml").write_text(MANIFEST)
    (main / "res" / "values" / "strings.xml").write_text(STRINGS)
    (project / "app" / "build.gradle.kts").write_text(BUILD_FILE)


def follow(project: Path) -> None:
    """Follow the guide, with its own blocks."""
    paths = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {**os.environ, "LOLVIT": str(ROOT), "PATH": paths}
    for block in steps("sh"):
        subprocess.run(["sh", "-ec", block.text], cwd=project, env=environment, check=True)
    gradle, activity = steps("kotlin")
    with (project / "app" / "build.gradle.kts").open("a") as file:
        file.write(gradle.text)
    source = project / "app" / "src" / "main" / "kotlin" / "ClassifyActivity.kt"
    source.parent.mkdir()
    source.write_text(activity.text)


def copy_fetched(build: Build) -> None:
    """Copy the parts that the demo's build has: what is missing there, or is of another pom.xml,
    Maven fetches."""
    fetched = Build(ANDROID / "target", REPOSITORY).directory
    for name in ("fetched", "aar", "tflite", "aapt2"):
        if (fetched / name).is_dir():
            shutil.copytree(fetched / name, build.directory / name)


def shown_by(build: Build, photo: Path) -> str:
    """Compile the app and show it a photo under Robolectric; return what it shows."""
    tests = build.app / "src" / "test" / "kotlin"
    tests.mkdir(parents=True)
    shutil.copy(Path(__file__).with_name("GuideTest.kt"), tests)
    copy_fetched(build)
    fetch(build)
    build.fixtures.mkdir(parents=True)
    shutil.copy(photo, build.fixtures)
    shutil.copytree(build.app / "src" / "main" / "assets", build.assets, dirs_exist_ok=True)
    link_resources(build)
    run(build.maven("test", "-Dtest=GuideTest"), log=build.logs / "test.log", what="the app's test")
    return (build.fixtures / "shown.txt").read_text()


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("photo") / "photo.jpg"
    Image.fromarray(data.coffee()).save(path, quality=92)
    return path


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Build:
    """The app that the guide leads to, not built yet."""
    require_build()
    project = tmp_path_factory.mktemp("project")
    make_project(project)
    follow(project)
    return Build(project / "build", REPOSITORY, app=project / "app", library=project / "lolvit")


@pytest.mark.slow
def test_followed_in_an_empty_app_it_gives_pythons_answer(app, photo, run_lolvit):
    label, _, probability = shown_by(app, photo).rpartition(": ")
    folder = app.app.parent / "out" / "lolvit_x-256x256"
    answer = run_lolvit("predict", folder, photo, "--runtime", "litert", "--json", check=True)
    best = json.loads(answer.stdout)["predictions"][0]["top"][0]
    print(f"the app: {label} {probability}; Python: class {best['index']} {best['score']}")  # -rP
    assert label == f"class {best['index']}"
    assert float(probability) == pytest.approx(best["score"], abs=1e-5)


@pytest.mark.slow
def test_that_app_shrinks_to_a_verified_apk_with_the_librarys_rules_alone(app):
    require_build(*APK_PROGRAMS)
    assert (app.directory / "classes").is_dir(), "the test above builds it"
    fetch_apk_parts(app)
    files = ApkFiles(app, ("arm64-v8a",))
    shutil.copytree(app.app / "src" / "main" / "assets", files.assets)
    build_apk(files)
    checks = {check.name: check for check in check_apk(files)}
    print("\n".join(f"{check.name}: {check.detail}" for check in checks.values()))  # pytest -rP
    print(sizes_by_part(files.apk))
    assert [check for check in checks.values() if check.passed is False] == []
    assert "name='com.example.photos'" in checks["aapt2 dump badging"].detail
    assert "uncompressed" in checks["zipalign -c -p 4"].detail
    kept = dex_of_apk(files.apk).classes
    assert "com/example/photos/ClassifyActivity" in kept
    assert "org/tensorflow/lite/NativeInterpreterWrapper" in kept
    data = bytearray(files.apk.read_bytes())
    data[len(data) // 2] ^= 1  # in the model
    files.apk.write_bytes(data)
    assert "apksigner verify" in {check.name for check in check_apk(files) if check.passed is False}


def catalog() -> dict[str, dict[str, object]]:
    return tomllib.loads((ROOT / "android_demo" / "gradle" / "libs.versions.toml").read_text())


def test_the_catalog_that_it_shows_is_the_projects_and_has_all_that_the_library_names():
    (block,) = steps("toml")
    shown = tomllib.loads(block.text)
    for table, entries in shown.items():
        assert entries.items() <= catalog()[table].items()
    aliases = {f"plugins-{name}" for name in shown["plugins"]} | set(shown["libraries"])
    library = (ROOT / "android_demo" / "lolvit" / "build.gradle.kts").read_text()
    named = {name.replace(".", "-") for name in re.findall(r"\blibs\.([\w.]+)", library)}
    assert named == aliases


def test_its_dependencies_are_in_the_catalog():
    named = re.findall(r"\blibs\.([\w.]+)", steps("kotlin")[0].text)
    assert named
    assert {name.replace(".", "-") for name in named} <= set(catalog()["libraries"])


def test_the_asset_that_it_opens_is_what_its_export_writes():
    export, activity = steps("sh")[0].text, steps("kotlin")[1].text
    assert "lolvit export lolvit_x " in export
    assert '"lolvit/lolvit_x-256x256"' in activity


def test_the_code_that_package_prints_uses_what_the_guide_compiles():
    code = package_command._KOTLIN.format(asset="", predictor="Classifier", use="")
    imports = [line for line in code.splitlines() if line.startswith("import ")]
    assert imports
    assert set(imports) <= set(steps("kotlin")[1].text.splitlines())
