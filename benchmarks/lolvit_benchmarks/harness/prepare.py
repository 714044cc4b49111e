"""What is measured: models as folders of artifacts, and the photo that they run on.

A model's name is exported, in a child process and into a cache, so that only the manifest crosses
to here; a folder is taken as it is.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.util
import json
import platform
import re
import statistics
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from PIL import Image

from lolvit.cache import cache_folder
from lolvit.errors import GateFailedError, UserError
from lolvit.files import FOLDER_ARTIFACTS, sha256_of
from lolvit.manifest import (
    FLOAT_PRECISIONS,
    MANIFEST_NAME,
    Artifact,
    Manifest,
    Preprocessing,
    check_artifact,
    read_manifest,
)
from lolvit.model_names import TIMM, check_name, is_function
from lolvit.version import __version__
from lolvit.weights import find_weights
from lolvit_benchmarks.harness.child import run_module
from lolvit_runtimes.photos import bundled_photo_path, load_photo
from lolvit_runtimes.preprocessing import Pixels, to_input, to_pixels
from lolvit_runtimes.probe import installed, with_dependencies
from lolvit_runtimes.session import FloatArray

_REPEATS = 5
# What converts, quantizes or verifies: another version of it makes other artifacts.
_EXPORTING_EXTRAS = ("export", "executorch", "openvino", "qnn", "tensorflow")
_STEP = re.compile(r"\[ *[\d.]+ s\]")  # how `lolvit export` begins a line about its progress

Say = Callable[[str], None]


@dataclass(frozen=True)
class Photo:
    """A decoded photo in RGB and with its alpha channel, its file's name and digest."""

    image: Image.Image
    with_alpha: Image.Image
    name: str
    sha256: str

    def pixels(self, preprocessing: Preprocessing) -> Pixels:
        """Return the photo as a model takes it: uint8 of shape (H, W, channels)."""
        image = self.with_alpha if preprocessing.color == "RGBA" else self.image
        return to_pixels(image, preprocessing)


def open_photo(path: Path | None) -> Photo:
    """Decode a photo, or scikit-image's astronaut for None.

    Raises:
        UserError: it can't be read, or scikit-image is not installed.
    """
    path = path or default_photo()
    decoded = load_photo(path, "RGBA")
    return Photo(decoded.convert("RGB"), decoded, path.name, sha256_of(path))


def default_photo() -> Path:
    """Return the path of the photo that is used when none is given.

    Raises:
        UserError: scikit-image, which carries it, is not installed.
    """
    if path := bundled_photo_path():
        return path
    raise UserError(
        "no photo to measure on: scikit-image, which carries one, is not installed",
        remedy="give --photo FILE, or run: pip install 'lolvit[bench]'",
    )


def prepare_input(photo: Photo, preprocessing: Preprocessing, artifact: Artifact) -> FloatArray:
    """Return the photo as the artifact's input.

    Raises:
        UserError: the manifest needs preprocessing that this lolvit doesn't have.
    """
    image = to_input(photo.pixels(preprocessing), preprocessing, artifact.image)
    return cast(FloatArray, image)


def preprocess_ms(photo: Photo, preprocessing: Preprocessing, artifact: Artifact) -> float:
    """Return the median milliseconds from the decoded photo to the artifact's input."""
    times = []
    for _ in range(_REPEATS):
        start = time.perf_counter()
        prepare_input(photo, preprocessing, artifact)
        times.append(time.perf_counter() - start)
    return statistics.median(times) * 1e3


@dataclass(frozen=True)
class ExportRequest:
    """A model by name or folder, and the artifacts that are needed of it. Each of `precisions` is
    required; those in `optional` are exported as well, where the format has them. `size` is height
    and width for a name, None the model's own; `task` that of the head of a model that is given by
    name, None a classifier's."""

    model: str
    formats: tuple[str, ...]
    precisions: tuple[str, ...]
    optional: tuple[str, ...]
    size: tuple[int, int] | None
    weights: Path | None = None
    task: str | None = None

    def all_precisions(self) -> list[str]:
        """Return every precision to export, each once."""
        return list(dict.fromkeys((*self.precisions, *self.optional)))

    def pairs(self) -> list[tuple[str, str]]:
        """Return every (format, precision) that is needed."""
        return [(format, precision) for format in self.formats for precision in self.precisions]


@dataclass(frozen=True)
class Prepared:
    """A folder of artifacts, its manifest read."""

    folder: Path
    manifest: Manifest

    def formats(self) -> set[str]:
        """Return the formats that it has artifacts of."""
        return {artifact.format for artifact in self.manifest.artifacts}

    def of_format(self, format: str) -> list[Artifact]:
        """Return its artifacts of a target; if there is none, those whose file is in that format,
        which a runtime opens as well."""
        artifacts = self.manifest.artifacts
        own = [each for each in artifacts if each.format == format]
        return own or [each for each in artifacts if each.file_format == format]

    def artifact(self, format: str, precision: str) -> Artifact:
        """Return an artifact whose file matches the manifest.

        Raises:
            UserError: there is none of that format and precision, or its file was changed.
        """
        found = (each for each in self.of_format(format) if each.precision == precision)
        artifact = next(found, None)
        if artifact is None:
            have = ", ".join(f"{a.format} {a.precision}" for a in self.manifest.artifacts)
            raise UserError(
                f"holds no {format} artifact in {precision}, only {have or 'nothing'}",
                where=str(self.folder),
                remedy=f"export it again with --to {format} --precision {precision}",
            )
        check_artifact(self.folder, artifact)
        return artifact


def prepare(wanted: ExportRequest, *, cache: Path, fresh: bool, say: Say) -> Prepared:
    """Return a model's artifacts: of a folder that exists, else exported, or from the cache where
    an earlier export of the same sources, size, precision and weights is whole.

    Raises:
        LolvitError: the model is unknown, its export failed, or its folder lacks an artifact.
    """
    path = Path(wanted.model)
    if path.exists() or _looks_like_path(wanted.model):
        prepared = open_folder(path)
        _refuse_other_size(prepared, wanted.size)
        _refuse_other_task(prepared, wanted.task)
    else:
        prepared = _from_cache(wanted, cache, fresh=fresh, say=say)
    for format, precision in wanted.pairs():
        prepared.artifact(format, precision)
    for format in wanted.formats:
        if not prepared.of_format(format):
            prepared.artifact(format, wanted.all_precisions()[0])  # raises, and names what there is
    return prepared


def check_models(models: Iterable[str]) -> None:
    """Check the names of models, in milliseconds: before the first of them is exported.

    Raises:
        UserError: one is no variant, baseline or model of timm, or a function in a file, whose
            export could not be cached: its file may import others.
    """
    for model in models:
        if is_function(model):
            raise UserError(
                "a function in a file is not exported here", where=model,
                remedy=f"run: lolvit export {model}, and give the folder that it writes",
            )  # fmt: skip
        if not (Path(model).exists() or _looks_like_path(model)):
            check_name(model)


def default_cache() -> Path:
    """Return the folder of exports that benchmarks made, for this user."""
    return cache_folder() / "exports"


def _looks_like_path(model: str) -> bool:
    return "/" in model and not model.startswith(TIMM)


def is_artifact(model: str) -> bool:
    """Whether a model is given as one artifact of an export folder."""
    path = Path(model)
    return path.exists() and (path.is_file() or path.suffix in FOLDER_ARTIFACTS)


def artifact_formats(models: Iterable[str]) -> set[str]:
    """Return the formats of those models that are given as artifacts.

    Raises:
        UserError: the manifest beside one can't be read or lacks it.
    """
    given = [open_folder(Path(model)) for model in models if is_artifact(model)]
    return {artifact.file_format for one in given for artifact in one.manifest.artifacts}


def offered_by_folders(models: Iterable[str]) -> tuple[set[str], list[str]]:
    """Return the formats and the precisions that each of the models that are export folders has
    artifacts of; nothing if none is a folder.

    Raises:
        UserError: there is no such folder, or its manifest can't be read.
    """
    paths = [Path(m) for m in models if Path(m).exists() or _looks_like_path(m)]
    found = [open_folder(p).manifest.artifacts for p in paths if not is_artifact(str(p))]
    formats = [{f for a in each for f in (a.format, a.file_format)} for each in found]
    precisions = [dict.fromkeys(a.precision for a in each) for each in found]
    if not found:
        return set(), []
    return set.intersection(*formats), [p for p in precisions[0] if all(p in o for o in precisions)]


def open_folder(path: Path) -> Prepared:
    """Open an export folder, or one artifact in it: a folder that holds no other.

    Raises:
        UserError: there is none, or its manifest can't be read or lacks the artifact.
    """
    if is_artifact(str(path)):
        manifest = read_manifest(path.parent)
        own = tuple(a for a in manifest.artifacts if a.path == path.name)
        if not own:
            raise UserError(
                "is not in the manifest beside it", where=str(path), remedy="export again"
            )
        return Prepared(path.parent, manifest.model_copy(update={"artifacts": own}))
    if not path.is_dir():
        raise UserError(
            "no such folder", where=str(path), remedy="give a folder that holds a manifest.json"
        )
    return Prepared(path, read_manifest(path))


def _refuse_other_size(prepared: Prepared, size: tuple[int, int] | None) -> None:
    if size is not None and prepared.manifest.size != size:
        have, want = ("x".join(map(str, pair)) for pair in (prepared.manifest.size, size))
        raise UserError(
            f"is an export for {have}, not {want}",
            where=str(prepared.folder),
            remedy="leave out --size, or give the model's name",
        )


def _refuse_other_task(prepared: Prepared, task: str | None) -> None:
    if task is not None and prepared.manifest.task != task:
        raise UserError(
            f"is an export for {prepared.manifest.task}, not {task}",
            where=str(prepared.folder),
            remedy="leave out --task, or give the model's name",
        )


def _from_cache(wanted: ExportRequest, cache: Path, *, fresh: bool, say: Say) -> Prepared:
    place = cache / _key(wanted)
    formats = set(wanted.formats)
    with _alone_in(place, lambda: say(f"waiting for another export of {wanted.model}")):
        found = _whole(place)
        if found is not None and not fresh:
            have = {(a.format, a.precision) for a in found.manifest.artifacts}
            if have.issuperset(wanted.pairs()) and found.formats().issuperset(wanted.formats):
                return _refuse_failed_floats(found)
            formats |= {a.format for a in found.manifest.artifacts}
        return _refuse_failed_floats(_export(wanted, sorted(formats), place, say))


@contextmanager
def _alone_in(place: Path, on_wait: Callable[[], None]) -> Iterator[None]:
    """Hold a cache folder's lock inside the block: of two commands that need the same export one
    makes it, and the other finds it whole. The system gives up the lock of a process that ends.

    Raises:
        OSError: the folder can't be written.
    """
    place.mkdir(parents=True, exist_ok=True)
    with (place / ".lock").open("wb") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            on_wait()
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _whole(place: Path) -> Prepared | None:
    """Return the export in a cache folder if every file in it is as its manifest says."""
    for manifest in place.glob(f"*/{MANIFEST_NAME}"):
        try:
            prepared = Prepared(manifest.parent, read_manifest(manifest.parent))
            if not _made_by_these_tools(prepared.manifest):
                continue
            for artifact in prepared.manifest.artifacts:
                check_artifact(prepared.folder, artifact)
        except UserError:  # made by another lolvit, or damaged: to be exported again
            continue
        return prepared
    return None


def _made_by_these_tools(manifest: Manifest) -> bool:
    """Whether the tools that a manifest records have the versions that are installed."""
    here = {"python": platform.python_version(), "lolvit": __version__}
    return all((here.get(n) or installed(n)) == v for n, v in manifest.tools.items())


def _export(wanted: ExportRequest, formats: list[str], place: Path, say: Say) -> Prepared:
    say(f"exporting {wanted.model} to {', '.join(formats)} (kept for the next time)")
    arguments = ["export", wanted.model, "--to", ",".join(formats)]
    arguments += ["--precision", ",".join(wanted.all_precisions())]
    arguments += ["--size", "x".join(map(str, wanted.size))] if wanted.size else []
    arguments += ["--weights", str(wanted.weights)] if wanted.weights else []
    arguments += ["--task", wanted.task] if wanted.task else []
    if "qnn" in formats:  # its devices compile for their own chips
        arguments += ["--soc", "none"]
    # Random weights lose more in integers than trained ones: an artifact that were quantized less
    # for their sake would be no measure of what a trained network's takes.
    integers = set(wanted.all_precisions()) - FLOAT_PRECISIONS
    if not wanted.weights and (integers or "qnn" in formats):
        arguments.append("--for-timing")
    document = run_module(
        "lolvit",
        [*arguments, "--out", str(place), "--json"],
        what=f"export of {wanted.model}",
        on_line=lambda line: say(f"  {line}") if _STEP.match(line) else None,
    )
    return open_folder(Path(document["folder"]))


def _refuse_failed_floats(prepared: Prepared) -> Prepared:
    """Return an export that was made for timing, unless an artifact in floats failed its gates: it
    computes something else. Quantized ones may lose accuracy, and Qualcomm's estimates name the
    gates that theirs fail.

    Raises:
        GateFailedError: one did.
    """
    for artifact in prepared.manifest.artifacts:
        failed = artifact.failed_gates()
        if failed and artifact.precision in FLOAT_PRECISIONS and artifact.format != "qnn":
            raise GateFailedError(
                f"export of {prepared.manifest.model} failed: verification failed:"
                f" {'; '.join(failed)}",
                where=str(prepared.folder / artifact.path),
            )
    return prepared


def _key(wanted: ExportRequest) -> str:
    """Return what is the same for exports that would give the same artifacts."""
    parts = {
        "model": wanted.model,
        "size": wanted.size,
        "precisions": sorted(wanted.all_precisions()),
        "weights": sha256_of(find_weights(wanted.weights)) if wanted.weights else None,
        "task": wanted.task,
        "version": __version__,
        "tools": sorted(with_dependencies(_EXPORTING_EXTRAS).items()),
        "sources": _sources(("lolvit", "lolvit_runtimes", "lolvit_data", "lolvit_export")),
    }
    digest = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
    return f"{Path(wanted.model).name}-{digest[:16]}"


def _sources(packages: Iterable[str]) -> str:
    """Return a digest of packages' Python files: in a work tree they change while the version does
    not, and a stale export would be timed."""
    digest = hashlib.sha256()
    for package in packages:
        spec = importlib.util.find_spec(package)
        for folder in (spec.submodule_search_locations or []) if spec else []:
            for path in sorted(Path(folder).rglob("*.py")):
                digest.update(path.relative_to(folder).as_posix().encode() + b"\0")
                digest.update(path.read_bytes() + b"\0")
    return digest.hexdigest()
