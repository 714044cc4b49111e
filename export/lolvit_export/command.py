"""`lolvit export`."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lolvit.errors import UserError
from lolvit.output import console, print_json, results
from lolvit.registry import choose_many
from lolvit.sizes import parse_size

if TYPE_CHECKING:
    from rich.console import Console

    from lolvit.manifest import Artifact, Manifest
    from lolvit_export.pipeline import Progress
    from lolvit_runtimes.android_assets import Packaged
    from lolvit_runtimes.qnn_socs import Soc

UNTRAINED = (
    "weights are untrained: the artifacts run and can be timed, their predictions mean nothing"
)
# All of LOWERINGS, which is not imported for their names: it loads pydantic.
FORMATS = ("onnx", "tflite", "coreml", "executorch", "torch", "qnn")
QUANTIZED = ("int8", "w8a16", "w4")
PRECISIONS = ("fp32", "fp16", *QUANTIZED)
_PATH = click.Path(path_type=Path)


@click.command()
@click.argument("model")
@click.option("--to", "formats", default="onnx,tflite,coreml", show_default=True)
@click.option(
    "--precision", default="fp32", show_default=True, help="Some of fp32, fp16, int8, w8a16, w4."
)
@click.option(
    "--size", help="256, or HEIGHTxWIDTH; by default the checkpoint's, or the model's own."
)
@click.option(
    "--weights",
    type=_PATH,
    help="A safetensors or torch file, lolvit_xx.digits, or hf-hub:OWNER/NAME.",
)
@click.option(
    "--calibrate",
    metavar="SOURCE",
    help="Images to quantize with, or to calibrate untrained BatchNorm on: digits, crops, a folder"
    " or hf:OWNER/NAME; by default what the checkpoint was trained on, or bundled photos.",
)
@click.option(
    "--plan",
    "plans",
    type=_PATH,
    multiple=True,
    help="Quantize as this plan says, without a search; once for each artifact.",
)
@click.option(
    "--soc",
    metavar="LIST",
    help="What to compile qnn artifacts for, such as sm8650,sm8750; by default sm8650. none: they"
    " are compiled on the device.",
)
@click.option(
    "--for-timing",
    is_flag=True,
    help="Keep artifacts of untrained weights whatever their gates say: to be timed alone.",
)
@click.option("--num-classes", type=click.IntRange(1, 100_000), help="Width of the logits.")
@click.option("--labels", type=_PATH, help="A text file, one label a line.")
@click.option("--out", type=_PATH, default=Path("out"), show_default=True)
@click.option(
    "--android",
    type=_PATH,
    metavar="DIR",
    help="Put it into an Android app too: its module or its assets folder, as lolvit package does.",
)
@click.option("--no-rewrites", is_flag=True, help="Leave the graph as captured, to see the effect.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
def export(
    model: str,
    formats: str,
    precision: str,
    size: str | None,
    weights: Path | None,
    calibrate: str | None,
    plans: tuple[Path, ...],
    soc: str | None,
    for_timing: bool,
    num_classes: int | None,
    labels: Path | None,
    out: Path,
    android: Path | None,
    no_rewrites: bool,
    as_json: bool,
) -> None:
    """Rewrite MODEL, lower it, and compare every artifact with eager PyTorch on photos.

    MODEL is a variant (lolvit_x), a baseline (mobilevit_xs) or timm/NAME. A failed comparison ends
    with exit code 1 and leaves nothing behind.
    """
    parsed_size = parse_size(size) if size is not None else None
    picked = choose_many("target", formats, FORMATS)
    precisions = choose_many("precision", precision, PRECISIONS)
    _require_precisions(picked, precisions)
    socs = _socs(soc, picked, precisions)
    if for_timing and weights is not None:
        raise click.UsageError("--for-timing is for untrained weights: leave out --weights")
    if weights is not None and calibrate is not None and not set(QUANTIZED) & set(precisions):
        raise click.UsageError(
            "--calibrate is for untrained models and for quantizing: leave it out, or add"
            " --precision int8"
        )
    if android is not None:
        _require_app(android, picked)
    from lolvit_export.targets.lowerers import Lowerers

    with _progress() as progress, Lowerers(picked) as lowerers:
        progress("start")
        from lolvit_export.pipeline import ExportRequest, export_model  # loads torch

        request = ExportRequest(
            model=model,
            formats=tuple(picked),
            precisions=tuple(precisions),
            size=parsed_size,
            out=out,
            weights=weights,
            calibrate=calibrate,
            num_classes=num_classes,
            labels=labels,
            rewrites=not no_rewrites,
            plans=plans,
            socs=socs,
            for_timing=for_timing,
        )
        folder, manifest = export_model(request, progress, lowerers)
    packaged = _packaged(folder, android)
    if as_json:
        print_json({**as_document(folder, manifest), **_as_part(packaged)})
    else:
        show(folder, manifest)
        _show_packaged(packaged)


def _require_app(directory: Path, formats: Sequence[str]) -> None:
    """Refuse what can't be packaged before anything is loaded."""
    from lolvit_runtimes.android_assets import FORMATS, assets_of

    assets_of(directory)
    if not set(FORMATS) & set(formats):
        raise click.UsageError(f"--android is for --to {' or '.join(FORMATS)}")


def _packaged(folder: Path, directory: Path | None) -> Packaged | None:
    """Put the export into the app at `directory`, if there is one."""
    from lolvit_runtimes.android_assets import Wish, package

    return package(folder, directory, Wish()) if directory is not None else None


def _as_part(packaged: Packaged | None) -> dict[str, Any]:
    """Return what `--json` says of the app."""
    from lolvit_runtimes.android_words import as_document as as_android

    return {"android": as_android(packaged)} if packaged is not None else {}


def _show_packaged(packaged: Packaged | None) -> None:
    from lolvit_runtimes.package_command import show as show_in_app

    if packaged is not None:
        show_in_app(packaged)


def _require_precisions(formats: Sequence[str], precisions: Sequence[str]) -> None:
    """Refuse a format that has none of the precisions before anything is loaded."""
    from lolvit_export.quantization.precisions import NO_FOUR_BITS, QUANTIZERS
    from lolvit_export.targets.lowering import LOWERINGS

    for format in formats:
        has = LOWERINGS[format][1] + (QUANTIZERS[format][1] if format in QUANTIZERS else ())
        if not set(has).intersection(precisions):
            reason = f": {NO_FOUR_BITS}" if (format, *precisions) == ("onnx", "w4") else ""
            raise UserError(
                f"{format} has no {' or '.join(precisions)} form{reason}",
                remedy=f"add --precision {' or '.join(has)}",
            )


def _socs(text: str | None, formats: Sequence[str], precisions: Sequence[str]) -> tuple[Soc, ...]:
    """Return the chips to compile for, once each is known to compute in each precision."""
    from lolvit_runtimes.qnn_socs import DEFAULT_SOC, find_socs, why_not
    from lolvit_runtimes.table import require_runtime

    if "qnn" not in formats:
        if text is not None:
            raise click.UsageError("--soc is for --to qnn")
        return ()
    require_runtime("qnn")
    found = find_socs(text if text is not None else DEFAULT_SOC)
    for soc in found:
        for precision in precisions:
            reason = why_not(soc, precision) if precision != "fp32" else None
            if reason is not None:
                raise UserError(reason, where=f"--soc {soc.id}", remedy="leave out one of the two")
    return found


@contextmanager
def _progress() -> Iterator[Progress]:
    """Say each step as it begins, with the seconds so far: a spinner on a terminal, else lines.

    It writes to a copy of standard error, which converters' chatter is kept off meanwhile.
    """
    start = time.monotonic()
    with os.fdopen(os.dup(sys.stderr.fileno()), "w") as stream:
        out = console(stream)
        if not out.is_terminal:
            yield lambda step: out.print(
                f"[{time.monotonic() - start:5.1f} s] {step}", markup=False
            )
            return
        with out.status("start") as status:
            yield lambda step: status.update(f"{step} ({time.monotonic() - start:.0f} s)")


def as_document(folder: Path, manifest: Manifest) -> dict[str, Any]:
    """Return what `--json` prints: the manifest's artifacts and passes, and where they are."""
    return {
        "folder": str(folder),
        "model": manifest.model,
        "size": list(manifest.size),
        "params": manifest.params,
        "macs": manifest.macs,
        "trained": manifest.weights.trained,
        "artifacts": [artifact.model_dump(mode="json") for artifact in manifest.artifacts],
        "passes": [record.model_dump(mode="json") for record in manifest.passes],
        "recommended": manifest.recommended,
    }


def show(folder: Path, manifest: Manifest) -> None:
    """Print artifacts with their gates, and what each rewrite did."""
    from lolvit_export.quantization.recommend import slower_than_float

    out = results()
    out.print(gate_table(manifest.artifacts))
    for record in manifest.passes:
        skipped = f", not at {len(record.skipped)}" if record.skipped else ""
        out.print(f"rewrite {record.name}: fired at {record.fired}{skipped}", markup=False)
        for reason in sorted({line.split(": ", 1)[-1] for line in record.skipped}):
            out.print(f"    not: {reason}", markup=False)
    if not manifest.weights.trained:
        print_untrained(manifest.artifacts, out)
    for runtime, path in manifest.recommended.items():
        out.print(f"fastest in {runtime} on this machine: {path}", markup=False)
    for line in slower_than_float(manifest.artifacts):
        out.print(line, style="yellow", markup=False)
    out.print(f"written to {folder}", markup=False)


def print_untrained(artifacts: Sequence[Artifact], out: Console) -> None:
    """Say what random weights are good for, and the agreement that no gate judges."""
    out.print(UNTRAINED, style="yellow")
    for artifact in artifacts:
        for name, share in artifact.measured.items():
            runtime, _, what = name.rpartition(".")
            if what == "top1_agreement":
                out.print(
                    f"{artifact.path} in {runtime}: eager's top class on {share:.0%} of the images;"
                    " not judged, for random weights leave it to chance",
                    style="yellow",
                    markup=False,
                )


def gate_table(artifacts: tuple[Artifact, ...]) -> Any:
    """Return a table of each artifact's gates beside their floors."""
    from rich.table import Table

    table = Table()
    for heading in ("artifact", "MB", "gate", "value", "floor", ""):
        table.add_column(
            heading, justify="right" if heading in ("MB", "value", "floor") else "left"
        )
    for artifact in artifacts:
        name, size = artifact.path, f"{artifact.bytes / 1e6:.2f}"
        for gate in artifact.gates:
            verdict = "passed" if gate.passed else "FAILED"
            table.add_row(name, size, gate.name, f"{gate.value:.4g}", f"{gate.floor:g}", verdict)
            name = size = ""
        for figure, value in artifact.measured.items():
            table.add_row("", "", figure, f"{value:.4g}", "", "")
    return table
