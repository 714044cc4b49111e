"""Rows of the table in docs/apple.md: `python -m tests.export.coreai_table MODEL ...`.

Prints, for each MODEL[:TASK][@SIZE][=WEIGHTS] and precision, a row of Markdown: the SNR against
eager PyTorch in float64, in Core AI's runtime and in Core ML's interpreter, of the worst photo and
output; the SNR of one against the other, of the worst output; megabytes; and the seconds of one
image in Core AI's runtime.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np

import lolvit
from lolvit.manifest import Artifact, Manifest
from lolvit_export.photos import verification_pixels
from lolvit_export.verification.verifiers import RUN_SECONDS
from lolvit_runtimes.preprocessing import to_input
from lolvit_runtimes.worker.isolated import IsolatedSession
from tests.export.small_net import snr_db

RUNTIMES = {"coreai": "coreai", "coreml": "coreml-reference"}


def rows(model: str) -> Iterator[str]:
    """Export a model to both formats, and yield its rows."""
    name, _, weights = model.partition("=")
    name, _, size = name.partition("@")
    name, _, task = name.partition(":")
    with tempfile.TemporaryDirectory() as folder:
        exported = lolvit.export(
            name, size=sides(size), weights=weights or None, out=folder, task=task or None,
            targets=list(RUNTIMES), precision=["fp32", "fp16"],
        )  # fmt: skip
        for precision in ("fp32", "fp16"):
            yield row(exported.folder, exported.manifest, precision)


def sides(text: str) -> tuple[int, int] | int | None:
    """Return 192x320 as (192, 320), 224 as 224, and nothing as None."""
    numbers = [int(part) for part in text.split("x") if part]
    return None if not numbers else numbers[0] if len(numbers) == 1 else (numbers[0], numbers[1])


def row(folder: Path, manifest: Manifest, precision: str) -> str:
    """Return one row of the table."""
    found: dict[str, list[list[np.ndarray]]] = {}
    values = []
    for format, runtime in RUNTIMES.items():
        artifact = manifest.find(format, precision)
        assert artifact is not None, f"{format} {precision} was withheld"
        found[format], seconds = outputs(folder, manifest, artifact, runtime)
        gates = [g for g in artifact.gates if g.name.endswith(".snr_db")]
        values.append(min(g.value for g in gates if g.name.startswith(f"{runtime}.")))
        if format == "coreai":
            megabytes, image_seconds = artifact.bytes / 1e6, seconds
    height, width = manifest.size
    agreement = min(snr_db(*both) for both in zip(found["coreml"], found["coreai"], strict=True))
    name = (
        manifest.model
        if manifest.task == "classification"
        else f"{manifest.model}, {manifest.task}"
    )
    cells = (
        name, f"{height}x{width}", precision, f"{values[0]:.1f}",
        f"{values[1]:.1f}", f"{agreement:.1f}",
        f"{megabytes:.2f}", f"{image_seconds:.2f}",
    )  # fmt: skip
    return f"| {' | '.join(cells)} |"


def outputs(
    folder: Path, manifest: Manifest, artifact: Artifact, runtime: str
) -> tuple[list[list[np.ndarray]], float]:
    """Return each output of an artifact for all photos of verification, and the median seconds."""
    with closing(
        IsolatedSession(runtime, folder / artifact.path, artifact, run_seconds=RUN_SECONDS)
    ) as session:
        found: list[list[np.ndarray]] = [[] for _ in artifact.outputs]
        seconds = []
        for photo in verification_pixels(manifest.preprocessing):
            image = to_input(photo, manifest.preprocessing, artifact.image)
            started = time.perf_counter()
            given = session.run({artifact.image.name: image})
            seconds.append(time.perf_counter() - started)
            for values, spec in zip(found, artifact.outputs, strict=True):
                values.append(given[spec.name])
        return found, statistics.median(seconds)


if __name__ == "__main__":
    for model in sys.argv[1:]:
        for line in rows(model):
            print(line, flush=True)
