"""Fuzzing targets: binary files, read in this process as lolvit reads them."""

from __future__ import annotations

import io
import json
import struct
import tarfile
import warnings
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from random import Random

import numpy as np

from lolvit_runtimes.flatbuffer import FlatbufferError
from tests.fuzz import artifacts
from tests.fuzz.json_mutations import mutate_json
from tests.fuzz.target import Parse, Target
from tests.runtimes.mutations import damaged


def _checkpoint(suffix: str) -> Callable[[Path], Parse]:
    """What a checkpoint's loader does: read it, look up its preprocessing, compare its tensors with
    a model's."""

    def opened(folder: Path) -> Parse:
        from torch import nn

        from lolvit.models.checkpoint import classes_in, load_weights, read_state
        from lolvit.models.loading import recorded_size

        path = folder / f"file{suffix}"
        model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))

        def parse(data: bytes) -> None:
            path.write_bytes(data)
            state, _ = read_state(path)
            recorded_size(path)
            classes_in(state, "0")
            load_weights(model, state, str(path))

        return parse

    return opened


def _resumed(folder: Path) -> Parse:
    from lolvit_training.checkpoints import load_last
    from lolvit_training.run_files import LAST

    def parse(data: bytes) -> None:
        (folder / LAST).write_bytes(data)
        load_last(folder)

    return parse


def _states() -> dict[str, object]:
    import torch

    tensors = {
        "0.weight": torch.ones(4, 3), "0.bias": torch.ones(4), "1.weight": torch.ones(4),
        "1.bias": torch.ones(4), "1.running_mean": torch.ones(4), "1.running_var": torch.ones(4),
        "1.num_batches_tracked": torch.tensor(3),
    }  # fmt: skip
    return dict(tensors)


def _safetensors() -> list[bytes]:
    from safetensors.torch import save

    preprocessing = {"size": [64, 64], "crop_pct": 0.9, "mean": [0.5] * 3, "std": [0.5] * 3}
    config = json.dumps({"model": "lolvit_xx", "preprocessing": preprocessing})
    return [save(_states(), metadata={"lolvit": config}), save(_states())]


def _torch_files() -> list[bytes]:
    import torch

    sparse = {"0.weight": torch.eye(4, 3).to_sparse(), "0.bias": torch.ones(4)}
    documents = (
        {"state_dict": _states(), "epoch": 3}, _states(), sparse,
        {"conditions": {"model": "x"}, "model": _states()},
    )  # fmt: skip
    made = []
    for document in documents:
        for zipped in (True, False):
            stream = io.BytesIO()
            torch.save(document, stream, _use_new_zipfile_serialization=zipped)
            made.append(stream.getvalue())
    return made


def _mutate_safetensors(data: bytes, random: Random) -> bytes:
    """Change the header as JSON, or its stated length, or any bytes."""
    if len(data) < 8 or random.random() < 0.3:
        return damaged(data, random)
    (length,) = struct.unpack_from("<Q", data)
    header, rest = data[8 : 8 + length], data[8 + length :]
    changed = mutate_json(header, random)
    stated = len(changed)
    if random.random() < 0.1:
        stated = random.choice((0, 1, stated - 1, stated + 1, 100_000_000, 1 << 32, 1 << 63))
    return struct.pack("<Q", stated) + changed + rest


def _photo(folder: Path) -> Parse:
    from lolvit.manifest import Preprocessing
    from lolvit_runtimes.photos import is_photo, load_photo
    from lolvit_runtimes.preprocessing import to_pixels

    path = folder / "photo.jpg"
    preprocessing = Preprocessing(size=(32, 32), crop_pct=0.9, mean=(0, 0, 0), std=(1, 1, 1))

    def parse(data: bytes) -> None:
        path.write_bytes(data)
        is_photo(path)
        photo = load_photo(path)
        assert photo.mode == "RGB"
        assert to_pixels(photo, preprocessing).shape == (32, 32, 3)
        load_photo(path, "L")

    return parse


def _photos() -> list[bytes]:
    from PIL import Image

    grid = np.indices((23, 31)).sum(0)
    pixels = np.stack([grid * 4, grid * 3, 255 - grid * 4], -1).astype(np.uint8)
    colours = Image.fromarray(pixels)
    exif = Image.Exif()
    exif[0x0112] = 6
    made = []
    for format in ("JPEG", "PNG", "WEBP", "AVIF", "TIFF", "BMP", "GIF", "PPM", "JPEG2000"):
        stream = io.BytesIO()
        colours.save(stream, format, **({"exif": exif} if format in ("JPEG", "PNG") else {}))
        made.append(stream.getvalue())
    for mode in ("I;16", "LA", "P", "1", "CMYK"):
        stream = io.BytesIO()
        image = Image.fromarray(grid.astype(np.uint16)) if mode == "I;16" else colours.convert(mode)
        image.save(stream, "TIFF" if mode == "CMYK" else "PNG")
        made.append(stream.getvalue())
    return made


def _mutate_photo(data: bytes, random: Random) -> bytes:
    """Damage a photo; often set a size in its header, as a decompression bomb has it."""
    damage = bytearray(damaged(data, random))
    if random.random() < 0.2 and len(damage) > 40:
        size = random.choice((0, 1, 65535, 65536, 100_000, 2**31 - 1, 2**32 - 1))
        at = random.randrange(4, 36)
        damage[at : at + 4] = size.to_bytes(4, random.choice(("big", "little")))
    return bytes(damage)


def _shards(folder: Path) -> Parse:
    from lolvit.errors import LolvitError
    from lolvit_data.shards import load

    def parse(data: bytes) -> None:
        (folder / "train-0.tar").write_bytes(data)
        found = load(folder, "train")
        for index in range(min(3, len(found.labels))):
            try:
                found.image(index)
            except LolvitError as error:
                assert "\n" not in error.line()

    return parse


def _tars() -> list[bytes]:
    stream = io.BytesIO()
    photo = _photos()[1]
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for number in range(4):
            for suffix, content in ((".png", photo), (".cls", str(number % 2).encode())):
                entry = tarfile.TarInfo(f"a/{number}{suffix}")
                entry.size = len(content)
                archive.addfile(entry, io.BytesIO(content))
    return [stream.getvalue()]


def _tflite(folder: Path) -> Parse:
    from lolvit_export.lint.read_tflite import read_tflite
    from lolvit_runtimes.oldest_runtime import oldest_runtime
    from lolvit_runtimes.tflite_check import check_tflite

    path = folder / "model.tflite"

    def parse(data: bytes) -> None:
        path.write_bytes(data)
        oldest_runtime(path, "tflite")
        check_tflite(path)
        read_tflite(path)

    return parse


def _pte(folder: Path) -> Parse:
    from lolvit_runtimes.pte import check_pte, placement_of

    path = folder / "model.pte"

    def parse(data: bytes) -> None:
        path.write_bytes(data)
        check_pte(path)
        placement_of(data)

    return parse


def _onnx(folder: Path) -> Parse:
    from lolvit_export.lint.read_onnx import read_onnx
    from lolvit_runtimes.oldest_runtime import oldest_runtime

    path = folder / "model.onnx"

    def parse(data: bytes) -> None:
        path.write_bytes(data)
        oldest_runtime(path, "onnx")
        read_onnx(path)

    return parse


PARTS = ("Manifest.json", "Data/com.apple.CoreML/model.mlmodel",
         "Data/com.apple.CoreML/weights/weight.bin")  # fmt: skip


def _coreml(folder: Path) -> Parse:
    """A package one of whose files, by the first byte of the input, is replaced by the rest."""
    from lolvit_export.lint.read_coreml import read_coreml
    from lolvit_runtimes.mil_package import read_package

    whole = {part: (artifacts.path_of("mlpackage") / part).read_bytes() for part in PARTS}
    package = folder / "model.mlpackage"

    def parse(data: bytes) -> None:
        for part, content in whole.items():
            (package / part).parent.mkdir(parents=True, exist_ok=True)
            (package / part).write_bytes(content)
        if data:
            (package / PARTS[data[0] % len(PARTS)]).write_bytes(data[1:])
        read_package(package).load_main()
        read_coreml(package)

    return parse


def _coreml_parts() -> list[bytes]:
    package = artifacts.path_of("mlpackage")
    return [bytes([n]) + (package / part).read_bytes() for n, part in enumerate(PARTS)]


def _mutate_part(data: bytes, random: Random) -> bytes:
    if not data:
        return damaged(data, random)
    mutate = mutate_json if data[0] % len(PARTS) == 0 else damaged
    return data[:1] + mutate(data[1:], random)


def _program(folder: Path) -> Parse:
    from lolvit_runtimes.torch_program import load_program

    path = folder / "model.pt2"

    def parse(data: bytes) -> None:
        path.write_bytes(data)
        load_program(path)

    return parse


def _mutate_archive(data: bytes, random: Random) -> bytes:
    """Change one member of a zip archive, as JSON if it is; or damage any bytes."""
    if random.random() < 0.2:
        return damaged(data, random)
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
    except (zipfile.BadZipFile, ValueError, NotImplementedError, OSError, EOFError, zlib.error):
        return damaged(data, random)
    if not members:
        return damaged(data, random)
    described = [name for name in members if name.endswith((".json", ".pkl"))]
    name = random.choice(described * 3 + list(members))
    members[name] = mutate_json(members[name], random)
    if random.random() < 0.1:
        members["archive/" + random.choice(("data/x", "../x", "data/weights/weight_9", "x.so"))] = (
            b"x"
        )
    stream = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(stream, "w") as archive:
        warnings.simplefilter("ignore")  # a name may be there twice
        for name, content in members.items():
            archive.writestr(name, content)
    return stream.getvalue()


def _hand_written_tflite() -> list[bytes]:
    from tests.export.lint_tflite import Op, Value, tflite

    image, weight = Value((1, 8, 8, 3)), Value((4, 1, 1, 3), data=np.ones((4, 1, 1, 3), np.float32))
    bias = Value((4,), data=np.zeros(4, np.float32))
    middle, result = Value((1, 8, 8, 4)), Value((1, 8, 8, 4))
    convolution = ("Conv2DOptions", {"strideW": 1, "strideH": 1})
    return [
        tflite(Op("CONV_2D", (image, weight, bias), (middle,), convolution),
               Op("RELU", (middle,), (result,))),
    ]  # fmt: skip


def _hand_written_onnx() -> list[bytes]:
    from tests.export.lint_onnx import chain, pointwise, quantized

    return [chain(pointwise(), ("Relu", {}, {})), quantized("Softmax")]


FILES = (
    Target("safetensors", _checkpoint(".safetensors"), _safetensors, _mutate_safetensors),
    Target("torch-checkpoint", _checkpoint(".pth"), _torch_files, _mutate_archive),
    Target("training-state", _resumed, lambda: _torch_files()[::-1], _mutate_archive),
    Target("photo", _photo, _photos, _mutate_photo, instrumented=("PIL",)),
    Target("shards", _shards, _tars, instrumented=("tarfile",)),
    Target("tflite-check", _tflite, _hand_written_tflite),
    Target(
        "pte-check", _pte, lambda: [artifacts.path_of("pte").read_bytes()],
        refusals=(FlatbufferError,),
    ),
    Target("onnx-lint", _onnx, _hand_written_onnx),
    Target("coreml-package", _coreml, _coreml_parts, _mutate_part),
    Target(
        "torch-program", _program, lambda: [artifacts.path_of("pt2").read_bytes()],
        _mutate_archive, compiles=True,
    ),
)  # fmt: skip
