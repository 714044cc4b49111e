"""`lolvit export`."""

from __future__ import annotations

import gc
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lolvit.errors import UserError
from lolvit.model_names import check_name, is_function
from lolvit.output import print_json, step_progress
from lolvit.registry import choose_many
from lolvit.sizes import RESIZES, parse_size
from lolvit_export.targets import (
    find_target,
    precision_names,
    require_precisions,
    target_names,
)
from lolvit_export.user_function import check_reference, size_unknown
from lolvit_runtimes.predict_command import Channels

if TYPE_CHECKING:
    from lolvit.manifest import Manifest
    from lolvit_export.request import ExportResult
    from lolvit_runtimes.app_models import PackageResult
    from lolvit_runtimes.qnn_socs import Soc

# Python's is 700: converters make millions of objects, most of which stay until they are done.
_ALLOCATIONS_PER_COLLECTION = 10_000
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
    "--size", help="256, or HEIGHTxWIDTH; default: the checkpoint's, or else the model's own."
)
@click.option(
    "--weights",
    type=_PATH,
    help="A safetensors or torch file, lolvit_xx.digits, or hf-hub:OWNER/NAME.",
)
@click.option(
    "--calibrate",
    metavar="SOURCE",
    help="Calibration images, for quantization or BatchNorm of untrained weights: digits, crops,"
    " a folder or hf:OWNER/NAME; default: the checkpoint's training data, or bundled photos.",
)
@click.option(
    "--plan",
    "plans",
    type=_PATH,
    multiple=True,
    help="A quantization plan to use instead of a search; repeat for each artifact.",
)
@click.option(
    "--soc",
    metavar="LIST",
    help="SoCs to compile qnn artifacts for, such as sm8650,sm8750; default: sm8650. none: compile"
    " on the device.",
)
@click.option(
    "--for-timing",
    is_flag=True,
    help="Of untrained weights: quantize as is fastest, and keep artifacts that fail gates; for"
    " benchmarks only.",
)
@click.option(
    "--keep-failed",
    is_flag=True,
    help="Keep artifacts that fail a gate as FAILED-NAME, to look into; the manifest has none.",
)
@click.option("--num-classes", type=click.IntRange(1, 100_000), help="Width of the logits.")
@click.option("--in-chans", type=click.Choice(["1", "3", "4"]), help="Channels: grey, RGB or RGBA.")
@click.option(
    "--batch", default=1, show_default=True, type=click.IntRange(1, 256), help="Batch size."
)
@click.option(
    "--task",
    help="classification, detection, segmentation; tensors for any outputs. Default: the model's"
    " own, or chosen by the outputs' shapes.",
)
@click.option(
    "--resize",
    type=click.Choice(RESIZES),
    help="How detection and segmentation fit a photo; default: stretch.",
)
@click.option(
    "--nms",
    is_flag=True,
    help="Detection: also write onnx and coreml with non-maximum suppression in the graph.",
)
@click.option(
    "--class-map",
    is_flag=True,
    help="Segmentation: compute each pixel's class in the graph, instead of logits.",
)
@click.option(
    "--mean",
    type=Channels(),
    help="Mean of each channel, of 0 to 1, for a model that has no configuration.",
)
@click.option("--std", type=Channels(), help="Standard deviation of each channel, likewise.")
@click.option(
    "--crop-pct", type=click.FloatRange(0.01, 2), help="Share of the photo that is kept, likewise."
)
@click.option("--labels", type=_PATH, help="A text file, one label a line.")
@click.option("--out", type=_PATH, default=Path("out"), show_default=True)
@click.option(
    "--android",
    type=_PATH,
    metavar="DIR",
    help="Also add it to an Android app: its module or assets folder, as lolvit package does.",
)
@click.option(
    "--ios",
    type=_PATH,
    metavar="DIR",
    help="Also add it to an iOS app: the folder of its project, as lolvit package does.",
)
@click.option("--no-rewrites", is_flag=True, help="Skip the static rewrites, to see their effect.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
def export(
    model: str,
    targets: str,
    precision: str,
    size: str | None,
    soc: str | None,
    plans: tuple[Path, ...],
    for_timing: bool,
    keep_failed: bool,
    nms: bool,
    batch: int,
    in_chans: str | None,
    out: Path,
    android: Path | None,
    ios: Path | None,
    no_rewrites: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Export MODEL, and verify every artifact against eager PyTorch on photos.

    MODEL is a LOLViT variant (lolvit_x), a baseline (mobilevit_xs), timm/NAME, or
    my_models.py:build, a function in a file of yours that returns a torch.nn.Module. An artifact
    that fails a gate is withheld, the others are written, and the exit code is 1.
    """
    options["size"] = parse_size(size) if size is not None else None
    options["in_chans"] = int(in_chans) if in_chans else None
    picked = choose_many("target", targets, target_names())
    precisions = choose_many("precision", precision, precision_names())
    require_precisions(picked, precisions)
    socs = _socs(soc, picked, precisions)
    _check_conflicts(picked, precisions, for_timing, options)
    _check_model(model, options)
    apps = _given_apps(android, ios)
    _check_apps(apps, picked)
    exported = _export(
        picked,
        options,
        model=model,
        precisions=tuple(precisions),
        out=out,
        batch=batch,
        rewrites=not no_rewrites,
        plans=plans,
        socs=socs,
        for_timing=for_timing,
        keep_failed=keep_failed,
        nms=nms,
    )
    packaged = _package(exported.folder, apps) if exported.complete else {}
    _print(exported, packaged, as_json)
    exported.raise_on_failure()


def _print(exported: ExportResult, packaged: dict[str, PackageResult], as_json: bool) -> None:
    if as_json:
        print_json({**as_document(exported), **_app_documents(packaged)})
        return
    from lolvit_export.outcome import show

    show(exported)
    _show_packaged(packaged)


def _export(targets: list[str], options: dict[str, Any], **request: Any) -> ExportResult:
    """Run the export with progress on standard error. `options` are those of `ModelOptions`,
    `request` the other fields of `ExportRequest`."""
    from lolvit_export.lowering.lowerers import Lowerers

    with step_progress() as progress, Lowerers(targets) as lowerers:
        progress("load PyTorch")
        _load_pytorch()
        from lolvit_export.pipeline import export_model
        from lolvit_export.prepared import ModelOptions
        from lolvit_export.request import ExportRequest

        return export_model(
            ExportRequest(targets=tuple(targets), options=ModelOptions(**options), **request),
            progress,
            lowerers,
        )


def _load_pytorch() -> None:
    """Import PyTorch and what the export needs of it.

    Half a million objects that stay: no garbage is collected meanwhile, and later collections leave
    them out. Together they took a tenth of an export's processor time.
    """
    if "torch" in sys.modules:
        return
    gc.disable()
    try:
        import lolvit_export.pipeline  # noqa: F401
    finally:
        gc.enable()
    gc.freeze()
    gc.set_threshold(_ALLOCATIONS_PER_COLLECTION)


def _check_conflicts(
    targets: Sequence[str], precisions: Sequence[str], for_timing: bool, options: dict[str, Any]
) -> None:
    """Raise a usage error for contradicting options, before anything is loaded."""
    weights, calibrate = options["weights"], options["calibrate"]
    if for_timing and weights is not None:
        raise click.UsageError(
            "--for-timing applies to untrained weights only: leave out --weights"
        )
    quantized = any(set(find_target(name).quantized) & set(precisions) for name in targets)
    if weights is not None and calibrate is not None and not quantized:
        raise click.UsageError(
            "--calibrate applies to untrained models and to quantization: leave it out, or add"
            " --precision int8"
        )


def _check_model(model: str, options: dict[str, Any]) -> None:
    """Raise an error for a model that is unknown, or a function in a file that can't be exported,
    before anything is loaded."""
    if is_function(model):
        check_reference(model)
        if options["size"] is None:
            raise size_unknown(model)
        return
    file, _, name = model.partition(":")
    if name and Path(f"{file}.py").is_file():
        raise UserError(
            f"unknown model '{model}'", remedy=f"for a function in a file, write {file}.py:{name}"
        )
    check_name(model)


def _given_apps(android: Path | None, ios: Path | None) -> dict[str, Path]:
    from lolvit_runtimes.package_command import given_apps

    return given_apps(android, ios)


def _check_apps(apps: Mapping[str, Path], targets: Sequence[str]) -> None:
    """Raise an error for an app or targets that can't be packaged, before anything is loaded."""
    from lolvit_runtimes.android_assets import ANDROID, assets_of
    from lolvit_runtimes.ios_package import IOS, models_package_of

    places = {"android": (assets_of, ANDROID), "ios": (models_package_of, IOS)}
    for name, app in apps.items():
        find_place, platform = places[name]
        find_place(app)
        if not set(platform.formats) & set(targets):
            raise click.UsageError(f"--{name} needs --to {' or '.join(platform.formats)}")


def _package(folder: Path, apps: Mapping[str, Path]) -> dict[str, PackageResult]:
    """Add the export to the apps that are given; return the results by platform."""
    from lolvit_runtimes.app_models import PackageOptions
    from lolvit_runtimes.package_command import add_to_app

    options = PackageOptions()
    return {name: add_to_app(name, app, folder, options) for name, app in apps.items()}


def _app_documents(packaged: dict[str, PackageResult]) -> dict[str, Any]:
    """Return the parts of the JSON document about the apps."""
    from lolvit_runtimes.package_command import as_document as as_app

    return {platform: as_app(result) for platform, result in packaged.items()}


def _show_packaged(packaged: dict[str, PackageResult]) -> None:
    from lolvit_runtimes.package_command import show as show_in_app

    for result in packaged.values():
        show_in_app(result)


def _socs(text: str | None, targets: Sequence[str], precisions: Sequence[str]) -> tuple[Soc, ...]:
    """Return the SoCs to compile for.

    Raises:
        UserError: one is unknown or does not support a precision.
    """
    from lolvit_runtimes.qnn_socs import DEFAULT_SOC, find_socs, unsupported_reason
    from lolvit_runtimes.table import require_runtime

    if "qnn" not in targets:
        if text is not None:
            raise click.UsageError("--soc needs --to qnn")
        return ()
    require_runtime("qnn")
    found = find_socs(text if text is not None else DEFAULT_SOC)
    for soc in found:
        for precision in precisions:
            reason = unsupported_reason(soc, precision) if precision != "fp32" else None
            if reason is not None:
                raise UserError(
                    reason, where=f"--soc {soc.id}", remedy="leave out the SoC or the precision"
                )
    return found


def as_document(exported: ExportResult) -> dict[str, Any]:
    """Return the document that `--json` prints."""
    return {
        **summary(exported.folder, exported.manifest),
        "withheld": [artifact.model_dump(mode="json") for artifact in exported.withheld],
        "failures": [
            {"target": target, "error": error.line()} for target, error in exported.failures.items()
        ],
        "notes": list(exported.notes),
        "suppressed": list(exported.suppressed),
    }


def summary(folder: Path, manifest: Manifest) -> dict[str, Any]:
    """Return the part of the manifest that `export` and `verify` print with `--json`."""
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
