"""An APK's size is reported by part, and one over the budget fails."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from android_build.apk_size import REST, require_budget, sizes_by_part
from lolvit.errors import GateFailedError

FILES = {
    "AndroidManifest.xml": 700,
    "resources.arsc": 900,
    "res/layout/main.xml": 300,
    "classes.dex": 5_000,
    "classes2.dex": 4_000,
    "lib/arm64-v8a/libone.so": 30_000,
    "lib/arm64-v8a/libtwo.so": 20_000,
    "lib/x86_64/libone.so": 40_000,
    "assets/lolvit/tiny-32x32/model-fp32.tflite": 90_000,
    "assets/lolvit/tiny-32x32/manifest.json": 2_000,
}


@pytest.fixture
def apk(tmp_path: Path) -> Path:
    path = tmp_path / "app.apk"
    with zipfile.ZipFile(path, "w") as archive:
        for name, size in FILES.items():
            archive.writestr(name, bytes(size))
    return path


def test_parts_sum_up_to_the_file_the_largest_first(apk):
    parts = sizes_by_part(apk)
    assert sum(parts.values()) == apk.stat().st_size
    assert parts.pop(REST) > 0
    assert list(parts.items()) == [
        ("model, tiny-32x32", 92_000),
        ("natives, arm64-v8a", 50_000),
        ("natives, x86_64", 40_000),
        ("code", 9_000),
        ("resources and manifest", 1_900),
    ]


def test_compressed_files_count_as_they_lie_there(tmp_path):
    path = tmp_path / "app.apk"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("lib/x86_64/libone.so", bytes(100_000))
    assert sizes_by_part(path)["natives, x86_64"] < 1_000


def test_over_the_budget_the_largest_part_is_named(apk):
    require_budget(apk, 0.2)
    with pytest.raises(
        GateFailedError, match=r"its budget is 0\.1 MB; model, tiny-32x32 takes 0\.09"
    ):
        require_budget(apk, 0.1)
