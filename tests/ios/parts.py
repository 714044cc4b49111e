"""Swift on Linux, where it is installed."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

import pytest

from lolvit.errors import UserError
from lolvit.system.swift import command, environment, find_installation, require_machine


def require_swift() -> None:
    """Skip the test where Swift can't run."""
    try:
        require_machine()
    except UserError as error:
        pytest.skip(f"Swift can't run here: {error}")
    if find_installation() is None:
        pytest.skip("Swift is not installed; lolvit setup swift installs it")


def parse(sources: dict[str, str]) -> str:
    """Parse Swift files, without checking types; return the compiler's messages."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for name, text in sources.items():
            (folder / name).write_text(text)
        script = "cd /sources && swiftc -parse -swift-version 6 *.swift"
        ended = subprocess.run(
            command(script, folders={"/sources": folder}), env=environment(), text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
        )  # fmt: skip
    return ended.stdout
