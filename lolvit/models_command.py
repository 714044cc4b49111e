"""`lolvit models`: the variants beside their twins."""

from __future__ import annotations

from typing import Any

import click

from lolvit.output import print_json, results
from lolvit.variants import VARIANTS


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
def models(as_json: bool) -> None:
    """List the variants and the MobileViT of the same size each is measured against."""
    rows = [_row(name) for name in VARIANTS]
    if as_json:
        print_json({"models": rows})
        return
    from rich.table import Table

    table = Table(title="Variants at 256x256")
    for heading in ("model", "parameters", "MMAC", "twin", "twin's parameters", "twin's MMAC"):
        table.add_column(heading, justify="left" if heading in ("model", "twin") else "right")
    for row in rows:
        table.add_row(
            row["name"],
            f"{row['params']:,} ({row['params'] / row['twin_params'] - 1:+.1%})",
            f"{row['macs'] / 1e6:.0f}",
            row["twin"],
            f"{row['twin_params']:,}",
            f"{row['twin_macs'] / 1e6:.0f}",
        )
    results().print(table)


def _row(name: str) -> dict[str, Any]:
    from lolvit.models import create_model, macs_of, parameters_of  # torch: imported on use

    model, twin = create_model(name), create_model(VARIANTS[name].twin)
    return {
        "name": name,
        "params": parameters_of(model),
        "macs": macs_of(model),
        "size": 256,
        "classifier_params": parameters_of(model.get_submodule("head")),
        "twin": VARIANTS[name].twin,
        "twin_params": parameters_of(twin),
        "twin_macs": macs_of(twin),
        "twin_classifier_params": parameters_of(twin.get_classifier()),  # type: ignore[operator]
    }
