"""`lolvit verify`: run what an export wrote, again and anywhere, against eager PyTorch."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from lolvit.errors import DeviceError, GateFailedError, UserError
from lolvit.output import console, print_json, results
from lolvit_export.command import as_document, gate_table, print_untrained
from lolvit_export.verification.devices import HOST, VERIFY_DEVICES, runtimes_for
from lolvit_runtimes.table import require_runtime

if TYPE_CHECKING:
    from lolvit.manifest import Artifact, Manifest
    from lolvit.verification import VerificationDocument

_MANIFEST = "manifest.json"
_DEVICES = ", ".join(VERIFY_DEVICES)


@click.command()
@click.argument("artifact", type=click.Path(path_type=Path))
@click.option("--device", default=HOST, show_default=True, help=f"One of {_DEVICES}.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
def verify(artifact: Path, device: str, as_json: bool) -> None:
    """Compare ARTIFACT, or every artifact of an export folder, with eager PyTorch on photos.

    The manifest and the weights beside it say what eager is. Exit code 1: a gate failed.
    """
    from lolvit.manifest import read_manifest  # pydantic: imported on use, --help stays fast

    folder, wanted = _folder_and_name(artifact)
    manifest = read_manifest(folder)
    chosen = _taken(_chosen(manifest, wanted, folder), device, folder)
    out = results()
    verified, failures = _verify_all(folder, manifest, chosen, device)
    result = manifest.model_copy(update={"artifacts": tuple(verified)})
    if as_json:
        print_json(_document(folder, result, device, failures).model_dump(mode="json"))
    else:
        out.print(gate_table(result.artifacts))
        if not manifest.weights.trained:
            print_untrained(result.artifacts, out)
    _raise_on_failure(result, folder, failures)


def _document(
    folder: Path, manifest: Manifest, device: str, failures: list[tuple[str, DeviceError]]
) -> VerificationDocument:
    from lolvit.verification import Refused, VerificationDocument

    refused = tuple(Refused(artifact=name, error=error.line()) for name, error in failures)
    return VerificationDocument.model_validate(
        as_document(folder, manifest) | {"device": device, "failures": refused}
    )


def _folder_and_name(path: Path) -> tuple[Path, str | None]:
    """Split an argument into its export folder and, for one artifact, the name in it."""
    if not path.exists():
        raise UserError("no such artifact", where=str(path), remedy="run: lolvit export")
    if (path / _MANIFEST).exists():
        return path, None
    if path.is_dir() and path.suffix != ".mlpackage":
        return path, None
    if not (path.parent / _MANIFEST).exists():
        raise UserError(
            "has no manifest.json beside it, so nothing says what it should compute",
            where=str(path),
            remedy="give the folder that lolvit export wrote",
        )
    return path.parent, path.name


def _chosen(manifest: Manifest, name: str | None, folder: Path) -> list[Artifact]:
    chosen = [a for a in manifest.artifacts if name in (None, a.path)]
    if not chosen:
        raise UserError(
            f"'{name}' is not in the manifest",
            where=str(folder),
            remedy=f"choose from: {', '.join(a.path for a in manifest.artifacts)}",
        )
    return chosen


def _taken(chosen: list[Artifact], device: str, folder: Path) -> list[Artifact]:
    """Return the artifacts that the device takes, saying which it doesn't."""
    taken = [artifact for artifact in chosen if runtimes_for(artifact.format, device)]
    if not taken:
        formats = ", ".join(VERIFY_DEVICES[device])
        raise UserError(
            f"holds nothing that '{device}' runs",
            where=str(folder),
            remedy=f"export with --to {formats.replace(', ', ' or ')}",
        )
    for artifact in chosen:
        if artifact not in taken:
            console().print(f"{artifact.path}: not for {device}", markup=False)
    return taken


def _verify_all(
    folder: Path, manifest: Manifest, chosen: list[Artifact], device: str
) -> tuple[list[Artifact], list[tuple[str, DeviceError]]]:
    """Check every file before any is opened, then run each; one that crashes stops no other."""
    from lolvit.manifest import check_artifact, check_file

    for artifact in chosen:
        check_artifact(folder, artifact)
    weights = check_file(folder, manifest.weights.path, manifest.weights.sha256)
    for runtime in {name for each in chosen for name in runtimes_for(each.format, device)}:
        require_runtime(runtime)  # before minutes of work
    say = console().print
    say("eager PyTorch on photos")
    from lolvit.models.checkpoint import read_state  # loads torch
    from lolvit.models.loading import restore
    from lolvit_export.verification.verification import Verification
    from lolvit_export.verification.verifiers import Verifiers

    state, _ = read_state(weights)
    model = restore(manifest.model, manifest.num_classes, state, where=str(weights))
    verified: list[Artifact] = []
    failures: list[tuple[str, DeviceError]] = []
    with Verifiers(device=device) as verifiers:
        verification = Verification(
            model,
            manifest.preprocess,
            manifest.labels,
            verifiers,
            trained=manifest.weights.trained,
        )
        for artifact in chosen:
            say(f"verify {artifact.path}", markup=False)
            try:
                verified.append(verification.verify(folder / artifact.path, artifact))
            except DeviceError as error:
                failures.append((artifact.path, error))
    return verified, failures


def _raise_on_failure(
    manifest: Manifest, folder: Path, failures: list[tuple[str, DeviceError]]
) -> None:
    if failures:
        raise DeviceError(
            "; ".join(f"{name}: {error.what}" for name, error in failures), where=str(folder)
        )
    failed = manifest.failed_gates()
    if failed:
        raise GateFailedError(
            f"verification failed: {'; '.join(failed)}",
            where=str(folder),
            remedy="do not ship it: export again",
        )
