"""The library's archive is what Gradle's plugin reads, and an app compiles against it and runs."""

from __future__ import annotations

import os
import re
import subprocess
import xml.etree.ElementTree as ElementTree
import zipfile
from pathlib import Path

import pytest

from android_build.aar import Aar, build_aar
from android_build.fetch import kotlin_libraries
from android_build.project import ANDROID, Build, pom_property, pom_version
from lolvit.errors import DeviceError
from tests.android.parts import REPOSITORY

SOURCES = ANDROID / "lolvit" / "src" / "main" / "kotlin"


@pytest.fixture(scope="module")
def build() -> Build:
    """The compiled library: nothing is compiled here but the consumer."""
    directory = Path(os.environ.get("LOLVIT_ANDROID_BUILD", ANDROID / "target"))
    if not (directory / "classes" / "META-INF" / "lolvit.kotlin_module").is_file():
        pytest.skip("the library is not compiled here; run: make android-test")
    return Build(directory, REPOSITORY)


@pytest.fixture(scope="module")
def aar(build: Build) -> Aar:
    return build_aar(build)


def names(archive: Path) -> list[str]:
    with zipfile.ZipFile(archive) as opened:
        return opened.namelist()


def test_the_archive_has_the_parts_that_gradles_plugin_reads(aar: Aar) -> None:
    with zipfile.ZipFile(aar.archive) as archive:
        assert {"AndroidManifest.xml", "classes.jar", "R.txt", "proguard.txt"} <= set(
            archive.namelist()
        )
        manifest = ElementTree.fromstring(archive.read("AndroidManifest.xml"))
        assert archive.read("R.txt") == b""  # the library has no resources
        rules = archive.read("proguard.txt").decode()
        metadata = archive.read("META-INF/com/android/build/gradle/aar-metadata.properties")
    assert manifest.get("package") == "org.lolvit"
    (sdk,) = manifest
    assert list(sdk.attrib.values()) == [pom_property("min.sdk")]
    assert "-keep class org.tensorflow.lite.** { *; }" in rules
    assert b"aarFormatVersion=1.0" in metadata
    assert not (ANDROID / "lolvit" / "src" / "main" / "res").exists()


def test_it_has_all_classes_of_the_library_and_none_of_the_app(aar: Aar) -> None:
    with zipfile.ZipFile(aar.archive) as archive, archive.open("classes.jar") as jar:
        entries = zipfile.ZipFile(jar).namelist()
    classes = {name.removesuffix(".class") for name in entries if name.endswith(".class")}
    assert not [name for name in classes if name.startswith("org/lolvit/demo")]
    for source in SOURCES.rglob("*.kt"):
        folder = str(source.parent.relative_to(SOURCES))
        for name in re.findall(
            r"^public (?:\w+ )*(?:class|interface|object) (\w+)", source.read_text(), re.M
        ):
            assert f"{folder}/{name}" in classes
    assert "META-INF/lolvit.kotlin_module" in entries


def test_its_sources_and_its_pom_lie_beside_it(aar: Aar) -> None:
    assert sorted(names(aar.sources)) == sorted(
        str(path.relative_to(SOURCES)) for path in SOURCES.rglob("*.kt")
    )
    pom = ElementTree.parse(aar.pom).getroot()
    found = {e.tag.rpartition("}")[2]: e.text for e in pom}
    assert (found["groupId"], found["artifactId"], found["packaging"]) == (
        "org.lolvit",
        "lolvit",
        "aar",
    )
    assert aar.archive.name == f"lolvit-{pom_version()}.aar"
    assert aar.archive.parent.parts[-4:] == ("org", "lolvit", "lolvit", pom_version())
    versions = {
        d.findtext("{*}artifactId"): d.findtext("{*}version")
        for d in pom.iter()
        if d.tag.endswith("dependency")
    }
    assert versions == {
        "kotlin-stdlib": pom_property("kotlin.version"),
        "kotlinx-coroutines-android": pom_property("coroutines.version"),
    }


def test_the_same_classes_give_the_same_archive(build: Build, aar: Aar) -> None:
    before = aar.archive.read_bytes()
    assert build_aar(build).archive.read_bytes() == before


def test_without_compiled_classes_it_names_what_compiles_them(tmp_path: Path) -> None:
    with pytest.raises(DeviceError, match="not compiled") as failure:
        build_aar(Build(tmp_path, REPOSITORY))
    assert failure.value.remedy == "run: make android-test"


@pytest.mark.slow
def test_an_app_compiles_against_it_and_opens_a_model(
    build: Build, aar: Aar, tmp_path: Path
) -> None:
    with zipfile.ZipFile(aar.archive) as archive:
        archive.extract("classes.jar", tmp_path)
    runtime = REPOSITORY / "com/microsoft/onnxruntime/onnxruntime"
    version = pom_property("onnxruntime.version")
    libraries = [tmp_path / "classes.jar", *kotlin_libraries(build)]
    _compile(Path(__file__).with_name("Consumer.kt"), libraries, tmp_path / "out")
    # The framework last: of it only org.json is used here.
    jars = [
        tmp_path / "out",
        *libraries,
        runtime / version / f"onnxruntime-{version}.jar",
        build.framework,
    ]
    model = build.assets / "lolvit" / "lolvit_xx-256x256"
    command = [
        "java",
        "-cp",
        os.pathsep.join(map(str, jars)),
        "ConsumerKt",
        str(model),
        str(tmp_path),
    ]
    ended = subprocess.run(command, capture_output=True, text=True)
    assert ended.stdout.splitlines() == [
        "lolvit_xx classification 256x256 10",
        "litert-cpu/fp32 engine_absent",
        "litert-gpu/fp32 engine_absent",
        "onnx-cpu/fp32 null",
        "opened onnx-cpu/fp32",
        "manifest_missing",
    ], ended.stderr


def _compile(source: Path, libraries: list[Path], out: Path) -> None:
    """Compile a Kotlin file by the compiler that Maven's plugin uses."""
    kotlin, version = REPOSITORY / "org" / "jetbrains", pom_property("kotlin.version")
    parts = ("compiler-embeddable", "stdlib", "script-runtime", "daemon-embeddable")
    compiler = [
        kotlin / "kotlin" / f"kotlin-{p}" / version / f"kotlin-{p}-{version}.jar" for p in parts
    ]
    for name in ("kotlin/kotlin-reflect", "kotlinx/kotlinx-coroutines-core-jvm", "annotations"):
        compiler += sorted((kotlin / name).glob("*/*.jar"))[:1]
    command = ["java", "-cp", os.pathsep.join(map(str, compiler))]
    options = [
        "-no-stdlib",
        "-no-reflect",
        "-jvm-target",
        "1.8",
        "-cp",
        os.pathsep.join(map(str, libraries)),
    ]
    subprocess.run(
        [
            *command,
            "org.jetbrains.kotlin.cli.jvm.K2JVMCompiler",
            *options,
            "-d",
            str(out),
            str(source),
        ],
        check=True,
        capture_output=True,
    )
