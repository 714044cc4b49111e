"""`lolvit package` puts an export into an Android app, whole and checked, or not at all."""

from __future__ import annotations

import base64
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lolvit.cli import main
from lolvit.errors import GateFailedError, MissingExtraError, UserError
from lolvit.manifest import Manifest, check_artifact, read_manifest, write_manifest
from lolvit_runtimes import android_assets, app_models, package_command
from lolvit_runtimes.android_assets import assets_of, package
from lolvit_runtimes.app_models import PackageOptions
from lolvit_runtimes.package_command import kotlin, notes, uncompressed

NAME = "tiny-32x32"


@pytest.fixture
def module(tmp_path: Path) -> Path:
    """An Android module."""
    folder = tmp_path / "app"
    folder.mkdir()
    (folder / "build.gradle.kts").touch()
    return folder


@pytest.fixture
def export(exported: Path, tmp_path: Path) -> Path:
    """A copy of the export, to be changed."""
    return Path(shutil.copytree(exported, tmp_path / "export"))


def changed(folder: Path, **fields: object) -> Path:
    """Change fields of a folder's manifest."""
    write_manifest(folder, read_manifest(folder).model_copy(update=fields))
    return folder


def files(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


def error_line(error: type[Exception], *arguments: object) -> str:
    with pytest.raises(error) as caught:
        package(*arguments)
    return str(caught.value)


def test_module_gets_the_manifest_as_it_was_and_the_chosen_artifact(export, module):
    packaged = package(export, module, PackageOptions())
    folder = module / "src" / "main" / "assets" / "lolvit" / NAME
    assert packaged.folder == folder
    assert files(folder) == ["manifest.json", "model-fp32.tflite", "self-check.json"]
    assert (folder / "manifest.json").read_bytes() == (export / "manifest.json").read_bytes()
    (artifact,) = packaged.artifacts
    check_artifact(folder, artifact)


def test_the_self_check_has_the_outputs_of_each_packaged_artifact(export, module):
    packaged = package(export, module, PackageOptions(formats=("tflite", "onnx")))
    document = json.loads((packaged.folder / "self-check.json").read_text())
    height, width = document["size"]
    assert len(base64.b64decode(document["levels"])) == 3 * height * width
    values = [
        np.frombuffer(base64.b64decode(entry["outputs"][0]["values"]), "<f4")
        for entry in document["artifacts"]
    ]
    assert [entry["path"] for entry in document["artifacts"]] == [
        artifact.path
        for artifact in read_manifest(export).artifacts
        if artifact in packaged.artifacts
    ]
    assert all(entry["min_snr_db"] <= 60 for entry in document["artifacts"])
    np.testing.assert_allclose(values[0], values[1], atol=1e-4)  # one network in two runtimes


def test_without_a_runtime_the_model_is_packaged_and_the_missing_self_check_noted(
    export, module, monkeypatch
):
    def missing(folder: Path) -> None:
        raise MissingExtraError("litert", needed_for="litert")

    monkeypatch.setattr(android_assets, "write_self_check", missing)
    packaged = package(export, module, PackageOptions())
    assert files(packaged.folder) == ["manifest.json", "model-fp32.tflite"]
    assert any("no self-check" in note for note in notes(packaged))


@pytest.mark.parametrize(
    ("task", "printed"),
    [("detection", "Detector(Asset"), ("segmentation", "Segmenter(Asset")],
)
def test_the_code_is_for_the_models_task(export, module, task, printed):
    packaged = package(export, module, PackageOptions())
    manifest = packaged.manifest.model_copy(update={"task": task})
    code = kotlin(replace(packaged, manifest=manifest))
    assert printed in code
    assert f"import org.lolvit.{printed.partition('(')[0]}" in code


def test_folder_named_assets_is_used_itself(export, tmp_path):
    assets = tmp_path / "assets"
    packaged = package(export, assets, PackageOptions(formats=("tflite", "onnx"), name="mine"))
    assert files(assets) == [
        f"lolvit/mine/{name}"
        for name in ("manifest.json", "model-fp32.onnx", "model-fp32.tflite", "self-check.json")
    ]
    assert packaged.asset == "lolvit/mine"
    assert uncompressed(packaged) == ["onnx", "tflite"]


@pytest.mark.parametrize("made", ["build.gradle", "src/main/AndroidManifest.xml"])
def test_what_makes_a_folder_an_android_module(tmp_path, made):
    (tmp_path / made).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / made).touch()
    assert assets_of(tmp_path) == tmp_path / "src" / "main" / "assets"


def test_a_gradle_project_a_plain_folder_and_a_missing_one_are_no_place(tmp_path, module):
    (module / "settings.gradle.kts").touch()
    for directory, words in (
        (module, "is a Gradle project, not a module"),
        (tmp_path, "neither an Android module nor an assets folder"),
        (tmp_path / "nowhere", "no such folder"),
        (tmp_path / "nowhere" / "assets", "no such folder"),
    ):
        with pytest.raises(UserError, match=words) as caught:
            assets_of(directory)
        assert "build.gradle.kts" in caught.value.remedy


def test_the_recommended_artifact_is_taken_unless_another_is_asked_for(export, module):
    manifest = read_manifest(export)
    first = manifest.find("tflite", "fp32")
    assert first is not None
    shutil.copy(export / first.path, export / "model-int8.tflite")
    second = first.model_copy(update={"path": "model-int8.tflite", "precision": "int8"})
    changed(
        export,
        artifacts=(first, second),
        recommended={"litert": "model-int8.tflite"},
    )
    assert package(export, module, PackageOptions()).artifacts == (second,)
    assert package(export, module, PackageOptions(precision="fp32")).artifacts == (first,)


def test_labels_of_a_file_are_added_where_the_manifest_has_none(export, module, tmp_path):
    labels = tmp_path / "labels.txt"
    labels.write_text("\n".join(f"Übung {index}" for index in range(10)))
    assert "has labels in its manifest" in error_line(
        UserError, export, module, PackageOptions(labels=labels)
    )
    changed(export, labels=None)
    packaged = package(export, module, PackageOptions(labels=labels))
    written = (packaged.folder / "labels.txt").read_text(encoding="utf-8")
    assert written.splitlines() == labels.read_text().splitlines()
    labels.write_text("one\ntwo")
    assert "has 2 labels, the model 10" in error_line(
        UserError, export, module, PackageOptions(labels=labels)
    )
    assert (packaged.folder / "labels.txt").read_text(encoding="utf-8") == written


def test_the_same_model_is_replaced_and_another_is_left_alone(export, module):
    first = package(export, module, PackageOptions(formats=("onnx",)))
    assert not first.replaced
    again = package(export, module, PackageOptions())
    assert again.replaced
    assert files(again.folder) == ["manifest.json", "model-fp32.tflite", "self-check.json"]
    before = files(again.folder)
    changed(export, model="other")
    assert "holds another model" in error_line(UserError, export, module, PackageOptions(name=NAME))
    assert files(again.folder) == before
    (again.folder / "manifest.json").write_text("{}")
    changed(export, model="tiny")
    assert "holds another model" in error_line(UserError, export, module, PackageOptions())


def test_failed_copy_leaves_the_previous_one_and_no_rest(export, module, monkeypatch):
    before = package(export, module, PackageOptions())
    monkeypatch.setattr(
        app_models.shutil, "copyfile", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt)
    )
    with pytest.raises(KeyboardInterrupt):
        package(export, module, PackageOptions(formats=("onnx",)))
    assert files(before.folder.parent) == [
        f"{NAME}/{name}" for name in ("manifest.json", "model-fp32.tflite", "self-check.json")
    ]


def test_artifact_that_is_changed_missing_or_failed_is_rejected(export, module):
    tflite = export / "model-fp32.tflite"
    data = tflite.read_bytes()
    tflite.write_bytes(data[:-1] + b"!")
    assert "does not match the sha256" in error_line(UserError, export, module, PackageOptions())
    tflite.write_bytes(data[:100])
    assert "has 100 bytes" in error_line(UserError, export, module, PackageOptions())
    tflite.unlink()
    assert "missing" in error_line(UserError, export, module, PackageOptions())
    tflite.write_bytes(data)
    failed = {"name": "snr_db", "value": 12.0, "threshold": 100.0, "passed": False}
    document = read_manifest(export).model_dump()
    for artifact in document["artifacts"]:
        artifact["gates"] = [failed]
    write_manifest(export, Manifest.model_validate(document))
    assert "snr_db 12 < 100" in error_line(GateFailedError, export, module, PackageOptions())
    assert not (module / "src").exists()


def test_what_an_app_cannot_run_is_rejected(export, module):
    onnx, tflite = read_manifest(export).artifacts
    bytes_in = tflite.image.model_copy(update={"dtype": "uint8"})
    changed(export, artifacts=(tflite.model_copy(update={"inputs": (bytes_in,)}),))
    assert "its input is uint8, the app provides float32" in error_line(
        UserError, export, module, PackageOptions()
    )
    changed(export, artifacts=(onnx.model_copy(update={"format": "coreml"}),))
    assert "--to tflite" in error_line(UserError, export, module, PackageOptions())
    assert "has no tflite artifact in fp16" in error_line(
        UserError, export, module, PackageOptions(("tflite",), "fp16")
    )


@pytest.mark.parametrize("name", ["../up", "_hidden", ".hidden", "a/b", "a b"])
def test_name_that_is_no_asset_folder_is_rejected(export, module, name):
    assert "is not a valid name of an asset folder" in error_line(
        UserError, export, module, PackageOptions(name=name)
    )


def test_model_whose_manifest_names_a_path_is_rejected(export, module):
    changed(export, model="../../../etc/model")
    assert "is not a valid name of an asset folder" in error_line(
        UserError, export, module, PackageOptions()
    )


def test_untrained_and_unlabelled_models_say_so(export, module):
    output = " ".join(notes(package(changed(export, labels=None), module, PackageOptions())))
    assert "untrained" in output
    assert "no labels" in output
    assert re.search(r"model-fp32.tflite needs TensorFlow Lite \d+\.\d+\.\d+ or newer", output)


def test_command_prints_the_code_and_one_document(export, module, capsys):
    assert main(["package", str(export), "--android", str(module)]) == 0
    output = capsys.readouterr().out
    assert 'AssetSource(context.assets, "lolvit/tiny-32x32")' in output
    assert 'noCompress += listOf("tflite")' in output


def test_code_is_not_broken_where_the_terminal_is_narrow(export, module, capsys, monkeypatch):
    out = package_command.results()
    out.width = 30
    monkeypatch.setattr(package_command, "results", lambda: out)
    packaged = package(export, module, PackageOptions())
    package_command.show(packaged)
    assert package_command.kotlin(packaged) in capsys.readouterr().out


def test_document_names_files_and_sizes(export, module, capfd):
    assert (
        main(["package", str(export), "--android", str(module), "--format", "onnx", "--json"]) == 0
    )
    document = json.loads(capfd.readouterr().out)
    folder = Path(document["folder"])
    assert document["files"] == {path.name: path.stat().st_size for path in folder.iterdir()}
    assert document["artifacts"][0]["oldest_runtime"] == "ONNX Runtime 1.18"
    assert document["kotlin"] == kotlin(package(export, module, PackageOptions(formats=("onnx",))))


@pytest.mark.parametrize("format", ["coreml", "tflite,exe"])
def test_unknown_format_is_one_line(export, module, capfd, format):
    assert main(["package", str(export), "--android", str(module), "--format", format]) == 2
    (line,) = capfd.readouterr().err.splitlines()
    assert "choose from: onnx, tflite" in line


def test_folder_that_is_no_export_is_one_line(tmp_path, module, capfd):
    assert main(["package", str(tmp_path), "--android", str(module)]) == 2
    (line,) = capfd.readouterr().err.splitlines()
    assert line.endswith("no manifest.json here; run: lolvit export")
