"""Every command: a user's fault is one line with exit code 2, and one document with --json; and
every table in terminals, locales and pipes of all kinds."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from lolvit.cli import main
from lolvit.commands import COMMANDS, HIDDEN, SETUP_SECTIONS, commands_of
from tests.lolvit.table_commands import CLASS, TABLES, VARIANTS

SETUP = [f"setup {name}" for name in commands_of(SETUP_SECTIONS)]
ABSENT = "nowhere/absent"
# What a user may do wrong beyond a misspelt option, and the words that the line has.
FAULTS: dict[str, tuple[list[str], str]] = {
    "models": (["lolvit_x"], "unexpected extra argument"),
    "export": (["lolvit_q", "--to", "onnx"], "did you mean"),
    "verify": ([ABSENT], "no such artifact"),
    "lint": ([ABSENT], ABSENT),
    "predict": ([ABSENT, "p.png"], ABSENT),
    "browse": ([ABSENT], ABSENT),
    "package": ([ABSENT, "--android", "."], "neither an Android module"),
    "devices": (["phone"], "unexpected extra argument"),
    "bench": ([ABSENT, "--against", ABSENT], ABSENT),
    "compare": ([f"{ABSENT}.json", f"{ABSENT}.json"], ABSENT),
    "report": ([f"{ABSENT}.json"], ABSENT),
    "train": (["--data", ABSENT, "--model", "lolvit_xx", "--out", "run"], ABSENT),
    "evaluate": ([f"{ABSENT}.pth"], ABSENT),
    "accuracy": (["lolvit_q", "--against", "lolvit_x", "--out", "runs"], "lolvit_q"),
    "save": ([f"{ABSENT}.pth", "--out", "saved"], ABSENT),
    "push": ([ABSENT, "owner/name"], "has no model.safetensors"),
    "doctor": (["me"], "unexpected extra argument"),
    "setup": (["windows"], "unknown command 'windows'"),
    "setup browser": (["firefox"], "unexpected extra argument"),
    "setup arm64": (["--reinstall", "--mirror", "no url"], "no url"),
    "setup swift": (["--reinstall", "--mirror"], "requires an argument"),
    "setup system": (["--everything"], "unknown option '--everything'"),
    "browser-setup": (["firefox"], "unexpected extra argument"),
    "arm64-setup": (["qemu"], "unexpected extra argument"),
}


def test_every_command_has_a_fault() -> None:
    assert set(FAULTS) == {*COMMANDS, *SETUP, *HIDDEN}


@pytest.mark.parametrize("name", FAULTS)
def test_a_user_s_fault_is_one_line_and_one_document(
    name: str,
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
    arguments, words = FAULTS[name]
    assert main([*name.split(), *arguments]) == 2
    shown = capfd.readouterr()
    assert shown.out == ""
    *progress, line = shown.err.splitlines()
    assert line.startswith("lolvit: ") and words.lower() in line.lower(), line
    assert all(each.lstrip().startswith(("[", "exporting ")) for each in progress), progress
    assert main([*name.split(), "--json", *arguments]) == 2
    error = json.loads(capfd.readouterr().out)["error"]
    assert error["exit_code"] == 2 and error["what"]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", [*COMMANDS, *SETUP])
def test_a_misspelt_option_is_one_line(name: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert main([*name.split(), "--jsom"]) == 2
    shown = capfd.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("lolvit: unknown option '--jsom'; did you mean '--json'?")
    assert shown.err.count("\n") == 1


@cache
def printed() -> dict[str, dict[str, Any]]:
    """Run every command that prints a table in every variant of a terminal, in one process."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.lolvit.table_commands"], capture_output=True, text=True,
        cwd=Path(__file__).parents[2], env=os.environ | {"OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found: dict[str, dict[str, Any]] = json.loads(done.stdout)
    return found


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="opens pseudo terminals")
@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("name", TABLES)
def test_a_table_is_readable_in(name: str, variant: str) -> None:
    found = printed()[f"{name}, {variant}"]
    text: str = found["text"]
    if variant == "closed pipe":
        assert (found["code"], text) == (128 + signal.SIGPIPE, "")
        return
    assert found["code"] == 0, text
    assert found["has"] in text.replace("\r", "").replace("\n", " ")
    if variant in ("dumb", "no colour"):
        colours = "\x1b" if variant == "dumb" else "\x1b[3"
        italic = text.replace("\x1b[3m", "")
        assert colours not in italic
        assert max(len(line) for line in lines_of(text)) <= 40
        assert "\u2026" not in text
    if variant == "80 columns":
        assert max(len(line) for line in lines_of(text)) <= 80
        assert "\u2026" not in text
        assert "ready: yes" not in text, "a line for each cell, where a table is expected"
    if (name, variant) == ("classes", "Latin-1"):
        assert CLASS.encode("ascii", "backslashreplace").decode() in text


def lines_of(text: str) -> list[str]:
    """Return the lines of a text without styles, but for commands to copy, which are not broken."""
    lines = without_styles(text).splitlines()
    return [line for line in lines if not line.startswith("    lolvit ")]


def without_styles(text: str) -> str:
    """Return text without escape sequences of styles."""
    return re.sub(r"\x1b\[[0-9;]*m", "", text)
