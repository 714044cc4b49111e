"""The manifests that the Kotlin tests read are manifests to Python too, and describe one model."""

from __future__ import annotations

import json

from android_build.project import ANDROID
from lolvit.manifest import Manifest, read_manifest

RESOURCES = ANDROID / "lolvit" / "src" / "test" / "resources"


def read_fixture(version: int, folder) -> Manifest:
    text = (RESOURCES / f"manifest-schema-{version}.json").read_text()
    assert json.loads(text)["schema_version"] == version
    (folder / "manifest.json").write_text(text)
    return read_manifest(folder)


def test_the_fixtures_of_schema_1_and_2_are_one_manifest(tmp_path):
    assert read_fixture(1, tmp_path) == read_fixture(2, tmp_path)
