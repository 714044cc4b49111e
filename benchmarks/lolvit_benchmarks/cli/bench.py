"""`lolvit bench`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict, Unpack

import click

from lolvit.errors import DeviceError, GateFailedError, UserError
from lolvit.output import console, print_json, results
from lolvit.sizes import parse_size
from lolvit.variants import HEAD_TASKS
from lolvit_benchmarks.backends.registry import DeviceChoice, DeviceOptions, choose_devices
from lolvit_benchmarks.cli.options import RenamedOption, device_options

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, TaskID

    from lolvit_benchmarks.results.document import Document, Result
    from lolvit_benchmarks.runner import Request

_PATH = click.Path(path_type=Path)
MOST_THREADS_ELSEWHERE = 64  # of another device, which checks the number of its cores itself


class _Options(TypedDict):
    """Options that are passed to `Request` as they are."""

    weights: Path | None
    task: str | None
    profile: str
    photo: Path | None
    fresh: bool
    profile_ops: bool
    device_options: DeviceOptions


# fmt: off
@click.command()
@click.argument("model", default="lolvit_x")
@click.option("--against", metavar="MODEL[,MODEL]",
              help="The baselines: one or more models or folders. Default: the MobileViT with as "
                   "many parameters as the variant.")
@click.option("--device", "devices", default="host", show_default=True, metavar="DEVICE[,DEVICE]",
              help="Where to measure: names that lolvit devices lists.")
@click.option("--runtime", "runtimes", metavar="NAME[,NAME]",
              help="Default: those of the device, on host ort,litert; for artifacts and folders, "
                   "those that open what is there.")
@click.option("--threads", default="1", show_default=True, metavar="N[,N]",
              help="Numbers of threads, such as 1, or 1,2, or 1,all.")
@click.option("--precision", metavar="NAME[,NAME]",
              help="fp32, fp16, int8 or others of the export, or best: each model in the one that "
                   "is fastest. Default: fp32, or what a folder has; for qnn-estimate "
                   "fp16,int8,w8a16; for an artifact its own.")
@click.option("--size", metavar="SIZE[,SIZE]",
              help="Input sizes for models given by name, such as 256, or 192x320, or 128,256,512. "
                   "Default: each model's own.")
@click.option("--weights", type=_PATH, help="A checkpoint for MODEL.")
@click.option("--task", type=click.Choice(HEAD_TASKS),
              help="The head of models given by name, the same on each. Default: classification.")
@click.option("--profile", type=click.Choice(["quick", "default", "reference"]), default="default",
              show_default=True,
              help="Recorded runs of each model: up to 96 in 6 s, up to 420 in 13 s, or at least "
                   "1,300 in about two minutes.")
@click.option("--sustain", type=click.FloatRange(min=0, min_open=True), metavar="MINUTES",
              help="Afterwards, run each model alone without a pause for this long.")
@click.option("--min-speedup", type=click.FloatRange(min=0, min_open=True), metavar="X",
              help="Exit with 1 unless the whole 95 % interval of each speedup is at or above X; "
                   "also if a result is INVALID.")
@click.option("--photo", type=_PATH, help="The input. Default: a photo of scikit-image.")
@click.option("--profile-ops", is_flag=True,
              help="Also profile operations: time by stage and kind, and the roofline.")
@click.option("--force-export", "fresh", cls=RenamedOption, earlier=["--fresh"], is_flag=True,
              help="Export models again, even if the cache has them.")
@click.option("--cache", type=_PATH,
              help="Folder of cached exports. Default: in the user's cache folder.")
@click.option("--out", type=_PATH, default=Path("bench-results"), show_default=True,
              help="Folder of the result files.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
@device_options
def bench(
    model: str,
    against: str | None,
    devices: str,
    runtimes: str | None,
    threads: str,
    precision: str | None,
    size: str | None,
    out: Path,
    min_speedup: float | None,
    as_json: bool,
    sustain: float | None,
    cache: Path | None,
    **options: Unpack[_Options],
) -> None:
    """Measure the latency of MODEL and its speedup over one or more baselines.

    Models are interleaved in one process, on this machine or on --device, and each speedup has a
    95 % interval. MODEL and the baselines are variants (lolvit_x), MobileViTs (mobilevit_xs),
    timm/NAME, export folders, or single artifacts in one. Models given by name are exported first
    and cached.
    """
    from lolvit_benchmarks.harness.prepare import (
        artifact_formats,
        default_cache,
        offered_by_folders,
    )
    from lolvit_benchmarks.results.files import LATEST_NAME, new_path
    from lolvit_benchmarks.runner import Request, baseline_of, parse_precisions, run

    models = (model, *(_names(against) if against is not None else (baseline_of(model),)))
    formats = artifact_formats(models)
    offered, precisions = offered_by_folders(models)
    chosen = choose_devices(devices, runtimes, formats, offered)
    if precision is None:
        precision = "best" if formats else default_precisions(chosen, precisions)
    request = Request(
        models=models,
        devices=chosen,
        precisions=parse_precisions(precision),
        threads=parse_threads(threads, most=_most_threads(chosen)),
        sizes=parse_sizes(size),
        cache=cache or default_cache(),
        sustain_s=60 * sustain if sustain is not None else None,
        **options,
    )
    path = new_path(out)
    with _listener(_cases(request)) as listener:
        document = run(request, path, listener)
    _print(document, path, as_json)
    console().print(f"written to {path} and {path.with_name(LATEST_NAME)}")
    raise_failures(document, min_speedup)
# fmt: on


def default_precisions(devices: tuple[DeviceChoice, ...], offered: Sequence[str] = ()) -> str:
    """Return the precisions where the user names none: those that all devices have in common, or
    else fp32; of export folders that have no fp32, the first that they have (`offered`)."""
    wanted = {device.precisions for device in devices}
    usual = wanted.pop() if len(wanted) == 1 else "fp32"
    return offered[0] if usual == "fp32" and offered and usual not in offered else usual


def _most_threads(devices: tuple[DeviceChoice, ...]) -> int:
    """Return the threads that a run may use: this machine's cores, where it takes part."""
    from lolvit_benchmarks.harness.system_monitor import available_cores

    here = any(device.name == "host" for device in devices)
    return len(available_cores()) if here else MOST_THREADS_ELSEWHERE


def parse_threads(text: str, *, most: int) -> tuple[int, ...]:
    """Return numbers of threads from text such as `1,2` or `1,all`, repeats dropped.

    Raises:
        UserError: not numbers, or more than `most`.
    """
    counts = []
    for part in (part.strip() for part in text.split(",")):
        number = most if part == "all" else int(part) if part.isdecimal() else 0
        if not 1 <= number <= most:
            raise UserError(
                f"cannot use '{part}' threads", remedy=f"write 1 to {most}, or all, or several"
            )
        counts.append(number)
    return tuple(dict.fromkeys(counts))


def parse_sizes(text: str | None) -> tuple[tuple[int, int] | None, ...]:
    """Return (height, width) of each size in text such as `128,256`, repeats dropped; None, each
    model's own, for no text.

    Raises:
        UserError: one is no size.
    """
    if text is None:
        return (None,)
    return tuple(dict.fromkeys(parse_size(part) for part in text.split(",")))


def _names(text: str) -> list[str]:
    names = [part.strip() for part in text.split(",") if part.strip()]
    if not names:
        raise UserError("no model to compare with", remedy="give --against mobilevit_xs")
    return names


def _cases(request: Request) -> int:
    """Return the number of benchmark cases of a run."""
    each = (len(request.configurations(device)) for device in request.devices)
    return len(request.sizes) * sum(each)


class _Listener:
    """Prints each step as a line, and shows rounds on a terminal as a progress bar.

    The bar is drawn between rounds alone: a thread that draws it would take time from the runs.
    """

    def __init__(self, out: Console, bar: Progress, cases: int) -> None:
        self._out, self._bar = out, bar
        self._task: TaskID = bar.add_task("measuring", total=cases, visible=False)
        self._done_cases = 0

    def say(self, line: str) -> None:
        """Print a line."""
        self._out.print(line)

    def progress(self, done: int, planned: int) -> None:
        """Draw the bar."""
        completed = self._done_cases + done / planned
        self._bar.update(self._task, completed=completed, visible=True)
        if self._out.is_terminal:
            self._bar.refresh()
        self._done_cases += done == planned


@contextmanager
def _listener(cases: int) -> Iterator[_Listener]:
    from rich.progress import Progress

    out = console()
    with Progress(
        console=out, auto_refresh=False, transient=True, disable=not out.is_terminal
    ) as bar:
        yield _Listener(out, bar, cases)


def _print(document: Document, path: Path, as_json: bool) -> None:
    from lolvit_benchmarks.reporting.table import show

    show(document, results())
    if as_json:
        print_json({**document.model_dump(mode="json"), "path": str(path)})


def raise_failures(document: Document, min_speedup: float | None) -> None:
    """Raise the error that a finished run ends with, if any.

    Raises:
        DeviceError: a benchmark case gave no result.
        GateFailedError: the lower bound of a speedup's interval is below `min_speedup`, or a result
            is INVALID if it is given.
    """
    if document.failures:
        from lolvit_benchmarks.reporting.text import failed

        first, more = document.failures[0], len(document.failures) - 1
        others = f" (and {more} more)" if more else ""
        raise DeviceError(f"{failed(first)} gave no result{others}: {first.what}")
    if min_speedup is None:
        return
    missed = [text for r in document.results if (text := _missed(r, min_speedup)) is not None]
    if missed:
        raise GateFailedError("; ".join(missed))


def _missed(result: Result, min_speedup: float) -> str | None:
    from lolvit_benchmarks.reporting.text import place

    if result.quality.state == "INVALID":
        reason = result.quality.reasons[0].text
        return f"{place(result)}: INVALID, so that no speedup is shown ({reason})"
    speedup = result.speedup
    if speedup.low < min_speedup:
        bounds = f"95 % interval {speedup.low:.2f} to {speedup.high:.2f}"
        return f"{place(result)}: speedup {speedup.ratio:.2f} ({bounds}), below {min_speedup:g}"
    return None
