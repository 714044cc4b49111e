"""`lolvit bench`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import click

from lolvit.errors import DeviceError, GateFailedError, UserError
from lolvit.output import console, print_json, results
from lolvit.registry import choose_many
from lolvit.sizes import parse_size
from lolvit.variants import VARIANTS
from lolvit_benchmarks.backends.options import DeviceOptions, device_options
from lolvit_benchmarks.backends.registry import Chosen, choose_devices

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, TaskID

    from lolvit.manifest import Precision
    from lolvit_benchmarks.results.document import Best, Document, Result
    from lolvit_benchmarks.runner import Request

_PATH = click.Path(path_type=Path)
MOST_THREADS_ELSEWHERE = 64  # another device's cores are its own to check


@click.command()
@click.argument("model", default="lolvit_x")
@click.option("--against", help="One or more models or folders, comma-separated; by default a "
              "variant's twin.")  # fmt: skip
@click.option("--device", "devices", default="host", show_default=True,
              help="Where: one or more of those that lolvit devices lists.")  # fmt: skip
@click.option("--runtime", "runtimes", help="By default the device's own; host: "
              "ort,litert. Of an artifact those that open it.")  # fmt: skip
@click.option("--threads", default="1", show_default=True, help="Such as 1, or 1,2, or 1,all.")
@click.option("--precision", help="fp32 (the default; of qnn-estimate: fp16,int8,w8a16), fp16, "
              "int8, or several; best: each model in the one that it is fastest in. An artifact "
              "has its own.")  # fmt: skip
@click.option("--size", help="Such as 256, 192x320, or 128,256,512: for names. By default each "
              "model's own.")  # fmt: skip
@click.option("--weights", type=_PATH, help="A checkpoint for MODEL.")
@click.option(
    "--profile",
    type=click.Choice(["quick", "default", "reference"]),
    default="default",
    show_default=True,
    help="How long: 64 runs, at least 128 runs, or at least 1,024 runs and a minute.",
)
@click.option("--sustain", type=click.FloatRange(min=0, min_open=True), metavar="MINUTES",
              help="Run each model without a pause for this long as well.")  # fmt: skip
@click.option("--min-speedup", type=click.FloatRange(min=0, min_open=True), metavar="X",
              help="Exit with 1 where a ratio is below X, or a result UNSTABLE.")  # fmt: skip
@click.option("--photo", type=_PATH, help="What to run on; by default a photo of scikit-image.")
@click.option("--profile-ops", is_flag=True,
              help="Also tell where the time goes, by stage and operation.")  # fmt: skip
@click.option("--fresh", is_flag=True, help="Export again, whatever the cache holds.")
@click.option("--cache", type=_PATH, help="Where exports are kept; by default with your caches.")
@click.option("--out", type=_PATH, default=Path("bench-results"), show_default=True)
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
    weights: Path | None,
    profile: str,
    sustain: float | None,
    min_speedup: float | None,
    photo: Path | None,
    profile_ops: bool,
    fresh: bool,
    cache: Path | None,
    out: Path,
    as_json: bool,
    device_options: DeviceOptions,
) -> None:
    """Time MODEL against others, interleaved in one process: on this machine or on --device.

    MODEL (by default lolvit_x), and each of --against, is a variant (lolvit_x), a twin
    (mobilevit_xs), timm/NAME, a folder that holds a manifest.json, or one artifact in it. Names are
    exported first, and kept for the next time.
    """
    from lolvit_benchmarks.harness.prepare import artifact_formats, default_cache
    from lolvit_benchmarks.results.files import LATEST_NAME, new_path
    from lolvit_benchmarks.runner import Request, run

    models = (model, *(_names(against) if against is not None else (twin_of(model),)))
    formats = artifact_formats(models)
    chosen = choose_devices(devices, runtimes, formats)
    if precision is None:
        precision = "best" if formats else default_precisions(chosen)
    request = Request(
        models=models,
        devices=chosen,
        precisions=parse_precisions(precision),
        threads=parse_threads(threads, most=_most_threads(chosen)),
        sizes=parse_sizes(size),
        profile=profile,
        cache=cache or default_cache(),
        weights=weights,
        photo=photo,
        fresh=fresh,
        sustain_s=60 * sustain if sustain is not None else None,
        profile_ops=profile_ops,
        device_options=device_options,
    )
    path = new_path(out)
    with _listener(_steps(request)) as listener:
        document = run(request, path, listener)
    _print(document, path, as_json)
    console().print(f"written to {path} and {path.with_name(LATEST_NAME)}", markup=False)
    raise_failures(document, min_speedup)


def default_precisions(devices: tuple[Chosen, ...]) -> str:
    """Return what is compared where the user names no precision: what the devices agree on, or else
    fp32."""
    wanted = {device.precisions for device in devices}
    return wanted.pop() if len(wanted) == 1 else "fp32"


def parse_precisions(text: str) -> tuple[Precision | Best, ...]:
    """Return precisions from text such as `fp32,fp16` or `fp32,best`.

    Raises:
        UserError: one is unknown.
    """
    from lolvit.manifest import Precision
    from lolvit_benchmarks.results.document import BEST

    known: dict[str, Precision | Best] = {name: name for name in get_args(Precision)}
    known[BEST] = BEST
    return tuple(known[name] for name in choose_many("precision", text, known))


def _most_threads(devices: tuple[Chosen, ...]) -> int:
    """Return the threads that a run may use: this machine's cores, where it takes part."""
    from lolvit_benchmarks.harness.pinning import available_cores

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


def twin_of(model: str) -> str:
    """Return the MobileViT that a variant is measured against.

    Raises:
        UserError: it is no variant.
    """
    variant = VARIANTS.get(model)
    if variant is None:
        raise UserError(f"no model to compare '{model}' with", remedy="add --against mobilevit_xs")
    return variant.baseline


def _names(text: str) -> list[str]:
    names = [part.strip() for part in text.split(",") if part.strip()]
    if not names:
        raise UserError("no model to compare with", remedy="give --against mobilevit_xs")
    return names


def _steps(request: Request) -> int:
    return len(request.sizes) * sum(len(request.settings(one)) for one in request.devices)


class _Listener:
    """Says each step as a line, and shows rounds on a terminal as a bar.

    The bar is drawn between rounds alone: a thread that draws it would take time from the runs.
    """

    def __init__(self, out: Console, bar: Progress, cells: int) -> None:
        self._out, self._bar, self._cells = out, bar, cells
        self._task: TaskID = bar.add_task("measuring", total=cells, visible=False)
        self._done_cells = 0

    def say(self, line: str) -> None:
        """Print a line."""
        self._out.print(line, markup=False)

    def progress(self, done: int, planned: int) -> None:
        """Draw the bar."""
        completed = self._done_cells + done / planned
        self._bar.update(self._task, completed=completed, visible=True)
        if self._out.is_terminal:
            self._bar.refresh()
        self._done_cells += done == planned


@contextmanager
def _listener(cells: int) -> Iterator[_Listener]:
    from rich.progress import Progress

    out = console()
    with Progress(
        console=out, auto_refresh=False, transient=True, disable=not out.is_terminal
    ) as bar:
        yield _Listener(out, bar, cells)


def _print(document: Document, path: Path, as_json: bool) -> None:
    from lolvit_benchmarks.reporting.table import show

    show(document, results())
    if as_json:
        print_json({**document.model_dump(mode="json"), "path": str(path)})


def raise_failures(document: Document, min_speedup: float | None) -> None:
    """Raise what a finished run has to end with.

    Raises:
        DeviceError: a runtime gave no result.
        GateFailedError: a ratio is below `min_speedup`, or a result is UNSTABLE where it is given.
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

    if result.verdict.state == "UNSTABLE":
        reason = result.verdict.reasons[0].text
        return f"{place(result)}: UNSTABLE, so that no speedup is shown ({reason})"
    if result.speedup.ratio < min_speedup:
        return f"{place(result)}: {result.speedup.ratio:.2f} times as fast, below {min_speedup:g}"
    return None
