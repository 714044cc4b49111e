"""The project for Android Studio and pom.xml build the same: settings that both have are equal.

Gradle can't run here, so that its files are compared as text.
"""

from __future__ import annotations

import re
import tomllib
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from android_build.apk_build import ABIS
from android_build.project import ANDROID, POM, Build, pom_property

CATALOG = tomllib.loads((ANDROID / "gradle" / "libs.versions.toml").read_text())
MODULES = ("lolvit", "app")


def text(module: str) -> str:
    return (ANDROID / module / "build.gradle.kts").read_text()


def value(module: str, name: str) -> str:
    """Return what a setting of a module is set to, once."""
    (found,) = re.findall(rf"\b{name} = \"?([\w.]+)\"?", text(module))
    return str(found)


@pytest.mark.parametrize("module", MODULES)
def test_versions_of_android_are_those_of_the_pom(module):
    assert value(module, "minSdk") == pom_property("min.sdk")
    assert value(module, "compileSdk") == pom_property("target.sdk")
    assert pom_property("android-all.version").startswith("15-")  # Android 15 is level 35
    assert pom_property("target.sdk") == "35"


def test_the_app_targets_what_the_pom_targets():
    assert value("app", "targetSdk") == pom_property("target.sdk")
    assert value("app", "applicationId") == Build(Path(), Path()).package
    assert value("app", "versionName") == ElementTree.parse(POM).findtext("{*}version")
    quoted = re.search(r"abiFilters \+= listOf\((.*)\)", text("app"))
    assert quoted is not None
    assert quoted[1] == ", ".join(f'"{abi}"' for abi in ABIS)


def test_namespaces_are_the_packages_of_the_sources():
    for module in MODULES:
        sources = sorted((ANDROID / module / "src" / "main" / "kotlin").rglob("*.kt"))
        packages = {re.search(r"^package ([\w.]+)", s.read_text(), re.M)[1] for s in sources}
        namespace = value(module, "namespace")
        assert namespace in packages
        assert all(f"{package}.".startswith(f"{namespace}.") for package in packages)


def test_sources_are_where_both_look_for_them():
    """Gradle takes src/main/kotlin of each module by itself, and no build file overrides that."""
    for module in MODULES:
        assert "sourceSets" not in text(module)
    root = ElementTree.parse(POM).getroot()
    main = [
        e.text for e in root.findall(".//{*}dir") if e.text and e.text.endswith("src/main/kotlin")
    ]
    assert sorted(main) == ["${app.dir}/src/main/kotlin", "${library.dir}/src/main/kotlin"]
    assert pom_property("app.dir").endswith("/app")
    assert pom_property("library.dir").endswith("/lolvit")


def test_versions_of_libraries_are_those_of_the_pom():
    versions = CATALOG["versions"]
    for name in ("kotlin", "coroutines", "onnxruntime", "robolectric"):
        assert versions[name] == pom_property(f"{name}.version")
    junit = re.search(r"<artifactId>junit</artifactId>\s*<version>(.*)</version>", POM.read_text())
    assert junit is not None
    assert versions["junit"] == junit[1]


def test_litert_fits_large_pages_and_is_newer_than_what_the_pom_tests():
    assert tuple(map(int, CATALOG["versions"]["litert"].split("."))) >= (1, 4, 0)


def test_every_alias_is_in_the_catalog():
    files = [ANDROID / "build.gradle.kts", *(ANDROID / m / "build.gradle.kts" for m in MODULES)]
    used = {name for file in files for name in re.findall(r"\blibs\.([\w.]+)", file.read_text())}
    plugins = {f"plugins.{name.replace('-', '.')}" for name in CATALOG["plugins"]}
    assert used == plugins | {name.replace("-", ".") for name in CATALOG["libraries"]}
    for entry in [*CATALOG["libraries"].values(), *CATALOG["plugins"].values()]:
        assert entry["version"]["ref"] in CATALOG["versions"]


def test_modules_are_included_and_their_rules_exist():
    settings = (ANDROID / "settings.gradle.kts").read_text()
    assert 'include(":lolvit", ":app")' in settings
    assert 'consumerProguardFiles("consumer-rules.pro")' in text("lolvit")
    assert '"proguard-rules.pro"' in text("app")
    assert (ANDROID / "lolvit" / "consumer-rules.pro").is_file()
    assert (ANDROID / "app" / "proguard-rules.pro").is_file()


def test_the_manifest_leaves_to_gradle_what_gradle_sets():
    manifest = (ANDROID / "app" / "src" / "main" / "AndroidManifest.xml").read_text()
    for attribute in ("package=", "extractNativeLibs", "uses-sdk"):
        assert attribute not in manifest
