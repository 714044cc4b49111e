"""What the command line shows without running a command."""

from __future__ import annotations

import importlib
import importlib.metadata
import json
import subprocess
import sys

import click
import pytest

import lolvit
from lolvit.commands import COMMANDS, HIDDEN, SECTIONS, SETUP_SECTIONS, CommandEntry, commands_of
from lolvit.extras import MODULES
from tests.architecture.imports import reached_at_import

EXTRAS = {module for modules in MODULES.values() for module in modules}
# pydantic alone takes longer to import than all that `--help` needs.
HEAVY = EXTRAS | {"numpy", "PIL", "pydantic", "rich"}


def modules_after(*arguments: str) -> tuple[set[str], str]:
    """Run the command line in a child; return the top-level modules it imported, and its stdout."""
    program = (
        "import json, sys\n"
        "from lolvit.cli import main\n"
        f"code = main({list(arguments)!r})\n"
        "print(json.dumps(sorted(sys.modules)), file=sys.stderr)\n"
        "sys.exit(code)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stderr.splitlines()[-1])), done.stdout


def test_help_lists_every_command_and_imports_none() -> None:
    modules, text = modules_after("--help")
    for name, entry in COMMANDS.items():
        assert name in text
        assert entry.help_line in text
        assert entry.target.partition(":")[0] not in modules
    assert not HEAVY & modules


def test_no_import_that_the_command_line_reaches_at_startup_is_heavy() -> None:
    tops = {name.partition(".")[0] for name in reached_at_import("lolvit.cli")}
    assert {"click", "difflib"} <= tops
    assert not HEAVY & tops


def test_help_lists_the_commands_by_section_in_order() -> None:
    _, text = modules_after("--help")
    expected = [word for title, section in SECTIONS.items() for word in (f"{title}:", *section)]
    first_words = [line.strip() for line in text.partition("Export and verify")[2].splitlines()]
    lines = ["Export and verify:", *filter(None, first_words[1:])]
    assert [line if line.endswith(":") else line.split()[0] for line in lines] == expected
    assert all(len(line) <= 80 for line in text.splitlines())


SETUP = commands_of(SETUP_SECTIONS)
CALLS = [(name,) for name in COMMANDS] + [("setup", name) for name in SETUP]


@pytest.mark.parametrize("arguments", [*CALLS, *((name,) for name in HIDDEN)], ids=" ".join)
def test_help_of_a_command_imports_nothing_heavy(arguments: tuple[str, ...]) -> None:
    modules, text = modules_after(*arguments, "--help")
    assert "--json" in text
    assert not HEAVY & modules


@pytest.mark.parametrize(("name", "entry"), [*COMMANDS.items(), *SETUP.items()])
def test_a_command_is_a_click_command_with_the_table_s_name(name: str, entry: CommandEntry) -> None:
    module, _, attribute = entry.target.partition(":")
    command = getattr(importlib.import_module(module), attribute)
    assert isinstance(command, click.Command)
    assert command.name == name
    assert "--json" in {option for param in command.params for option in param.opts}


def test_version_is_the_package_s() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "lolvit", "--version"], capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (0, f"lolvit {lolvit.__version__}\n")


def test_no_command_shows_the_help() -> None:
    done = subprocess.run([sys.executable, "-m", "lolvit"], capture_output=True, text=True)
    assert done.returncode == 0
    assert done.stdout.startswith("Usage: lolvit")


def test_the_installed_program_is_the_module() -> None:
    entry = importlib.metadata.distribution("lolvit").entry_points["lolvit"]
    assert entry.value == "lolvit.cli:main"
