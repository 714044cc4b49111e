"""From an artifact and photos to the most likely classes: what `lolvit predict` does."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lolvit.errors import DeviceError, UserError
from lolvit.manifest import (
    MANIFEST_NAME,
    Artifact,
    Manifest,
    Preprocess,
    TensorSpec,
    check_artifact,
    read_manifest,
)
from lolvit.registry import choose
from lolvit_runtimes.bare import format_of
from lolvit_runtimes.isolated import IsolatedSession
from lolvit_runtimes.photos import load_photo
from lolvit_runtimes.preprocessing import to_input, to_pixels
from lolvit_runtimes.probe import runtime_status
from lolvit_runtimes.session import Session, open_session
from lolvit_runtimes.table import RUNTIMES

DEFAULT_CROP_PCT = 0.875


@dataclass(frozen=True)
class Wish:
    """What the user asked for beyond the artifact and the photos; None: not asked."""

    runtime: str | None = None
    precision: str | None = None
    mean: tuple[float, float, float] | None = None
    std: tuple[float, float, float] | None = None
    crop_pct: float | None = None


@dataclass(frozen=True)
class Ranked:
    """One class of a photo's ranking; `label` is None where the manifest names none."""

    index: int
    label: str | None
    score: float


@dataclass
class Classifier:
    """An opened artifact with its preprocessing; `manifest` is None for a bare file."""

    path: Path
    session: Session
    input: TensorSpec
    preprocess: Preprocess
    manifest: Manifest | None

    def rank(self, photo: Path, top: int) -> list[Ranked]:
        """Return the `top` most likely classes of a photo, the likeliest first.

        Raises:
            UserError: the photo can't be read.
            DeviceError: the runtime failed, or gave numbers that are not finite.
        """
        pixels = to_pixels(load_photo(photo), self.preprocess)
        image: Any = to_input(pixels, self.preprocess, self.input)
        logits = self.session.run(image)[0].astype(np.float64)  # (classes,)
        if not np.isfinite(logits).all():
            raise DeviceError("its logits are not finite", where=str(self.path))
        scores = softmax(logits)
        labels = self.manifest.labels if self.manifest else None
        order = np.argsort(-scores, kind="stable")[:top].tolist()
        return [Ranked(i, labels[i] if labels else None, float(scores[i])) for i in order]


def softmax(logits: np.ndarray) -> np.ndarray:
    """Return exp(x) / sum(exp(x)), shifted so that nothing overflows."""
    powers = np.exp(logits - logits.max())
    result: np.ndarray = powers / powers.sum()
    return result


def open_classifier(path: Path, wish: Wish, threads: int = 1) -> Classifier:
    """Open an export folder, an artifact in one, or a file without a manifest.

    Files that a manifest vouches for are opened here, once their size and sha256 match; others, and
    those in a runtime that can't share a process, in a child process.

    Raises:
        UserError: nothing there fits the wish, a file is not what its manifest says or not valid,
            or a bare file's preprocessing is not given.
        DeviceError: the runtime refused the artifact.
    """
    folder, manifest, artifacts = find_artifacts(path)
    if manifest is None:
        return _open_bare(path, wish, threads)
    if wish.mean or wish.std or wish.crop_pct:
        raise UserError(
            "its manifest says how photos are preprocessed",
            where=str(path),
            remedy="leave out --mean, --std, --crop-pct",
        )
    runtime, artifact = pick(artifacts, wish, path)
    checked = check_artifact(folder, artifact)
    opened = IsolatedSession if RUNTIMES[runtime].isolated else open_session
    session = opened(runtime, checked, artifact, threads=threads)
    return Classifier(checked, session, artifact.input, manifest.preprocess, manifest)


def find_artifacts(path: Path) -> tuple[Path, Manifest | None, tuple[Artifact, ...]]:
    """Return the folder, manifest and artifacts that a path names: all of an export folder, or the
    one that is the path. A file that no manifest lists has none of them.

    Raises:
        UserError: there is no such path, or it holds a manifest that can't be read.
    """
    if path.is_dir() and path.suffix != ".mlpackage":
        manifest = read_manifest(path)
        return path, manifest, manifest.artifacts
    format_of(path)
    folder = path.parent
    if (folder / MANIFEST_NAME).exists():
        manifest = read_manifest(folder)
        listed = tuple(a for a in manifest.artifacts if folder / a.path == path)
        if listed:
            return folder, manifest, listed
    return folder, None, ()


def pick(artifacts: tuple[Artifact, ...], wish: Wish, path: Path) -> tuple[str, Artifact]:
    """Return the first ready runtime that opens one of the artifacts, and that artifact: in the
    precision that is asked for, else fp32 before fp16.

    Raises:
        UserError: no artifact has the precision, or no ready runtime opens any.
    """
    fitting = [a for a in artifacts if wish.precision in (None, a.precision)]
    if not fitting:
        known = ", ".join(sorted({a.precision for a in artifacts}))
        raise UserError(
            f"has no {wish.precision} artifact", where=str(path), remedy=f"has: {known}"
        )
    for runtime in _runtimes(wish.runtime):
        for artifact in sorted(fitting, key=lambda a: a.precision != "fp32"):
            if RUNTIMES[runtime].format == artifact.format:
                return runtime, artifact
    raise _nothing_opens({a.format for a in fitting}, wish.runtime, path)


def _runtimes(asked: str | None) -> list[str]:
    """Return the runtimes to try: the one that is asked for, or all that are ready."""
    if asked is not None:
        return [choose("runtime", asked, RUNTIMES)]
    return [status.id for status in runtime_status() if status.ready]


def _nothing_opens(formats: set[str], asked: str | None, path: Path) -> UserError:
    listed = ", ".join(sorted(formats))
    if asked:
        return UserError(f"runtime '{asked}' opens none of: {listed}", where=str(path))
    extras = sorted({entry.extra for entry in RUNTIMES.values() if entry.format in formats})
    commands = " or ".join(f"pip install 'lolvit[{extra}]'" for extra in extras)
    return UserError(
        f"no runtime that opens {listed} is installed", where=str(path), remedy=f"run: {commands}"
    )


def _open_bare(path: Path, wish: Wish, threads: int) -> Classifier:
    format = format_of(path)
    runtimes = [r for r in _runtimes(wish.runtime) if RUNTIMES[r].format == format]
    if not runtimes:
        raise _nothing_opens({format}, wish.runtime, path)
    session = IsolatedSession(runtimes[0], path, threads=threads)
    if session.input.values == "normalized" and not (wish.mean and wish.std):
        session.close()
        raise UserError(
            f"no {MANIFEST_NAME} lists it, so its preprocessing is not known",
            where=str(path),
            remedy="give --mean and --std, or the folder that lolvit export wrote",
        )
    return Classifier(path, session, session.input, _stated(wish, session.input), None)


def _stated(wish: Wish, spec: TensorSpec) -> Preprocess:
    """Return the preprocessing that the user states, at the artifact's own size. An artifact that
    takes pixels normalises them itself: mean and std are then not used."""
    height, width = spec.shape[1:3] if spec.layout == "NHWC" else spec.shape[2:4]
    return Preprocess(
        size=(height, width),
        crop_pct=wish.crop_pct or DEFAULT_CROP_PCT,
        mean=wish.mean or (0, 0, 0),
        std=wish.std or (1, 1, 1),
    )
