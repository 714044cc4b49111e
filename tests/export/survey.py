"""What reaches which format: exports of many networks in fp32, and a line for each."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable, Collection
from typing import Any

import click

import lolvit
from lolvit.errors import LolvitError
from lolvit_export.request import ExportResult

Outcome = dict[str, str | float]


def exported(model: Any, targets: tuple[str, ...], **options: Any) -> Outcome:
    """Export `model` by `lolvit.export` with `options` in fp32; return by target the smallest SNR
    in dB, or why there is no artifact.

    Raises:
        LolvitError: it cannot be exported to any target.
    """
    with tempfile.TemporaryDirectory() as out:
        try:
            result: Any = lolvit.export(
                model, targets=targets, precision=["fp32"], out=out, **options
            )
        except LolvitError as error:
            result = getattr(error, "result", None)
            if not isinstance(result, ExportResult):
                raise
    found: Outcome = {target: each.what for target, each in result.failures.items()}
    for artifact in result.withheld:
        found[artifact.format] = "; ".join(artifact.failed_gates())
    for artifact in result.manifest.artifacts:
        found[artifact.format] = min(
            gate.value for gate in artifact.gates if gate.name.endswith("snr_db")
        )
    return {target: found[target] for target in targets}


def command(
    known: Collection[str], outcome: Callable[[str, tuple[str, ...]], Outcome]
) -> click.Command:
    """Return the command that prints the outcome of each of the `known` names, or of those given,
    and how many failed."""

    @click.command()
    @click.option("--to", default="onnx,tflite,coreml", show_default=True)
    @click.argument("names", nargs=-1)
    def main(to: str, names: tuple[str, ...]) -> None:
        targets = tuple(to.split(","))
        if unknown := set(names) - set(known):
            raise click.BadParameter(f"unknown: {', '.join(sorted(unknown))}")
        failed: Counter[str] = Counter(dict.fromkeys(targets, 0))
        for name in names or known:
            try:
                found = outcome(name, targets)
            except LolvitError as error:
                found = dict.fromkeys(targets, str(error))
            failed.update(target for target, value in found.items() if isinstance(value, str))
            texts = (v if isinstance(v, str) else f"{v:.0f} dB" for v in found.values())
            click.echo(f"| {name} | {' | '.join(texts)} |")
        click.echo(f"{len(names or known)} networks; not exported: {dict(failed)}")

    return main
