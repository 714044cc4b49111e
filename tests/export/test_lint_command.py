"""`lolvit lint`: on a real export, on single files, and on what is no artifact."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from lolvit.errors import GateFailedError, LolvitError, UserError
from lolvit.manifest import Manifest
from lolvit_export import lint_command
from tests.export.lint_onnx import pooled
from tests.export.lint_tflite import MAP, reshape, unary
from tests.export.requests import export, request

Exported = tuple[Path, Manifest]
Lint = Callable[..., dict[str, Any]]


@pytest.fixture
def lint(monkeypatch: pytest.MonkeyPatch) -> Lint:
    """Run `lolvit lint ARGUMENTS --json` and return its document; a failure is raised."""
    documents: list[dict[str, Any]] = []
    monkeypatch.setattr(lint_command, "print_json", documents.append)

    def run(*arguments: str | Path, allow_findings: bool = False) -> dict[str, Any]:
        allowed = GateFailedError if allow_findings else ()
        try:
            lint_command.lint.main(
                [*map(str, arguments), "--json"], standalone_mode=False, prog_name="lint"
            )
        except allowed:
            assert documents[-1]["findings"]
        return documents.pop()

    return run


@pytest.fixture
def naive_onnx(tmp_path: Path) -> Path:
    """A pool in ceil mode."""
    path = tmp_path / "naive.onnx"
    path.write_bytes(pooled(14, 4, 4, ceil=1))
    return path


def test_an_export_has_no_finding_on_any_target(exported: Exported, lint: Lint) -> None:
    folder, manifest = exported
    document = lint(folder)
    assert document["findings"] == []
    assert {each["path"] for each in document["artifacts"]} == {a.path for a in manifest.artifacts}
    targets = {target for each in document["artifacts"] for target in each["targets"]}
    assert targets == {"ort-cpu", "xnnpack", "litert-gpu", "htp", "ane"}
    assert all(each["operations"] > 100 for each in document["artifacts"])


def test_only_the_artifacts_that_a_target_takes_are_linted(exported: Exported, lint: Lint) -> None:
    document = lint(exported[0], "--target", "ane")
    assert {each["format"] for each in document["artifacts"]} == {"coreml"}


def test_one_artifact_of_an_export_can_be_linted(exported: Exported, lint: Lint) -> None:
    artifact = exported[1].find("tflite", "fp16")
    assert artifact is not None
    document = lint(exported[0] / artifact.path, "--target", "xnnpack")
    (linted,) = document["artifacts"]
    assert (linted["format"], linted["targets"]) == ("tflite", ["xnnpack"])


def test_a_changed_artifact_is_not_read(exported: Exported, tmp_path: Path, lint: Lint) -> None:
    folder = shutil.copytree(exported[0], tmp_path / "copy")
    artifact = exported[1].find("onnx", "fp32")
    assert artifact is not None
    path = folder / artifact.path
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    for given in (folder, path):
        with pytest.raises(UserError, match="sha256"):
            lint(given)


@pytest.mark.slow
def test_a_naive_export_has_findings_that_name_the_operations(tmp_path: Path, lint: Lint) -> None:
    size = (112, 64)  # a map of 7x4 in windows of 3x2: padding that SAME is not
    naive = request(tmp_path, targets=("onnx", "tflite"), size=size, rewrites=False)
    folder, _ = export(naive)
    found = lint(folder, allow_findings=True)["findings"]
    named = {(each["target"], each["op"]) for each in found}
    assert {
        ("htp", "AveragePool"),
        ("xnnpack", "STABLEHLO_REDUCE_WINDOW"),
        ("litert-gpu", "STABLEHLO_REDUCE_WINDOW"),
        ("litert-gpu", "RESHAPE"),
        ("litert-gpu", "SLICE"),
    } <= named


def test_a_finding_says_where_why_what_to_do_and_from_where(naive_onnx: Path, lint: Lint) -> None:
    (found,) = lint(naive_onnx, "--target", "htp", allow_findings=True)["findings"]
    assert found.keys() == {
        "artifact", "target", "op", "place", "reason", "remedy", "rule", "source",
    }  # fmt: skip
    assert (found["target"], found["op"], found["rule"]) == ("htp", "AveragePool", "ceil-pool")
    assert all(found.values())


def test_findings_fail_and_advice_does_not(naive_onnx: Path, lint: Lint) -> None:
    with pytest.raises(GateFailedError, match=r"1 operations? would .* AveragePool \(htp\)"):
        lint(naive_onnx)
    document = lint(naive_onnx, "--target", "ort-cpu")
    assert document["findings"] == []


def test_a_target_that_no_artifact_serves_names_the_format_it_takes(
    naive_onnx: Path, lint: Lint
) -> None:
    with pytest.raises(UserError, match="'ane' takes coreml, this is onnx; run: lolvit export"):
        lint(naive_onnx, "--target", "htp,ane")


def test_an_unknown_target_lists_the_targets(naive_onnx: Path, lint: Lint) -> None:
    with pytest.raises(UserError, match="unknown target 'htpp'; did you mean 'htp'"):
        lint(naive_onnx, "--target", "htpp")


def test_tables_name_operations_on_standard_output_alone(naive_onnx: Path) -> None:
    result = CliRunner().invoke(lint_command.lint, [str(naive_onnx)])
    assert isinstance(result.exception, GateFailedError)
    assert result.stderr == ""
    assert "AveragePool: t1" in result.stdout
    assert "htp/ceil-pool: measured with" in result.stdout


def test_tables_are_plain_and_brackets_in_names_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "[red]model.tflite"
    path.write_bytes(reshape(MAP, (1, 8, 8, 2, 8)))
    result = CliRunner().invoke(lint_command.lint, [str(path)])
    assert "[red]model.tflite: findings" in result.stdout
    assert "\x1b[" not in result.stdout


def test_a_clean_file_says_so(tmp_path: Path) -> None:
    path = tmp_path / "clean.tflite"
    path.write_bytes(unary("RELU"))
    result = CliRunner().invoke(lint_command.lint, [str(path)])
    assert result.exit_code == 0
    assert result.stdout.splitlines()[-1] == "no finding"


def test_the_exit_code_is_the_command_lines(
    run_lolvit: Callable[..., Any], naive_onnx: Path
) -> None:
    done = run_lolvit("lint", naive_onnx, "--json")
    assert done.returncode == 1
    assert json.loads(done.stdout)["findings"][0]["op"] == "AveragePool"
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("missing.onnx", None, "no such artifact"),
        ("model.pt", b"PK", "is not an artifact"),
        ("model.onnx", b"", "not a valid ONNX file|no.*model"),
        ("model.onnx", b"\x00garbage" * 99, "not a valid ONNX file"),
        ("model.tflite", bytes.fromhex("1800000054464c33"), "not a valid TFLite file"),
        ("model.tflite", b"", "not a valid TFLite file"),
    ],
)
def test_what_is_no_artifact_gives_one_line(
    name: str, content: bytes | None, message: str, tmp_path: Path, lint: Lint
) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(LolvitError, match=message) as caught:
        lint(path)
    assert isinstance(caught.value, UserError)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


def test_a_folder_that_is_no_package_gives_one_line(tmp_path: Path, lint: Lint) -> None:
    package = tmp_path / "model.mlpackage"
    package.mkdir()
    with pytest.raises(UserError, match=r"not a Core ML package"):
        lint(package)
    with pytest.raises(UserError, match=r"no manifest.json here"):
        lint(tmp_path)


def test_a_core_ml_package_cut_short_gives_one_line(
    exported: Exported, tmp_path: Path, lint: Lint
) -> None:
    artifact = exported[1].find("coreml", "fp16")
    assert artifact is not None
    package = shutil.copytree(exported[0] / artifact.path, tmp_path / "m.mlpackage")
    model = next(package.rglob("*.mlmodel"))
    model.write_bytes(model.read_bytes()[: model.stat().st_size // 2])
    with pytest.raises(UserError, match=r"its model cannot be parsed"):
        lint(package)
