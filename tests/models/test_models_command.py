"""`lolvit models`: the table, and the JSON that others rely on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from lolvit.models import VARIANTS, create_model, macs_of, parameters_of
from lolvit.models_command import models
from tests.conftest import Run


@pytest.fixture(scope="module")
def rows() -> dict[str, dict[str, object]]:
    result = CliRunner().invoke(models, ["--json"])
    assert result.exit_code == 0
    return {row["name"]: row for row in json.loads(result.stdout)["models"]}


def test_each_variant_is_listed_once_in_the_order_of_the_table(rows: dict[str, object]) -> None:
    assert list(rows) == list(VARIANTS)


@pytest.mark.parametrize("name", VARIANTS)
def test_a_row_has_the_sizes_of_the_variant_and_of_its_baseline(
    rows: dict[str, dict[str, object]], name: str
) -> None:
    model, baseline = create_model(name), create_model(VARIANTS[name].baseline)
    assert rows[name] == {
        "name": name,
        "params": parameters_of(model),
        "macs": macs_of(model),
        "size": 256,
        "classifier_params": parameters_of(model.get_classifier()),
        "baseline": VARIANTS[name].baseline,
        "baseline_params": parameters_of(baseline),
        "baseline_macs": macs_of(baseline),
        "baseline_classifier_params": parameters_of(baseline.get_classifier()),
    }


def test_the_table_shows_what_the_json_holds(rows: dict[str, dict[str, object]]) -> None:
    result = CliRunner().invoke(models, [])
    assert result.exit_code == 0 and result.stderr == ""
    for row in rows.values():
        line = next(line for line in result.stdout.splitlines() if f" {row['name']} " in line)
        assert f"{row['params']:,}" in line and f"{row['baseline_params']:,}" in line
        assert str(row["baseline"]) in line


def test_a_narrow_terminal_gets_lines_with_every_figure(
    rows: dict[str, dict[str, object]], monkeypatch: pytest.MonkeyPatch
) -> None:
    from rich.console import Console

    monkeypatch.setattr("lolvit.models_command.results", lambda: Console(width=40))
    lines = CliRunner().invoke(models, []).stdout.splitlines()
    assert all(len(line) <= 40 for line in lines)
    for row in rows.values():
        assert f"model: {row['name']}" in lines
        assert f"baseline: {row['baseline']}" in lines
        assert f"its parameters: {row['baseline_params']:,}" in lines


@pytest.mark.slow
def test_the_command_prints_one_document_and_nothing_else(run_lolvit: Run, tmp_path: Path) -> None:
    result = run_lolvit("models", "--json", cwd=tmp_path)
    assert result.returncode == 0
    assert set(json.loads(result.stdout)) == {"models"}
    assert "Traceback" not in result.stderr
