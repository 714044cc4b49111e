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
from lolvit_export.targets import (
    find_target,
    precision_names,
    require_precisions,
    target_names,
)
from lolvit_runtimes.predict_command import Channels

if TYPE_CHECKING:
    from rich.console import Console

    from lolvit.manifest import Artifact, Manifest
    from lolvit_export.pipeline import Exported, Progress
    from lolvit_runtimes.android_assets import Packaged
    from lolvit_runtimes.qnn_socs import Soc

UNTRAINED = (
    "weights are untrained: the artifacts run and can be timed, their predictions mean nothing"
)
_PATH = click.Path(path_type=Path)


@click.command()
@click.argument("model")
@click.option(
    "--to",
    "targets",
    default="onnx,tflite,coreml",
    show_default=True,
    help=f"Some of {', '.join(target_names())}.",
)
@click.option(
    "--precision",
    default="fp32",
    show_default=True,
    help=f"Some of {', '.join(precision_names())}.",
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
@click.option("--in-chans", type=click.Choice(["1", "3", "4"]), help="Channels: grey, RGB or RGBA.")
@click.option(
    "--batch", default=1, show_default=True, type=click.IntRange(1, 256), help="Images at a time."
)
@click.option(
    "--task",
    help="classification; tensors for any outputs. Default: chosen by the outputs' shapes.",
)
@click.option(
    "--mean",
    type=Channels(),
    help="Mean of each channel, of 0 to 1, for a model that has no configuration.",
)
@click.option("--std", type=Channels(), help="Standard deviation of each channel, likewise.")
@click.option(
    "--crop-pct", type=click.FloatRange(0.01, 1), help="Share of the photo that is kept, likewise."
)
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
    targets: str,
    precision: str,
    size: str | None,
    soc: str | None,
    plans: tuple[Path, ...],
    for_timing: bool,
    batch: int,
    in_chans: str | None,
    out: Path,
    android: Path | None,
    no_rewrites: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Rewrite MODEL, lower it, and compare every artifact with eager PyTorch on photos.

    MODEL is a LOLViT variant (lolvit_x), a baseline (mobilevit_xs), timm/NAME, or
    my_models.py:build, a function in a file of yours that returns a torch.nn.Module. An artifact
    that fails its comparison is withheld, the others are written, and the exit code is 1.
    """
    parsed_size = parse_size(size) if size is not None else None
    picked = choose_many("target", targets, target_names())
    precisions = choose_many("precision", precision, precision_names())
    require_precisions(picked, precisions)
    socs = _socs(soc, picked, precisions)
    _refuse_conflicts(picked, precisions, for_timing, options)
    if android is not None:
        _require_app(android, picked)
    from lolvit_export.lowering.lowerers import Lowerers

    with _progress() as progress, Lowerers(picked) as lowerers:
        progress("start")
        from lolvit_export.pipeline import ExportRequest, export_model  # loads torch
        from lolvit_export.prepare import ModelOptions

        request = ExportRequest(
            model=model,
            targets=tuple(picked),
            precisions=tuple(precisions),
            out=out,
            options=ModelOptions(
                size=parsed_size, in_chans=int(in_chans) if in_chans else None, **options
            ),
            batch=batch,
            rewrites=not no_rewrites,
            plans=plans,
            socs=socs,
            for_timing=for_timing,
        )
        exported = export_model(request, progress, lowerers)
    packaged = _packaged(exported.folder, android) if exported.complete else None
    if as_json:
        print_json({**as_document(exported), **_as_part(packaged)})
    else:
        show(exported)
        _show_packaged(packaged)
    exported.raise_on_failure()


def _refuse_conflicts(
    targets: Sequence[str], precisions: Sequence[str], for_timing: bool, options: dict[str, Any]
) -> None:
    """Refuse options that contradict each other before anything is loaded."""
    weights, calibrate = options["weights"], options["calibrate"]
    if for_timing and weights is not None:
        raise click.UsageError("--for-timing is for untrained weights: leave out --weights")
    quantized = any(set(find_target(name).quantized) & set(precisions) for name in targets)
    if weights is not None and calibrate is not None and not quantized:
        raise click.UsageError(
            "--calibrate is for untrained models and for quantizing: leave it out, or add"
            " --precision int8"
        )


def _require_app(directory: Path, targets: Sequence[str]) -> None:
    """Refuse what can't be packaged before anything is loaded."""
    from lolvit_runtimes.android_assets import FORMATS, assets_of

    assets_of(directory)
    if not set(FORMATS) & set(targets):
        raise click.UsageError(f"--android is for --to {' or '.join(FORMATS)}")


def _packaged(folder: Path, directory: Path | None) -> Packaged | None:
    """Put the export into the app at `directory`, if there is one."""
    from lolvit_runtimes.android_assets import PackageOptions, package

    return package(folder, directory, PackageOptions()) if directory is not None else None


def _as_part(packaged: Packaged | None) -> dict[str, Any]:
    """Return what `--json` says of the app."""
    from lolvit_runtimes.package_command import as_document as as_android

    return {"android": as_android(packaged)} if packaged is not None else {}


def _show_packaged(packaged: Packaged | None) -> None:
    from lolvit_runtimes.package_command import show as show_in_app

    if packaged is not None:
        show_in_app(packaged)


def _socs(text: str | None, targets: Sequence[str], precisions: Sequence[str]) -> tuple[Soc, ...]:
    """Return the chips to compile for, once each is known to compute in each precision."""
    from lolvit_runtimes.qnn_socs import DEFAULT_SOC, find_socs, why_not
    from lolvit_runtimes.table import require_runtime

    if "qnn" not in targets:
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


def as_document(exported: Exported) -> dict[str, Any]:
    """Return what `--json` prints: the manifest's artifacts and rewrites, and where they are."""
    return {
        **summary(exported.folder, exported.manifest),
        "withheld": [artifact.model_dump(mode="json") for artifact in exported.withheld],
        "failures": [
            {"target": target, "error": error.line()} for target, error in exported.failures.items()
        ],
        "notes": list(exported.notes),
    }


def summary(folder: Path, manifest: Manifest) -> dict[str, Any]:
    """Return of a manifest what `export` and `verify` print with `--json`."""
    return {
        "folder": str(folder),
        "model": manifest.model,
        "task": manifest.task,
        "size": list(manifest.size),
        "params": manifest.params,
        "macs": manifest.macs,
        "trained": manifest.weights.trained,
        "artifacts": [artifact.model_dump(mode="json") for artifact in manifest.artifacts],
        "rewrites": [record.model_dump(mode="json") for record in manifest.rewrites],
        "recommended": manifest.recommended,
    }


def show(exported: Exported) -> None:
    """Print artifacts with their gates, and what each rewrite did."""
    from lolvit_export.quantization.recommend import slower_than_float

    out, manifest = results(), exported.manifest
    out.print(gate_table((*manifest.artifacts, *exported.withheld)))
    for record in manifest.rewrites:
        failures = f", not at {len(record.match_failures)}" if record.match_failures else ""
        out.print(f"rewrite {record.name}: applied at {record.applied}{failures}", markup=False)
        for reason in sorted({line.split(": ", 1)[-1] for line in record.match_failures}):
            out.print(f"    not: {reason}", markup=False)
    if not manifest.weights.trained:
        print_untrained(manifest.artifacts, out)
    for note in exported.notes:
        out.print(note, style="yellow", markup=False)
    for runtime, path in manifest.recommended.items():
        out.print(f"fastest in {runtime} on this machine: {path}", markup=False)
    for line in slower_than_float(manifest.artifacts):
        out.print(line, style="yellow", markup=False)
    if manifest.artifacts:
        out.print(f"written to {exported.folder}", markup=False)


def print_untrained(artifacts: Sequence[Artifact], out: Console) -> None:
    """Print what random weights are good for, and the agreement that is no gate."""
    out.print(UNTRAINED, style="yellow")
    for artifact in artifacts:
        for name, share in artifact.measurements.items():
            runtime, _, what = name.rpartition(".")
            if what.endswith("_agreement"):
                out.print(
                    f"{artifact.path} in {runtime}: eager's prediction on {share:.0%} of the"
                    " images; no gate, for random weights leave it to chance",
                    style="yellow",
                    markup=False,
                )


def gate_table(artifacts: tuple[Artifact, ...]) -> Any:
    """Return a table of each artifact's gates beside their thresholds."""
    from rich.table import Table

    table = Table()
    for heading in ("artifact", "MB", "gate", "value", "threshold", ""):
        table.add_column(
            heading, justify="right" if heading in ("MB", "value", "threshold") else "left"
        )
    for artifact in artifacts:
        name, size = artifact.path, f"{artifact.bytes / 1e6:.2f}"
        for gate in artifact.gates:
            verdict = "passed" if gate.passed else "FAILED"
            table.add_row(
                name, size, gate.name, f"{gate.value:.4g}", f"{gate.threshold:g}", verdict
            )
            name = size = ""
        for figure, value in artifact.measurements.items():
            table.add_row("", "", figure, f"{value:.4g}", "", "")
    return table
