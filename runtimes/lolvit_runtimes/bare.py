"""Artifacts without a manifest: validate a file, and read its inputs and outputs from the file.

Apart from `format_of` and the checks written in Python, this runs in a child process
(`isolated.py`): the checkers and runtimes are native code, and the file is not trusted.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn, get_args

from lolvit.errors import MissingExtraError, UserError
from lolvit.files import FOLDER_ARTIFACTS, sha256_of, size_of
from lolvit.manifest import (
    CHANNELS,
    MANIFEST_NAME,
    Artifact,
    Dtype,
    Format,
    Layout,
    Meaning,
    TensorSpec,
)
from lolvit_runtimes.coreai_asset import check_asset
from lolvit_runtimes.native import native_path, reason
from lolvit_runtimes.pte import check_pte
from lolvit_runtimes.tflite_check import TensorInfo, check_tflite

SUFFIXES: dict[str, Format] = {
    ".onnx": "onnx",
    ".tflite": "tflite",
    ".mlpackage": "coreml",
    ".aimodel": "coreai",
    ".pte": "executorch",
    ".pt2": "torch",
}
# Formats that `check` validates without native code.
CHECKED_IN_PYTHON: tuple[Format, ...] = ("tflite", "coreai", "executorch", "torch")
_COREML_TYPES = {65568: "float32", 65552: "float16"}  # ArrayFeatureType.ArrayDataType
_CHANNELS = {10: 1, 20: 3}  # of ImageFeatureType.ColorSpace: grey, RGB


def format_of(path: Path) -> Format:
    """Return the format of an artifact by its suffix.

    Raises:
        UserError: there is no such file, or its suffix is not that of an artifact.
    """
    if not path.exists():
        raise UserError("no such artifact", where=str(path), remedy=_what_is_there(path))
    if path.suffix not in SUFFIXES:
        raise UserError(
            "is not an artifact",
            where=str(path),
            remedy=f"give a file that ends in {' or '.join(SUFFIXES)}",
        )
    if path.is_dir() != (path.suffix in FOLDER_ARTIFACTS):
        kind = "a folder" if path.is_dir() else "not a folder"
        raise UserError(f"is {kind}", where=str(path), remedy="give the artifact itself")
    return SUFFIXES[path.suffix]


def _what_is_there(path: Path) -> str:
    """Return the remedy for a path that does not exist: its folder's artifacts or exports."""
    try:
        beside = sorted(path.parent.iterdir())
        found = [p.name for p in beside if p.suffix in SUFFIXES or (p / MANIFEST_NAME).exists()]
    except OSError:  # there is no such folder either, or it may not be read
        found = []
    return f"{path.parent} has {', '.join(found[:10])}" if found else "check the path"


def check(path: Path, format: Format) -> None:
    """Validate a file's structure by the format's checker, if that is installed.

    Raises:
        UserError: it is not valid.
        DeviceError: it is a Core ML package or a Core AI model that is not valid.
    """
    if format == "onnx" and importlib.util.find_spec("onnx"):
        _check_onnx(path)
    elif format == "tflite":
        check_tflite(path)
    elif format == "coreml":
        _coreml_package(path)
    elif format == "coreai":
        check_asset(path)
    elif format == "executorch":
        check_pte(path)
    elif format == "torch":
        _refuse_torch(path)


def describe(path: Path, format: Format, batch: int | None = None) -> Artifact:
    """Return a manifest's description of a file with one image input and outputs of fixed shape. A
    dynamic first axis becomes `batch`.

    A file does not record preprocessing and precision; the precision is given as fp32.

    Raises:
        UserError: its input is not an image, or a shape is dynamic.
        MissingExtraError: the package that reads this format is not installed.
    """
    inputs, outputs = _INTERFACES[format](path)
    return Artifact(
        path=path.name,
        format=format,
        precision="fp32",
        sha256=sha256_of(path),
        bytes=size_of(path),
        inputs=(_image(path, inputs, batch),),
        outputs=_outputs(path, outputs, batch),
    )


def _check_onnx(path: Path) -> None:
    onnx = importlib.import_module("onnx")
    decode_error = importlib.import_module("google.protobuf.message").DecodeError
    invalid = (onnx.checker.ValidationError, decode_error, ValueError, RuntimeError, OSError)
    try:
        onnx.checker.check_model(native_path(path))
    except invalid as error:
        raise UserError(
            f"not a valid ONNX file: {reason(error)}",
            where=str(path),
            remedy="export or download it again",
        ) from error


Tensors = tuple[TensorInfo, ...]


def _onnx_interface(path: Path) -> tuple[Tensors, Tensors]:
    if importlib.util.find_spec("onnxruntime") is None:
        raise MissingExtraError("ort", needed_for="reading an ONNX file")
    ort = importlib.import_module("lolvit_runtimes.ort")
    inputs, outputs = ort.interface(path)
    return _infos(inputs), _infos(outputs)


def _infos(tensors: Iterable[tuple[str, str, Any]]) -> Tensors:
    return tuple(TensorInfo(name, dtype, tuple(shape)) for name, dtype, shape in tensors)


def _tflite_interface(path: Path) -> tuple[Tensors, Tensors]:
    found = check_tflite(path)
    return found.inputs, found.outputs


def _coreml_interface(path: Path) -> tuple[Tensors, Tensors]:
    description = _coreml_package(path).model.description
    return _coreml_tensors(description.input), _coreml_tensors(description.output)


def _coreai_interface(path: Path) -> tuple[Tensors, Tensors]:
    coreai = importlib.import_module("lolvit_runtimes.coreai")
    found = coreai.interface(path)
    inputs, outputs = (
        tuple(TensorInfo(name, dtype, shape) for name, shape, dtype in each) for each in found
    )
    return inputs, outputs


def _pte_interface(path: Path) -> tuple[Tensors, Tensors]:
    found = check_pte(path)
    return found.inputs, found.outputs


def _refuse_torch(path: Path) -> NoReturn:
    raise UserError(
        "is not opened without its manifest: a torch.export program can contain code",
        where=str(path),
        remedy="give the folder that lolvit export wrote",
    )


def _coreml_package(path: Path) -> Any:
    if importlib.util.find_spec("coremltools") is None:
        raise MissingExtraError("export", needed_for="reading a Core ML package")
    return importlib.import_module("lolvit_runtimes.mil_package").read_package(path)


def _coreml_tensors(features: Any) -> Tensors:
    infos = []
    for feature in features:
        kind, array = feature.type.WhichOneof("Type"), feature.type.multiArrayType
        size = feature.type.imageType
        if kind == "imageType" and size.colorSpace in _CHANNELS:
            shape = (1, _CHANNELS[size.colorSpace], size.height, size.width)
            infos.append(TensorInfo(feature.name, "pixels", shape))
        else:
            dtype = _COREML_TYPES.get(array.dataType, f"{kind} {array.dataType}")
            infos.append(TensorInfo(feature.name, dtype, tuple(array.shape)))
    return tuple(infos)


_INTERFACES = {
    "onnx": _onnx_interface,
    "tflite": _tflite_interface,
    "coreml": _coreml_interface,
    "coreai": _coreai_interface,
    "executorch": _pte_interface,
    "torch": _refuse_torch,
}


def _image(path: Path, tensors: Tensors, batch: int | None) -> TensorSpec:
    if len(tensors) != 1:
        raise UserError(
            f"has {len(tensors)} inputs, only models with one are supported", where=str(path)
        )
    tensor = _fixed(path, "input", tensors[0], batch)
    sides = tensor.shape
    layouts: dict[tuple[bool, bool], Layout] = {(True, False): "NCHW", (False, True): "NHWC"}
    known = CHANNELS.values()
    layout = layouts.get((sides[1] in known, sides[3] in known)) if len(sides) == 4 else None
    if layout is None:
        raise UserError(
            f"its input of shape {sides} is not an RGB, RGBA or grey image", where=str(path)
        )
    pixels = tensor.dtype == "pixels"
    return _spec(
        path, tensor, "float32" if pixels else tensor.dtype, layout,
        "pixels" if pixels else "normalized",
    )  # fmt: skip


def _outputs(path: Path, tensors: Tensors, batch: int | None) -> tuple[TensorSpec, ...]:
    fixed = [_fixed(path, "output", tensor, batch) for tensor in tensors]
    if not fixed:
        raise UserError("has no output", where=str(path), remedy="export it again")
    if len(fixed) == 1 and len(fixed[0].shape) == 2:
        return (_spec(path, fixed[0], fixed[0].dtype, "NC", "logits"),)
    return tuple(_spec(path, tensor, tensor.dtype, None, "tensor") for tensor in fixed)


def _fixed(path: Path, what: str, tensor: TensorInfo, batch: int | None) -> TensorInfo:
    """Return a tensor with a fixed shape; a dynamic first axis becomes `batch`, if that is given.

    Raises:
        UserError: another axis is dynamic, or the first one is and no batch is given.
    """
    shape = list(tensor.shape)
    if shape and batch is not None and not _is_extent(shape[0]):
        shape[0] = batch
    if not all(map(_is_extent, shape)):
        remedy = "export it with a fixed shape"
        if shape and all(map(_is_extent, shape[1:])):
            remedy = f"give --batch, or {remedy}"
        raise UserError(
            f"its {what} has a dynamic shape: {tensor.shape}", where=str(path), remedy=remedy
        )
    return replace(tensor, shape=tuple(shape))


def _is_extent(side: object) -> bool:
    return isinstance(side, int) and side > 0


def _spec(
    path: Path, tensor: TensorInfo, dtype: str, layout: Layout | None, meaning: Meaning
) -> TensorSpec:
    if dtype not in get_args(Dtype):
        raise UserError(f"tensor '{tensor.name}' has the unsupported type {dtype}", where=str(path))
    return TensorSpec.model_validate(
        {"name": tensor.name, "shape": tensor.shape, "dtype": dtype, "layout": layout,
         "meaning": meaning}
    )  # fmt: skip
