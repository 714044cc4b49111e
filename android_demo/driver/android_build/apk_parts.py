"""What an APK is made with besides the tests' parts: R8, and Android's public API by level."""

from __future__ import annotations

import hashlib
from pathlib import Path

from android_build.project import POM, Build, pom_property
from android_build.tools import run

PROGRAMS = ("java", "javac", "mvn", "keytool", "zipalign", "apksigner")


def fetch_apk_parts(build: Build) -> None:
    """Bring them into the build's directory, unless this pom.xml's are there.

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
    """The compiler from class files to a shrunk dex file."""
    return build.fetched / "r8.jar"


def api(build: Build, level: str) -> Path:
    """The public API of a level: `min.sdk`, or `api.sdk` for the newest that is published."""
    return build.fetched / f"api-{pom_property(level)}.signature"


def kotlin_stdlib(build: Build) -> Path:
    """Kotlin's library, from Maven's repository."""
    version = pom_property("kotlin.version")
    folder = build.repository / "org" / "jetbrains" / "kotlin" / "kotlin-stdlib" / version
    return folder / f"kotlin-stdlib-{version}.jar"
