"""`lolvit compare`."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from lolvit.errors import GateFailedError, UserError
from lolvit.output import print_json, results
from lolvit.registry import choose_many

if TYPE_CHECKING:
    from lolvit_benchmarks.analysis.comparison import Change, Comparison, Measurement
    from lolvit_benchmarks.results.document import Document, Result

_PATH = click.Path(path_type=Path)

# What has to be alike for a difference in time to be the model's own.
CONDITIONS: dict[str, Callable[[Document, Result], object]] = {
    "device": lambda document, _: document.environment.device,
    "cpu": lambda document, _: document.environment.cpu,
    "architecture": lambda document, _: document.environment.architecture,
    "cores": lambda document, _: document.environment.cores,
    "governor": lambda document, _: document.environment.governor,
    "mains": lambda document, _: document.environment.on_mains,
    "runtime-version": lambda _, result: result.runtime_version,
    "pinning": lambda _, result: len(result.pinned_cores or ()),
}


@click.command()
@click.argument("old", type=_PATH)
@click.argument("new", type=_PATH)
@click.option("--threshold", default="5%", show_default=True,
              help="The change for the worse that is allowed, such as 5% or 0.05.")  # fmt: skip
@click.option(
    "--metric",
    type=click.Choice(["latency", "speedup"]),
    default="latency",
    show_default=True,
    help="Latency of the candidate, or its speedup over the baseline.",
)
@click.option("--ignore", default="", metavar="CONDITION[,CONDITION]",
              help=f"Conditions that may differ: {', '.join(CONDITIONS)}.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
def compare(
    old: Path,
    new: Path,
    threshold: str,
    metric: Literal["latency", "speedup"],
    ignore: str,
    as_json: bool,
) -> None:
    """Compare two result files of lolvit bench, OLD and NEW, and report regressions.

    Results that both files have are compared: the same models, sizes, runtime, precision and
    threads. Exits with 1 if one is worse by more than --threshold, its whole 95 % interval
    beyond it, and with 2 if the machine or the runtime differs.
    """
    from lolvit_benchmarks.analysis.comparison import compare
    from lolvit_benchmarks.results.files import read_result

    limit = parse_threshold(threshold)
    ignored = choose_many("condition", ignore, CONDITIONS) if ignore else []
    before, after = (measurements_of(read_result(path)) for path in (old, new))
    found = compare(before, after, threshold=limit, metric=metric, ignore=ignored)
    _show(found)
    if as_json:
        print_json({"threshold": limit, **asdict(found)})
    regressed = [_line(change) for change in found.changes if change.regressed]
    if regressed:
        raise GateFailedError(f"worse by more than {limit:.3g}: {'; '.join(regressed)}")


def measurements_of(document: Document) -> list[Measurement]:
    """Return the results of a document, as `analysis.comparison.compare` takes them."""
    from lolvit_benchmarks.analysis.comparison import Measurement
    from lolvit_benchmarks.analysis.statistics import Interval
    from lolvit_benchmarks.reporting import text as words

    return [
        Measurement(
            key=(
                result.runtime, result.device, result.precision, str(result.threads),
                *(part for one in result.models for part in (one.model, words.size(one))),
            ),
            place=words.place(result),
            conditions={name: read(document, result) for name, read in CONDITIONS.items()},
            samples=result.candidate.samples,
            blocks=result.candidate.sample_block,
            rounds=result.candidate.sample_round,
            speedup=Interval(result.speedup.ratio, result.speedup.low, result.speedup.high),
            valid=result.quality.state != "INVALID",
        )
        for result in document.results
    ]  # fmt: skip


def parse_threshold(text: str) -> float:
    """Return a share from text such as `5%` or `0.05`.

    Raises:
        UserError: it is neither, or negative.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(%?)", text.strip(), re.ASCII)
    if match is None:
        raise UserError(f"'{text}' is no threshold", remedy="write 5% or 0.05")
    return float(match[1]) / (100 if match[2] else 1)


def _show(found: Comparison) -> None:
    out = results()
    for change in found.changes:
        style = "red" if change.regressed else None
        out.print(_line(change), style=style)
        if not change.valid:
            out.print("  one of the two is INVALID: measure again", style="yellow")
    for name, places in (("OLD", found.only_old), ("NEW", found.only_new)):
        for place in places:
            out.print(f"only in {name}: {place}", style="yellow")


def _line(change: Change) -> str:
    unit = " ms" if change.metric == "latency" else "x"
    direction = "worse" if change.change > 0 else "better"
    bounds = f"95 % interval {change.low:+.1%} to {change.high:+.1%}"
    return (
        f"{change.place}: {change.metric} {change.old:.3g} to {change.new:.3g}{unit}, "
        f"{abs(change.change):.1%} {direction} ({bounds})"
    )
