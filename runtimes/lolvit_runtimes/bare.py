"""Artifacts without a manifest: what can be checked and learnt about a file from itself.

Apart from `format_of` and the checks written in Python, this runs in a child process
(`isolated.py`): the checkers and runtimes called here are native code, and the file is not trusted.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NoReturn, get_args

from lolvit.errors import MissingExtraError, UserError
from lolvit.files import sha256_of, size_of
from lolvit.manifest import Artifact, Format, Layout, TensorSpec
from lolvit_runtimes.native import reason
from lolvit_runtimes.pte import check_pte
from lolvit_runtimes.tflite_check import TensorInfo, check_tflite

SUFFIXES: dict[str, Format] = {
    ".onnx": "onnx",
    ".tflite": "tflite",
    ".mlpackage": "coreml",
    ".pte": "executorch",
    ".pt2": "torch",
}
# What `check` needs no native code for.
CHECKED_IN_PYTHON: tuple[Format, ...] = ("tflite", "executorch", "torch")
_COREML_TYPES = {65568: "float32", 65552: "float16"}  # ArrayFeatureType.ArrayDataType
_RGB = 20  # ImageFeatureType.ColorSpace


def format_of(path: Path) -> Format:
    """Return the format of an artifact by its suffix.

    Raises:
        UserError: there is no such file, or its suffix is not an artifact's.
    """
    if not path.exists():
        raise UserError("no such artifact", where=str(path))
    if path.suffix not in SUFFIXES:
        raise UserError(
            "not an artifact", where=str(path), remedy=f"its name ends in {' or '.join(SUFFIXES)}"
        )
    if path.is_dir() != (path.suffix == ".mlpackage"):
        kind = "a folder" if path.is_dir() else "not a folder"
        raise UserError(f"is {kind}", where=str(path), remedy="give the artifact itself")
    return SUFFIXES[path.suffix]


def check(path: Path, format: Format) -> None:
    """Check a file's structure as far as the format's own checker, where installed, can.

    Raises:
        UserError: it is not valid.
        DeviceError: the same, of a Core ML package.
    """
    if format == "onnx" and importlib.util.find_spec("onnx"):
        _check_onnx(path)
    elif format == "tflite":
        check_tflite(path)
    elif format == "coreml":
        _coreml_package(path)
    elif format == "executorch":
        check_pte(path)
    elif format == "torch":
        _refuse_torch(path)


def describe(path: Path, format: Format) -> Artifact:
    """Return what a manifest would say of a file: one image in, logits out, both of fixed shape.

    What a file does not tell is its preprocessing and whether its weights are fp32.

    Raises:
        UserError: it takes or gives something else.
        MissingExtraError: what reads this format is not installed.
    """
    inputs, outputs = _INTERFACES[format](path)
    return Artifact(
        path=path.name,
        format=format,
        precision="fp32",
        sha256=sha256_of(path),
        bytes=size_of(path),
        input=_image(path, inputs),
        output=_logits(path, outputs),
    )


def _check_onnx(path: Path) -> None:
    onnx = importlib.import_module("onnx")
    decode_error = importlib.import_module("google.protobuf.message").DecodeError
    refusals = (onnx.checker.ValidationError, decode_error, ValueError, RuntimeError, OSError)
    try:
        onnx.checker.check_model(str(path))
    except refusals as error:
        raise UserError(f"not a valid ONNX file: {reason(error)}", where=str(path)) from error


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


def _pte_interface(path: Path) -> tuple[Tensors, Tensors]:
    found = check_pte(path)
    return found.inputs, found.outputs


def _refuse_torch(path: Path) -> NoReturn:
    raise UserError(
        "is not opened without its manifest: a torch.export program can hold code",
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
        if kind == "imageType" and feature.type.imageType.colorSpace == _RGB:
            size = feature.type.imageType
            infos.append(TensorInfo(feature.name, "pixels", (1, 3, size.height, size.width)))
        else:
            dtype = _COREML_TYPES.get(array.dataType, f"{kind} {array.dataType}")
            infos.append(TensorInfo(feature.name, dtype, tuple(array.shape)))
    return tuple(infos)


_INTERFACES = {
    "onnx": _onnx_interface,
    "tflite": _tflite_interface,
    "coreml": _coreml_interface,
    "executorch": _pte_interface,
    "torch": _refuse_torch,
}


def _image(path: Path, tensors: Tensors) -> TensorSpec:
    tensor = _only(path, "input", tensors)
    layouts: dict[tuple[bool, bool], Layout] = {(True, False): "NCHW", (False, True): "NHWC"}
    sides = tensor.shape
    layout = layouts.get((sides[1] == 3, sides[3] == 3)) if len(sides) == 4 else None
    if layout is None or sides[0] != 1:
        raise UserError(f"its input of shape {sides} is not one RGB photo", where=str(path))
    pixels = tensor.dtype == "pixels"
    return _spec(
        path, tensor, "float32" if pixels else tensor.dtype, layout,
        "pixels" if pixels else "normalized",
    )  # fmt: skip


def _logits(path: Path, tensors: Tensors) -> TensorSpec:
    tensor = _only(path, "output", tensors)
    if len(tensor.shape) != 2 or tensor.shape[0] != 1:
        raise UserError(f"its output of shape {tensor.shape} is not logits", where=str(path))
    return _spec(path, tensor, tensor.dtype, "NC", "logits")


def _only(path: Path, what: str, tensors: Tensors) -> TensorInfo:
    if len(tensors) != 1:
        raise UserError(f"has {len(tensors)} {what}s, a classifier has one", where=str(path))
    if not all(isinstance(side, int) and side > 0 for side in tensors[0].shape):
        raise UserError(
            f"its {what} has no fixed shape: {tensors[0].shape}",
            where=str(path),
            remedy="export it with a fixed shape",
        )
    return tensors[0]


def _spec(path: Path, tensor: TensorInfo, dtype: str, layout: Layout, values: str) -> TensorSpec:
    known = get_args(TensorSpec.model_fields["dtype"].annotation)
    if dtype not in known:
        raise UserError(f"tensor '{tensor.name}' is {dtype}", where=str(path))
    return TensorSpec.model_validate(
        {"name": tensor.name, "shape": tensor.shape, "dtype": dtype, "layout": layout,
         "values": values}
    )  # fmt: skip
