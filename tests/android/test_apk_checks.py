"""What a build prints of its APK, and which APKs fail it."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest

from android_build.aar import Aar
from android_build.apk import Made, lines_of, make_apk, require_valid
from android_build.apk_build import ApkFiles
from android_build.apk_checks import Check, components
from android_build.apk_size import sizes_by_part
from android_build.project import Build
from lolvit.errors import GateFailedError, UserError

PASSED = Check("apksigner verify", True, "schemes v2, v3")
INFORMATION = Check("lib/x86_64/libone.so", None, "segments on 4 KB")
FAILED = Check("no hidden API", False, "android/view/View.setHidden([J)V")


def made(folder: Path, *checks: Check) -> Made:
    files = ApkFiles(Build(folder, folder), ("arm64-v8a", "x86_64"))
    with zipfile.ZipFile(files.apk, "w") as archive:
        archive.writestr("classes.dex", bytes(2_000_000))
    parts = sizes_by_part(files.apk)
    library = Aar(folder / "repository")
    return Made(files, library, ("tiny-32x32",), checks, parts, {"compile": 1.5, "verify": 2.0})


def test_a_failed_check_fails_the_build_and_is_written_down(tmp_path):
    apk = made(tmp_path, PASSED, INFORMATION, FAILED)
    with pytest.raises(GateFailedError, match=r"no hidden API: android/view/View.setHidden"):
        require_valid(apk, 15)
    document = json.loads((tmp_path / "lolvit-universal.json").read_text())
    assert [check["passed"] for check in document["checks"]] == [True, None, False]
    assert document["bytes"] == apk.files.apk.stat().st_size


def test_a_check_for_information_only_fails_nothing(tmp_path):
    require_valid(made(tmp_path, PASSED, INFORMATION), 15)
    document = json.loads((tmp_path / "lolvit-universal.json").read_text())
    assert [check["passed"] for check in document["checks"]] == [True, None]


def test_more_than_the_budget_fails_the_build(tmp_path):
    with pytest.raises(GateFailedError, match=r"2.00 MB, its budget is 1.5 MB"):
        require_valid(made(tmp_path, PASSED), 1.5)


def test_every_check_part_and_step_has_its_line(tmp_path):
    lines = lines_of(made(tmp_path, PASSED, INFORMATION, FAILED), 15)
    assert lines[0] == "passed  apksigner verify: schemes v2, v3"
    assert lines[2].startswith("FAILED  no hidden API")
    assert "   2.000 MB  code" in lines
    assert "   2.000 MB  in all, of at most 15" in lines
    assert "     3.5 s   compile 1.5, verify 2.0" in lines


def test_missing_programs_are_named_with_what_adds_them_before_any_work(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    steps: list[str] = []
    with pytest.raises(UserError) as caught:
        make_apk(Build(tmp_path / "build", tmp_path), ["lolvit_x"], ["arm64-v8a"], steps.append)
    assert "zipalign, apksigner not found" in caught.value.what
    assert caught.value.remedy.startswith("on Debian, run: apt-get install --yes apksigner maven")
    assert not steps
    assert not (tmp_path / "build").exists()


def test_classes_that_a_manifest_names_are_found_by_their_whole_names(tmp_path):
    manifest = tmp_path / "AndroidManifest.xml"
    manifest.write_text(
        '<manifest package="org.example"'
        ' xmlns:android="http://schemas.android.com/apk/res/android">'
        '<application><activity android:name=".Main"><meta-data android:name="no.class" />'
        '</activity><provider android:name="org.other.Files" /></application>'
        '<instrumentation android:name=".Measuring" /><uses-permission android:name="x.Y" />'
        "</manifest>"
    )
    found = components(manifest)
    assert found == ["org.example.Main", "org.other.Files", "org.example.Measuring"]
