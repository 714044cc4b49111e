"""Manifests and verification documents that earlier versions wrote are still read and used."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from lolvit.cli import main
from lolvit.errors import UserError
from lolvit.manifest import Manifest, read_manifest
from lolvit.verification import read_verification

FIXTURES = Path(__file__).parents[1] / "fixtures"


def as_schema_1(document: dict[str, Any]) -> dict[str, Any]:
    """Return a manifest, or a document of a verification, as version 1 had it."""
    old = {k: v for k, v in document.items() if k not in ("task", "postprocessing", "signature")}
    old["schema_version"] = 1
    if "preprocessing" in old:
        old["preprocess"] = {k: v for k, v in old.pop("preprocessing").items() if k != "resize"}
        old["num_classes"] = document["signature"]["outputs"][0]["shape"][1]
    records = [
        {"name": r["name"], "fired": r["applied"], "sites": r["sites"],
         "skipped": r["match_failures"]}
        for r in old.pop("rewrites")
    ]  # fmt: skip
    old["passes"] = records
    if "rewritten" in old:
        old["rewrites"] = old.pop("rewritten")
    old["artifacts"] = [_artifact(artifact) for artifact in document["artifacts"]]
    return old


def _artifact(artifact: dict[str, Any]) -> dict[str, Any]:
    old = {k: v for k, v in artifact.items() if k not in ("inputs", "outputs", "container")}
    old["measured"] = old.pop("measurements")
    for new, name in (("inputs", "input"), ("outputs", "output")):
        (spec,) = artifact[new]
        old[name] = {**{k: v for k, v in spec.items() if k != "meaning"}, "values": spec["meaning"]}
    old["gates"] = [
        {**{k: v for k, v in gate.items() if k != "threshold"}, "floor": gate["threshold"]}
        for gate in artifact["gates"]
    ]
    return old


@pytest.fixture(scope="module")
def old_export(exported: tuple[Path, Manifest], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of an export with a manifest of schema 1."""
    folder = tmp_path_factory.mktemp("schema_1") / "export"
    shutil.copytree(exported[0], folder)
    path = folder / "manifest.json"
    path.write_text(json.dumps(as_schema_1(json.loads(path.read_text()))))
    return folder


def test_a_manifest_that_the_former_version_wrote_is_that_of_this_one() -> None:
    """Both files are of one export: the first is as lolvit wrote it before schema 2."""
    first, second = (FIXTURES / f"manifest-{version}.json" for version in (1, 2))
    assert json.loads(first.read_text())["schema_version"] == 1
    assert as_manifest(first) == as_manifest(second)


def as_manifest(path: Path) -> Manifest:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(path, Path(folder) / "manifest.json")
        return read_manifest(Path(folder))


def test_a_manifest_of_schema_1_is_read_as_it_would_be_written_now(
    old_export: Path, exported: tuple[Path, Manifest]
) -> None:
    assert read_manifest(old_export) == exported[1]


def test_schema_3_is_refused(tmp_path: Path) -> None:
    document = json.loads((FIXTURES / "manifest-2.json").read_text()) | {"schema_version": 3}
    (tmp_path / "manifest.json").write_text(json.dumps(document))
    with pytest.raises(UserError, match="schema version 3, this lolvit reads 1 and 2"):
        read_manifest(tmp_path)


@pytest.mark.slow
def test_predict_and_verify_take_an_export_of_schema_1(
    old_export: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    from skimage import data

    photo = Path(data.__file__).parent / "coffee.png"
    assert main(["predict", str(old_export), str(photo), "--json"]) == 0
    assert len(json.loads(capfd.readouterr().out)["predictions"][0]["top"]) == 5
    assert main(["verify", str(old_export / "model-fp32.onnx"), "--json"]) == 0
    assert json.loads(capfd.readouterr().out)["schema_version"] == 2


def test_a_document_of_a_verification_of_schema_1_is_read(tmp_path: Path) -> None:
    manifest = json.loads((FIXTURES / "manifest-2.json").read_text())
    document = {
        "schema_version": 2, "device": "arm64", "folder": "out/x", "model": manifest["model"],
        "task": "classification", "size": manifest["size"], "params": manifest["params"],
        "macs": manifest["macs"], "trained": True, "artifacts": manifest["artifacts"],
        "rewrites": manifest["rewrites"], "recommended": {}, "failures": [],
    }  # fmt: skip
    new, old = tmp_path / "new.json", tmp_path / "old.json"
    new.write_text(json.dumps(document))
    old.write_text(json.dumps(as_schema_1(document)))
    assert read_verification(old) == read_verification(new)
