"""The driver compiles library and app; their tests find Python's results on real models."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.android.parts import require_build

ROOT = Path(__file__).parents[2]
ANDROID = ROOT / "android_demo"
LIBRARY = ANDROID / "lolvit" / "src" / "main" / "kotlin"
APP = ANDROID / "app" / "src" / "main" / "kotlin"


def drive(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(ANDROID / "driver"), *arguments],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        env=environment or None,
        cwd=ROOT,
    )


@pytest.mark.slow
def test_photos_and_logits_are_pythons_under_robolectric() -> None:
    require_build()
    if os.environ.get("LOLVIT_ANDROID") == "tested":
        pytest.skip("make android-test has just run the same")
    ended = drive("test")
    assert ended.returncode == 0, ended.stderr
    figures = re.findall(
        r"^parity: (\w+) (\S+),.* largest_difference ([\d.e-]+)", ended.stdout, re.M
    )
    levels = {name: float(worst) for kind, name, worst in figures if kind == "levels"}
    logits = {name: float(worst) for kind, name, worst in figures if kind == "logits"}
    assert levels.keys() == {"lossless", "lossy", "subsampled"}
    assert levels["lossless"] == 0 and levels["lossy"] <= 1
    models = ("lolvit_x-256x256", "lolvit_xx-256x256")
    maps = {name: float(worst) for kind, name, worst in figures if kind == "maps"}
    assert maps.keys() == {"colour_segmenter-128x160", "lolvit_xx-64x96"}
    assert max(maps.values()) <= 1e-4
    assert logits.keys() == {f"{model}-{kind}" for model in models for kind in ("onnx", "tflite")}
    assert max(logits.values()) <= 1e-4
    (counted,) = re.findall(r"^android: (\d+) passed, 0 skipped", ended.stdout, re.M)
    assert int(counted) >= 39


def test_a_machine_without_java_is_told_what_to_install(tmp_path: Path) -> None:
    ended = drive("test", "--build-dir", str(tmp_path), PATH=str(tmp_path))
    assert ended.returncode == 2
    (line,) = ended.stderr.splitlines()
    assert line.startswith("android: java, javac, mvn not found")
    assert line.endswith("apt-get install --yes maven openjdk-17-jdk-headless")


def test_a_tool_that_fails_is_one_line_with_its_reason(tmp_path: Path) -> None:
    for name in ("java", "javac", "mvn"):
        program = tmp_path / name
        program.write_text(
            "#!/bin/sh\necho '[INFO] scanning'\necho '[ERROR] no such part'\nexit 1\n"
        )
        program.chmod(0o755)
    ended = drive("fetch", "--build-dir", str(tmp_path / "build"), PATH=f"{tmp_path}:/bin:/usr/bin")
    assert ended.returncode == 3
    (line,) = ended.stderr.splitlines()
    assert "fetching the build's parts failed: [ERROR] no such part; read this log" in line


def test_the_app_imports_of_the_library_what_is_public() -> None:
    """Gradle builds the two as modules; Maven, which builds them as one, does not look."""
    kinds = (
        r"(?:(?:data|enum|fun|sealed|open|abstract|const) )*(?:class|interface|object|fun|val|var)"
    )
    public = {
        name
        for path in LIBRARY.rglob("*.kt")
        for name in re.findall(rf"^public {kinds} (\w+)", path.read_text(), re.M)
    }
    assert {"Classifier", "Engines", "ModelSpec", "Photos", "PhotoSource", "Layout"} <= public
    imported = {
        (path.name, name)
        for path in APP.rglob("*.kt")
        for name in re.findall(
            r"^import org\.lolvit\.(?:benchmark\.)?(\w+)$", path.read_text(), re.M
        )
    }
    assert {entry for entry in imported if entry[1] not in public} == set()
