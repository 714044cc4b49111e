"""A damaged package is one clear line, whatever is damaged: no traceback, no hang, no crash."""

from __future__ import annotations

import json
import os
import shutil
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from torch import nn

from lolvit.errors import DeviceError
from lolvit_runtimes.coreml_reference import CoreMLReferenceSession
from lolvit_runtimes.coreml_tools import coremltools as ct
from lolvit_runtimes.mil_package import read_package
from tests.runtimes.coreml_packages import Formula, capture, describe, save
from tests.sessions import run_image

SHAPE, OUTPUTS = (1, 3, 8, 8), (1, 4, 8, 8)
MODEL = Path("Data/com.apple.CoreML/model.mlmodel")
WEIGHTS = Path("Data/com.apple.CoreML/weights/weight.bin")
MUTATIONS = 400


@pytest.fixture(scope="module")
def sound(tmp_path_factory) -> Path:
    """A convolution and a ReLU, with weights in a file."""
    module = Formula(lambda x, m: m(x).relu(), nn.Conv2d(3, 4, 3, padding=1))
    path = tmp_path_factory.mktemp("package") / "sound.mlpackage"
    return save(capture(module, SHAPE), "fp32", path)


@pytest.fixture
def package(sound, tmp_path) -> Path:
    """A copy to damage."""
    return Path(shutil.copytree(sound, tmp_path / "model.mlpackage"))


def open_and_run(path: Path) -> np.ndarray:
    session = CoreMLReferenceSession(path, describe(SHAPE, OUTPUTS, name="relu"))
    return run_image(session, np.ones(SHAPE, np.float32))


def error_line(path: Path) -> str:
    """Return the one line that a package is rejected with."""
    with pytest.raises(DeviceError) as caught:
        open_and_run(path)
    line = caught.value.line()
    assert line.startswith(str(path))
    assert line.isprintable()
    return line


def edit_model(path: Path, edit: Callable[..., None]) -> None:
    model = ct.proto.Model_pb2.Model.FromString((path / MODEL).read_bytes())
    edit(model)
    (path / MODEL).write_bytes(model.SerializeToString())


def program_of(model):
    function = model.mlProgram.functions["main"]
    return function.block_specializations[function.opset]


def first(model, kind: str):
    return next(op for op in program_of(model).operations if op.type == kind)


def weight_of(model):
    """Return the reference to the convolution's weight in the weight file."""
    return next(
        op.attributes["val"].blobFileValue
        for op in program_of(model).operations
        if op.type == "const" and op.attributes["val"].WhichOneof("value") == "blobFileValue"
    )


def test_sound_package_runs_and_is_left_as_it_was(package):
    before = {file: file.read_bytes() for file in package.rglob("*") if file.is_file()}
    assert open_and_run(package).shape == OUTPUTS
    assert {file: file.read_bytes() for file in package.rglob("*") if file.is_file()} == before


def test_reading_creates_nothing(tmp_path):
    for path in (tmp_path / "absent.mlpackage", tmp_path):
        assert "it has no Manifest.json" in error_line(path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "text",
    [
        "", "{", "[]", "null", "{}", "[" * 100_000,
        '{"itemInfoEntries": {}, "rootModelIdentifier": []}',
        '{"itemInfoEntries": {"a": {"path": null}}, "rootModelIdentifier": "a"}',
        '{"itemInfoEntries": "text", "rootModelIdentifier": 9}',
        '{"itemInfoEntries": {"a": {"path": "' + "x" * 300 + '"}}, "rootModelIdentifier": "a"}',
    ],
)  # fmt: skip
def test_malformed_manifest(text, package):
    (package / "Manifest.json").write_text(text)
    line = error_line(package)
    assert "its Manifest.json cannot be read" in line or "its model 'None' is missing" in line


def test_manifest_that_leads_out_of_the_package(package, sound):
    manifest = json.loads((package / "Manifest.json").read_text())
    entry = manifest["itemInfoEntries"][manifest["rootModelIdentifier"]]
    entry["path"] = os.path.relpath(sound / MODEL, package / "Data")
    (package / "Manifest.json").write_text(json.dumps(manifest))
    assert "is missing" in error_line(package)


@pytest.mark.parametrize("part", ["Manifest.json", MODEL, WEIGHTS])
def test_missing_part(part, package):
    (package / part).unlink()
    assert "has no Manifest.json" in (line := error_line(package)) or "is missing" in line


@pytest.mark.parametrize("part", ["Manifest.json", MODEL, WEIGHTS])
def test_pipe_in_place_of_a_part_does_not_block(part, package):
    (package / part).unlink()
    os.mkfifo(package / part)
    error_line(package)


@pytest.mark.parametrize("kept", [0, 1, 100, 0.5, 0.9, -1])
def test_truncated_model(kept, package):
    data = (package / MODEL).read_bytes()
    (package / MODEL).write_bytes(
        data[: int(kept * len(data)) if isinstance(kept, float) else kept]
    )
    error_line(package)


@pytest.mark.parametrize("kept", [0, 63, 64, 127, 200, -1])
def test_truncated_weights(kept, package):
    data = (package / WEIGHTS).read_bytes()
    (package / WEIGHTS).write_bytes(data[:kept])
    assert "its weights are damaged" in error_line(package)


@pytest.mark.parametrize("offset", [0, 1, 128, 1 << 20, 1 << 62, (1 << 64) - 64])
def test_offset_that_points_elsewhere(offset, package):
    edit_model(package, lambda model: setattr(weight_of(model), "offset", offset))
    assert "its weights are damaged" in error_line(package)


def test_weight_file_of_another_name(package):
    edit_model(package, lambda model: setattr(weight_of(model), "fileName", "/etc/\x1b[31mpasswd"))
    assert "its weight file '/etc/?[31mpasswd' is missing" in error_line(package)


@pytest.mark.parametrize(
    ("field", "value", "fault"),
    [(0, 7, "has no record at"), (8, 1 << 40, "its type needs"), (16, 1 << 40, "ends at"),
     (16, 8, "ends at")],
)  # fmt: skip
def test_damaged_weight_record(field, value, fault, package):
    data = bytearray((package / WEIGHTS).read_bytes())
    struct.pack_into("<I" if field == 0 else "<Q", data, 64 + field, value)
    (package / WEIGHTS).write_bytes(data)
    assert fault in error_line(package)


def test_weight_of_another_shape(package):
    def widen(model):
        const = next(
            op for op in program_of(model).operations
            if op.type == "const" and op.attributes["val"].WhichOneof("value") == "blobFileValue"
        )  # fmt: skip
        const.attributes["val"].type.tensorType.dimensions[0].constant.size = 1 << 40

    edit_model(package, widen)
    assert "its type needs" in error_line(package)


def test_model_that_is_no_program(package):
    edit_model(package, lambda model: model.neuralNetwork.layers.add())
    assert "its model is neuralNetwork, not an ML Program" in error_line(package)


def test_program_without_a_main_function(package):
    edit_model(package, lambda model: model.mlProgram.functions.pop("main"))
    assert "its program has no function 'main'" in error_line(package)


def test_operation_that_reads_what_nothing_wrote(package):
    def rename(model):
        first(model, "relu").inputs["x"].arguments[0].name = "nowhere"

    edit_model(package, rename)
    assert "its program is malformed: 'Var nowhere not found'" in error_line(package)


def test_unknown_operation_of_untrusted_name(package):
    edit_model(package, lambda model: setattr(first(model, "relu"), "type", "\x1b[2J" + "x" * 5000))
    assert "reference interpreter does not support: ?[2Jxxx" in (line := error_line(package))
    assert len(line) < 1000


@pytest.mark.parametrize("part", [MODEL, WEIGHTS])
def test_mutations_are_rejected_or_harmless(part, package):
    generator, data = np.random.default_rng(0), (package / part).read_bytes()
    rejected = 0
    for _ in range(MUTATIONS):
        mutant = bytearray(data)
        for place in generator.integers(len(data), size=generator.integers(1, 4)):
            mutant[place] ^= 1 << generator.integers(8)
        (package / part).write_bytes(mutant)
        try:
            assert open_and_run(package).shape == OUTPUTS
        except DeviceError as error:
            assert error.line().isprintable()
            rejected += 1
    assert rejected > MUTATIONS // 20


def test_operations_are_listed_as_the_file_has_them(sound):
    kinds = [operation.type for operation in read_package(sound).operations()]
    assert [kind for kind in kinds if kind != "const"] == ["conv", "relu"]
