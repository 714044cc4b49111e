"""The manifest: everything that runtimes, benchmarks and apps need to know about an export.

An export folder has the artifacts, `weights.safetensors` (the fp32 state dict of the eager model,
to verify the artifacts against) and `manifest.json`.

Written in schema version 2; version 1 is read too (`lolvit.schema_1`).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, Self

from pydantic import (
    AfterValidator,
    Field,
    JsonValue,
    model_validator,
)

from lolvit.documents import Frozen, parse_json, validate
from lolvit.errors import UserError
from lolvit.files import sha256_of, size_of, write_atomic
from lolvit.schema_1 import upgrade_manifest
from lolvit.sizes import Resize

if TYPE_CHECKING:  # readers of a manifest need no numpy
    import numpy as np
    import numpy.typing as npt

    Array = npt.NDArray[np.generic]

SCHEMA_VERSION: Final = 2
MANIFEST_NAME = "manifest.json"

Format = str  # the name of an export target
Precision = str  # one of a target's precisions
FLOAT_PRECISIONS: Final = frozenset({"fp32", "fp16"})  # those that no quantizer makes
Layout = Literal["NCHW", "NHWC", "NC", "NCL", "NLC"]
Dtype = Literal["float64", "float32", "float16", "uint8", "int8", "int16", "int32", "int64", "bool"]
Meaning = Literal[
    "normalized", "pixels", "logits", "features", "distances", "scores", "classes", "tensor"
]
Color = Literal["RGB", "L", "RGBA"]
HexColor = Annotated[str, Field(pattern=r"^#[0-9a-f]{6}$")]
MAX_CROP_PCT: Final = 2.0
CHANNELS: dict[Color, int] = {"RGB": 3, "L": 1, "RGBA": 4}
# What readers in other languages can hold, and a photo can be resized to.
Extent = Annotated[int, Field(ge=0, lt=1 << 31)]
Side = Annotated[int, Field(ge=1, lt=1 << 16)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


def _inside_folder(path: str) -> str:
    """Check that a path stays inside the manifest's folder."""
    pure = PurePosixPath(path)
    if pure.is_absolute() or ".." in pure.parts or "\\" in path or not pure.parts:
        raise ValueError("must be a relative path inside the manifest's folder")
    return path


RelativePath = Annotated[str, AfterValidator(_inside_folder)]


class TensorSpec(Frozen):
    """One input or output, under the name that the model or the artifact has for it.

    `meaning` of an image input: `normalized` is (pixel / 255 - mean) / std; `pixels` is 0 to 255,
    normalized inside the artifact (Core ML image inputs). Of an output: `logits` of classes,
    `features`, `distances` of a detector's points to the sides of their boxes, `scores` of classes,
    or a `tensor` of unknown meaning. `layout` is null if it is none of the listed ones; L is the
    axis of a detector's points.
    """

    name: str
    shape: tuple[Extent, ...]
    dtype: Dtype = "float32"
    layout: Layout | None = None
    meaning: Meaning

    @property
    def batch(self) -> int:
        """The batch size: the extent of the first axis."""
        return self.shape[0] if self.shape else 1

    @property
    def image_size(self) -> tuple[int, int]:
        """Height and width of an image tensor, in pixels."""
        height, width = self.shape[1:3] if self.layout == "NHWC" else self.shape[2:4]
        return height, width


class Signature(Frozen):
    """Named inputs and outputs, in order."""

    inputs: tuple[TensorSpec, ...] = Field(min_length=1)
    outputs: tuple[TensorSpec, ...] = Field(min_length=1)


class Preprocessing(Frozen):
    """The preprocessing of a photo, specified for implementations in any language.

    1. Decode to 8-bit RGB (`L`: grey levels by ITU-R 601; `RGBA`: with the alpha channel, 255 where
       there is none): drop transparency, scale 16-bit levels by 255/65535, apply the EXIF
       orientation.
    2. Let the box be (floor(H / crop_pct), floor(W / crop_pct)) for `size` (H, W). Resize, with
       antialiasing (the filter widens with the reduction, as Pillow's does), to 8 bits along each
       axis: the width first or, if the height shrinks by more than twice the pixels that the width
       does, the height.
       `stretch`: to the box, whatever the photo's aspect ratio.
       `crop`: so that the photo just covers the box:
       a square box of side s: the shorter side becomes s, the longer floor(s * long / short);
       any other box: with r = min(h / box height, w / box width), the photo's height h and width w
       become round(h / r) and round(w / r).
    3. Crop (H, W) at the centre: top = round((resized height - H) / 2), left likewise. Where the
       resized photo is smaller (crop_pct above 1), top = -floor((H - resized height) / 2), and the
       pixels around it are 0.
    4. (pixel / 255 - mean) / std, in float32, per channel.

    round takes halves to even. This is timm's evaluation transform: `crop` is its crop mode
    "center", `stretch` is "squash".

    letterbox, in place of 2 and 3, with `crop_pct` 1: with r = min(H / h, W / w), resize to
       (max(1, round(h * r)), max(1, round(w * r))), at the centre of (H, W):
       top = floor((H - resized height) / 2), left likewise. The pixels around it are 128 in every
       channel.
    """

    size: tuple[Side, Side] = Field(description="height and width of the crop, in pixels")
    resize: Resize = "crop"
    crop_pct: float = Field(ge=0.001, le=MAX_CROP_PCT)
    interpolation: Literal["bicubic", "bilinear"] = "bicubic"
    mean: tuple[float, ...]
    std: tuple[Annotated[float, Field(gt=0)], ...]
    color: Color = "RGB"

    @property
    def channels(self) -> int:
        """Channels of the image."""
        return CHANNELS[self.color]

    @model_validator(mode="after")
    def _one_value_a_channel(self) -> Self:
        for name, values in (("mean", self.mean), ("std", self.std)):
            if len(values) != self.channels:
                raise ValueError(
                    f"{name} has {len(values)} values, {self.color} has {self.channels} channels"
                )
        if self.resize == "letterbox" and self.crop_pct != 1:
            raise ValueError(f"crop_pct is {self.crop_pct}, resize '{self.resize}' crops nothing")
        return self


class Gate(Frozen):
    """A metric and its threshold; passed if the value is at least the threshold."""

    name: str
    value: float
    threshold: float
    passed: bool


class RewriteRecord(Frozen):
    """The sites where a rewrite was applied, and the match failures with their reasons."""

    name: str
    applied: int
    sites: tuple[str, ...] = ()
    match_failures: tuple[str, ...] = ()


class Quantization(Frozen):
    """The quantization of an artifact. Its gates are evaluated on held-out calibration images."""

    plan: RelativePath = Field(description="the quantization plan, which can be edited and reused")
    calibration: str | None = Field(
        description="the calibration data set or folder; null: the bundled photos"
    )


class HtpTarget(Frozen):
    """The Hexagon tensor processor that a `qnn` artifact needs: of one Qualcomm SoC, or of any."""

    hexagon: int = Field(description="the minimum Hexagon version")
    soc: str | None = Field(
        default=None, description="the SoC that it is compiled for; null: compiled on the device"
    )
    soc_model: int | None = Field(default=None, description="the SoC's number in Qualcomm's SDK")


class Artifact(Frozen):
    """One file (or, for Core ML and Core AI, one folder) that a runtime opens.

    Inputs and outputs are in the order of the model's signature, under their names in the artifact.
    """

    path: RelativePath
    format: str = Field(description="the export target, such as onnx")
    container: str | None = Field(
        default=None, description="the file format, if it differs: an ONNX file for qnn"
    )
    precision: str
    sha256: Sha256
    bytes: int = Field(ge=0)
    inputs: tuple[TensorSpec, ...] = Field(min_length=1)
    outputs: tuple[TensorSpec, ...] = Field(min_length=1)
    gates: tuple[Gate, ...] = ()
    measurements: dict[str, float] = Field(
        default={}, description="metrics without a threshold, such as the largest absolute error"
    )
    quantization: Quantization | None = Field(
        default=None, description="of quantized artifacts: the plan and the calibration data"
    )
    htp: HtpTarget | None = Field(
        default=None, description="of qnn artifacts: the required hardware"
    )

    @property
    def image(self) -> TensorSpec:
        """The image input."""
        return self.inputs[0]

    @property
    def file_format(self) -> str:
        """The format of the file that a runtime opens."""
        return self.container or self.format

    def failed_gates(self) -> list[str]:
        """Return one short line for each gate that is below its threshold."""
        return [
            f"{self.path} {gate.name} {gate.value:.4g} < {gate.threshold:g}"
            for gate in self.gates
            if not gate.passed
        ]

    def device_threshold_db(self, usual: float) -> float:
        """Return the SNR, in dB, that its outputs on a device must have against this machine's.

        It is `usual`, or lower for a float artifact of a model whose own rounding errors are
        larger: its gates have lower thresholds then, and two devices round differently.
        """
        if self.quantization is not None:
            return usual
        own = [gate.threshold for gate in self.gates if gate.name.endswith(".snr_db")]
        return min([usual, *own])


class Weights(Frozen):
    """The eager model that was exported: a state dict in safetensors, or a program."""

    path: RelativePath = "weights.safetensors"
    sha256: Sha256
    trained: bool = Field(description="false: random weights, BatchNorm calibrated on photos")
    source: str


class Manifest(Frozen):
    """Everything that a runtime or an app needs to use the artifacts in the same folder."""

    schema_version: Literal[2] = SCHEMA_VERSION
    model: str
    task: str = Field(
        description="classification, detection, segmentation, or tensors: of unknown meaning"
    )
    params: int = Field(ge=0)
    macs: int = Field(ge=0)
    size: tuple[Side, Side] = Field(description="height and width, in pixels")
    rewritten: bool = Field(default=True, description="false: the static rewrites were disabled")
    weights: Weights
    preprocessing: Preprocessing
    postprocessing: dict[str, JsonValue] = Field(
        default={}, description="the task's parameters for interpreting the outputs"
    )
    labels: tuple[str, ...] | None = None
    colors: tuple[HexColor, ...] | None = Field(
        default=None, description="one per label, to draw predictions with"
    )
    signature: Signature = Field(description="of the eager model")
    artifacts: tuple[Artifact, ...]
    rewrites: tuple[RewriteRecord, ...] = ()
    recommended: dict[str, RelativePath] = Field(
        default={},
        description="the fastest artifact of a runtime, as measured on the exporting machine",
    )
    tools: dict[str, str]
    created: str

    @model_validator(mode="after")
    def _artifacts_match_the_signature(self) -> Self:
        for artifact in self.artifacts:
            for what in ("inputs", "outputs"):
                found, expected = getattr(artifact, what), getattr(self.signature, what)
                if len(found) != len(expected):
                    raise ValueError(
                        f"{artifact.path} has {len(found)} {what}, the model {len(expected)}"
                    )
        if self.colors is not None and len(self.colors) != len(self.labels or ()):
            raise ValueError(f"{len(self.colors)} colors for {len(self.labels or ())} labels")
        return self

    def failed_gates(self) -> list[str]:
        """Return one short line for each gate that is below its threshold."""
        return [line for artifact in self.artifacts for line in artifact.failed_gates()]

    def find(self, format: str, precision: str) -> Artifact | None:
        """Return the artifact of that format and precision, or None."""
        return next(
            (a for a in self.artifacts if (a.format, a.precision) == (format, precision)), None
        )


def by_signature(
    signature: Signature, artifact: Artifact, outputs: Mapping[str, Array]
) -> dict[str, Array]:
    """Return an artifact's outputs under the names, and in the layouts, of the model's
    signature."""
    return {
        spec.name: _in_layout(outputs[own.name], own.layout, spec.layout)
        for spec, own in zip(signature.outputs, artifact.outputs, strict=True)
    }


def _in_layout(array: Array, own: Layout | None, wanted: Layout | None) -> Array:
    if own is None or wanted is None or own == wanted or sorted(own) != sorted(wanted):
        return array
    return array.transpose([own.index(axis) for axis in wanted])


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write `manifest.json` atomically."""
    # Readers that know no colours reject unknown fields.
    without = {"colors"} if manifest.colors is None else None
    write_atomic(folder / MANIFEST_NAME, manifest.model_dump_json(indent=2, exclude=without) + "\n")


def read_manifest(folder: Path) -> Manifest:
    """Read and validate `manifest.json` of a folder, of schema version 1 or 2.

    Raises:
        UserError: it is missing, not JSON, of an unsupported schema version, or a field is invalid.
    """
    path = folder / MANIFEST_NAME
    document = _read_json(path)
    version = document.get("schema_version") if isinstance(document, dict) else None
    if version not in (1, SCHEMA_VERSION) or isinstance(version, bool):
        raise UserError(
            f"manifest of schema version {version!r:.20}, this lolvit reads 1 and {SCHEMA_VERSION}",
            where=str(path),
            remedy="export again, or use the version of lolvit that wrote it",
        )
    current = upgrade_manifest(document) if version == 1 else document
    return validate(Manifest, current, str(path), remedy="export again")


def _read_json(path: Path) -> Any:
    try:
        return parse_json(path.read_bytes())
    except FileNotFoundError as error:
        raise UserError(
            "no manifest.json here", where=str(path.parent), remedy="run: lolvit export"
        ) from error
    except (OSError, ValueError) as error:
        raise UserError(
            f"not a manifest: {error}", where=str(path), remedy="export again"
        ) from error


def check_artifact(folder: Path, artifact: Artifact) -> Path:
    """Return the artifact's path after checking its size and sha256: native runtimes crash on
    damaged files, so none is opened unchecked.

    Raises:
        UserError: the file is missing, was truncated or was changed.
    """
    return check_file(folder, artifact.path, artifact.sha256, artifact.bytes)


def check_file(folder: Path, relative: str, sha256: str, size: int | None = None) -> Path:
    """Return `folder / relative` after checking its sha256, and its size in bytes if given.

    Raises:
        UserError: the file is missing, links to outside of the folder, was truncated or changed.
    """
    path = folder / relative
    try:
        exists = path.exists()
    except OSError as error:  # a name that no file system supports
        raise UserError(
            f"invalid file name in its manifest: {error.strerror}",
            where=str(folder),
            remedy="export again",
        ) from error
    if not exists:
        raise UserError("missing", where=str(path), remedy="export again")
    if not path.resolve().is_relative_to(folder.resolve()):
        raise UserError("leaves its folder through a link", where=str(path), remedy="export again")
    if size is not None and (found := size_of(path)) != size:
        raise UserError(
            f"has {found} bytes, its manifest has {size}", where=str(path), remedy="export again"
        )
    if sha256_of(path) != sha256:
        raise UserError(
            "does not match the sha256 in its manifest", where=str(path), remedy="export again"
        )
    return path
