"""`lolvit package --ios` makes a Swift package with the models of an app, whole and checked, and
overwrites nothing that it has not written."""

from __future__ import annotations

import base64
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import lolvit
from lolvit.cli import main
from lolvit.errors import GateFailedError, MissingExtraError, UserError
from lolvit.manifest import Manifest, check_artifact, read_manifest, write_manifest
from lolvit_runtimes import app_models, self_check
from lolvit_runtimes.app_models import PackageOptions
from lolvit_runtimes.ios_package import NAME as PACKAGE
from lolvit_runtimes.ios_package import package
from lolvit_runtimes.photos import bundled_photo_path
from tests.ios.conftest import NAME

BOTH = PackageOptions(formats=("coreml", "coreai"))
MODEL_FILES = {"manifest.json", "model-fp16.mlpackage", "self-check.json"}


@pytest.fixture
def export(exported: Path, tmp_path: Path) -> Path:
    """A copy of the export, to be changed."""
    return Path(shutil.copytree(exported, tmp_path / "export"))


def changed(folder: Path, **fields: object) -> Path:
    """Change fields of a folder's manifest."""
    document = {**read_manifest(folder).model_dump(), **fields}
    write_manifest(folder, Manifest.model_validate(document))
    return folder


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def content(folder: Path) -> dict[str, bytes]:
    """Return the files below a folder, hidden ones too."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def floats(text: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(text), "<f4")


def test_app_gets_a_swift_package_with_the_model_in_half_precision(exported, app):
    packaged = package(exported, app, PackageOptions())
    folder = app / PACKAGE / "Sources" / PACKAGE / "lolvit" / NAME
    assert packaged.folder == folder
    assert names(folder) == MODEL_FILES
    assert (folder / "manifest.json").read_bytes() == (exported / "manifest.json").read_bytes()
    (artifact,) = packaged.artifacts
    check_artifact(folder, artifact)
    assert packaged.oldest_runtimes == {"model-fp16.mlpackage": "iOS 16"}
    assert names(app) == {"Photos.xcodeproj", PACKAGE}  # no project file is edited
    lines = (app / PACKAGE / "Package.swift").read_text().splitlines()
    assert lines[0] == "// swift-tools-version: 6.0"
    assert any('resources: [.copy("lolvit")]' in line for line in lines)


def test_both_formats_and_further_models_fit_into_one_package(exported, export, app):
    package(exported, app, BOTH)
    second = package(changed(export, model="lolvit_two"), app, BOTH)
    models = second.folder.parent
    assert names(models) == {NAME, "lolvit_two-64x64"}
    assert names(models / NAME) == MODEL_FILES | {"model-fp16.aimodel"}
    assert second.oldest_runtimes["model-fp16.aimodel"] == "iOS 27"


def test_packaged_again_everything_is_as_it_was(exported, app):
    package(exported, app, BOTH)
    before = content(app)
    assert package(exported, app, BOTH).replaced
    assert content(app) == before


def test_self_check_has_what_the_artifact_computes_for_a_photo(exported, app):
    packaged = package(exported, app, BOTH)
    document = json.loads((packaged.folder / "self-check.json").read_text())
    levels = np.frombuffer(base64.b64decode(document["levels"]), np.uint8)
    assert levels.size == 64 * 64 * 3 and levels.std() > 20  # a photo, not one colour
    assert [entry["path"] for entry in document["artifacts"]] == [
        "model-fp16.mlpackage", "model-fp16.aimodel",
    ]  # fmt: skip
    for entry, runtime in zip(document["artifacts"], ("coreml-reference", "coreai"), strict=True):
        (output,) = entry["outputs"]
        with lolvit.load(packaged.folder / entry["path"], runtime=runtime) as predictor:
            prepared = predictor.prepare(bundled_photo_path())
            (expected,) = predictor.session.run({"image": prepared.inputs}).values()
        assert output["shape"] == [1, 10]
        assert floats(output["values"]) == pytest.approx(expected.ravel(), abs=1e-5)
        assert entry["min_snr_db"] == 30


def test_labels_are_added_where_the_manifest_has_none(export, app, tmp_path):
    labels = tmp_path / "labels.txt"
    labels.write_text("\n".join(f"Ziffer {index}" for index in range(10)))
    changed(export, labels=None)
    packaged = package(export, app, PackageOptions(labels=labels))
    assert (packaged.folder / "labels.txt").read_text().splitlines()[3] == "Ziffer 3"


def test_failed_copy_leaves_the_previous_model_and_no_rest(exported, app, monkeypatch):
    package(exported, app, PackageOptions())
    before = content(app)

    def fail(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(app_models.shutil, "copytree", fail)
    with pytest.raises(UserError, match="No space left on device"):
        package(exported, app, BOTH)
    assert content(app) == before


def test_a_kill_before_the_package_was_complete_is_made_good(exported, app, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr("lolvit_runtimes.ios_package.write_atomic", _killed)
        with pytest.raises(KeyboardInterrupt):
            package(exported, app, PackageOptions())
    assert not (app / PACKAGE / "Package.swift").exists()
    assert package(exported, app, PackageOptions()).replaced
    assert (app / PACKAGE / "Package.swift").exists()


def _killed(*_: object) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("name", ["Package.swift", f"Sources/{PACKAGE}/{PACKAGE}.swift"])
def test_files_that_were_changed_by_hand_are_left_alone(exported, app, name):
    package(exported, app, PackageOptions())
    mine = app / PACKAGE / name
    mine.write_text(mine.read_text().replace("LOLViTModels", "MyModels"))
    before = content(app)
    with pytest.raises(UserError, match="or was changed since; move LOLViTModels elsewhere"):
        package(exported, app, PackageOptions())
    assert content(app) == before


@pytest.mark.parametrize("file", ["Package.swift", "notes.txt"])
def test_a_folder_of_that_name_that_is_the_users_is_left_alone(exported, app, file):
    (app / PACKAGE).mkdir()
    (app / PACKAGE / file).write_text("// mine\n")
    with pytest.raises(UserError, match="was not written by lolvit package --ios"):
        package(exported, app, PackageOptions())
    assert content(app / PACKAGE) == {file: b"// mine\n"}


def test_what_is_no_app_is_rejected(exported, app, tmp_path):
    (tmp_path / "plain").mkdir()
    for directory, words in (
        (tmp_path / "plain", "is not an app's folder"),
        (tmp_path / "nowhere", "no such folder"),
        (app / "Photos.xcodeproj", "is a project, not an app's folder"),
    ):
        with pytest.raises(UserError, match=words) as caught:
            package(exported, directory, PackageOptions())
        assert ".xcodeproj or Package.swift" in caught.value.remedy
    (app / PACKAGE).write_text("a file")
    with pytest.raises(UserError, match="is not a folder"):
        package(exported, app, PackageOptions())


def test_a_swift_package_is_an_app_too(exported, tmp_path):
    (tmp_path / "Package.swift").write_text("// swift-tools-version: 6.0\n")
    assert package(exported, tmp_path, PackageOptions()).folder.is_dir()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"task": "tensors"}, "its task tensors is not supported by the iOS library"),
        (
            {"preprocessing": {"size": (64, 64), "crop_pct": 0.9, "color": "RGBA",
                               "mean": (0,) * 4, "std": (1,) * 4}},
            "its image is RGBA, the iOS library provides RGB or L",
        ),
        ({"artifacts": ()}, "none that an iOS app can run; export again with --to coreml"),
        ({"model": "../up"}, "is not a valid name of an asset folder"),
    ],
)  # fmt: skip
def test_what_the_library_cannot_run_is_rejected(export, app, change, words):
    changed(export, **change)
    with pytest.raises(UserError) as caught:
        package(export, app, PackageOptions())
    assert words in caught.value.line()
    assert names(app) == {"Photos.xcodeproj"}


def test_damaged_failed_and_batched_artifacts_are_rejected(export, app):
    weights = export / "model-fp16.mlpackage/Data/com.apple.CoreML/weights/weight.bin"
    data = weights.read_bytes()
    weights.write_bytes(data[:-64])
    with pytest.raises(UserError, match="bytes, its manifest has"):
        package(export, app, PackageOptions())
    weights.write_bytes(data)
    document = read_manifest(export).model_dump()
    coreml = next(a for a in document["artifacts"] if a["format"] == "coreml")
    image = coreml["inputs"][0]
    coreml["inputs"] = [{**image, "shape": (4, *image["shape"][1:])}]
    write_manifest(export, Manifest.model_validate(document))
    with pytest.raises(UserError, match="a batch of 4 images, the app provides one"):
        package(export, app, PackageOptions())
    coreml["inputs"] = [image]
    coreml["gates"] = [{"name": "snr_db", "value": 12.0, "threshold": 45.0, "passed": False}]
    write_manifest(export, Manifest.model_validate(document))
    with pytest.raises(GateFailedError, match="snr_db 12 < 45"):
        package(export, app, PackageOptions())
    assert names(app) == {"Photos.xcodeproj"}


def test_without_the_photo_of_the_self_check_its_extra_is_named(exported, app, monkeypatch):
    monkeypatch.setattr(self_check, "bundled_photo_path", lambda: None)
    with pytest.raises(MissingExtraError, match=r"pip install 'lolvit\[export\]'"):
        package(exported, app, PackageOptions())
    assert list(app.rglob("manifest.json")) == []


def test_command_prints_the_code_and_one_document(exported, app, capfd):
    assert main(["package", str(exported), "--ios", str(app)]) == 0
    printed = capfd.readouterr().out
    assert f'LOLViTModels.folder.appendingPathComponent("{NAME}")' in printed
    assert "model-fp16.mlpackage needs iOS 16 or newer" in printed
    assert main(["package", str(exported), "--ios", str(app), "--json"]) == 0
    document = json.loads(capfd.readouterr().out)
    assert document["replaced"]
    assert document["swift_package"] == str(app / PACKAGE)
    assert document["artifacts"][0]["oldest_runtime"] == "iOS 16"
    assert set(document["files"]) == MODEL_FILES
    assert document["swift"] in printed


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ([], "give either --android DIR or --ios DIR"),
        (["--ios", "app", "--android", "app"], "give either --android DIR or --ios DIR"),
        (["--ios", "app", "--format", "tflite"], "choose from: coreai, coreml"),
        (["--ios", "nowhere"], "no such folder"),
    ],
)
def test_wrong_options_are_one_line(exported, tmp_path, capfd, options, words):
    arguments = [str(tmp_path / each) if each == "nowhere" else each for each in options]
    assert main(["package", str(exported), *arguments]) == 2
    (line,) = capfd.readouterr().err.splitlines()
    assert words in line


@pytest.mark.parametrize(
    ("formats", "directory", "words"),
    [
        ("coreml", "nowhere", "no such folder; give the folder that has your app's .xcodeproj"),
        ("onnx", "app", "--ios needs --to coreml or coreai"),
    ],
)
def test_export_rejects_an_app_before_any_work(tmp_path, app, capfd, formats, directory, words):
    place = app if directory == "app" else tmp_path / directory
    arguments = ["export", "lolvit_xx", "--to", formats, "--out", str(tmp_path / "out")]
    assert main([*arguments, "--ios", str(place)]) == 2
    (line,) = capfd.readouterr().err.splitlines()
    assert words in line
    assert not (tmp_path / "out").exists()
