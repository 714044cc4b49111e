"""`python -m lolvit_export.verification.panel`: run the panel, print its rows, and write
panel.json and panel.md. Exit code 1: a good artifact was refused, or a fault missed."""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import click

from lolvit.errors import EXIT_GATE_FAILED, LolvitError
from lolvit.files import write_atomic
from lolvit.registry import choose_many
from lolvit_export.quantization.job import read_plans
from lolvit_export.targets import precision_names, target_names
from lolvit_export.verification.panel.networks import NETWORKS
from lolvit_export.verification.panel.run import Row, Selection, run_network
from lolvit_export.verification.panel.table import as_markdown, summary


@click.command()
@click.option("--out", type=click.Path(path_type=Path), default=Path("out/panel"))
@click.option("--networks", help=f"Some of {', '.join(n.name for n in NETWORKS)}; default: all.")
@click.option("--to", "targets", default="onnx,tflite,coreml", help="Of good artifacts.")
@click.option("--precision", default="fp32,fp16,int8")
@click.option("--faulty-to", default="onnx", help="Of faulty models; empty: none.")
@click.option(
    "--plan", "plans", type=click.Path(path_type=Path), multiple=True,
    help="A quantization plan, in place of the search; repeat for each format.",
)  # fmt: skip
@click.option(
    "--cache",
    type=click.Path(path_type=Path),
    default=Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "lolvit" / "panel",
    help="Where checkpoints are kept.",
)
def panel(
    out: Path,
    networks: str | None,
    targets: str,
    precision: str,
    faulty_to: str,
    plans: tuple[Path, ...],
    cache: Path,
) -> None:
    """Verify good and faulty artifacts of trained networks.

    Rows of networks that are not chosen stay as they are in OUT/panel.json.
    """
    try:
        names = [each.name for each in NETWORKS]
        chosen = choose_many("network", networks, names) if networks is not None else names
        picked = choose_many("target", targets, target_names())
        precisions = choose_many("precision", precision, precision_names())
        selection = Selection(
            tuple(picked),
            tuple(precisions),
            tuple(choose_many("target", faulty_to, target_names())) if faulty_to else (),
            plans=tuple(read_plans(plans, picked, precisions)),
        )
        rows = _run(out, chosen, selection, cache)
    except LolvitError as error:
        print(f"panel: {error.line()}", file=sys.stderr)
        sys.exit(error.exit_code)
    print(as_markdown(rows))
    print(summary(rows))
    sys.exit(0 if all(row.as_expected for row in rows) else EXIT_GATE_FAILED)


def _run(out: Path, chosen: Sequence[str], selection: Selection, cache: Path) -> list[Row]:
    """Run the networks, and write all rows after each: an interrupted run keeps what it has."""
    rows = [row for row in _earlier(out) if row.network not in chosen]
    for network in (each for each in NETWORKS if each.name in chosen):
        for row in run_network(network, selection, cache, _say):
            rows.append(row)
            _say(
                f"{row.network}: {row.target} {row.precision}, {row.fault or 'good'}:"
                f" {row.verdict} ({', '.join(row.failed or row.gates)}), {row.seconds:.0f} s"
            )
            _write(out, rows)
    return rows


def _earlier(out: Path) -> list[Row]:
    path = out / "panel.json"
    if not path.exists():
        return []
    return [
        Row(
            **{name: value for name, value in row.items() if name != "verdict"}
            | {"gates": tuple(row["gates"]), "failed": tuple(row["failed"])}
        )
        for row in json.loads(path.read_text())["rows"]
    ]


def _write(out: Path, rows: Sequence[Row]) -> None:
    out.mkdir(parents=True, exist_ok=True)
    document = {
        "schema_version": 1,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": platform.machine(),
        "rows": [asdict(row) | {"verdict": row.verdict} for row in rows],
    }
    write_atomic(out / "panel.json", json.dumps(document, indent=2) + "\n")
    write_atomic(out / "panel.md", as_markdown(rows))


def _say(step: str) -> None:
    print(step, file=sys.stderr, flush=True)


if __name__ == "__main__":
    panel()
