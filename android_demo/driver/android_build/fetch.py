"""What the build takes from Maven: fetched once, unpacked into the build's directory; for an APK
also R8, and Android's public API by level."""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path

from android_build.project import POM, Build, pom_property
from android_build.tools import require, run

# The programs that making an APK needs.
APK_PROGRAMS = ("java", "javac", "mvn", "keytool", "zipalign", "apksigner")
_AARS = ("tensorflow-lite", "tensorflow-lite-api", "monitor")
_AAPT2 = "prebuilt/linux/aapt2_64"


def fetch(build: Build) -> None:
    """Fetch every library and tool into the build's directory, unless done for this pom.xml.

    Raises:
        UserError: Java or Maven is missing.
        DeviceError: Maven could not get a part.
    """
    require(["java", "javac", "mvn"])
    stamp = build.fetched / ".complete"
    digest = hashlib.sha256(POM.read_bytes()).hexdigest()
    if stamp.is_file() and stamp.read_text() == digest and build.framework.is_file():
        return
    run(build.maven("initialize"), log=build.logs / "fetch.log", what="fetching the build's parts")
    for name in _AARS:
        _unpack(build.fetched / f"{name}.aar", build.directory / "aar" / name)
    _unpack(build.fetched / "tflite-native.jar", build.directory / "tflite", prefix="native/lib/")
    _unpack(build.fetched / "apktool-lib.jar", build.directory / "aapt2", prefix=_AAPT2)
    build.aapt2.chmod(0o755)
    stamp.write_text(digest)


def fetch_apk_parts(build: Build) -> None:
    """Fetch what an APK needs besides, unless done for this pom.xml.

    Raises:
        DeviceError: Maven could not get a part.
    """
    stamp = build.fetched / ".apk-complete"
    digest = hashlib.sha256(POM.read_bytes()).hexdigest()
    if stamp.is_file() and stamp.read_text() == digest:
        return
    goal = build.maven("dependency:copy@apk")
    run(goal, log=build.logs / "fetch-apk.log", what="fetching the APK's tools")
    stamp.write_text(digest)


def r8(build: Build) -> Path:
    """The jar of R8, which compiles class files to a shrunk dex file."""
    return build.fetched / "r8.jar"


def api(build: Build, level: str) -> Path:
    """The public API of a level: `min.sdk`, or `api.sdk` for the newest that is published."""
    return build.fetched / f"api-{pom_property(level)}.signature"


def kotlin_libraries(build: Build) -> list[Path]:
    """Kotlin's own library and its coroutines, from Maven's repository."""
    coroutines = pom_property("coroutines.version")
    return [
        _jar(build, "org.jetbrains.kotlin", "kotlin-stdlib", pom_property("kotlin.version")),
        _jar(build, "org.jetbrains.kotlinx", "kotlinx-coroutines-core-jvm", coroutines),
        _jar(build, "org.jetbrains.kotlinx", "kotlinx-coroutines-android", coroutines),
    ]


def _jar(build: Build, group: str, name: str, version: str) -> Path:
    return build.repository / Path(*group.split("."), name, version, f"{name}-{version}.jar")


def _unpack(archive: Path, folder: Path, prefix: str = "") -> None:
    with zipfile.ZipFile(archive) as opened:
        names = [name for name in opened.namelist() if name.startswith(prefix)]
        opened.extractall(folder, names)
