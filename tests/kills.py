"""Kill commands at random moments, and check that nothing of the user's is lost.

`python -m tests.kills --count 200` (`make kills`) prints a table: after each kill the former result
is whole and no child process lives; the next run works and leaves no temporary file beside its
result; training that was killed and resumed ends with the weights of a run that was not, bit for
bit.
"""

from __future__ import annotations

import argparse
import os
import random
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from lolvit.files import sha256_of
from lolvit.manifest import check_artifact, read_manifest
from lolvit_benchmarks.results.files import read_result
from tests.data.images import write_folder

SIGNALS = (signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
_MARK = "LOLVIT_KILLS"
_GONE_S = 20.0  # a converter's child may be in a system call when its parent dies
_RUN_AGAIN = 4  # every so many kills the command runs to its end

Check = Callable[[Path], None]


@dataclass(frozen=True)
class Operation:
    """A command in a folder of its own, and the check that its former result is whole."""

    name: str
    arguments: Callable[[Path], list[str]]
    check: Check
    results: tuple[str, ...]  # folders in which no temporary file may stay


@dataclass
class Outcome:
    """What happened to an operation."""

    kills: Counter[str] = field(default_factory=Counter)
    ended_before: int = 0
    runs: int = 0
    left_in_tmp: int = 0  # after SIGKILL, which no process can handle
    faults: list[str] = field(default_factory=list)


def check_export(folder: Path) -> None:
    """Check that the export is whole."""
    (found,) = [path for path in (folder / "out").iterdir() if not path.name.startswith(".")]
    manifest = read_manifest(found)
    assert manifest.artifacts
    for artifact in manifest.artifacts:
        check_artifact(found, artifact)


def check_bench(folder: Path) -> None:
    """Check that every result file is whole, and the export as it was."""
    for path in (folder / "results").glob("*.json"):
        read_result(path)
    check_export(folder)


def check_package(folder: Path) -> None:
    """Check that the packaged model is whole."""
    (found,) = (folder / "app/src/main/assets/lolvit").glob("[!.]*")
    manifest = read_manifest(found)
    kept = [artifact for artifact in manifest.artifacts if (found / artifact.path).exists()]
    assert kept
    for artifact in kept:
        check_artifact(found, artifact)


def check_train(folder: Path) -> None:
    """Check that the last checkpoint, if there is one, can be read."""
    from lolvit_training.checkpoints import LAST, load_last

    if (folder / "run" / LAST).exists():
        load_last(folder / "run")


def _export(*options: str) -> Callable[[Path], list[str]]:
    return lambda folder: [
        *("export", "lolvit_xx", "--weights", "lolvit_xx.digits", "--size", "64"),
        *("--to", "onnx", *options, "--out", str(folder / "out")),
    ]


def _model(folder: Path) -> str:
    return str(folder / "out" / "lolvit_xx-64x64")


def train_arguments(folder: Path) -> list[str]:
    """Return the command that trains or, where there is a checkpoint, resumes."""
    from lolvit_training.checkpoints import LAST

    resume = ["--resume"] if (folder / "run" / LAST).exists() else []
    return [
        *("train", "--data", str(folder / "data"), "--model", "lolvit_xx", "--size", "32"),
        *("--epochs", "3", "--batch-size", "8", "--checkpoint-steps", "2"),
        *("--out", str(folder / "run"), *resume),
    ]  # fmt: skip


OPERATIONS = (
    Operation("export", _export(), check_export, ("out",)),
    Operation(
        "quantize",
        _export("--precision", "fp32,int8", "--calibrate", "digits"),
        check_export,
        ("out",),
    ),
    Operation("train", train_arguments, check_train, ("run",)),
    Operation(
        "evaluate",
        lambda f: ["evaluate", _model(f), "--data", "digits", "--limit", "40"],
        check_export,
        ("out",),
    ),
    Operation(
        "bench",
        lambda f: [
            "bench",
            _model(f),
            "--against",
            _model(f),
            "--runtime",
            "ort",
            "--threads",
            "1",
            "--profile",
            "quick",
            "--out",
            str(f / "results"),
        ],
        check_bench,
        ("results",),
    ),
    Operation(
        "package",
        lambda f: ["package", _model(f), "--android", str(f / "app")],
        check_package,
        ("app/src/main/assets/lolvit",),
    ),
)


class Killer:
    """Runs one operation in a folder, to its end or to a signal."""

    def __init__(self, operation: Operation, folder: Path) -> None:
        self.operation, self.folder, self.outcome = operation, folder, Outcome()
        self.scratch = folder / "tmp"
        self.scratch.mkdir(parents=True)

    def _start(self, mark: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "lolvit", *self.operation.arguments(self.folder)]
        environment = os.environ | {_MARK: mark, "TMPDIR": str(self.scratch)}
        with (self.folder / "stderr").open("wb") as stderr:
            return subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=stderr,
                env=environment,
            )  # fmt: skip

    def run(self) -> float:
        """Run to the end; return the seconds."""
        start = time.monotonic()
        code = self._start(secrets.token_hex(8)).wait()
        self.outcome.runs += 1
        if code != 0:
            said = (self.folder / "stderr").read_text(errors="replace").strip()
            self._fault(f"the next run ended with {code}: {said[-300:]}")
        self._check("after a run")
        for result in self.operation.results:
            if left := sorted(p.name for p in (self.folder / result).rglob(".*")):
                self._fault(f"temporary files after a run: {left}")
        return time.monotonic() - start

    def kill(self, number: signal.Signals, after_s: float) -> bool:
        """Send a signal after some seconds; return whether the command was still running."""
        shutil.rmtree(self.scratch)
        self.scratch.mkdir()
        mark = secrets.token_hex(8)
        process = self._start(mark)
        try:
            process.wait(after_s)
        except subprocess.TimeoutExpired:
            process.send_signal(number)
        else:
            self.outcome.ended_before += 1
            return False
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            self._fault(f"{number.name} after {after_s:.1f} s did not end it in 60 s")
        self.outcome.kills[number.name] += 1
        when = f"{number.name} after {after_s:.1f} s"
        if alive := _alive_with(mark):
            self._fault(f"{when}: child processes live: {alive}")
        if any(self.scratch.iterdir()):
            if number == signal.SIGKILL:
                self.outcome.left_in_tmp += 1
            else:
                self._fault(f"{when}: left in TMPDIR: {os.listdir(self.scratch)}")
        self._check(when)
        print(f"{self.operation.name}: {when}", flush=True)
        return True

    def _check(self, when: str) -> None:
        try:
            self.operation.check(self.folder)
        except Exception as error:  # noqa: BLE001 - whatever it is, the result is not whole
            self._fault(f"{when}: {type(error).__name__}: {error}")

    def _fault(self, what: str) -> None:
        self.outcome.faults.append(what)
        print(f"FAULT {self.operation.name}: {what}", flush=True)


def _alive_with(mark: str) -> list[str]:
    """Return the command lines of processes that inherited the mark and do not end soon."""
    deadline = time.monotonic() + _GONE_S
    while found := _processes_with(mark):
        if time.monotonic() > deadline:
            return found
        time.sleep(0.1)
    return []


def _processes_with(mark: str) -> list[str]:
    wanted, found = f"{_MARK}={mark}".encode(), []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if wanted in (folder / "environ").read_bytes().split(b"\0"):
                found.append((folder / "cmdline").read_bytes().replace(b"\0", b" ").decode())
        except OSError:  # ended, or another user's
            continue
    return found


def prepare(operation: Operation, folder: Path) -> None:
    """Lay out what the operation starts from."""
    if operation.name == "train":
        write_folder(folder / "data", 16, 4)
    elif operation.name not in ("export", "quantize"):
        made = Killer(OPERATIONS[0], folder / "made")
        made.run()
        (folder / "made" / "out").rename(folder / "out")
    (folder / "app/src/main").mkdir(parents=True)
    (folder / "app/build.gradle.kts").write_text("")


def kill_often(operation: Operation, folder: Path, count: int, chance: random.Random) -> Outcome:
    """Kill an operation `count` times, with runs to the end between."""
    prepare(operation, folder)
    killer = Killer(operation, folder)
    seconds = killer.run()
    reference = _weights(folder)
    while sum(killer.outcome.kills.values()) < count:
        if operation.name == "train" and reference == _weights(folder):
            shutil.rmtree(folder / "run")  # it is complete: from the start again
        fraction = chance.random() if operation.name != "train" else 0.4 + 0.6 * chance.random()
        killer.kill(chance.choice(SIGNALS), fraction * seconds)
        if killer.outcome.ended_before > 3 * count:
            break
        kills = sum(killer.outcome.kills.values())
        if kills % _RUN_AGAIN == 0 or kills == count:
            killer.run()
            if reference != _weights(folder):
                killer._fault("resumed training has other weights")
    return killer.outcome


def _weights(folder: Path) -> str | None:
    path = folder / "run" / "model.safetensors"
    return sha256_of(path) if path.exists() else None


def main() -> int:
    """Print a table of all operations; the exit code is 1 after a fault."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=200, help="kills, of all operations together")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="*", help="names of operations")
    options = parser.parse_args()
    chosen = [each for each in OPERATIONS if not options.only or each.name in options.only]
    faults = 0
    with tempfile.TemporaryDirectory(prefix="lolvit-kills-") as root:
        for operation in chosen:
            chance = random.Random(f"{options.seed} {operation.name}")
            share = options.count // len(chosen)
            outcome = kill_often(operation, Path(root) / operation.name, share, chance)
            faults += len(outcome.faults)
            kills = ", ".join(f"{name} {n}" for name, n in sorted(outcome.kills.items()))
            print(
                f"{operation.name}: {sum(outcome.kills.values())} kills ({kills}), "
                f"{outcome.ended_before} ended before, {outcome.runs} runs, "
                f"{outcome.left_in_tmp} left files in TMPDIR (SIGKILL), "
                f"{len(outcome.faults)} faults",
                flush=True,
            )
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
