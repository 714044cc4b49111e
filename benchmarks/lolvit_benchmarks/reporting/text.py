"""Figures of a result in words, as the terminal, Markdown and the page all give them."""

from __future__ import annotations

from collections.abc import Iterable

from lolvit_benchmarks.results.device import Estimate
from lolvit_benchmarks.results.document import BEST, Document, Failure, Result, Side, Speedup

RUNTIME_NAMES = {"ort": "ONNX Runtime", "litert": "LiteRT", "openvino": "OpenVINO",
                 "executorch": "ExecuTorch", "coreml": "Core ML", "eager": "eager PyTorch",
                 "torch-compile": "torch.compile", "litert-gpu": "LiteRT on the GPU",
                 "coreml-cpu": "Core ML on the CPU", "coreml-gpu": "Core ML on the GPU",
                 "coreml-ane": "Core ML on the Neural Engine", "qnn": "QNN on the HTP"}  # fmt: skip

HOST = "host"

HEADINGS = ("runtime", "model", "median (p90) ms", "against", "median (p90) ms", "speedup",
            "95 % interval", "verdict")  # fmt: skip


def runtime_name(runtime: str) -> str:
    """Return a runtime's name as its makers write it."""
    return RUNTIME_NAMES.get(runtime, runtime)


def milliseconds(value: float) -> str:
    """Return a duration with three significant digits or more: 0.123, 3.21, 27.1, 271."""
    return f"{value:.{3 if value < 1 else 2 if value < 10 else 1 if value < 100 else 0}f}"


def times(ratio: float) -> str:
    """Return a ratio with its multiplication sign: 8.2x, 0.97x."""
    return f"{ratio:.2f}x" if ratio < 2 else f"{ratio:.1f}x" if ratio < 100 else f"{ratio:.0f}x"


def interval(speedup: Speedup) -> str:
    """Return the bounds of the interval."""
    return f"{times(speedup.low)} to {times(speedup.high)}"


def megabytes(count: int | None) -> str:
    """Return a number of bytes in MB (1,000,000), or a dash where it is not known."""
    return f"{count / 1e6:.1f} MB" if count is not None else "–"


def threads(count: int) -> str:
    """Return a number of threads with its noun."""
    return f"{count} thread" if count == 1 else f"{count} threads"


def verdict(result: Result) -> str:
    """Return the verdict in a word or three: the state, and that nobody has won."""
    even = ", no winner" if result.verdict.winner is None else ""
    return f"{result.verdict.state}{even}"


def size(side: Side) -> str:
    """Return height x width of a side's input, in pixels."""
    return f"{side.size[0]}x{side.size[1]}"


def where(runtime: str, precision: str, count: int) -> str:
    """Return a runtime, a precision and a number of threads in a few words."""
    return f"{runtime} {precision}, {threads(count)}"


def setting(result: Result) -> str:
    """Return where was measured, in a few words. The size is model a's; a note says where b's is
    another."""
    place = f"{where(result.runtime, result.precision, result.threads)}, {size(result.a)}"
    return place if result.device == HOST else f"{result.device}: {place}"


def row(result: Result) -> tuple[str, ...]:
    """Return a result as a row under HEADINGS."""
    return (
        setting(result), *_cells(result, result.a), *_cells(result, result.b),
        times(result.speedup.ratio), interval(result.speedup), verdict(result),
    )  # fmt: skip


def named(result: Result, side: Side) -> str:
    """Return a side's model, with its precision where each side has its own."""
    own = result.precision == BEST and side.precision is not None
    return f"{side.model} ({side.precision})" if own else side.model


def _cells(result: Result, side: Side) -> tuple[str, str]:
    return named(result, side), f"{milliseconds(side.median_ms)} ({milliseconds(side.p90_ms)})"


def headline(result: Result) -> str:
    """Return a result as a sentence."""
    a, b, speedup = result.a, result.b, result.speedup
    one, other = named(result, a), named(result, b)
    device = "" if result.device == HOST else f"on {result.device} "
    place = (
        f"{device}in {runtime_name(result.runtime)} with {threads(result.threads)}, "
        f"{result.precision}, {size(a)}: "
        f"{milliseconds(a.median_ms)} ms against {milliseconds(b.median_ms)} ms"
    )
    bounds = f"95 % interval {interval(speedup)}"
    if result.verdict.winner is None:
        return f"{one} and {other} can't be told apart {place} ({bounds})."
    return f"{one} is {times(speedup.ratio)} as fast as {other} {place} ({bounds})."


def place(result: Result) -> str:
    """Return what was measured against what, and where, in a few words."""
    sides = f"{named(result, result.a)} against {named(result, result.b)}"
    return f"{sides}, {setting(result)}"


def failed(failure: Failure) -> str:
    """Return what gave no result, in a few words."""
    if failure.runtime is None and failure.device is not None:
        return failure.device
    if failure.runtime is None or failure.threads is None:
        return f"export of {failure.model}"
    place = where(failure.runtime, failure.precision or "", failure.threads)
    elsewhere = f" on {failure.device}" if failure.device not in (None, HOST) else ""
    return f"{failure.model} in {place}{elsewhere}" if failure.model else f"{place}{elsewhere}"


def all_notes(results: Iterable[Result | Estimate]) -> list[str]:
    """Return the notes of all results, each once."""
    return list(dict.fromkeys(note for result in results for note in result.notes))


def machine(document: Document) -> str:
    """Return the machine in a line."""
    seen = document.environment
    virtual = ", virtual machine" if seen.virtual else ""
    return f"{seen.cpu or seen.architecture}, {seen.cores} cores{virtual}; {seen.system}"
