"""Which pages a native library fits is read from its program headers."""

from __future__ import annotations

import importlib.util
import re
import shutil
import struct
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from android_build.elf import page_alignment
from lolvit.errors import UserError


def elf(bits: int, *segments: tuple[int, int]) -> bytes:
    """A header and program headers: of each segment its type and alignment."""
    size, start = (32, 52) if bits == 32 else (56, 64)
    count = len(segments)
    head = struct.pack("<4sBB10x", b"\x7fELF", 1 if bits == 32 else 2, 1)
    rest = "<12xI10xHH6x" if bits == 32 else "<16xQ14xHH6x"
    body = [
        struct.pack("<I24xI", kind, align) if bits == 32 else struct.pack("<I44xQ", kind, align)
        for kind, align in segments
    ]
    return head + struct.pack(rest, start, size, count) + b"".join(body)


@pytest.mark.parametrize("bits", [32, 64])
def test_the_least_alignment_of_what_is_loaded_counts(bits):
    data = elf(bits, (6, 8), (1, 16384), (1, 4096), (2, 8))
    assert page_alignment(data, "lib.so") == 4096


def test_a_real_library_has_the_alignment_that_readelf_reads():
    if shutil.which("readelf") is None:
        pytest.skip("readelf not found; on Debian, apt install binutils adds it")
    spec = importlib.util.find_spec("numpy._core._multiarray_umath")
    assert spec is not None and spec.origin is not None
    printed = subprocess.run(
        ["readelf", "-lW", spec.origin], capture_output=True, text=True, check=True
    ).stdout
    loads = [int(line.split()[-1], 16) for line in re.findall(r"^ +LOAD .*$", printed, re.M)]
    assert page_alignment(Path(spec.origin).read_bytes(), spec.origin) == min(loads)


@pytest.mark.parametrize("data", [b"", b"\x7fELF", b"PK\x03\x04" * 30, elf(64, (2, 8))])
def test_what_is_no_library_is_refused(data):
    with pytest.raises(UserError, match=r"lib\.so"):
        page_alignment(data, "lib.so")


@given(cut=st.integers(0, 200), bits=st.sampled_from([32, 64]))
def test_cut_libraries_are_refused_or_read(cut, bits):
    try:
        assert page_alignment(elf(bits, (1, 4096), (1, 4096))[:cut], "cut.so") == 4096
    except UserError as error:
        assert "ELF" in error.line() or "loaded" in error.line()
