"""The table of what the server serves: the page, its runtimes, artifacts, inputs and the job."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from lolvit.errors import UserError
from lolvit.manifest import MANIFEST_NAME, Artifact, check_artifact
from lolvit_benchmarks.backends.browser import packages
from lolvit_benchmarks.backends.browser.exchange import PageCell
from lolvit_benchmarks.backends.registry import DEVICES
from lolvit_benchmarks.harness.prepare import Prepared
from lolvit_benchmarks.harness.schedule import Profile

PAGE = Path(__file__).parent / "page"
RUNTIMES = DEVICES["browser"].runtimes
FORMATS = tuple(dict.fromkeys(RUNTIMES.values()))

Files = dict[str, Path | bytes]


def page_files() -> Files:
    """Return the page's own files."""
    return {path.name: path for path in PAGE.iterdir() if path.is_file()}


def runtime_files() -> Files:
    """Return the files of the page's runtimes.

    Raises:
        UserError: they are not installed.
    """
    return {f"lib/{name}": path for name, path in packages.installed().items()}


class Models:
    """The export folders that a page may read: artifacts in a browser's formats, and manifests."""

    def __init__(self, exports: Iterable[tuple[str, Prepared]]) -> None:
        self._exports: dict[Path, tuple[str, Prepared]] = {}
        for name, prepared in exports:
            self._exports.setdefault(prepared.folder.resolve(), (name, prepared))
        self._numbers = {folder: number for number, folder in enumerate(self._exports)}

    def url(self, prepared: Prepared, artifact: Artifact) -> str:
        """Return the path of an artifact."""
        return f"models/{self._numbers[prepared.folder.resolve()]}/{artifact.path}"

    def files(self) -> Files:
        """Return every file, once it is as its manifest says.

        Raises:
            UserError: one was changed.
        """
        files: Files = {}
        for number, (_, prepared) in enumerate(self._exports.values()):
            files[f"models/{number}/{MANIFEST_NAME}"] = prepared.manifest.model_dump_json().encode()
            for artifact in _of_browsers(prepared):
                files[self.url(prepared, artifact)] = check_artifact(prepared.folder, artifact)
        return files

    def described(self) -> list[dict[str, Any]]:
        """Return what the page needs to offer each model."""
        return [
            {
                "name": name,
                "manifest": f"models/{number}/{MANIFEST_NAME}",
                "artifacts": [
                    {"path": artifact.path, "url": self.url(prepared, artifact),
                     "runtimes": [r for r, format in RUNTIMES.items() if format == artifact.format]}
                    for artifact in _of_browsers(prepared)
                ],
            }
            for number, (name, prepared) in enumerate(self._exports.values())
        ]  # fmt: skip


def require_artifacts(prepared: Prepared) -> None:
    """Check that an export folder has something for a browser.

    Raises:
        UserError: it has not.
    """
    if not _of_browsers(prepared):
        raise UserError(
            "holds no artifact that a browser can run",
            where=str(prepared.folder),
            remedy="export it again with --to onnx or tflite",
        )


def _of_browsers(prepared: Prepared) -> list[Artifact]:
    return [artifact for artifact in prepared.manifest.artifacts if artifact.format in FORMATS]


def job_files(
    models: Models, cells: Sequence[PageCell], profile: Profile | None, photo: Image.Image | None
) -> Files:
    """Return the job's description, its inputs and its photo; without cells there is none."""
    files: Files = {}
    described = [_cell(cell, models, files) for cell in cells]
    if photo is not None:
        files["photo.png"] = _png(photo)
    job = {
        "versions": packages.versions(),
        "models": models.described(),
        "cells": described,
        "warm_up": {"runs": profile.warm_up_runs, "seconds": profile.warm_up_s}
        if profile
        else None,
    }
    files["job.json"] = json.dumps(job).encode()
    return files


def _cell(cell: PageCell, models: Models, files: Files) -> dict[str, Any]:
    setting = cell.setting
    entrants = []
    for one in cell.entrants:
        data = one.image.astype("<f4").tobytes()
        path = f"inputs/{hashlib.sha256(data).hexdigest()[:16]}.f32"
        files[path] = data
        entrants.append(
            {
                "name": one.name,
                "model": models.url(one.prepared, one.artifact),
                "input": path,
                "spec": one.artifact.image.model_dump(),
                "output": one.artifact.outputs[0].model_dump(),
                "preprocess": one.prepared.manifest.preprocessing.model_dump(),
            }
        )
    return {
        "runtime": setting.runtime,
        "precision": setting.precision,
        "threads": setting.threads,
        "entrants": entrants,
    }


def _png(photo: Image.Image) -> bytes:
    stream = io.BytesIO()
    photo.save(stream, "PNG")
    return stream.getvalue()
