"""Figures of a result in words, as the terminal, Markdown and the page all give them."""

from __future__ import annotations

from dataclasses import dataclass

from lolvit_benchmarks.results.document import (
    BEST,
    Document,
    Failure,
    ModelResult,
    Result,
    Speedup,
)


@dataclass(frozen=True)
class Grid:
    """A table before it is drawn for the terminal, for Markdown or for the page: rows under
    headings; the first `left` columns are text, the others numbers."""

    title: str
    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    left: int = 1
    note: str = ""


RUNTIME_NAMES = {"ort": "ONNX Runtime", "litert": "LiteRT", "openvino": "OpenVINO",
                 "executorch": "ExecuTorch", "coreml": "Core ML", "eager": "eager PyTorch",
                 "torch-compile": "torch.compile", "litert-gpu": "LiteRT on the GPU",
                 "coreml-cpu": "Core ML on the CPU", "coreml-gpu": "Core ML on the GPU",
                 "coreml-ane": "Core ML on the Neural Engine", "qnn": "QNN on the HTP"}  # fmt: skip

HOST = "host"

HEADINGS = ("runtime", "speedup", "95 % interval", "quality", "candidate", "median (p90) ms",
            "baseline", "median (p90) ms")  # fmt: skip


def runtime_name(runtime: str) -> str:
    """Return a runtime's name as its makers write it."""
    return RUNTIME_NAMES.get(runtime, runtime)


def milliseconds(value: float) -> str:
    """Return a duration with three significant digits or more: 0.123, 3.21, 27.1, 271."""
    return f"{value:.{3 if value < 1 else 2 if value < 10 else 1 if value < 100 else 0}f}"


def factor(ratio: float) -> str:
    """Return a ratio with its multiplication sign: 8.2x, 0.97x."""
    return f"{ratio:.2f}x" if ratio < 2 else f"{ratio:.1f}x" if ratio < 100 else f"{ratio:.0f}x"


def interval(speedup: Speedup) -> str:
    """Return the bounds of the interval, with as many digits as tell them apart, up to three."""
    low, high = factor(speedup.low), factor(speedup.high)
    for digits in (2, 3):
        if low == high:
            low, high = (f"{bound:.{digits}f}x" for bound in (speedup.low, speedup.high))
    return f"{low} to {high}"


def megabytes(count: int | None) -> str:
    """Return a number of bytes in MB (1,000,000), or a dash where it is not known."""
    return f"{count / 1e6:.1f} MB" if count is not None else "–"


def threads(count: int) -> str:
    """Return a number of threads with its noun."""
    return f"{count} thread" if count == 1 else f"{count} threads"


def quality(result: Result) -> str:
    """Return the quality of a result with the interval's half width, and that it has no winner if
    so."""
    if not valid(result):
        return result.quality.state
    even = ", no winner" if result.quality.winner is None else ""
    return f"{result.quality.state}, ±{result.quality.half_width:.1%}{even}"


def valid(result: Result) -> bool:
    """Whether the speedup of a result can be trusted."""
    return result.quality.state != "INVALID"


def relation(result: Result) -> str:
    """Return what the speedup says of the candidate and the baseline, without their names."""
    if not valid(result):
        return "INVALID speedup over"
    return "speedup over" if result.quality.winner else "no significant difference from"


def size(one: ModelResult) -> str:
    """Return height x width of a model's input, in pixels."""
    return f"{one.size[0]}x{one.size[1]}"


def where(runtime: str, precision: str, count: int) -> str:
    """Return a runtime, a precision and a number of threads in a few words."""
    return f"{runtime} {precision}, {threads(count)}"


def configuration(result: Result) -> str:
    """Return the configuration of a result in a few words. The size is the candidate's; a note says
    where the baseline's is another."""
    place = f"{where(result.runtime, result.precision, result.threads)}, {size(result.candidate)}"
    return place if result.device == HOST else f"{result.device}: {place}"


def row(result: Result) -> tuple[str, ...]:
    """Return a result as a row under HEADINGS."""
    return (
        configuration(result), factor(result.speedup.ratio), interval(result.speedup),
        quality(result), *_pair(result, result.candidate), *_pair(result, result.baseline),
    )  # fmt: skip


def named(result: Result, one: ModelResult) -> str:
    """Return a model's name, with its precision where each model has its own."""
    own = result.precision == BEST and one.precision is not None
    return f"{one.model} ({one.precision})" if own else one.model


def _pair(result: Result, one: ModelResult) -> tuple[str, str]:
    return named(result, one), f"{milliseconds(one.median_ms)} ({milliseconds(one.p90_ms)})"


def headline(result: Result) -> str:
    """Return a result as a sentence."""
    candidate, baseline, speedup = result.candidate, result.baseline, result.speedup
    one, other = named(result, candidate), named(result, baseline)
    device = "" if result.device == HOST else f"on {result.device} "
    place = (
        f"{device}in {runtime_name(result.runtime)} with {threads(result.threads)}, "
        f"{result.precision}, {size(candidate)}: "
        f"{milliseconds(candidate.median_ms)} ms against {milliseconds(baseline.median_ms)} ms"
    )
    bounds = f"95 % interval {interval(speedup)}, {result.quality.state}"
    if not valid(result):
        reasons = "; ".join(reason.text for reason in result.quality.reasons)
        return f"The speedup of {one} over {other} {place} is INVALID: {reasons}."
    if result.quality.winner is None:
        return f"{one} and {other} do not differ significantly {place} ({bounds})."
    return f"The speedup of {one} over {other} is {factor(speedup.ratio)} {place} ({bounds})."


def place(result: Result) -> str:
    """Return what was measured against what, and where, in a few words."""
    models = f"{named(result, result.candidate)} against {named(result, result.baseline)}"
    return f"{models}, {configuration(result)}"


def failed(failure: Failure) -> str:
    """Return what gave no result, in a few words."""
    if failure.runtime is None and failure.device is not None:
        return failure.device
    if failure.runtime is None or failure.threads is None:
        return f"export of {failure.model}"
    place = where(failure.runtime, failure.precision or "", failure.threads)
    elsewhere = f" on {failure.device}" if failure.device not in (None, HOST) else ""
    return f"{failure.model} in {place}{elsewhere}" if failure.model else f"{place}{elsewhere}"


def machine(document: Document) -> str:
    """Return the machine in a line."""
    seen = document.environment
    virtual = ", virtual machine" if seen.virtual else ""
    return f"{seen.cpu or seen.architecture}, {seen.cores} cores{virtual}; {seen.system}"
