"""A benchmark program of the user's own choice as what measures: one call a slot."""

from __future__ import annotations

import hashlib
import math
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lolvit.errors import DeviceError, UserError
from lolvit.files import sha256_of
from lolvit_benchmarks.analysis.quality import DEFAULT_LIMITS
from lolvit_benchmarks.backends.android.blocks import Block, Plan, Seen, Slot
from lolvit_benchmarks.backends.android.client import Adb
from lolvit_benchmarks.backends.android.output import Reader, Timed, reader_for
from lolvit_benchmarks.backends.android.push import Load
from lolvit_benchmarks.backends.android.restore import SHELL_FOLDER
from lolvit_benchmarks.harness.schedule import SLOTS, Profile, warm_up_iterations

_PLACES = ("artifact", "threads", "runs", "warmup")
_LOOK_RUNS = 5
_FEWEST_RUNS, _MOST_RUNS = 5, 500
_CALL_S = 120.0  # to load a model, at least
_MACHINES = {3: "x86", 40: "armeabi-v7a", 62: "x86_64", 183: "arm64-v8a"}  # ELF's e_machine


@dataclass(frozen=True)
class Program:
    """A program of this computer that is pushed to phones, how it is called, and how its output is
    read."""

    local: Path
    sha256: str
    arguments: tuple[str, ...]
    reader: Reader
    abi: str | None

    @property
    def remote(self) -> str:
        """Its path on a phone."""
        return f"{SHELL_FOLDER}/{self.sha256}"

    def load(self) -> Load:
        """Return it as a file to push."""
        return Load(self.local, self.sha256, self.remote, mode="755")

    def require_abi(self, abis: Sequence[str], serial: str) -> None:
        """Check that a phone can run it.

        Raises:
            UserError: it is built for another processor.
        """
        if self.abi is not None and self.abi not in abis:
            raise UserError(
                f"is built for {self.abi}, the phone runs {', '.join(abis)}",
                where=f"{self.local} on adb:{serial}",
                remedy=f"give a program built for {abis[0]}",
            )


def open_program(path: Path, arguments: str | None, output: str | None) -> Program:
    """Return a program that the user named.

    Raises:
        UserError: there is no such program, how it is called or what it prints is not known, or
            the arguments are none.
    """
    try:
        head = path.open("rb").read(20)
    except OSError as error:
        raise UserError(f"cannot be read: {error.strerror}", where=str(path)) from error
    reader = reader_for(output, path.name)
    template = arguments if arguments is not None else reader.arguments
    if template is None:
        raise UserError(
            "it is not known how the program is called",
            where=str(path),
            remedy="give --binary-args, such as '--graph={artifact} --num_threads={threads}'",
        )
    return Program(path, sha256_of(path), _words(template), reader, _abi(head, path))


def _abi(head: bytes, path: Path) -> str | None:
    """Return the ABI that an ELF file is built for; None for a script."""
    if head.startswith(b"#!"):
        return None
    if not head.startswith(b"\x7fELF") or len(head) < 20:
        raise UserError(
            "is no program for Android", where=str(path), remedy="give an ELF file or a script"
        )
    machine = int.from_bytes(head[18:20], "little")
    return _MACHINES.get(machine, f"ELF machine {machine}")


def _words(template: str) -> tuple[str, ...]:
    """Split a template as a shell would; its places are filled in later, word by word.

    Raises:
        UserError: a quote is open, a place is unknown, or the artifact is not in it.
    """
    try:
        words = tuple(shlex.split(template))
        filled = [word.format(**dict.fromkeys(_PLACES, "")) for word in words]
    except (ValueError, LookupError, AttributeError) as error:
        places = ", ".join(f"{{{name}}}" for name in _PLACES)
        raise UserError(
            f"--binary-args '{template}': {error}", remedy=f"known places: {places}"
        ) from error
    if filled == list(words) or "{artifact}" not in template:
        raise UserError(
            f"--binary-args '{template}' has no {{artifact}}", remedy="write where its path belongs"
        )
    return words


@dataclass(frozen=True)
class ProgramRuns:
    """A program on one phone, with the entrants' artifacts there; as `Measurer`."""

    adb: Adb
    program: Program
    artifacts: Mapping[str, str]  # paths on the phone
    threads: int
    hear: Callable[[int], None] = lambda done: None

    @property
    def identity(self) -> str:
        """Digest of the program, its arguments and the reader."""
        parts = (self.program.sha256, *self.program.arguments, self.program.reader.name)
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()

    def look(self, names: Sequence[str]) -> Block:
        """As `Measurer.look`."""
        seen = {}
        for name in names:
            timed = self._call(name, _LOOK_RUNS, 1)
            run_ms = sum(timed.samples) / len(timed.samples)
            seen[name] = Seen(run_ms=run_ms, load_ms=timed.load_ms, first_ms=timed.first_ms,
                              options={"command": self._shown()})  # fmt: skip
        return Block(slots=(), seen=seen, runtime_version=self._version())

    def plan(self, profile: Profile, look: Block) -> Plan:
        """As `Measurer.plan`: enough slots for a verdict, since each may give one sample, and so
        many runs in each that all fit into the profile's time."""
        fewest = math.ceil(DEFAULT_LIMITS.min_samples / (SLOTS * profile.blocks))
        rounds = max(profile.rounds, fewest)
        slot_s = profile.seconds / (profile.blocks * rounds * SLOTS * 2)
        slowest_s = max(seen.run_ms for seen in look.seen.values()) / 1e3
        runs = min(_MOST_RUNS, max(_FEWEST_RUNS, math.ceil(slot_s / slowest_s)))
        settling = {name: warm_up_iterations(seen.run_ms / 1e3) for name, seen in look.seen.items()}
        return Plan(blocks=profile.blocks, rounds=rounds, burst=runs, settling=settling)

    def block(self, plan: Plan, number: int) -> Block:
        """As `Measurer.block`."""
        slots, seen = [], {}
        for done, (name, settling, burst) in enumerate(plan.slots(number)):
            timed = self._call(name, burst, settling)
            slots.append(Slot(entrant=name, durations_ns=_nanoseconds(timed.samples)))
            seen[name] = Seen(run_ms=timed.samples[-1], load_ms=timed.load_ms,
                              first_ms=timed.first_ms)  # fmt: skip
            self.hear(done + 1)
        if len({len(slot.durations_ns) for slot in slots}) != 1:
            raise self._failed("gave unequal numbers of times in different calls")
        return Block(slots=tuple(slots), seen=seen, runtime_version=self._version())

    def notes(self) -> tuple[str, ...]:
        """As `Measurer.notes`."""
        program = self.program.local.name
        made = [f"Timed by {program}, one call a slot; its outputs were not checked."]
        if self.program.reader.means:
            made.append(f"Each sample is the mean of the runs of one call of {program}.")
        return tuple(made)

    def _call(self, name: str, runs: int, warmup: int) -> Timed:
        values = {"artifact": self.artifacts[name], "threads": str(self.threads),
                  "runs": str(runs), "warmup": str(warmup)}  # fmt: skip
        words = [word.format(**values) for word in self.program.arguments]
        timeout_s = _CALL_S + 2.0 * (runs + warmup)
        done = self.adb.follow([self.program.remote, *words], lambda line: None, timeout_s)
        if done.code != 0:
            said = (done.errors or done.output).strip().splitlines()
            raise self._failed(f"ended with exit code {done.code}: {said[-1] if said else ''}")
        try:
            return self.program.reader.read(f"{done.output}\n{done.errors}")
        except DeviceError as error:
            raise self._failed(error.what) from error

    def _version(self) -> str:
        return f"{self.program.local.name} (sha256 {self.program.sha256[:12]})"

    def _shown(self) -> str:
        return shlex.join([self.program.local.name, *self.program.arguments])

    def _failed(self, what: str) -> DeviceError:
        return DeviceError(f"{self.program.local.name}: {what}")


def _nanoseconds(samples: Sequence[float]) -> tuple[int, ...]:
    return tuple(max(1, round(ms * 1e6)) for ms in samples)
