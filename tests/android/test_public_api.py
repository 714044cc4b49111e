"""Android's public API is read from signature files, inherited members included."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from android_build.public_api import read_api
from lolvit.errors import UserError
from tests.android.parts import REPOSITORY
from tests.android.signature_files import write_signatures

CLASSES = {
    "java/lang/Object": (["toString()Ljava/lang/String;"], None, []),
    "android/os/Marker": (["TOP#I"], None, []),
    "android/app/Base": (["finish()V"], "java/lang/Object", ["android/os/Marker"]),
    "android/app/Activity": (["onCreate(Landroid/os/Bundle;)V"], "android/app/Base", []),
}


@pytest.fixture(scope="module")
def file(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("api") / "api-1.signature"
    write_signatures(path, CLASSES)
    return path


def test_members_are_found_in_their_class_and_above_it(file):
    api = read_api(file)
    assert set(api) == set(CLASSES)
    assert api.has("android/app/Activity", "onCreate(Landroid/os/Bundle;)V")
    assert api.has("android/app/Activity", "finish()V")
    assert api.has("android/app/Activity", "toString()Ljava/lang/String;")
    assert api.has("android/app/Activity", "TOP:I")


def test_what_a_class_lacks_is_not_found(file):
    api = read_api(file)
    assert not api.has("android/app/Activity", "finish()I")
    assert not api.has("android/app/Base", "onCreate(Landroid/os/Bundle;)V")
    assert not api.has("android/app/Hidden", "toString()Ljava/lang/String;")


@given(cut=st.integers(0, 900), flip=st.tuples(st.integers(0, 900), st.integers(0, 255)))
def test_broken_files_are_refused_or_read(file, tmp_path_factory, cut, flip):
    data = bytearray(gzip.decompress(file.read_bytes()))
    data[flip[0] % len(data)] = flip[1]
    path = tmp_path_factory.getbasetemp() / "broken.signature"
    path.write_bytes(gzip.compress(bytes(data[: len(data) - cut % len(data)])))
    try:
        assert read_api(path) is not None
    except UserError as error:
        assert "not a whole signature file" in error.line()


def test_the_published_api_of_two_levels_tells_what_is_newer_and_what_is_hidden():
    found = sorted(REPOSITORY.glob("com/toasttab/android/gummy-bears-api-*/*/*.signature"))
    levels = {path.parents[1].name.rpartition("-")[2]: path for path in found}
    if not {"26", "34"} <= set(levels):
        pytest.skip("the API's signature files are not here; make android gets them")
    oldest, newest = read_api(levels["26"]), read_api(levels["34"])
    newer = "setColorSpace(Landroid/graphics/ColorSpace;)V"
    assert newest.has("android/graphics/Bitmap", newer)
    assert not oldest.has("android/graphics/Bitmap", newer)
    assert not newest.has("android/graphics/Bitmap", "getNativeInstance()J")
    assert newest.has("android/app/Activity", "getString(I)Ljava/lang/String;")
