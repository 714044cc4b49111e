"""What benchmark programs print, as milliseconds: pure."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from lolvit.errors import DeviceError, UserError

NUMBER = r"([0-9]{1,12}(?:\.[0-9]{1,9})?(?:[eE][-+]?[0-9]{1,3})?)"
_SCALES = {"ns": 1e-6, "us": 1e-3, "ms": 1.0, "s": 1e3}  # to milliseconds


@dataclass(frozen=True)
class Timed:
    """What one call of a program told, in milliseconds; None is what it doesn't tell."""

    samples: tuple[float, ...]
    load_ms: float | None = None
    first_ms: float | None = None


@dataclass(frozen=True)
class Reader:
    """How the output of a program is read; `name` says it in results. `means`: a sample is the mean
    of a call's runs, not a run."""

    name: str
    read: Callable[[str], Timed]
    means: bool
    arguments: str | None = None


def _benchmark_model(text: str) -> Timed:
    """TensorFlow Lite's benchmark_model, in microseconds."""
    return Timed(
        (_one(rf"Inference \(avg\): {NUMBER}", text, "us"),),
        load_ms=_maybe(rf"Inference timings in us: Init: {NUMBER}", text, "us"),
        first_ms=_maybe(rf"First inference: {NUMBER}", text, "us"),
    )


def _onnxruntime_perf_test(text: str) -> Timed:
    """ONNX Runtime's onnxruntime_perf_test, in seconds and milliseconds."""
    return Timed(
        (_one(rf"Average inference time cost(?: total)?: {NUMBER} ms", text, "ms"),),
        load_ms=_maybe(rf"Session creation time cost: {NUMBER} s", text, "s"),
        first_ms=_maybe(rf"First inference time cost: {NUMBER} ms", text, "ms"),
    )


READERS: dict[str, Reader] = {
    reader.name: reader
    for reader in (
        Reader(
            "benchmark_model", _benchmark_model, means=True,
            arguments="--graph={artifact} --num_threads={threads} --num_runs={runs} "
            "--warmup_runs={warmup} --min_secs=0 --warmup_min_secs=0",
        ),
        Reader(
            "onnxruntime_perf_test", _onnxruntime_perf_test, means=True,
            arguments="-I -m times -r {runs} -x {threads} {artifact}",
        ),
    )
}  # fmt: skip


def reader_for(text: str | None, program: str) -> Reader:
    """Return how to read a program's output: by the name of a known one (None: the program's file
    name), `regex:UNIT:PATTERN` with one group, or `json:UNIT:KEY.KEY` for a number or a list of
    them in the last line that is a JSON object.

    Raises:
        UserError: the program is not known, or the text is none of these.
    """
    kind, _, rest = (text or "").partition(":")
    if kind in ("regex", "json"):
        unit, colon, what = rest.partition(":")
        if unit not in _SCALES or not colon or not what:
            raise UserError(
                f"cannot read output by '{text}'",
                remedy=f"write {kind}:UNIT:{'PATTERN' if kind == 'regex' else 'KEY.KEY'}, with "
                f"UNIT one of {', '.join(_SCALES)}",
            )
        return _by_pattern(what, unit) if kind == "regex" else _by_keys(what, unit)
    name = text or program
    known = next((key for key in READERS if name == key or (not text and key in name)), None)
    if known is None:
        raise UserError(
            f"it is not known what '{name}' prints",
            remedy=f"give --binary-output {', '.join(READERS)}, regex:UNIT:PATTERN or "
            "json:UNIT:KEY.KEY",
        )
    return READERS[known]


def _by_pattern(pattern: str, unit: str) -> Reader:
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise UserError(f"no regular expression: '{pattern}': {error}") from error
    if compiled.groups != 1:
        raise UserError(
            f"'{pattern}' has {compiled.groups} groups", remedy="put ( ) around the time alone"
        )

    def read(text: str) -> Timed:
        return Timed(_checked([found[1] for found in compiled.finditer(text)], unit))

    return Reader(f"regex:{unit}:{pattern}", read, means=False)


def _by_keys(keys: str, unit: str) -> Reader:
    def read(text: str) -> Timed:
        value: Any = _last_object(text)
        for key in keys.split("."):
            value = value.get(key) if isinstance(value, dict) else None
        return Timed(_checked(value if isinstance(value, list) else [value], unit))

    return Reader(f"json:{unit}:{keys}", read, means=False)


def _last_object(text: str) -> object:
    for line in reversed(text.splitlines()):
        if line.lstrip().startswith("{"):
            try:
                return json.loads(line)
            except (ValueError, RecursionError):
                continue
    return None


def _checked(values: list[Any], unit: str) -> tuple[float, ...]:
    """Return times in milliseconds.

    Raises:
        DeviceError: there are none, or one is no time.
    """
    found = []
    for value in values:
        try:
            ms = float(value) * _SCALES[unit]
        except (TypeError, ValueError, OverflowError):
            ms = math.nan
        if isinstance(value, bool) or not (math.isfinite(ms) and ms > 0):
            raise DeviceError(f"the program's output has {value!r:.40} where a time should be")
        found.append(ms)
    if not found:
        raise DeviceError("the program's output has no time where one was looked for")
    return tuple(found)


def _one(pattern: str, text: str, unit: str) -> float:
    found = re.findall(pattern, text)
    return _checked(found[-1:], unit)[0]


def _maybe(pattern: str, text: str, unit: str) -> float | None:
    found = re.search(pattern, text)
    return _checked([found[1]], unit)[0] if found and float(found[1]) > 0 else None
