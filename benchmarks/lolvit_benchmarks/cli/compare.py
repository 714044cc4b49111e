"""`lolvit compare`."""

from __future__ import annotations

import re
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from lolvit.errors import GateFailedError, UserError
from lolvit.output import print_json, results
from lolvit.registry import choose_many

if TYPE_CHECKING:
    from lolvit_benchmarks.analysis.comparison import Change, Comparison

_PATH = click.Path(path_type=Path)


@click.command()
@click.argument("old", type=_PATH)
@click.argument("new", type=_PATH)
@click.option("--threshold", default="5%", show_default=True, help="How much worse is allowed.")
@click.option(
    "--metric",
    type=click.Choice(["latency", "speedup"]),
    default="latency",
    show_default=True,
    help="MODEL's median, or its ratio against the other model.",
)
@click.option("--ignore", default="", help="Conditions that may differ, comma-separated.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
def compare(
    old: Path,
    new: Path,
    threshold: str,
    metric: Literal["latency", "speedup"],
    ignore: str,
    as_json: bool,
) -> None:
    """Say whether the results in NEW are worse than those in OLD, both of lolvit bench.

    Exits with 1 where one is worse by more than the threshold. Results measured under unlike
    conditions are not compared.
    """
    from lolvit_benchmarks.analysis.comparison import CONDITIONS, compare
    from lolvit_benchmarks.results.files import read_result

    limit = parse_threshold(threshold)
    ignored = choose_many("condition", ignore, CONDITIONS) if ignore else []
    found = compare(
        read_result(old), read_result(new), threshold=limit, metric=metric, ignore=ignored
    )
    _show(found)
    if as_json:
        print_json({"threshold": limit, **asdict(found)})
    regressed = [_line(change) for change in found.changes if change.regressed]
    if regressed:
        raise GateFailedError(f"worse by more than {limit:.3g}: {'; '.join(regressed)}")


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
        out.print(_line(change), markup=False, style=style)
        if not change.stable:
            out.print("  one of the two was UNSTABLE: measure again", markup=False, style="yellow")
    for name, places in (("OLD", found.only_old), ("NEW", found.only_new)):
        for place in places:
            out.print(f"only in {name}: {place}", markup=False, style="yellow")


def _line(change: Change) -> str:
    unit = " ms" if change.metric == "latency" else " times"
    verdict = "worse" if change.change > 0 else "better"
    bounds = f"95 % interval {change.low:+.1%} to {change.high:+.1%}"
    return (
        f"{change.place}: {change.metric} {change.old:.3g} to {change.new:.3g}{unit}, "
        f"{abs(change.change):.1%} {verdict} ({bounds})"
    )
