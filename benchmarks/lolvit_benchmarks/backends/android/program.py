"""A user's benchmark program as a measurer, one call per slot, and the parsers of its output."""

from __future__ import annotations

import hashlib
import json
import math
import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lolvit.errors import DeviceError, UserError
from lolvit.files import sha256_of
from lolvit_benchmarks.analysis.quality import DEFAULT_LIMITS
from lolvit_benchmarks.backends.android.blocks import Block, CandidateStats, Plan, Slot
from lolvit_benchmarks.backends.android.client import Adb, RemoteFile
from lolvit_benchmarks.backends.android.restore import SHELL_FOLDER
from lolvit_benchmarks.harness.schedule import SLOTS, Profile, warm_up_iterations

_PLACEHOLDERS = ("artifact", "threads", "runs", "warmup")
_CALIBRATION_RUNS = 5
_MIN_RUNS, _MAX_RUNS = 5, 500
_CALL_S = 120.0  # timeout without the runs: loading the model
_MACHINES = {3: "x86", 40: "armeabi-v7a", 62: "x86_64", 183: "arm64-v8a"}  # ELF's e_machine
NUMBER = r"([0-9]{1,12}(?:\.[0-9]{1,9})?(?:[eE][-+]?[0-9]{1,3})?)"
_SCALES = {"ns": 1e-6, "us": 1e-3, "ms": 1.0, "s": 1e3}  # to milliseconds


@dataclass(frozen=True)
class ParsedOutput:
    """Times of one call of a program in milliseconds; None where it prints none."""

    samples: tuple[float, ...]
    load_ms: float | None = None
    first_ms: float | None = None


@dataclass(frozen=True)
class OutputParser:
    """Parses a program's output; `name` identifies it in results. `is_mean`: a sample is the mean
    of a call's runs, not one run. `arguments` is the default template of --binary-args."""

    name: str
    parse: Callable[[str], ParsedOutput]
    is_mean: bool
    arguments: str | None = None


def _benchmark_model(text: str) -> ParsedOutput:
    """TensorFlow Lite's benchmark_model, in microseconds."""
    return ParsedOutput(
        (_last_match(rf"Inference \(avg\): {NUMBER}", text, "us"),),
        load_ms=_first_match(rf"Inference timings in us: Init: {NUMBER}", text, "us"),
        first_ms=_first_match(rf"First inference: {NUMBER}", text, "us"),
    )


def _onnxruntime_perf_test(text: str) -> ParsedOutput:
    """ONNX Runtime's onnxruntime_perf_test, in seconds and milliseconds."""
    return ParsedOutput(
        (_last_match(rf"Average inference time cost(?: total)?: {NUMBER} ms", text, "ms"),),
        load_ms=_first_match(rf"Session creation time cost: {NUMBER} s", text, "s"),
        first_ms=_first_match(rf"First inference time cost: {NUMBER} ms", text, "ms"),
    )


OUTPUT_PARSERS: dict[str, OutputParser] = {
    parser.name: parser
    for parser in (
        OutputParser(
            "benchmark_model", _benchmark_model, is_mean=True,
            arguments="--graph={artifact} --num_threads={threads} --num_runs={runs} "
            "--warmup_runs={warmup} --min_secs=0 --warmup_min_secs=0",
        ),
        OutputParser(
            "onnxruntime_perf_test", _onnxruntime_perf_test, is_mean=True,
            arguments="-I -m times -r {runs} -x {threads} {artifact}",
        ),
    )
}  # fmt: skip


def find_parser(text: str | None, program: str) -> OutputParser:
    """Return the parser that --binary-output names: a known program (None: by the program's file
    name), `regex:UNIT:PATTERN` with one group, or `json:UNIT:KEY.KEY` for a number or a list of
    numbers in the last line that is a JSON object.

    Raises:
        UserError: the program is unknown, or the text is none of these.
    """
    kind, _, rest = (text or "").partition(":")
    if kind in ("regex", "json"):
        unit, colon, what = rest.partition(":")
        if unit not in _SCALES or not colon or not what:
            raise UserError(
                f"invalid output format '{text}'",
                remedy=f"write {kind}:UNIT:{'PATTERN' if kind == 'regex' else 'KEY.KEY'}, with "
                f"UNIT one of {', '.join(_SCALES)}",
            )
        return _regex_parser(what, unit) if kind == "regex" else _json_parser(what, unit)
    name = text or program
    known = next((key for key in OUTPUT_PARSERS if name == key or (not text and key in name)), None)
    if known is None:
        raise UserError(
            f"the output format of '{name}' is unknown",
            remedy=f"give --binary-output {', '.join(OUTPUT_PARSERS)}, regex:UNIT:PATTERN or "
            "json:UNIT:KEY.KEY",
        )
    return OUTPUT_PARSERS[known]


def _regex_parser(pattern: str, unit: str) -> OutputParser:
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise UserError(f"invalid regular expression '{pattern}': {error}") from error
    if compiled.groups != 1:
        raise UserError(
            f"'{pattern}' has {compiled.groups} groups", remedy="write one group, around the time"
        )

    def parse(text: str) -> ParsedOutput:
        return ParsedOutput(_to_milliseconds([found[1] for found in compiled.finditer(text)], unit))

    return OutputParser(f"regex:{unit}:{pattern}", parse, is_mean=False)


def _json_parser(keys: str, unit: str) -> OutputParser:
    def parse(text: str) -> ParsedOutput:
        value: Any = _last_object(text)
        for key in keys.split("."):
            value = value.get(key) if isinstance(value, dict) else None
        return ParsedOutput(_to_milliseconds(value if isinstance(value, list) else [value], unit))

    return OutputParser(f"json:{unit}:{keys}", parse, is_mean=False)


def _last_object(text: str) -> object:
    for line in reversed(text.splitlines()):
        if line.lstrip().startswith("{"):
            try:
                return json.loads(line)
            except (ValueError, RecursionError):
                continue
    return None


def _to_milliseconds(values: list[Any], unit: str) -> tuple[float, ...]:
    """Convert times to milliseconds.

    Raises:
        DeviceError: there are none, or one is not a positive number.
    """
    found = []
    for value in values:
        try:
            ms = float(value) * _SCALES[unit]
        except (TypeError, ValueError, OverflowError):
            ms = math.nan
        if isinstance(value, bool) or not (math.isfinite(ms) and ms > 0):
            raise DeviceError(f"the program printed {value!r:.40} instead of a time")
        found.append(ms)
    if not found:
        raise DeviceError("the program printed no time in the expected format")
    return tuple(found)


def _last_match(pattern: str, text: str, unit: str) -> float:
    found = re.findall(pattern, text)
    return _to_milliseconds(found[-1:], unit)[0]


def _first_match(pattern: str, text: str, unit: str) -> float | None:
    found = re.search(pattern, text)
    return _to_milliseconds([found[1]], unit)[0] if found and float(found[1]) > 0 else None


@dataclass(frozen=True)
class Program:
    """A local program that is pushed to phones: its arguments, the parser of its output, and the
    ABI that it is built for (None: a script)."""

    local: Path
    sha256: str
    arguments: tuple[str, ...]
    parser: OutputParser
    abi: str | None

    @property
    def remote(self) -> str:
        """Path on the phone."""
        return f"{SHELL_FOLDER}/{self.sha256}"

    def file(self) -> RemoteFile:
        """Return the program as a file to push."""
        return RemoteFile(self.local, self.sha256, self.remote, mode="755")

    def require_abi(self, abis: Sequence[str], serial: str) -> None:
        """Check that a phone can run the program.

        Raises:
            UserError: it is built for another ABI.
        """
        if self.abi is not None and self.abi not in abis:
            raise UserError(
                f"is built for {self.abi}, but the phone runs {', '.join(abis)}",
                where=f"{self.local} on adb:{serial}",
                remedy=f"give a program built for {abis[0]}",
            )


def open_program(path: Path, arguments: str | None, output: str | None) -> Program:
    """Return the program of --binary, --binary-args and --binary-output.

    Raises:
        UserError: there is no such program, its arguments or output format are unknown, or the
            template of its arguments is invalid.
    """
    try:
        head = path.open("rb").read(20)
    except OSError as error:
        raise UserError(f"cannot be read: {error.strerror}", where=str(path)) from error
    parser = find_parser(output, path.name)
    template = arguments if arguments is not None else parser.arguments
    if template is None:
        raise UserError(
            "the program's arguments are unknown",
            where=str(path),
            remedy="give --binary-args, such as '--graph={artifact} --num_threads={threads}'",
        )
    return Program(path, sha256_of(path), _split_template(template), parser, _abi(head, path))


def _abi(head: bytes, path: Path) -> str | None:
    """Return the ABI that an ELF file is built for; None for a script."""
    if head.startswith(b"#!"):
        return None
    if not head.startswith(b"\x7fELF") or len(head) < 20:
        raise UserError(
            "is not a program for Android", where=str(path), remedy="give an ELF file or a script"
        )
    machine = int.from_bytes(head[18:20], "little")
    return _MACHINES.get(machine, f"ELF machine {machine}")


def _split_template(template: str) -> tuple[str, ...]:
    """Split a template as a shell would; its placeholders are filled in later, word by word.

    Raises:
        UserError: a quote is open, a placeholder is unknown, or {artifact} is missing.
    """
    try:
        words = tuple(shlex.split(template))
        filled = [word.format(**dict.fromkeys(_PLACEHOLDERS, "")) for word in words]
    except (ValueError, LookupError, AttributeError) as error:
        placeholders = ", ".join(f"{{{name}}}" for name in _PLACEHOLDERS)
        raise UserError(
            f"--binary-args '{template}': {error}", remedy=f"known placeholders: {placeholders}"
        ) from error
    if filled == list(words) or "{artifact}" not in template:
        raise UserError(
            f"--binary-args '{template}' has no {{artifact}}",
            remedy="add it where the artifact's path belongs",
        )
    return words


@dataclass(frozen=True)
class ProgramMeasurer:
    """A program on one phone as `Measurer`; the candidates' artifacts are pushed."""

    adb: Adb
    program: Program
    artifacts: Mapping[str, str]  # paths on the phone
    threads: int
    on_slot: Callable[[int], None] = lambda done: None

    @property
    def identity(self) -> str:
        """Digest of the program, its arguments and the parser."""
        parts = (self.program.sha256, *self.program.arguments, self.program.parser.name)
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()

    def calibrate(self, names: Sequence[str]) -> Block:
        """As `Measurer.calibrate`."""
        stats = {}
        for name in names:
            parsed = self._call(name, _CALIBRATION_RUNS, 1)
            run_ms = sum(parsed.samples) / len(parsed.samples)
            stats[name] = CandidateStats(
                run_ms=run_ms,
                load_ms=parsed.load_ms,
                first_ms=parsed.first_ms,
                options={"command": self._command_line()},
            )
        return Block(slots=(), candidates=stats, runtime_version=self._version())

    def plan(self, profile: Profile, calibration: Block) -> Plan:
        """As `Measurer.plan`: half the profile's rounds, since each slot starts the program again,
        but enough slots for the fewest samples, since each may give one; and as many runs in each
        as fit into the profile's time."""
        min_rounds = math.ceil(DEFAULT_LIMITS.min_samples / (SLOTS * profile.blocks))
        rounds = max(profile.rounds // 2, min_rounds)
        slot_s = profile.seconds / (profile.blocks * rounds * SLOTS * 2)
        slowest_s = max(one.run_ms for one in calibration.candidates.values()) / 1e3
        runs = min(_MAX_RUNS, max(_MIN_RUNS, math.ceil(slot_s / slowest_s)))
        warm_up = {
            name: warm_up_iterations(one.run_ms / 1e3)
            for name, one in calibration.candidates.items()
        }
        return Plan(blocks=profile.blocks, rounds=rounds, burst=runs, warm_up=warm_up)

    def block(self, plan: Plan, number: int) -> Block:
        """As `Measurer.block`."""
        slots, stats = [], {}
        for done, (name, warm_up, burst) in enumerate(plan.slots(number)):
            parsed = self._call(name, burst, warm_up)
            slots.append(Slot(candidate=name, durations_ns=_nanoseconds(parsed.samples)))
            stats[name] = CandidateStats(
                run_ms=parsed.samples[-1], load_ms=parsed.load_ms, first_ms=parsed.first_ms
            )
            self.on_slot(done + 1)
        if len({len(slot.durations_ns) for slot in slots}) != 1:
            raise self._error("printed different numbers of times in different calls")
        return Block(slots=tuple(slots), candidates=stats, runtime_version=self._version())

    def notes(self) -> tuple[str, ...]:
        """As `Measurer.notes`."""
        program = self.program.local.name
        notes = [f"Timed by {program}, one call per slot; its outputs were not checked."]
        if self.program.parser.is_mean:
            notes.append(f"Each sample is the mean of the runs of one call of {program}.")
        return tuple(notes)

    def _call(self, name: str, runs: int, warmup: int) -> ParsedOutput:
        values = {"artifact": self.artifacts[name], "threads": str(self.threads),
                  "runs": str(runs), "warmup": str(warmup)}  # fmt: skip
        words = [word.format(**values) for word in self.program.arguments]
        timeout_s = _CALL_S + 2.0 * (runs + warmup)
        result = self.adb.stream([self.program.remote, *words], lambda line: None, timeout_s)
        if result.code != 0:
            message = (result.errors or result.output).strip().splitlines()
            raise self._error(
                f"ended with exit code {result.code}: {message[-1] if message else ''}"
            )
        try:
            return self.program.parser.parse(f"{result.output}\n{result.errors}")
        except DeviceError as error:
            raise self._error(error.what) from error

    def _version(self) -> str:
        return f"{self.program.local.name} (sha256 {self.program.sha256[:12]})"

    def _command_line(self) -> str:
        return shlex.join([self.program.local.name, *self.program.arguments])

    def _error(self, what: str) -> DeviceError:
        return DeviceError(f"{self.program.local.name}: {what}")


def _nanoseconds(samples: Sequence[float]) -> tuple[int, ...]:
    return tuple(max(1, round(ms * 1e6)) for ms in samples)
