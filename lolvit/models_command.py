"""`lolvit models`: the variants and their baselines."""

from __future__ import annotations

from typing import Any

import click

from lolvit.output import print_json, print_table, results
from lolvit.variants import VARIANTS


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
def models(as_json: bool) -> None:
    """List the variants, each with its baseline: the MobileViT with the same number of parameters,
    which it is measured against."""
    rows = [_row(name) for name in VARIANTS]
    if as_json:
        print_json({"models": rows})
        return
    from rich.table import Table

    table = Table(title="Variants at 256x256")
    names = ("model", "baseline")
    for heading in (names[0], "parameters", "MMAC", names[1], "its parameters", "its MMAC"):
        table.add_column(heading, justify="left" if heading in names else "right")
    for row in rows:
        table.add_row(
            row["name"],
            f"{row['params']:,} ({row['params'] / row['baseline_params'] - 1:+.1%})",
            f"{row['macs'] / 1e6:.0f}",
            row["baseline"],
            f"{row['baseline_params']:,}",
            f"{row['baseline_macs'] / 1e6:.0f}",
        )
    print_table(table, results())


def _row(name: str) -> dict[str, Any]:
    from lolvit.models import create_model, macs_of, parameters_of  # torch: imported on use

    model, baseline = create_model(name), create_model(VARIANTS[name].baseline)
    return {
        "name": name,
        "params": parameters_of(model),
        "macs": macs_of(model),
        "size": 256,
        "classifier_params": parameters_of(model.get_submodule("head")),
        "baseline": VARIANTS[name].baseline,
        "baseline_params": parameters_of(baseline),
        "baseline_macs": macs_of(baseline),
        "baseline_classifier_params": parameters_of(baseline.get_classifier()),  # type: ignore[operator]
    }
