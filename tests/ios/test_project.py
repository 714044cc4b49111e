"""The demo app's project, property lists and catalogue fit its sources."""

from __future__ import annotations

import json
import plistlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lolvit_runtimes import ios_package
from tests.ios import xcode

APP = Path(__file__).parents[2] / "ios_demo" / "App"
VIEWS = APP / "LOLViTDemo"
STATE = APP / "DemoState"
STATE_SOURCES = STATE / "Sources" / "DemoState"
PLACE = re.compile(r"%(?:\d+\$)?(@|lld)|%%")
# Uses of Apple's frameworks that need an entry in Info.plist.
USAGES = {
    "AVCaptureDevice": "NSCameraUsageDescription",
    "sourceType = .camera": "NSCameraUsageDescription",
}


def views() -> str:
    return "\n".join(path.read_text() for path in sorted(VIEWS.glob("*.swift")))


def state() -> str:
    return "\n".join(path.read_text() for path in sorted(STATE_SOURCES.glob("*.swift")))


def words() -> dict[str, str]:
    """Return the cases of the app's texts, and their keys in the catalogue."""
    text = (STATE_SOURCES / "Words.swift").read_text()
    return dict(re.findall(r"^    case (\w+) = \"([\w.]+)\"$", text, re.M))


def catalogue() -> dict[str, Any]:
    document = json.loads((VIEWS / "Localizable.xcstrings").read_text())
    assert (document["version"], document["sourceLanguage"]) == ("1.0", "en")
    return dict(document["strings"])


def english(key: str) -> list[str]:
    """Return the English texts of a key: one, or one for each plural form."""
    found = catalogue()[key]["localizations"]["en"]
    units = [found] if "stringUnit" in found else list(found["variations"]["plural"].values())
    return [unit["stringUnit"]["value"] for unit in units]


def messages(case: str) -> Iterator[list[str]]:
    """Yield the arguments that the sources fill a text with, as they write them."""
    source = views() + state()
    for match in re.finditer(rf"Message\(\s*\.{case}\b", source):
        depth, end, arguments = 1, match.end(), [""]
        while depth:
            letter = source[end]
            depth += {"(": 1, ")": -1}.get(letter, 0)
            if letter == "," and depth == 1:
                arguments.append("")
            elif depth:
                arguments[-1] += letter
            end += 1
        yield [each.strip() for each in arguments[1:]]


@pytest.fixture(scope="module")
def objects() -> dict[str, Any]:
    project = xcode.parse((APP / "LOLViTDemo.xcodeproj" / "project.pbxproj").read_text())
    assert project["objectVersion"] == "77"  # Xcode 16: synchronized folders
    assert project["rootObject"] in project["objects"]
    return dict(project["objects"])


def of(objects: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    return [each for each in objects.values() if each["isa"] == kind]


def references(value: Any) -> list[str]:
    """Return the ids of objects that a value names."""
    if isinstance(value, str):
        return [value] if re.fullmatch(r"[0-9A-F]{24}", value) else []
    values = value.values() if isinstance(value, dict) else value
    return [found for each in values for found in references(each)]


def test_project_names_objects_that_exist_and_each_once_has_a_use(objects):
    named = [found for each in objects.values() for found in references(each)]
    assert set(named) <= set(objects)
    (project,) = [key for key, each in objects.items() if each["isa"] == "PBXProject"]
    assert set(objects) - set(named) == {project}


def test_project_needs_no_list_of_files_and_its_folders_exist(objects):
    (group,) = of(objects, "PBXFileSystemSynchronizedRootGroup")
    assert (APP / group["path"]).is_dir()
    for phase in ("PBXSourcesBuildPhase", "PBXResourcesBuildPhase"):
        assert [each["files"] for each in of(objects, phase)] == [[]]
    paths = [each["path"] for each in of(objects, "PBXFileReference")]
    assert [path for path in paths if not path.endswith(".app")] == ["Info.plist"]
    (info,) = {e["buildSettings"].get("INFOPLIST_FILE", "Info.plist")
               for e in of(objects, "XCBuildConfiguration")}  # fmt: skip
    assert (APP / info).is_file()


def test_packages_that_the_project_names_exist_or_are_what_the_command_writes(objects):
    packages = {each["relativePath"] for each in of(objects, "XCLocalSwiftPackageReference")}
    assert packages == {"../LOLViT", "DemoState", ios_package.NAME}
    known = {ios_package.NAME}
    for package in packages - known:
        text = (APP / package / "Package.swift").read_text()
        known |= set(re.findall(r"\.library\(\s*name: \"(\w+)\"", text))
    products = {each["productName"] for each in of(objects, "XCSwiftPackageProductDependency")}
    assert products == known
    imported = set(re.findall(r"^(?:@preconcurrency )?import (\w+)$", views(), re.M))
    assert products - imported == set()


def test_versions_are_those_of_the_packages(objects):
    settings: dict[str, str] = {}
    for each in of(objects, "XCBuildConfiguration"):
        settings |= {k: v for k, v in each["buildSettings"].items() if isinstance(v, str)}
    for package in (APP.parent / "LOLViT", STATE):
        text = (package / "Package.swift").read_text()
        assert f".iOS(.v{settings['IPHONEOS_DEPLOYMENT_TARGET'].removesuffix('.0')})" in text
        assert "swiftLanguageModes: [.v6]" in text
    assert settings["SWIFT_VERSION"] == "6.0"


def test_info_plist_has_what_the_code_needs():
    info = plistlib.loads((APP / "Info.plist").read_bytes())
    source = views()
    for use, key in USAGES.items():
        assert use in source
        assert len(info[key]) > 20
    assert info["UIFileSharingEnabled"]  # results of benchmarks
    assert "folder: .documentsDirectory" in source
    assert info["UISupportedInterfaceOrientations"] == ["UIInterfaceOrientationPortrait"]
    assert "videoOrientation = .portrait" in source
    for absent in ("PHPhotoLibrary", "CLLocationManager", "AVAudio", "URLSession"):
        assert absent not in source + state()  # no other permission, and no network


def test_privacy_manifest_has_what_the_code_uses():
    privacy = plistlib.loads((VIEWS / "PrivacyInfo.xcprivacy").read_bytes())
    assert not privacy["NSPrivacyTracking"] and privacy["NSPrivacyCollectedDataTypes"] == []
    (used,) = privacy["NSPrivacyAccessedAPITypes"]
    assert used["NSPrivacyAccessedAPIType"] == "NSPrivacyAccessedAPICategoryUserDefaults"
    assert "UserDefaults" in views()


def test_assets_that_the_project_names_are_there(objects):
    (configuration, *_) = [e for e in of(objects, "XCBuildConfiguration")
                           if "PRODUCT_BUNDLE_IDENTIFIER" in e["buildSettings"]]  # fmt: skip
    settings = configuration["buildSettings"]
    name = settings["ASSETCATALOG_COMPILER_APPICON_NAME"]
    icon = VIEWS / "Assets.xcassets" / f"{name}.appiconset"
    (image,) = json.loads((icon / "Contents.json").read_text())["images"]
    assert (icon / image["filename"]).is_file()
    name = settings["ASSETCATALOG_COMPILER_GLOBAL_ACCENT_COLOR_NAME"]
    colors = json.loads((VIEWS / f"Assets.xcassets/{name}.colorset/Contents.json").read_text())
    looks = [each.get("appearances", [{}])[0].get("value") for each in colors["colors"]]
    assert looks == [None, "dark"]


def test_catalogue_has_each_text_once_and_each_is_used():
    assert len(words()) > 80
    assert set(words().values()) == set(catalogue())
    used = set(re.findall(r"\.(\w+)", views() + state()))
    assert [case for case in words() if case not in used] == []


def test_views_show_no_text_that_is_not_in_the_catalogue():
    literals = re.findall(r"(?:Text|Button|Label|navigationTitle|accessibilityLabel)\(\"", views())
    assert literals == []


@pytest.mark.parametrize("case", sorted(words()))
def test_places_of_a_text_are_as_many_as_its_message_fills(case):
    texts = english(words()[case])
    kinds = {tuple(sorted(kind for kind in PLACE.findall(text) if kind)) for text in texts}
    assert len(kinds) == 1, "plural forms differ in their places"
    (places,) = kinds
    for arguments in messages(case):
        given = [re.match(r"\.(text|count|words|message)\(", each) for each in arguments]
        assert len(given) == len(places), f"{case}: {arguments}"
        if all(given):
            kinds_given = sorted("lld" if each and each[1] == "count" else "@" for each in given)
            assert kinds_given == list(places), f"{case}: {arguments}"
    assert all(text.strip() == text and text for text in texts)


def test_plural_forms_are_there_where_a_count_of_things_is():
    plural = {key for key, entry in catalogue().items()
              if "variations" in entry["localizations"]["en"]}  # fmt: skip
    assert plural == {"photo.with_objects", "latency.runs", "benchmark.needs_two"}
    assert {tuple(english(key)) for key in plural}


@pytest.mark.parametrize(
    ("text", "words"),
    [("{a = b;", "ends too early"), ("{a = b; a = c;}", "twice"), ("(a)", "not one dictionary"),
     ("{a b;}", "'=' is missing")],
)  # fmt: skip
def test_a_malformed_project_would_be_found(text, words):
    with pytest.raises(ValueError, match=words):
        xcode.parse(text)
