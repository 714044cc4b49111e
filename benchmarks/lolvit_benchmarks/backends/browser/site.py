"""The served files by path: the page, its runtimes, artifacts, inputs and the job."""

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
from lolvit_benchmarks.backends.browser import install
from lolvit_benchmarks.backends.browser.agreement import step_of
from lolvit_benchmarks.backends.browser.exchange import PageCase
from lolvit_benchmarks.backends.registry import DEVICES
from lolvit_benchmarks.harness.prepare import Prepared
from lolvit_benchmarks.harness.schedule import Profile

PAGE = Path(__file__).parent / "page"
# The npm package's modules, which the page imports: in a wheel beside it, in a checkout in web/.
_PACKAGED = PAGE / "lolvit"
LIBRARY = _PACKAGED if _PACKAGED.is_dir() else PAGE.parents[4] / "web" / "src"
RUNTIMES = DEVICES["browser"].runtimes
FORMATS = tuple(dict.fromkeys(RUNTIMES.values()))

Files = dict[str, Path | bytes]


def page_files() -> Files:
    """Return the page's own files, and those of the npm package."""
    page: Files = {path.name: path for path in PAGE.iterdir() if path.is_file()}
    return page | {f"lolvit/{path.name}": path for path in LIBRARY.glob("*.js")}


def runtime_files() -> Files:
    """Return the files of the page's runtimes.

    Raises:
        UserError: they are not installed.
    """
    return {f"lib/{name}": path for name, path in install.installed().items()}


# A folder, and which of its artifacts: two files of one folder are two exports.
_Export = tuple[Path, tuple[str, ...]]


def _export(prepared: Prepared) -> _Export:
    artifacts = tuple(artifact.path for artifact in prepared.manifest.artifacts)
    return prepared.folder.resolve(), artifacts


class ServedModels:
    """The export folders that a page may read: manifests, and artifacts in a browser's formats."""

    def __init__(self, exports: Iterable[tuple[str, Prepared]]) -> None:
        self._exports: dict[_Export, tuple[str, Prepared]] = {}
        for name, prepared in exports:
            self._exports.setdefault(_export(prepared), (name, prepared))
        self._numbers = {export: number for number, export in enumerate(self._exports)}

    def folder(self, prepared: Prepared) -> str:
        """Return the served path of an export folder."""
        return f"models/{self._numbers[_export(prepared)]}"

    def files(self) -> Files:
        """Return every file, after checking its size and sha256.

        Raises:
            UserError: a file is missing or changed.
        """
        files: Files = {}
        for _, prepared in self._exports.values():
            folder = self.folder(prepared)
            files[f"{folder}/{MANIFEST_NAME}"] = prepared.manifest.model_dump_json().encode()
            for artifact in _browser_artifacts(prepared):
                files[f"{folder}/{artifact.path}"] = check_artifact(prepared.folder, artifact)
        return files

    def described(self) -> list[dict[str, Any]]:
        """Return the models as the job lists them."""
        return [
            {
                "name": name,
                "folder": self.folder(prepared),
                "artifacts": [
                    {"path": artifact.path,
                     "runtimes": [r for r, format in RUNTIMES.items() if format == artifact.format]}
                    for artifact in _browser_artifacts(prepared)
                ],
            }
            for name, prepared in self._exports.values()
        ]  # fmt: skip


def require_artifacts(prepared: Prepared) -> None:
    """Check that an export folder has an artifact for a browser.

    Raises:
        UserError: it has none.
    """
    if not _browser_artifacts(prepared):
        raise UserError(
            "has no artifact that a browser can run",
            where=str(prepared.folder),
            remedy="export it again with --to onnx or tflite",
        )


def _browser_artifacts(prepared: Prepared) -> list[Artifact]:
    return [artifact for artifact in prepared.manifest.artifacts if artifact.format in FORMATS]


def job_files(
    models: ServedModels,
    cases: Sequence[PageCase],
    profile: Profile | None,
    photo: Image.Image | None,
) -> Files:
    """Return the job, the inputs of its cases, and the photo if there is one. Without cases the
    page only offers its models."""
    files: Files = {}
    described = [_case(case, models, files) for case in cases]
    if photo is not None:
        files["photo.png"] = _png(photo)
    job = {
        "versions": install.versions(),
        "models": models.described(),
        "cases": described,
        "warm_up": {"runs": profile.warm_up_runs, "seconds": profile.warm_up_s}
        if profile
        else None,
    }
    files["job.json"] = json.dumps(job).encode()
    return files


def _case(case: PageCase, models: ServedModels, files: Files) -> dict[str, Any]:
    configuration = case.configuration
    candidates = []
    for one in case.candidates:
        data = one.image.astype("<f4").tobytes()
        path = f"inputs/{hashlib.sha256(data).hexdigest()[:16]}.f32"
        files[path] = data
        candidates.append(
            {
                "name": one.name,
                "folder": models.folder(one.prepared),
                "artifact": one.artifact.path,
                "input": path,
                # Of each output the page sends every n-th value.
                "steps": {spec.name: step_of(spec) for spec in one.artifact.outputs},
            }
        )
    return {
        "runtime": configuration.runtime,
        "precision": configuration.precision,
        "threads": configuration.threads,
        "candidates": candidates,
    }


def _png(photo: Image.Image) -> bytes:
    stream = io.BytesIO()
    photo.save(stream, "PNG")
    return stream.getvalue()
