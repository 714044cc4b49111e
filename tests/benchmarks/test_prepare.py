"""Names become folders of artifacts, once; folders are taken as they are."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lolvit.errors import GateFailedError, UserError
from lolvit.manifest import MANIFEST_NAME, Gate, read_manifest, write_manifest
from lolvit_benchmarks.harness import prepare as subject
from lolvit_benchmarks.harness.prepare import ExportRequest, prepare
from lolvit_export.command import export
from lolvit_runtimes import probe
from tests.benchmarks import tiny

WANTED = ExportRequest("lolvit_x", ("onnx",), ("fp32",), (), (192, 320))
OWN_SIZE = replace(WANTED, size=None)


class Exporter:
    """Stands in for `lolvit export`: keeps its arguments, and makes a small model."""

    def __init__(self) -> None:
        self.calls: list[list[str]] = []

    def __call__(
        self, module: str, arguments: list[str], *, what: str, on_line: Callable[[str], None]
    ) -> dict[str, Any]:
        assert module == "lolvit"
        self.calls.append(arguments)
        on_line("[  1.5 s] lower to onnx")
        on_line("SomeWarning: nothing for users")
        out = Path(arguments[arguments.index("--out") + 1])
        return {"folder": str(tiny.make_folder(out / f"export{len(self.calls)}"))}


@pytest.fixture
def exporter(monkeypatch: pytest.MonkeyPatch) -> Exporter:
    made = Exporter()
    monkeypatch.setattr(subject, "run_module", made)
    return made


def prepared(wanted: ExportRequest, cache: Path, *, fresh: bool = False) -> Path:
    return prepare(wanted, cache=cache, fresh=fresh, say=lambda line: None).folder


def test_a_folder_is_taken_as_it_is(fast: Path, exporter: Exporter, tmp_path: Path) -> None:
    assert prepared(replace(OWN_SIZE, model=str(fast)), tmp_path) == fast
    assert exporter.calls == []


def test_a_name_is_exported_once(exporter: Exporter, tmp_path: Path) -> None:
    first = prepared(WANTED, tmp_path)
    assert prepared(WANTED, tmp_path) == first
    assert len(exporter.calls) == 1
    assert first.is_relative_to(tmp_path)


def test_of_two_commands_that_need_the_same_export_one_makes_it(
    exporter: Exporter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = threading.Event()

    def slowly(*arguments: Any, **options: Any) -> dict[str, Any]:
        begun.set()
        waiting.wait(10)
        return exporter(*arguments, **options)

    waiting = threading.Event()
    monkeypatch.setattr(subject, "run_module", slowly)
    with ThreadPoolExecutor() as threads:
        first = threads.submit(prepared, WANTED, tmp_path)
        assert begun.wait(10)
        second = threads.submit(
            prepare, WANTED, cache=tmp_path, fresh=False, say=lambda line: waiting.set()
        )
        assert second.result().folder == first.result()
    assert waiting.is_set() and len(exporter.calls) == 1


def test_the_steps_of_an_export_are_passed_on(exporter: Exporter, tmp_path: Path) -> None:
    said: list[str] = []
    prepare(WANTED, cache=tmp_path, fresh=False, say=said.append)
    assert said[0].startswith("exporting lolvit_x to onnx")
    assert said[1:] == ["  [  1.5 s] lower to onnx"]


def test_the_export_is_asked_for_in_words_that_it_knows(exporter: Exporter, tmp_path: Path) -> None:
    weights = tmp_path / "w.safetensors"
    weights.write_bytes(b"x")
    prepared(replace(WANTED, weights=weights, task="detection"), tmp_path)
    (name, *arguments) = exporter.calls[0]
    assert name == "export"
    options = export.make_context("export", arguments).params
    assert options["model"] == "lolvit_x"
    assert (options["targets"], options["precision"], options["size"]) == (
        "onnx", "fp32", "192x320"
    )  # fmt: skip
    assert (options["weights"], options["task"]) == (weights, "detection")
    assert options["as_json"] is True


@pytest.mark.parametrize(
    ("changed", "for_timing"),
    [
        ({}, False),
        ({"optional": ("fp16",)}, False),
        ({"optional": ("int8",)}, True),
        ({"optional": ("fp16", "w8a16")}, True),
        ({"optional": ("int8",), "weights": "w.safetensors"}, False),
    ],
    ids=str,
)
def test_random_weights_alone_are_quantized_for_timing(
    changed: dict[str, Any], for_timing: bool, exporter: Exporter, tmp_path: Path
) -> None:
    if "weights" in changed:
        changed = changed | {"weights": tmp_path / changed["weights"]}
        changed["weights"].write_bytes(b"x")
    prepared(replace(WANTED, **changed), tmp_path)
    assert ("--for-timing" in exporter.calls[0]) == for_timing


def test_an_artifact_in_floats_that_failed_its_gates_is_not_timed(
    exporter: Exporter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed = Gate(name="ort.snr_db", value=3, threshold=100, passed=False)

    def broken(*arguments: Any, **options: Any) -> dict[str, Any]:
        document = exporter(*arguments, **options)
        manifest = read_manifest(Path(document["folder"]))
        artifacts = [each.model_copy(update={"gates": (failed,)}) for each in manifest.artifacts]
        changed = manifest.model_copy(update={"artifacts": tuple(artifacts)})
        write_manifest(Path(document["folder"]), changed)
        return document

    monkeypatch.setattr(subject, "run_module", broken)
    for _ in range(2):  # exported, and from the cache
        with pytest.raises(GateFailedError, match=r"verification failed: .*ort\.snr_db"):
            prepared(WANTED, tmp_path)


@pytest.mark.parametrize(
    "changed",
    [
        {"model": "lolvit_s"},
        {"size": (256, 256)},
        {"model": "timm/lolvit_x"},
        {"task": "detection"},
    ],
)
def test_another_model_size_or_task_is_another_export(
    exporter: Exporter, tmp_path: Path, changed: dict[str, Any]
) -> None:
    assert prepared(WANTED, tmp_path) != prepared(replace(WANTED, **changed), tmp_path)


def test_other_weights_are_another_export(exporter: Exporter, tmp_path: Path) -> None:
    weights = tmp_path / "w.safetensors"
    folders = {prepared(WANTED, tmp_path)}
    for content in (b"one", b"two"):
        weights.write_bytes(content)
        folders.add(prepared(replace(WANTED, weights=weights), tmp_path))
    assert len(folders) == 3


def test_changed_sources_are_another_export(
    exporter: Exporter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = prepared(WANTED, tmp_path)
    monkeypatch.setattr(subject, "_sources", lambda packages: "other sources")
    assert prepared(WANTED, tmp_path) != first


@pytest.mark.parametrize("tool", ["onnxsim", "litert-converter"])  # itself, and what it needs
def test_another_version_of_a_converter_is_another_export(
    exporter: Exporter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tool: str
) -> None:
    first = prepared(WANTED, tmp_path)
    found = probe.installed(tool)
    assert found is not None
    here = probe.installed
    monkeypatch.setattr(probe, "installed", lambda name: "99" if name == tool else here(name))
    assert prepared(WANTED, tmp_path) != first
    assert len(exporter.calls) == 2


def test_an_export_that_records_other_tools_is_made_again(
    exporter: Exporter, tmp_path: Path
) -> None:
    first = prepared(WANTED, tmp_path)
    manifest = first / MANIFEST_NAME
    document = json.loads(manifest.read_text())
    document["tools"]["onnx"] = "0.1"
    manifest.write_text(json.dumps(document))
    prepared(WANTED, tmp_path)
    assert len(exporter.calls) == 2


def test_sources_get_different_names_by_content(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "some_package"
    package.mkdir()
    (package / "__init__.py").write_text("x = 1")
    monkeypatch.syspath_prepend(tmp_path)
    before = subject._sources(["some_package"])
    assert subject._sources(["some_package"]) == before
    (package / "__init__.py").write_text("x = 2")
    assert subject._sources(["some_package"]) != before


def test_fresh_exports_again(exporter: Exporter, tmp_path: Path) -> None:
    prepared(WANTED, tmp_path)
    prepared(WANTED, tmp_path, fresh=True)
    assert len(exporter.calls) == 2


@pytest.mark.parametrize("damage", ["artifact", "manifest"])
def test_a_damaged_export_is_made_again(exporter: Exporter, tmp_path: Path, damage: str) -> None:
    folder = prepared(WANTED, tmp_path)
    name = "manifest.json" if damage == "manifest" else tiny.artifact_of(folder).path
    (folder / name).write_bytes(b"{}")
    assert prepared(WANTED, tmp_path) != folder
    assert len(exporter.calls) == 2


def test_a_format_more_is_exported_along_with_those_that_are_there(
    exporter: Exporter, tmp_path: Path
) -> None:
    prepared(WANTED, tmp_path)
    with pytest.raises(UserError, match="holds no tflite artifact"):  # the stand-in gives ONNX only
        prepared(replace(WANTED, formats=("tflite",)), tmp_path)
    assert exporter.calls[1][3] == "onnx,tflite"


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("{fast}", "holds no onnx artifact in fp16, only onnx fp32; export it again with --to"),
        ("{fast}/model-fp32.onnx", "holds no onnx artifact in fp16, only onnx fp32"),
        ("{fast}/manifest.json", "is not in the manifest beside it"),
        ("{fast}/nothing", "no such folder"),
        ("{empty}", "no manifest.json here"),
    ],
)
def test_a_wrong_folder_is_reported_in_one_line(
    fast: Path, tmp_path: Path, model: str, message: str
) -> None:
    path = model.format(fast=fast, empty=tmp_path)
    with pytest.raises(UserError, match=message):
        prepared(replace(OWN_SIZE, model=path, precisions=("fp16",)), tmp_path)


def test_missing_weights_are_reported_before_exporting(exporter: Exporter, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no such checkpoint; give a file, .*hf-hub:OWNER/NAME"):
        prepared(replace(WANTED, weights=tmp_path / "none"), tmp_path)
    assert exporter.calls == []


def test_a_changed_artifact_in_a_folder_is_refused(tmp_path: Path) -> None:
    folder = tiny.make_folder(tmp_path / "model")
    path = folder / tiny.artifact_of(folder).path
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    assert read_manifest(folder).artifacts
    with pytest.raises(UserError, match="does not match the sha256"):
        prepared(replace(OWN_SIZE, model=str(folder)), tmp_path)


def test_a_folder_of_another_size_is_refused(fast: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is an export for 32x32, not 192x320; leave out --size"):
        prepared(replace(WANTED, model=str(fast)), tmp_path)


def test_a_folder_of_another_task_is_refused(fast: Path, tmp_path: Path) -> None:
    wanted = replace(OWN_SIZE, model=str(fast), task="segmentation")
    with pytest.raises(UserError, match="is an export for classification, not segmentation"):
        prepared(wanted, tmp_path)


def test_a_model_at_its_own_size_is_exported_without_a_size(
    exporter: Exporter, tmp_path: Path
) -> None:
    assert prepared(OWN_SIZE, tmp_path) != prepared(WANTED, tmp_path)
    assert "--size" not in exporter.calls[0]
    assert "--size" in exporter.calls[1]
