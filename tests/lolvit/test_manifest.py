"""The manifest, and the check that comes before any runtime opens a file."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from lolvit.errors import UserError
from lolvit.files import sha256_of
from lolvit.manifest import (
    Artifact,
    Gate,
    Manifest,
    Preprocessing,
    Quantization,
    Signature,
    TensorSpec,
    Weights,
    check_artifact,
    check_file,
    read_manifest,
    write_manifest,
)

DIGEST = "0" * 64
IMAGE = TensorSpec(name="image", shape=(1, 3, 64, 64), layout="NCHW", meaning="normalized")
LOGITS = TensorSpec(name="logits", shape=(1, 10), layout="NC", meaning="logits")


def make_artifact(**changes: Any) -> Artifact:
    fields: dict[str, Any] = {
        "path": "model-fp32.onnx",
        "format": "onnx",
        "precision": "fp32",
        "sha256": DIGEST,
        "bytes": 4,
        "inputs": (IMAGE,),
        "outputs": (LOGITS,),
    }
    return Artifact(**(fields | changes))


def make_manifest(*artifacts: Artifact) -> Manifest:
    return Manifest(
        model="lolvit_x",
        params=2_300_000,
        macs=150_000_000,
        task="classification",
        size=(64, 64),
        weights=Weights(sha256=DIGEST, trained=False, source="random"),
        preprocessing=Preprocessing(size=(64, 64), crop_pct=0.9, mean=(0, 0, 0), std=(1, 1, 1)),
        signature=Signature(inputs=(IMAGE,), outputs=(LOGITS,)),
        artifacts=artifacts or (make_artifact(),),
        tools={"torch": "2.13.0"},
        created="2026-01-01T00:00:00Z",
    )


VALID = json.loads(make_manifest().model_dump_json())


def read_text(text: str | bytes) -> Manifest:
    """Read a manifest whose file holds `text`."""
    with tempfile.TemporaryDirectory() as folder:
        data = text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")
        (Path(folder) / "manifest.json").write_bytes(data)
        return read_manifest(Path(folder))


def test_a_manifest_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    manifest = make_manifest(make_artifact(), make_artifact(precision="fp16", path="b.onnx"))
    write_manifest(tmp_path, manifest)
    assert read_manifest(tmp_path) == manifest


def test_an_artifact_is_found_by_format_and_precision() -> None:
    manifest = make_manifest()
    assert manifest.find("onnx", "fp32") == manifest.artifacts[0]
    assert manifest.find("onnx", "fp16") is None
    assert manifest.find("tflite", "fp32") is None


def test_a_manifest_cannot_be_changed() -> None:
    with pytest.raises(ValidationError):
        make_manifest().model = "other"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("gate", "quantized", "expected"), [(32.1, False, 32.1), (100.0, False, 45), (9.5, True, 45)]
)
def test_a_device_s_threshold_is_the_usual_one_or_that_of_a_float_artifact_s_noise(
    gate: float, quantized: bool, expected: float
) -> None:
    gates = (
        Gate(name="ort.snr_db", value=120, threshold=gate, passed=True),
        Gate(name="ort.top1", value=1, threshold=1, passed=True),
    )
    record = Quantization(plan="plan.yaml", calibration=None) if quantized else None
    artifact = make_artifact(gates=gates, quantization=record)
    assert artifact.device_threshold_db(45) == expected


def test_a_folder_without_a_manifest_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no manifest.json here; run: lolvit export"):
        read_manifest(tmp_path)


@pytest.mark.parametrize("version", [0, 3, "1", "2", None, True, [1]])
def test_another_schema_version_is_rejected(version: object) -> None:
    with pytest.raises(UserError, match="manifest of schema version"):
        read_text(json.dumps(VALID | {"schema_version": version}))


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '"x"', "[" * 100_000, b"\xff\xfe\x00"])
def test_what_is_no_manifest_is_a_user_error(text: str | bytes) -> None:
    with pytest.raises(UserError):
        read_text(text)


def test_a_folder_in_the_manifest_s_place_is_a_user_error(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").mkdir()
    with pytest.raises(UserError, match="not a manifest"):
        read_manifest(tmp_path)


def test_a_wrong_field_is_named() -> None:
    with pytest.raises(UserError, match="field 'params'"):
        read_text(json.dumps(VALID | {"params": "many"}))


def test_an_unknown_field_is_named() -> None:
    with pytest.raises(UserError, match="does not know the key 'surprise'"):
        read_text(json.dumps(VALID | {"surprise": 1}))


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("preprocessing", "size"), [0, 64]), (("preprocessing", "size"), [64, 1 << 16]),
        (("preprocessing", "crop_pct"), 1e-300), (("preprocessing", "std"), [0.2, 0.0, 0.2]),
        (("signature", "inputs", 0, "shape"), [1, 3, -64, 64]),
        (("signature", "inputs", 0, "shape"), [1, 3, 1 << 31, 64]), (("params",), -1),
    ],
    ids=str,
)  # fmt: skip
def test_a_number_that_no_reader_can_use_is_named(place: tuple[str | int, ...], value: Any) -> None:
    document = json.loads(json.dumps(VALID))
    holder = document
    for key in place[:-1]:
        holder = holder[key]
    holder[place[-1]] = value
    with pytest.raises(UserError, match="field '" + r"\.".join(map(str, place))):
        read_text(json.dumps(document))


OUTSIDE = ["../x.onnx", "/etc/passwd", "a/../../x", "..\\x", "", ".", "a\\b"]


@pytest.mark.parametrize("path", OUTSIDE)
def test_a_path_that_could_leave_the_folder_is_rejected(path: str) -> None:
    document = json.loads(json.dumps(VALID))
    document["artifacts"][0]["path"] = path
    with pytest.raises(UserError, match=r"field 'artifacts.0.path'"):
        read_text(json.dumps(document))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=5,
)


def places(document: object, prefix: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """Return the path of every value inside a JSON document."""
    found = [prefix] if prefix else []
    items: list[tuple[str | int, object]] = []
    if isinstance(document, dict):
        items = list(document.items())
    elif isinstance(document, list):
        items = list(enumerate(document))
    for key, value in items:
        found += places(value, (*prefix, key))
    return found


@st.composite
def mutated(draw: st.DrawFn) -> str:
    """A valid manifest with up to three values replaced or removed."""
    document = json.loads(json.dumps(VALID))
    for _ in range(draw(st.integers(1, 3))):
        *parents, last = draw(st.sampled_from(places(document)))
        holder = document
        for key in parents:
            holder = holder[key]
        if draw(st.booleans()):
            holder[last] = draw(JSON)
        else:
            del holder[last]
    return json.dumps(document)


@given(mutated())
def test_a_mutated_document_is_a_manifest_or_a_one_line_user_error(text: str) -> None:
    try:
        assert isinstance(read_text(text), Manifest)
    except UserError as error:
        assert len(error.line().splitlines()) == 1


@given(st.data())
def test_mutated_bytes_are_a_manifest_or_a_one_line_user_error(data: st.DataObject) -> None:
    text = bytearray(json.dumps(VALID).encode())
    for _ in range(data.draw(st.integers(1, 4))):
        text[data.draw(st.integers(0, len(text) - 1))] = data.draw(st.integers(0, 255))
    del text[data.draw(st.integers(1, len(text))) :]
    try:
        assert isinstance(read_text(bytes(text)), Manifest)
    except UserError as error:
        assert len(error.line().splitlines()) == 1


@given(st.text(min_size=1))
def test_any_path_is_inside_the_folder_or_a_user_error(path: str) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "inner"
        folder.mkdir()
        try:
            checked = check_artifact(folder, make_artifact(path=path, bytes=0))
        except (UserError, ValidationError):
            return
        assert checked.resolve().is_relative_to(folder.resolve())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a file of four bytes and a package of two files."""
    (tmp_path / "model.onnx").write_bytes(b"abcd")
    package = tmp_path / "model.mlpackage"
    package.mkdir()
    (package / "Manifest.json").write_text("{}")
    (package / "weights.bin").write_bytes(b"1234")
    return tmp_path


@pytest.mark.parametrize("name", ["model.onnx", "model.mlpackage"])
def test_an_untouched_artifact_is_opened(folder: Path, name: str) -> None:
    path = folder / name
    size = 4 if path.is_file() else 6
    artifact = make_artifact(path=name, sha256=sha256_of(path), bytes=size)
    assert check_artifact(folder, artifact) == path


def test_a_truncated_artifact_is_rejected(folder: Path) -> None:
    artifact = make_artifact(path="model.onnx", sha256=sha256_of(folder / "model.onnx"), bytes=4)
    (folder / "model.onnx").write_bytes(b"abc")
    with pytest.raises(UserError, match="has 3 bytes, its manifest has 4"):
        check_artifact(folder, artifact)


def test_a_changed_artifact_of_the_same_size_is_rejected(folder: Path) -> None:
    artifact = make_artifact(path="model.onnx", sha256=sha256_of(folder / "model.onnx"), bytes=4)
    (folder / "model.onnx").write_bytes(b"abcx")
    with pytest.raises(UserError, match="does not match the sha256"):
        check_artifact(folder, artifact)


def test_a_changed_file_inside_a_package_is_rejected(folder: Path) -> None:
    package = folder / "model.mlpackage"
    artifact = make_artifact(path=package.name, sha256=sha256_of(package), bytes=6)
    (package / "weights.bin").write_bytes(b"1235")
    with pytest.raises(UserError, match="does not match the sha256"):
        check_artifact(folder, artifact)


def test_a_missing_artifact_is_rejected(folder: Path) -> None:
    with pytest.raises(UserError, match=r"gone.onnx: missing; export again"):
        check_file(folder, "gone.onnx", DIGEST)


def test_a_link_out_of_the_folder_is_rejected(folder: Path) -> None:
    outside = folder.parent / f"{folder.name}-outside"
    outside.write_bytes(b"abcd")
    (folder / "link.onnx").symlink_to(outside)
    with pytest.raises(UserError, match="leaves its folder through a link"):
        check_file(folder, "link.onnx", sha256_of(outside), 4)


def test_a_loop_of_links_is_rejected(folder: Path) -> None:
    (folder / "loop.onnx").symlink_to("loop.onnx")
    with pytest.raises(UserError):
        check_file(folder, "loop.onnx", DIGEST)
