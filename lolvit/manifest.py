"""The manifest: all that crosses from export to runtimes, benchmarks and the apps.

One folder a model holds the artifacts, `weights.safetensors` (the fp32 state of the eager model
that they were made from, so that anyone can verify them again) and `manifest.json`.
"""

from __future__ import annotations

import json
from pathlib import Path, PurePosixPath
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from lolvit.errors import UserError
from lolvit.files import sha256_of, size_of, write_atomic

SCHEMA_VERSION: Final = 1
MANIFEST_NAME = "manifest.json"

Format = Literal["onnx", "tflite", "coreml", "executorch", "torch", "qnn"]
Precision = Literal["fp32", "fp16", "int8", "w8a16", "w4"]
Layout = Literal["NCHW", "NHWC", "NC"]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


def _inside_folder(path: str) -> str:
    """Refuse a path that leaves the manifest's folder."""
    pure = PurePosixPath(path)
    if pure.is_absolute() or ".." in pure.parts or "\\" in path or not pure.parts:
        raise ValueError("must be a relative path inside the manifest's folder")
    return path


RelativePath = Annotated[str, AfterValidator(_inside_folder)]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class TensorSpec(_Frozen):
    """One input or output of an artifact.

    `values` says what an image input expects: `normalized` is (pixel / 255 - mean) / std, `pixels`
    is 0 to 255 with the normalisation inside the artifact (Core ML image inputs).
    """

    name: str
    shape: tuple[int, ...]
    dtype: Literal["float32", "float16", "uint8", "int8"] = "float32"
    layout: Layout
    values: Literal["normalized", "pixels", "logits"]


class Preprocess(_Frozen):
    """How a photo becomes an input, for any language to repeat.

    1. Decode to 8-bit RGB: drop transparency, scale 16-bit levels by 255/65535, turn the photo
       upright as its EXIF orientation says.
    2. Let the box be (floor(H / crop_pct), floor(W / crop_pct)) for `size` (H, W). Resize, with
       antialiasing (the filter widens with the reduction, as Pillow's does), so that the photo
       just covers the box:
       a square box of side s: the shorter side becomes s, the longer floor(s * long / short);
       any other box: with r = min(h / box height, w / box width), the photo's height h and width w
       become round(h / r) and round(w / r).
    3. Crop (H, W) at the centre: top = round((resized height - H) / 2), left likewise.
    4. (pixel / 255 - mean) / std, in float32, per channel.

    round takes halves to even. This is timm's evaluation transform with a centre crop.
    """

    size: tuple[int, int] = Field(description="height and width of the crop, in pixels")
    crop_pct: float = Field(gt=0, le=1)
    interpolation: Literal["bicubic", "bilinear"] = "bicubic"
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    color: Literal["RGB"] = "RGB"


class Gate(_Frozen):
    """A figure and the floor it has to reach."""

    name: str
    value: float
    floor: float
    passed: bool


class PassRecord(_Frozen):
    """Where a rewrite fired, and why it did not elsewhere."""

    name: str
    fired: int
    sites: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()


class Quantization(_Frozen):
    """How an artifact was quantized. Its gates are measured on the source's held-out images."""

    plan: RelativePath = Field(description="the plan, to be read, edited and used again")
    images: str | None = Field(description="the data set or folder; null: the bundled photos")


class HtpTarget(_Frozen):
    """What a `qnn` artifact runs on: the Hexagon tensor processor of one Qualcomm chip, or any."""

    hexagon: int = Field(description="the first Hexagon version with the arithmetic that it needs")
    soc: str | None = Field(
        default=None, description="the chip that it is compiled for; null: compiled on the device"
    )
    soc_model: int | None = Field(default=None, description="the chip's number in Qualcomm's SDK")


class Artifact(_Frozen):
    """One file (or, for Core ML, one folder) that a runtime opens."""

    path: RelativePath
    format: Format
    precision: Precision
    sha256: Sha256
    bytes: int = Field(ge=0)
    input: TensorSpec
    output: TensorSpec
    gates: tuple[Gate, ...] = ()
    measured: dict[str, float] = Field(
        default={}, description="figures without a floor, such as the largest absolute error"
    )
    quantization: Quantization | None = Field(
        default=None, description="of quantized artifacts: what was decided, and on what"
    )
    htp: HtpTarget | None = Field(default=None, description="of qnn artifacts: what they need")

    def failed_gates(self) -> list[str]:
        """Return one short line for each gate that is below its floor."""
        return [
            f"{self.path} {gate.name} {gate.value:.4g} < {gate.floor:g}"
            for gate in self.gates
            if not gate.passed
        ]


class Weights(_Frozen):
    """The eager model's state, in safetensors, as it was exported."""

    path: RelativePath = "weights.safetensors"
    sha256: Sha256
    trained: bool = Field(description="false: random weights, BatchNorm calibrated on photos")
    source: str


class Manifest(_Frozen):
    """All that a runtime or an app needs to use the artifacts beside it."""

    schema_version: Literal[1] = SCHEMA_VERSION
    model: str
    params: int
    macs: int
    num_classes: int
    size: tuple[int, int] = Field(description="height and width, in pixels")
    rewrites: bool = Field(default=True, description="false: the static rewrite was off")
    weights: Weights
    preprocess: Preprocess
    labels: tuple[str, ...] | None = None
    artifacts: tuple[Artifact, ...]
    passes: tuple[PassRecord, ...] = ()
    recommended: dict[str, RelativePath] = Field(
        default={},
        description="the fastest artifact of a runtime, as measured on the exporting machine",
    )
    tools: dict[str, str]
    created: str

    def failed_gates(self) -> list[str]:
        """Return one short line for each gate that is below its floor."""
        return [line for artifact in self.artifacts for line in artifact.failed_gates()]

    def find(self, format: str, precision: str) -> Artifact | None:
        """Return the artifact of that format and precision, or None."""
        return next(
            (a for a in self.artifacts if (a.format, a.precision) == (format, precision)), None
        )


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write `manifest.json` atomically."""
    write_atomic(folder / MANIFEST_NAME, manifest.model_dump_json(indent=2) + "\n")


def read_manifest(folder: Path) -> Manifest:
    """Read and validate `manifest.json` of a folder.

    Raises:
        UserError: it is missing, not JSON, of another schema version, or a field is wrong.
    """
    path = folder / MANIFEST_NAME
    document = _read_json(path)
    version = document.get("schema_version") if isinstance(document, dict) else None
    if version != SCHEMA_VERSION:
        raise UserError(
            f"manifest of schema version {version!r}, this lolvit reads {SCHEMA_VERSION}",
            where=str(path),
            remedy="export again, or use the lolvit that wrote it",
        )
    try:
        return Manifest.model_validate(document)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        raise UserError(
            f"field '{field}': {first['msg']}", where=str(path), remedy="export again"
        ) from error


def _read_json(path: Path) -> object:
    try:
        return json.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise UserError(
            "no manifest.json here", where=str(path.parent), remedy="run: lolvit export"
        ) from error
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(
            f"not a manifest: {error}", where=str(path), remedy="export again"
        ) from error


def check_artifact(folder: Path, artifact: Artifact) -> Path:
    """Return the artifact's path once its size and sha256 match the manifest: native runtimes
    crash on broken files, so none is opened before that.

    Raises:
        UserError: the file is missing, was truncated or was changed.
    """
    return check_file(folder, artifact.path, artifact.sha256, artifact.bytes)


def check_file(folder: Path, relative: str, sha256: str, size: int | None = None) -> Path:
    """Return `folder / relative` once it matches its digest, and its size in bytes where given.

    Raises:
        UserError: the file is missing, leaves the folder by a link, was truncated or was changed.
    """
    path = folder / relative
    try:
        exists = path.exists()
    except OSError as error:  # a name that no file system takes
        raise UserError(f"no path: {error.strerror}", where=str(folder)) from error
    if not exists:
        raise UserError("missing", where=str(path), remedy="export again")
    if not path.resolve().is_relative_to(folder.resolve()):
        raise UserError("leaves its folder through a link", where=str(path), remedy="export again")
    if size is not None and (found := size_of(path)) != size:
        raise UserError(
            f"has {found} bytes, its manifest says {size}", where=str(path), remedy="export again"
        )
    if sha256_of(path) != sha256:
        raise UserError(
            "does not match the sha256 in its manifest", where=str(path), remedy="export again"
        )
    return path
