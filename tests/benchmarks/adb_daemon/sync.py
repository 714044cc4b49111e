"""adb's file transfer, version 1: STAT, LIST, SEND, RECV, QUIT."""

from __future__ import annotations

import struct

from tests.benchmarks.adb_daemon.phone import Phone
from tests.benchmarks.adb_daemon.wire import Stream

_CHUNK = 64 * 1024


def serve(stream: Stream, phone: Phone) -> None:
    """Answer requests until the client quits."""
    while True:
        name, length = struct.unpack("<4sI", stream.read(8))
        path = stream.read(length).decode()
        match name:
            case b"STAT":
                stream.write(_stat(b"STAT", path, phone))
            case b"LIST":
                _list(stream, path, phone)
            case b"SEND":
                _take(stream, path, phone)
            case b"RECV":
                _give(stream, path, phone)
            case b"QUIT":
                return
            case _:
                stream.write(_fail(f"unknown request {name!r}"))


def _stat(name: bytes, path: str, phone: Phone) -> bytes:
    here = phone.path(path)
    if not here.exists():
        return struct.pack("<4s3I", name, 0, 0, 0)
    seen = here.stat()
    return struct.pack("<4s3I", name, seen.st_mode, seen.st_size, int(seen.st_mtime))


def _list(stream: Stream, path: str, phone: Phone) -> None:
    here = phone.path(path)
    for member in sorted(here.iterdir()) if here.is_dir() else ():
        name = member.name.encode()
        entry = _stat(b"DENT", f"{path}/{member.name}", phone)
        stream.write(entry + struct.pack("<I", len(name)) + name)
    stream.write(struct.pack("<4s4I", b"DONE", 0, 0, 0, 0))


def _take(stream: Stream, request: str, phone: Phone) -> None:
    path, _, mode = request.rpartition(",")
    content = b""
    while True:
        name, length = struct.unpack("<4sI", stream.read(8))
        if name == b"DONE":
            break
        content += stream.read(length)
    complaint = phone.take_file(path, content, int(mode))
    stream.write(_fail(complaint) if complaint else struct.pack("<4sI", b"OKAY", 0))


def _give(stream: Stream, path: str, phone: Phone) -> None:
    try:
        content = phone.path(path).read_bytes()
    except OSError as error:
        stream.write(_fail(error.strerror or str(error)))
        return
    for start in range(0, len(content), _CHUNK):
        part = content[start : start + _CHUNK]
        stream.write(struct.pack("<4sI", b"DATA", len(part)) + part)
    stream.write(struct.pack("<4sI", b"DONE", 0))


def _fail(text: str) -> bytes:
    return struct.pack("<4sI", b"FAIL", len(text.encode())) + text.encode()
