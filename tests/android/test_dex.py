"""A dex file is read back: its classes, what it refers to, and what an app may not use of that."""

from __future__ import annotations

import subprocess
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from android_build.dex import Dex, Reference, dex_of_apk, read_dex
from android_build.members import find_problems, read_reviewed
from android_build.project import ANDROID
from android_build.public_api import PublicApi, read_api
from lolvit.errors import UserError
from tests.android.parts import require_r8
from tests.android.signature_files import write_signatures

# A framework of one hidden, one newer and one old member, and an app that uses all three.
FRAMEWORK = """
package android.view;
public class View {
    public int left;
    public void invalidate() {}
    public void setNewer(int value) {}
    public void setHidden(long[] values) {}
}
"""
APP = """
package org.example;
public class Panel extends android.view.View {
    interface Shape { double area(); }
    public String told(int count) {
        invalidate();
        setNewer(left);
        setHidden(new long[count]);
        Shape shape = () -> count;
        return "area " + shape.area() + " of " + this;
    }
}
"""
VIEW = "android/view/View"
OLD = {
    "java/lang/Object": (["<init>()V", "toString()Ljava/lang/String;"], None, []),
    VIEW: (["<init>()V", "invalidate()V", "left#I"], "java/lang/Object", []),
}
NEW = OLD | {VIEW: ([*OLD[VIEW][0], "setNewer(I)V"], "java/lang/Object", [])}
NEWER, HIDDEN = "setNewer(I)V", "setHidden([J)V"


def compile_java(folder: Path) -> None:
    sources = {"View.java": FRAMEWORK, "Panel.java": APP}
    for name, text in sources.items():
        (folder / name).write_text(text)
    command = ["javac", "-source", "11", "-target", "11", "-nowarn", "-d", str(folder)]
    subprocess.run([*command, *sources], cwd=folder, check=True, capture_output=True)
    with zipfile.ZipFile(folder / "app.jar", "w") as jar:
        for path in sorted(folder.glob("org/**/*.class")):
            jar.write(path, path.relative_to(folder))


@pytest.fixture(scope="module")
def dex_of(tmp_path_factory):
    """Compile the app above, by d8 with some flags; return the dex file."""
    r8 = require_r8()
    folder = tmp_path_factory.mktemp("dex")
    compile_java(folder)

    def compiled(*flags: str) -> Path:
        out = tmp_path_factory.mktemp("out")
        d8 = ["java", "-cp", str(r8), "com.android.tools.r8.D8", "--min-api", "26", *flags]
        subprocess.run(
            [*d8, "--classpath", str(folder), "--output", str(out), str(folder / "app.jar")],
            check=True,
            capture_output=True,
        )
        return out / "classes.dex"

    return compiled


@pytest.fixture(scope="module")
def dex_file(dex_of) -> Path:
    return dex_of()


@pytest.fixture(scope="module")
def dex(dex_file) -> Dex:
    return read_dex(dex_file.read_bytes(), dex_file.name)


@pytest.fixture(scope="module")
def apis(tmp_path_factory) -> tuple[PublicApi, PublicApi]:
    folder = tmp_path_factory.mktemp("apis")
    write_signatures(folder / "old", OLD)
    write_signatures(folder / "new", NEW)
    return read_api(folder / "old"), read_api(folder / "new")


def test_classes_members_and_references_are_those_of_the_source(dex):
    panel = dex.classes["org/example/Panel"]
    assert panel.parents == (VIEW,)
    assert "told(I)Ljava/lang/String;" in panel.members
    assert Reference("org/example/Panel", HIDDEN) in dex.references
    assert Reference("org/example/Panel", "left:I") in dex.references


def test_invoke_custom_is_seen_where_the_compiler_leaves_it(dex, dex_of):
    assert dex.call_sites == 0
    data = dex_of("--no-desugaring").read_bytes()
    assert read_dex(data, "classes.dex").call_sites == 2  # the lambda and the text


def test_members_are_judged_by_the_classes_that_they_are_inherited_from(dex, apis):
    found = find_problems(dex, *apis, reviewed=())
    assert [name for name in found.hidden if "View" in name or "Panel" in name] == [
        f"org/example/Panel.{HIDDEN}"
    ]
    assert found.unguarded == (f"org/example/Panel.{NEWER}",)


def test_reviewed_members_pass_and_must_be_in_use(dex, apis):
    found = find_problems(dex, *apis, reviewed=[f"org/example/Panel.{NEWER}", f"{VIEW}.gone()V"])
    assert found.unguarded == ()
    assert found.unused == (f"{VIEW}.gone()V",)


def test_annotations_of_the_dex_format_are_no_hidden_classes(apis):
    types = ("dalvik/annotation/AnnotationDefault", "dalvik/system/VMRuntime")
    found = find_problems(Dex({}, (), types, 0), *apis, reviewed=())
    assert found.hidden == ("dalvik/system/VMRuntime",)


@pytest.mark.parametrize("module", ["lolvit", "app"])
def test_the_reviewed_lists_name_a_guard_for_each_member(module):
    for member, guard in read_reviewed(ANDROID / module).items():
        assert "." in member
        assert guard, f"{member}: where is it guarded?"


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04", b"dex\n035\0"])
def test_what_is_no_dex_file_is_refused(data):
    with pytest.raises(UserError, match="dex file"):
        read_dex(data, "classes.dex")


def test_an_apk_is_all_of_its_dex_files(dex_file, tmp_path):
    apk = tmp_path / "app.apk"
    with zipfile.ZipFile(apk, "w") as archive:
        archive.writestr("resources.arsc", b"")
    with pytest.raises(UserError, match="holds no code"):
        dex_of_apk(apk)
    with zipfile.ZipFile(apk, "a") as archive:
        archive.write(dex_file, "classes.dex")
        archive.write(dex_file, "classes2.dex")
    one, two = read_dex(dex_file.read_bytes(), "classes.dex"), dex_of_apk(apk)
    assert two.classes == one.classes
    assert len(two.references) == 2 * len(one.references)


@given(
    keep=st.floats(0, 1), changes=st.lists(st.tuples(st.integers(8, 10_000), st.binary(max_size=4)))
)
def test_broken_dex_files_are_refused_or_read(dex_file, keep, changes):
    data = bytearray(dex_file.read_bytes())
    for place, value in changes:
        at = min(place, len(data) - len(value))
        data[at : at + len(value)] = value
    try:
        read_dex(bytes(data[: int(keep * len(data))]), "broken.dex")
    except UserError as error:
        assert "dex file" in error.line()
