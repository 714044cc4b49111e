"""`lolvit verify`: verify the artifacts of an export on this machine or another device."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from lolvit.output import print_json, results, step_progress
from lolvit_export.command import summary
from lolvit_export.targets import HOST, devices

if TYPE_CHECKING:
    from lolvit.verification import VerificationDocument
    from lolvit_export.verification.verification import VerificationResult

_DEVICES = ", ".join(devices())


@click.command()
@click.argument("artifact", type=click.Path(path_type=Path))
@click.option("--device", default=HOST, show_default=True, help=f"One of {_DEVICES}.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
def verify(artifact: Path, device: str, as_json: bool) -> None:
    """Compare ARTIFACT, or every artifact of an export folder, with eager PyTorch on photos.

    The reference is the model that the export folder contains. Exit code 1: a gate failed.
    """
    with step_progress() as progress:
        progress("load PyTorch")
        from lolvit_export.verification.verification import verify as run

        verified = run(artifact, device=device, progress=progress)
    if as_json:
        print_json(_document(verified).model_dump(mode="json"))
    else:
        from lolvit_export.outcome import print_artifacts, print_untrained

        out = results()
        print_artifacts(verified.manifest, (), out)
        if not verified.manifest.weights.trained:
            print_untrained(verified.manifest.artifacts, out)
    verified.raise_on_failure()


def _document(verified: VerificationResult) -> VerificationDocument:
    from lolvit.verification import RuntimeFailure, VerificationDocument

    failures = tuple(RuntimeFailure(artifact=n, error=e.line()) for n, e in verified.failures)
    return VerificationDocument.model_validate(
        summary(verified.folder, verified.manifest)
        | {"device": verified.device, "failures": failures}
    )
