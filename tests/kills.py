"""Kill commands at random moments, and check that nothing of the user's is lost.

`python -m tests.kills --count 200` (`make kills`) prints a table: after each kill the former result
is whole and no child process lives; the next run works and leaves no temporary file beside its
result; training that was killed and resumed ends with the weights of a run that was not, bit for
bit. With `--log FILE` each kill is a line of that file, and the same command goes on from there.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lolvit.files import sha256_of, size_of
from lolvit.manifest import check_artifact, read_manifest
from lolvit_benchmarks.results.files import read_result
from tests.data.images import write_folder

SIGNALS = (signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
PIP_CACHE = str(Path.home() / ".cache" / "pip")  # so that wheels are not downloaded every time
_MARK = "LOLVIT_KILLS"
_GONE_S = 20.0  # a converter's child may be in a system call when its parent dies
_RUN_AGAIN = 4  # every so many kills the command runs to its end
_ENDS_S = 60.0  # how long a command may take to clean up behind itself
# A shell without job control has its background jobs ignore SIGINT, and children inherit that: then
# Ctrl-C would not be what is tested.
_HANDLED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)

Check = Callable[[Path], None]


@dataclass(frozen=True)
class Operation:
    """A command in a folder of its own, and the check that its former result is whole."""

    name: str
    arguments: Callable[[Path], list[str]]
    check: Check
    results: tuple[str, ...]  # folders in which no temporary file may stay
    share: int  # of the kills, relative to the other operations'
    temporary: str = "**/.*"  # the names of temporary files in `results`


@dataclass
class Outcome:
    """What happened to an operation."""

    kills: Counter[str] = field(default_factory=Counter)
    ended_before: int = 0
    runs: int = 0
    left_in_tmp: int = 0  # after SIGKILL, which no process can handle
    faults: list[str] = field(default_factory=list)

    def add(self, what: str, **more: str) -> None:
        """Add an event: `kill` with a `signal`, `ended`, `run`, `left`, or `fault` with a
        `text`."""
        if what == "kill":
            self.kills[more["signal"]] += 1
        elif what == "fault":
            self.faults.append(more["text"])
        else:
            self.ended_before += what == "ended"
            self.runs += what == "run"
            self.left_in_tmp += what == "left"


class Log:
    """The events of all operations; those of a file first, to which new ones are added."""

    def __init__(self, path: Path | None = None) -> None:
        self.outcomes: defaultdict[str, Outcome] = defaultdict(Outcome)
        self._path = path
        lines = path.read_text().splitlines() if path is not None and path.exists() else []
        for line in lines:
            event = json.loads(line)
            self.outcomes[event.pop("operation")].add(event.pop("what"), **event)

    def add(self, operation: str, what: str, **more: str) -> None:
        """Add an event (see `Outcome.add`)."""
        self.outcomes[operation].add(what, **more)
        if self._path is not None:
            with self._path.open("a") as stream:
                event = {"operation": operation, "what": what, **more}
                stream.write(json.dumps(event) + "\n")
        if what == "fault":
            print(f"FAULT {operation}: {more['text']}", flush=True)


def check_export(folder: Path) -> None:
    """Check that the export is whole."""
    (found,) = [path for path in (folder / "out").iterdir() if not path.name.startswith(".")]
    manifest = read_manifest(found)
    assert manifest.artifacts
    for artifact in manifest.artifacts:
        check_artifact(found, artifact)


def check_quantized(folder: Path) -> None:
    """Check that the export is whole, with its int8 artifact."""
    check_export(folder)
    (found,) = (folder / "out").glob("[!.]*")
    assert any(each.precision == "int8" for each in read_manifest(found).artifacts)


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


def check_arm64(folder: Path) -> None:
    """Check that the installation is whole, if there was one."""
    for inventory in (folder / "cache/lolvit/arm64").glob("*/installed.json"):
        stated, found = json.loads(inventory.read_bytes())["bytes"], size_of(inventory.parent)
        assert found >= stated, f"{found} of {stated} bytes"


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


# fmt: off
OPERATIONS = (
    Operation("export", _export(), check_export, ("out",), 6),
    Operation("quantize", _export("--precision", "fp32,int8", "--calibrate", "digits"),
              check_quantized, ("out",), 3),
    Operation("train", train_arguments, check_train, ("run",), 7),
    Operation("evaluate", lambda f: ["evaluate", _model(f), "--data", "digits", "--limit", "40"],
              check_export, ("out",), 6),
    Operation("bench",
              lambda f: ["bench", _model(f), "--against", _model(f), "--runtime", "ort",
                         "--threads", "1", "--profile", "quick", "--out", str(f / "results")],
              check_bench, ("results",), 6),
    Operation("package", lambda f: ["package", _model(f), "--android", str(f / "app")],
              check_package, ("app/src/main/assets/lolvit",), 10),
    # the fewest: each run asks Debian's servers; the root that it installs has hidden files
    Operation("arm64-setup", lambda f: ["setup", "arm64", "--reinstall"], check_arm64,
              ("cache/lolvit/arm64",), 2, temporary=".*"),
)
# fmt: on


class Killer:
    """Runs one operation in a folder, to its end or to a signal."""

    def __init__(self, operation: Operation, folder: Path, log: Log | None = None) -> None:
        self.operation, self.folder, self._log = operation, folder, log or Log()
        self.scratch = folder / "tmp"
        self.scratch.mkdir(parents=True)

    @property
    def outcome(self) -> Outcome:
        """What has happened so far."""
        return self._log.outcomes[self.operation.name]

    def _add(self, what: str, **more: str) -> None:
        self._log.add(self.operation.name, what, **more)

    def _fault(self, what: str) -> None:
        self._add("fault", text=what)

    def _start(self, mark: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "lolvit", *self.operation.arguments(self.folder)]
        environment = os.environ | {_MARK: mark, "TMPDIR": str(self.scratch)}
        if (cache := self.folder / "cache").exists():
            environment |= {"XDG_CACHE_HOME": str(cache), "PIP_CACHE_DIR": PIP_CACHE}
        with (self.folder / "stderr").open("wb") as stderr:
            return subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=stderr,
                env=environment, preexec_fn=_handle_signals,
            )  # fmt: skip

    def run(self) -> float:
        """Run to the end; return the seconds."""
        start = time.monotonic()
        code = self._start(secrets.token_hex(8)).wait()
        self._add("run")
        if code != 0:
            self._fault(f"the next run ended with {code}: {self._said()}")
        self._check("after a run")
        wanted = self.operation.temporary
        for result in self.operation.results:
            if left := sorted(p.name for p in (self.folder / result).glob(wanted)):
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
            self._add("ended")
            return False
        when = f"{number.name} after {after_s:.1f} s"
        try:
            process.wait(_ENDS_S)
        except subprocess.TimeoutExpired:
            self._fault(f"{when} did not end it in {_ENDS_S:.0f} s: {_state(process.pid)}")
            process.kill()
            process.wait()
        self._add("kill", signal=number.name)
        # handled; before Python could handle it; or the command had just ended
        expected = process.returncode in (128 + number, -number, 0)
        if not (expected or self._stopped_in_startup()):
            self._fault(f"{when}: exit code {process.returncode}: {self._said()}")
        if alive := _alive_with(mark):
            self._fault(f"{when}: child processes live: {alive}")
        if any(self.scratch.iterdir()):
            if number == signal.SIGKILL:
                self._add("left")
            else:
                self._fault(f"{when}: left in TMPDIR: {os.listdir(self.scratch)}")
        self._check(when)
        print(f"{self.operation.name}: {when}", flush=True)
        return True

    def _stopped_in_startup(self) -> bool:
        """Whether Ctrl-C came while Python itself started, before any code of lolvit."""
        said = (self.folder / "stderr").read_text(errors="replace")
        return "KeyboardInterrupt" in said and f"{os.sep}lolvit{os.sep}" not in said

    def _said(self) -> str:
        return (self.folder / "stderr").read_text(errors="replace").strip()[-500:]

    def _check(self, when: str) -> None:
        try:
            self.operation.check(self.folder)
        except Exception as error:  # noqa: BLE001 - whatever it is, the result is not whole
            self._fault(f"{when}: {type(error).__name__}: {error}")


def _handle_signals() -> None:
    for number in _HANDLED:
        signal.signal(number, signal.SIG_DFL)


def _state(pid: int) -> str:
    """Return what tells why a process does not end: its state and the signals that it handles."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return "it has just ended"
    return ", ".join(" ".join(line.split()) for line in lines if line.startswith(("State", "Sig")))


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
    folder.mkdir(parents=True)
    if operation.name == "train":
        write_folder(folder / "data", 16, 4)
    elif operation.name == "arm64-setup":
        (folder / "cache/lolvit/arm64").mkdir(parents=True)
    elif operation.name not in ("export", "quantize"):
        made = Killer(OPERATIONS[0], folder / "made")
        made.run()
        (folder / "made" / "out").rename(folder / "out")
    (folder / "app/src/main").mkdir(parents=True)
    (folder / "app/build.gradle.kts").write_text("")


def kill_often(
    operation: Operation, folder: Path, count: int, chance: random.Random, log: Log
) -> None:
    """Kill an operation until there are `count` kills in the log, with runs to the end between."""
    if sum(log.outcomes[operation.name].kills.values()) >= count:
        return
    prepare(operation, folder)
    killer = Killer(operation, folder, log)
    seconds = killer.run()
    reference = _weights(folder)
    for _ in range(4 * count):
        if operation.name == "train" and reference == _weights(folder):
            shutil.rmtree(folder / "run")  # it is complete: from the start again
        fraction = chance.random() if operation.name != "train" else 0.4 + 0.6 * chance.random()
        if not killer.kill(chance.choice(SIGNALS), fraction * seconds):
            continue
        kills = sum(killer.outcome.kills.values())
        if kills % _RUN_AGAIN == 0 or kills >= count:
            killer.run()
            if reference != _weights(folder):
                killer._fault("resumed training has other weights")
        if kills >= count:
            break


def _weights(folder: Path) -> str | None:
    path = folder / "run" / "model.safetensors"
    return sha256_of(path) if path.exists() else None


def shares(operations: Sequence[Operation], count: int) -> dict[str, int]:
    """Return the number of kills of each operation, `count` in all."""
    total, given, shared = sum(each.share for each in operations), 0, {}
    for number, each in enumerate(operations, 1):
        until = round(count * sum(o.share for o in operations[:number]) / total)
        shared[each.name], given = until - given, until
    return shared


def table(log: Log) -> str:
    """Return the outcomes as a table in Markdown."""
    names = [number.name for number in dict.fromkeys(SIGNALS)]
    rows = [["command", "kills", *names, "runs between", "left in TMPDIR by SIGKILL", "faults"]]
    for name, one in log.outcomes.items():
        kills = [one.kills[each] for each in names]
        numbers = [sum(kills), *kills, one.runs, one.left_in_tmp, len(one.faults)]
        rows.append([name, *map(str, numbers)])
    rows.insert(1, ["---"] * len(rows[0]))
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def main() -> int:
    """Print a table of all operations; the exit code is 1 after a fault."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=200, help="kills, of all operations together")
    parser.add_argument("--seed", type=int, help="of the moments; default: another one each time")
    parser.add_argument("--only", nargs="*", help="names of operations")
    parser.add_argument("--log", type=Path, help="file of events; those in it count")
    options = parser.parse_args()
    chosen = [each for each in OPERATIONS if not options.only or each.name in options.only]
    log, counts = Log(options.log), shares(chosen, options.count)
    with tempfile.TemporaryDirectory(prefix="lolvit-kills-") as root:
        for operation in chosen:
            chance = random.Random(options.seed)
            kill_often(operation, Path(root) / operation.name, counts[operation.name], chance, log)
    print(table(log))
    return 1 if any(one.faults for one in log.outcomes.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
