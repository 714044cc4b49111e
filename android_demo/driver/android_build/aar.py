"""The library as an Android archive (AAR) with its sources, in a Maven repository of its own.

It is what Gradle's `assembleRelease` makes of the module, as far as that needs no tool of Google's:
the manifest, the classes, the R8 rules and the metadata that Gradle's plugin reads. The library has
no resources, so that its `R.txt` is empty.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from android_build.project import Build, pom_property, pom_version
from lolvit.errors import DeviceError
from lolvit.files import write_atomic

GROUP, NAME = "org.lolvit", "lolvit"
_EARLIEST = (1980, 1, 1, 0, 0, 0)  # of a zip's entry: the same archive, whenever it is built
_MANIFEST = """<?xml version="1.0" encoding="utf-8"?>
<manifest xmlns:android="http://schemas.android.com/apk/res/android"
    package="{namespace}">
    <uses-sdk android:minSdkVersion="{min_sdk}" />
</manifest>
"""
_METADATA_NAME = "META-INF/com/android/build/gradle/aar-metadata.properties"
_METADATA = """aarFormatVersion=1.0
aarMetadataVersion=1.0
minCompileSdk=1
minCompileSdkExtension=0
minAndroidGradlePluginVersion=1.0.0
coreLibraryDesugaringEnabled=false
"""
_POM = """<?xml version="1.0" encoding="UTF-8"?>
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>{group}</groupId>
  <artifactId>{name}</artifactId>
  <version>{version}</version>
  <packaging>aar</packaging>
  <dependencies>
    <dependency>
      <groupId>org.jetbrains.kotlin</groupId>
      <artifactId>kotlin-stdlib</artifactId>
      <version>{kotlin}</version>
    </dependency>
    <dependency>
      <groupId>org.jetbrains.kotlinx</groupId>
      <artifactId>kotlinx-coroutines-android</artifactId>
      <version>{coroutines}</version>
      <scope>runtime</scope>
    </dependency>
  </dependencies>
</project>
"""


@dataclass(frozen=True)
class Aar:
    """The files of the library in a Maven repository."""

    repository: Path

    @property
    def _base(self) -> Path:
        version = pom_version()
        folder = self.repository / Path(*GROUP.split(".")) / NAME / version
        return folder / f"{NAME}-{version}"

    @property
    def archive(self) -> Path:
        """The library."""
        return self._base.with_name(f"{self._base.name}.aar")

    @property
    def sources(self) -> Path:
        """Its sources, which an IDE shows."""
        return self._base.with_name(f"{self._base.name}-sources.jar")

    @property
    def pom(self) -> Path:
        """Its coordinates and dependencies."""
        return self._base.with_name(f"{self._base.name}.pom")


def build_aar(build: Build) -> Aar:
    """Make the archive, its sources and its pom from a build's compiled classes.

    Raises:
        DeviceError: the library is not compiled there.
    """
    aar = Aar(build.directory / "repository")
    aar.archive.parent.mkdir(parents=True, exist_ok=True)
    work = build.directory / "aar" / NAME
    work.mkdir(parents=True, exist_ok=True)
    classes = work / "classes.jar"
    _write_zip(classes, _classes(build))
    texts = {
        "AndroidManifest.xml": _MANIFEST.format(
            namespace=GROUP, min_sdk=pom_property("min.sdk")
        ).encode(),
        "classes.jar": classes.read_bytes(),
        "R.txt": b"",
        "proguard.txt": (build.library / "consumer-rules.pro").read_bytes(),
        _METADATA_NAME: _METADATA.encode(),
    }
    _write_zip(aar.archive, texts)
    sources = build.library / "src" / "main" / "kotlin"
    files = {str(p.relative_to(sources)): p.read_bytes() for p in sorted(sources.rglob("*.kt"))}
    _write_zip(aar.sources, files)
    pom = _POM.format(
        group=GROUP,
        name=NAME,
        version=pom_version(),
        kotlin=pom_property("kotlin.version"),
        coroutines=pom_property("coroutines.version"),
    )
    write_atomic(aar.pom, pom)
    return aar


def _classes(build: Build) -> dict[str, bytes]:
    """Return the library's class files by their names, and the list of its Kotlin declarations
    outside of classes."""
    root = build.directory / "classes"
    packages = dict.fromkeys(_packages(build.library))
    found = {
        str(path.relative_to(root)): path.read_bytes()
        for package in packages
        for path in sorted((root / package).glob("*.class"))
    }
    module = root / "META-INF" / f"{NAME}.kotlin_module"
    if not found or not module.is_file():
        raise DeviceError(
            "the library is not compiled", where=str(root), remedy="run: make android-test"
        )
    return found | {str(module.relative_to(root)): module.read_bytes()}


def _packages(library: Path) -> Iterator[str]:
    """Yield the folder of each package of the library."""
    for source in sorted((library / "src" / "main" / "kotlin").rglob("*.kt")):
        package = re.search(r"^package ([\w.]+)", source.read_text(), re.M)
        if package is not None:
            yield package[1].replace(".", "/")


def _write_zip(path: Path, files: dict[str, bytes]) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            entry = zipfile.ZipInfo(name, _EARLIEST)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, data)
