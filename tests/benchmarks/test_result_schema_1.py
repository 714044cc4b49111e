"""Result files of schema version 1 are read as those of version 2."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lolvit.errors import UserError
from lolvit_benchmarks.analysis import quality
from lolvit_benchmarks.reporting.html import as_html
from lolvit_benchmarks.reporting.table import as_markdown
from lolvit_benchmarks.results import schema_1
from lolvit_benchmarks.results.document import Document
from lolvit_benchmarks.results.files import as_text, read_result, save
from tests.benchmarks import documents
from tests.conftest import Run

# `lolvit bench lolvit_xx --against mobilevit_xxs --runtime ort --profile quick --profile-ops
# --sustain 0.05`, written by the last version of lolvit that wrote schema version 1.
FIXTURE = Path(__file__).parent / "results" / "schema-1.json"


@pytest.fixture
def old() -> dict[str, Any]:
    content: dict[str, Any] = json.loads(FIXTURE.read_text())
    return content


def test_every_value_is_kept_under_its_new_name(old: dict[str, Any]) -> None:
    document = read_result(FIXTURE)
    (was,), (result,) = old["results"], document.results
    assert document.schema_version == 2
    assert document.quality_rule.startswith("Converted from schema version 1")
    for one, before in ((result.candidate, was["a"]), (result.baseline, was["b"])):
        assert list(one.samples) == before["samples"]
        assert (one.model, one.median_ms) == (before["model"], before["median_ms"])
        assert one.between_block_range == before["drift"]
        assert one.sustained is not None and one.operation_profile is not None
        assert one.operation_profile.roofline_share == before["profile"]["roof_share"]
    assert result.speedup.model_dump() == was["speedup"] | {"over": None}
    assert (result.placement.candidate, result.placement.baseline) == (
        was["placement"]["a"], was["placement"]["b"],
    )  # fmt: skip
    half_width = np.log(was["speedup"]["high"] / was["speedup"]["low"]) / 2
    assert result.quality.half_width == pytest.approx(half_width)
    assert result.quality.state == quality.grade(half_width)
    assert result.quality.winner == schema_1.WINNERS[was["verdict"]["winner"]]
    assert result.quality.reasons == ()
    assert [finding.text for finding in result.quality.findings] == [
        reason["text"] for reason in was["verdict"]["reasons"]
    ]
    assert "between-block-range" in [finding.code for finding in result.quality.findings]
    assert result.roofline is not None and result.roofline.by == was["roof"]["by"]


def test_an_upgraded_document_is_saved_and_read_as_version_2(tmp_path: Path) -> None:
    document = read_result(FIXTURE)
    save(document, tmp_path / "r.json")
    assert json.loads((tmp_path / "r.json").read_text())["schema_version"] == 2
    assert read_result(tmp_path / "r.json") == document


def downgraded(document: Document) -> dict[str, Any]:
    """Return a document under the names of version 1."""
    text = as_text(document)
    rule = json.dumps(document.quality_rule)[1:-1]
    text = text.replace(rule, "of version 1")
    names = {
        "candidate": "a", "baseline": "b", "quality": "verdict", "roofline": "roof",
        "quality_rule": "rule", "between_block_range": "drift", "operation_profile": "profile",
        "roofline_share": "roof_share", "between-block-range": "drift",
    }  # fmt: skip
    for new, old in names.items():
        text = text.replace(f'"{new}"', f'"{old}"')
    content: dict[str, Any] = json.loads(text) | {"schema_version": 1}
    for result in content["results"]:
        del result["speedup"]["over"]
        found = result["verdict"]
        found["state"] = "UNSTABLE" if found["findings"] else "STABLE"
        found["reasons"] = [*found["reasons"], *found.pop("findings")]
        del found["half_width"]
    return content


@pytest.mark.parametrize(("low", "high"), [(5e-324, 1.7e308), (1, 10**400)])
def test_an_interval_without_a_width_is_one_line(
    low: float, high: float, old: dict[str, Any], tmp_path: Path
) -> None:
    old["results"][0]["speedup"] |= {"low": low, "ratio": 1.0, "high": high}
    (tmp_path / "old.json").write_text(json.dumps(old))
    with pytest.raises(UserError, match=r"half_width|an integer is too large"):
        read_result(tmp_path / "old.json")


@pytest.mark.parametrize("winner", ["candidate", "baseline", None])
def test_winners_and_estimates_are_upgraded(winner: str | None, tmp_path: Path) -> None:
    from tests.benchmarks.test_matrix import estimate

    result = documents.result()
    changed = {
        "quality": result.quality.model_copy(update={"winner": winner}),
        "speedup": result.speedup.model_copy(update={"over": None}),
    }
    document = documents.document(
        result.model_copy(update=changed),
        estimates=(estimate(),),
        quality_rule=schema_1.RULE + quality.rule(),
    )
    (tmp_path / "old.json").write_text(json.dumps(downgraded(document)))
    read = read_result(tmp_path / "old.json")
    assert read == document


def test_an_interrupted_result_of_version_1_is_invalid(old: dict[str, Any], tmp_path: Path) -> None:
    reason = {"code": "interrupted", "text": "interrupted before all runs were made"}
    old["results"][0]["verdict"]["reasons"].append(reason)
    (tmp_path / "old.json").write_text(json.dumps(old))
    (result,) = read_result(tmp_path / "old.json").results
    assert (result.quality.state, result.quality.winner) == ("INVALID", None)
    assert [one.code for one in result.quality.reasons] == ["interrupted"]
    assert len(result.quality.findings) == len(old["results"][0]["verdict"]["reasons"]) - 1


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("results",), None),
        (("results", 0), 1),
        (("results", 0, "a"), []),
        (("results", 0, "a", "samples"), []),
        (("results", 0, "a", "profile"), "none"),
        (("results", 0, "verdict"), None),
        (("results", 0, "verdict", "winner"), ["a"]),
        (("results", 0, "verdict", "reasons"), {}),
        (("results", 0, "verdict", "reasons", 0), 7),
        (("results", 0, "placement"), 3),
        (("estimates",), 1),
    ],
)
def test_a_wrong_field_of_version_1_is_reported_in_one_line(
    old: dict[str, Any], tmp_path: Path, place: tuple[str | int, ...], value: object
) -> None:
    inner: Any = old
    for step in place[:-1]:
        inner = inner[step]
    inner[place[-1]] = value
    (tmp_path / "r.json").write_text(json.dumps(old))
    with pytest.raises(UserError, match="field '") as caught:
        read_result(tmp_path / "r.json")
    assert "\n" not in caught.value.line()


def test_reports_show_a_document_of_version_1() -> None:
    document = read_result(FIXTURE)
    for text in (as_markdown([document]), as_html([document])):
        assert "lolvit_xx" in text and "mobilevit_xxs" in text
        assert "of the roofline of" in text and "Without a pause" in text


def test_report_and_compare_read_a_file_of_version_1(run_lolvit: Run, tmp_path: Path) -> None:
    page, new = tmp_path / "page.html", tmp_path / "new.json"
    shown = run_lolvit("report", FIXTURE, "--out", page, "--json")
    assert shown.returncode == 0, shown.stderr
    assert json.loads(shown.stdout)["results"] == 1 and page.exists()
    save(read_result(FIXTURE), new)
    compared = run_lolvit("compare", FIXTURE, new, "--json")
    assert compared.returncode == 0, compared.stderr
    (change,) = json.loads(compared.stdout)["changes"]
    assert change["change"] == pytest.approx(0, abs=1e-12)
