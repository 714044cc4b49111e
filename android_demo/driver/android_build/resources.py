"""Compiles and links the app's resources with aapt2, and writes Robolectric's configuration."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from pathlib import Path

from android_build.project import Build, pom_property
from android_build.tools import run

_ANDROID_NS = "http://schemas.android.com/apk/res/android"


def link_resources(build: Build) -> None:
    """Make R.java, the manifest and `resources.apk` in the build's directory.

    Raises:
        DeviceError: aapt2 rejected a resource or the manifest.
    """
    build.generated.mkdir(parents=True, exist_ok=True)
    build.assets.mkdir(parents=True, exist_ok=True)
    manifest = build.generated / "AndroidManifest.xml"
    write_manifest(build, manifest)
    compiled = build.generated / "res.zip"
    run(
        [build.aapt2, "compile", "--dir", build.app / "src" / "main" / "res", "-o", compiled],
        log=build.logs / "aapt2-compile.log",
        what="compiling the resources",
    )
    java = build.generated / "java"
    java.mkdir(exist_ok=True)
    run(
        [
            *link_command(build, manifest, build.assets, build.generated / "resources.apk"),
            *("--java", java),
        ],
        log=build.logs / "aapt2-link.log",
        what="linking the resources",
    )
    _write_test_config(build, manifest)


def link_command(build: Build, manifest: Path, assets: Path, output: Path) -> list[str | Path]:
    """Return the call of aapt2 that puts manifest, compiled resources and assets into an APK."""
    return [
        *(build.aapt2, "link", "-I", build.framework, "--manifest", manifest),
        *("--min-sdk-version", pom_property("min.sdk")),
        *("--target-sdk-version", pom_property("target.sdk")),
        *("--version-code", "1", "--version-name", "0.1.0"),
        *("-A", assets, "-0", "tflite", "-0", "onnx"),
        *("-o", output, build.generated / "res.zip"),
    ]


def write_manifest(build: Build, target: Path, *, extract_natives: bool = False) -> None:
    """Copy the app's manifest with the attributes that Gradle's plugin would add and aapt2 needs;
    `extract_natives` is whether native libraries are extracted at installation."""
    ElementTree.register_namespace("android", _ANDROID_NS)
    document = ElementTree.parse(build.app / "src" / "main" / "AndroidManifest.xml")
    root = document.getroot()
    root.set("package", build.package)
    (application,) = root.findall("application")
    application.set(f"{{{_ANDROID_NS}}}extractNativeLibs", str(extract_natives).lower())
    document.write(target, encoding="utf-8", xml_declaration=True)


def _write_test_config(build: Build, manifest: Path) -> None:
    """Write the file by which Robolectric finds an app's parts, as Gradle's plugin does."""
    config = build.generated / "test-resources" / "com" / "android" / "tools"
    config.mkdir(parents=True, exist_ok=True)
    lines = {
        "android_merged_manifest": manifest,
        "android_merged_assets": build.assets,
        "android_resource_apk": build.generated / "resources.apk",
        "android_custom_package": build.package,
    }
    text = "".join(f"{key}={value}\n" for key, value in lines.items())
    (config / "test_config.properties").write_text(text)
