"""From compiled classes to a signed APK: shrink, link, pack, align, sign."""

from __future__ import annotations

import os
import shutil
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from android_build.fetch import kotlin_libraries, r8
from android_build.project import Build, pom_property
from android_build.resources import link_command, write_manifest
from android_build.tools import run

ABIS = ("arm64-v8a", "x86_64")
_LIBRARIES = ("tensorflow-lite", "tensorflow-lite-api")
_PASSWORD = "android"  # of a debug key for this build's APKs only


@dataclass(frozen=True)
class ApkFiles:
    """The paths of an APK for some ABIs, and of its intermediate files."""

    build: Build
    abis: tuple[str, ...]

    @property
    def directory(self) -> Path:
        """The intermediate files."""
        return self.build.directory / "apk" / self.name

    @property
    def name(self) -> str:
        """`universal`, or the only ABI."""
        return self.abis[0] if len(self.abis) == 1 else "universal"

    @property
    def assets(self) -> Path:
        """The APK's assets: the models."""
        return self.directory / "assets"

    @property
    def code(self) -> Path:
        """The folder of the shrunk code: classes.dex, classes2.dex, ..."""
        return self.directory / "dex"

    @property
    def apk(self) -> Path:
        """The signed APK."""
        return self.build.directory / f"lolvit-{self.name}.apk"

    @property
    def natives_compressed(self) -> bool:
        """Whether native libraries are compressed, to be extracted at installation. For one ABI
        they are uncompressed and mapped from the APK, as stores deliver them; a universal APK would
        be too large that way."""
        return len(self.abis) > 1


def build_apk(files: ApkFiles) -> None:
    """Make the signed APK from the build's classes and `files.assets`.

    Raises:
        DeviceError: a tool failed.
    """
    base = files.directory / "base.apk"
    _link(files, base)
    _shrink(files)
    _pack(files, base)
    aligned = files.directory / "aligned.apk"
    run(
        ["zipalign", "-f", "-p", "4", base, aligned],
        log=files.build.logs / "zipalign.log",
        what="aligning the APK",
    )
    _sign(files, aligned)


def _link(files: ApkFiles, base: Path) -> None:
    """Link resources, manifest and assets; write R8 rules that keep the manifest's classes."""
    manifest = files.directory / "AndroidManifest.xml"
    write_manifest(files.build, manifest, extract_natives=files.natives_compressed)
    command = link_command(files.build, manifest, files.assets, base)
    command += ["--proguard", files.directory / "manifest.pro"]
    run(command, log=files.build.logs / "apk-link.log", what="linking the APK")


def _shrink(files: ApkFiles) -> None:
    build, folder = files.build, files.code
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    app = files.directory / "app.jar"
    _jar(build.directory / "classes", app)
    aars = [build.directory / "aar" / name for name in _LIBRARIES]
    own = build.app / "proguard-rules.pro"
    # The same as in Gradle's plugin: those of the library, the app, its manifest and the runtimes.
    rules = [
        build.library / "consumer-rules.pro",
        *([own] if own.is_file() else []),
        files.directory / "manifest.pro",
        *(aar / "proguard.txt" for aar in aars),
    ]
    run(
        [
            *("java", "-Xmx2g", "-cp", r8(build), "com.android.tools.r8.R8", "--release"),
            *("--min-api", pom_property("min.sdk"), "--output", folder),
            *("--lib", _jdk(), "--lib", build.framework),  # the framework's jar has no java.*
            *(part for rule in rules for part in ("--pg-conf", rule)),
            *("--pg-map-output", files.directory / "mapping.txt"),
            *(app, *kotlin_libraries(build), *(aar / "classes.jar" for aar in aars)),
        ],
        log=build.logs / "r8.log",
        what="shrinking the code",
    )


def _jar(classes: Path, jar: Path) -> None:
    with zipfile.ZipFile(jar, "w") as archive:
        for path in sorted(classes.rglob("*.class")):
            archive.write(path, path.relative_to(classes))


def _jdk() -> Path:
    """Return the home of the JDK that `javac` belongs to."""
    return Path(os.path.realpath(shutil.which("javac") or "")).parents[1]


def _pack(files: ApkFiles, base: Path) -> None:
    """Add code and native libraries to the APK that aapt2 linked."""
    way = zipfile.ZIP_DEFLATED if files.natives_compressed else zipfile.ZIP_STORED
    with zipfile.ZipFile(base, "a") as archive:
        for dex in sorted(files.code.glob("*.dex")):
            archive.write(dex, dex.name, zipfile.ZIP_DEFLATED, 9)
        for abi, library in natives(files.build, files.abis):
            archive.write(library, f"lib/{abi}/{library.name}", way, 9)


def natives(build: Build, abis: Sequence[str]) -> list[tuple[str, Path]]:
    """Return the native libraries that go into an APK, by ABI."""
    folder = build.directory / "aar" / "tensorflow-lite" / "jni"
    return [(abi, library) for abi in abis for library in sorted((folder / abi).glob("*.so"))]


def _sign(files: ApkFiles, aligned: Path) -> None:
    key = files.build.directory / "debug.p12"
    if not key.is_file():
        run(
            [
                *("keytool", "-genkeypair", "-keystore", key, "-storetype", "PKCS12"),
                *("-storepass", _PASSWORD, "-alias", "debug", "-dname", "CN=debug"),
                *("-keyalg", "RSA", "-keysize", "2048", "-validity", "10000"),
            ],
            log=files.build.logs / "keytool.log",
            what="making a key",
        )
    run(
        [
            *("apksigner", "sign", "--ks", key, "--ks-pass", f"pass:{_PASSWORD}"),
            *("--min-sdk-version", pom_property("min.sdk"), "--v4-signing-enabled", "false"),
            *("--out", files.apk, aligned),
        ],
        log=files.build.logs / "apksigner.log",
        what="signing the APK",
    )
