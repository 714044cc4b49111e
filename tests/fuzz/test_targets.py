"""A short run of every fuzzing target whose inputs need no export, always with the same inputs;
`make fuzz` runs all of them for longer. And what the fuzzer takes for a finding."""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import pickle
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from lolvit.errors import UserError
from tests.fuzz.json_mutations import mutate_json
from tests.fuzz.target import LONGEST_LINE, Target, finding
from tests.fuzz.targets import TARGETS

ROOT = Path(__file__).parents[2]
EXPORTED = {"pte-check", "coreml-package", "torch-program"}  # their inputs take seconds to export
INPUTS = 60


def hard(target: Target) -> list[bytes]:
    """Return inputs that mutation is unlikely to find."""
    document = json.dumps({"schema_version": 2, "kind": "lolvit-bench"}).encode()
    return [
        b"", b"\0", b"[" * 100_000, b'{"a":' * 100_000, b'{"a":1,"a":2}', b"NaN", b"9" * 5000,
        b'"\\ud800"', b'{"schema_version":' + b"9" * 4000 + b"}", b"\xff\xfe" * 50,
        b'{"schema_version": 2, "model": "' + b"a" * 500_000 + b'"}', document,
        struct.pack("<Q", 4 << 30) + b"{}", struct.pack("<Q", (1 << 64) - 1),
        struct.pack("<Q", 2) + b"{}", pickle.dumps(range(3)), gzip.compress(bytes(1 << 20)),
        b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\xff\xff\xff\xff\xff\xff\xff\xff\x08\x02\0\0\0" + bytes(50),
        b"x = " + b"[" * 5000, b"P6 99999 99999 255\n", b"\xff" * 200_000,
    ]  # fmt: skip


@pytest.mark.filterwarnings("ignore")  # of libraries about damaged files
@pytest.mark.parametrize("name", [name for name in TARGETS if name not in EXPORTED])
def test_any_input_is_parsed_or_refused_in_one_line(name: str, tmp_path: Path) -> None:
    target, generator = TARGETS[name], Random(0)
    parse, seeds = target.opened(tmp_path), target.seeds()
    parse(seeds[0])  # at least one is accepted, so that not everything is refused at once
    mutated = [target.mutate(generator.choice(seeds), generator) for _ in range(INPUTS)]
    for data in [*seeds, *hard(target), *mutated]:
        found = finding(target, parse, tmp_path, data)
        assert found is None, f"{found.place} for {data[:500]!r}\n{found.text}"


def test_mutated_documents_are_mostly_json_and_differ() -> None:
    document = b'{"a": [1, 2, {"b": "c"}], "d": 0.5}'
    generator = Random(0)
    mutated = {mutate_json(document, generator) for _ in range(300)}
    assert len(mutated) > 150
    assert sum(_is_json(text) for text in mutated) > 0.7 * len(mutated)


def _is_json(text: bytes) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _swallowed(act: Callable[[], object]) -> None:
    with contextlib.suppress(Exception):  # as a careless parser does
        act()


WRONG: dict[str, Callable[[Path], object]] = {
    "KeyError": lambda folder: {}["a"],
    "RecursionError": lambda folder: json.loads("[" * 100_000),
    "SystemExit": lambda folder: sys.exit(3),
    "ForbiddenError.*os.system": lambda folder: os.system("true"),
    "ForbiddenError.*subprocess": lambda folder: subprocess.run(["true"]),
    "ForbiddenError.*open": lambda folder: (folder.parent / "outside").write_text("x"),
    "ForbiddenError.*/etc/passwd": lambda folder: _swallowed(Path("/etc/passwd").read_bytes),
    "ForbiddenError.*os.remove": lambda folder: _swallowed((folder.parent / "absent").unlink),
    "ForbiddenError.*pickle": lambda folder: pickle.loads(b"cos\nsystem\n(S'true'\ntR."),
    "ForbiddenError.*compile": lambda folder: eval("1 + 1"),
}


def target_of(act: Callable[[Path], object]) -> Target:
    return Target("planted", lambda folder: lambda data: act(folder) and None, lambda: [b"x"])


@pytest.mark.parametrize("expected", WRONG)
def test_what_a_parser_must_not_do_is_a_finding(expected: str, tmp_path: Path) -> None:
    folder = tmp_path / "inner"
    folder.mkdir()
    target = target_of(WRONG[expected])
    found = finding(target, target.opened(folder), folder, b"x")
    assert found is not None
    name, _, cause = expected.partition(".*")
    assert name in found.place and cause in found.text
    assert not (tmp_path / "outside").exists()


@pytest.mark.parametrize(
    ("what", "finds"), [("no manifest", False), ("x" * (LONGEST_LINE + 1), False), ("", True)]
)
def test_a_line_is_a_finding_only_if_it_is_none(what: str, finds: bool, tmp_path: Path) -> None:
    def refuse(folder: Path) -> None:
        raise UserError(what)

    target = target_of(refuse)
    assert (finding(target, target.opened(tmp_path), tmp_path, b"x") is not None) == finds


def test_a_file_in_its_own_folder_is_no_finding(tmp_path: Path) -> None:
    target = target_of(lambda folder: (folder / "own").write_text("x"))
    assert finding(target, target.opened(tmp_path), tmp_path, b"x") is None


@pytest.mark.skipif(
    (sys.platform, os.uname().machine) != ("linux", "x86_64"), reason="Atheris has no build here"
)
def test_the_command_fuzzes_for_its_time_and_prints_a_table(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.fuzz.run", "--minutes", "0.05", "labels"]
    environment = os.environ | {"XDG_CACHE_HOME": str(tmp_path)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    row = next(line.split() for line in done.stdout.splitlines() if line.startswith("labels"))
    assert int(row[1].replace(",", "")) > 100
    assert row[-1] == "-"
    assert len(list((tmp_path / "lolvit/fuzz/labels/corpus").iterdir())) >= 2
