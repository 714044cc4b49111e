"""Where documents and tables go."""

from __future__ import annotations

import json
import math
import os

import pytest

from lolvit.output import console, document_only_stdout, document_printed, print_json


def test_a_document_goes_to_standard_output(capfd: pytest.CaptureFixture[str]) -> None:
    print_json({"size": [192, 320]})
    out, err = capfd.readouterr()
    assert (json.loads(out), err) == ({"size": [192, 320]}, "")


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_document_with_a_number_that_json_does_not_have_is_an_error(value: float) -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        print_json({"value": value})


def test_standard_output_is_given_back_after_the_block(capfd: pytest.CaptureFixture[str]) -> None:
    with document_only_stdout():
        assert not document_printed()
        os.write(1, b"inside\n")
        print_json({"inside": True})
        assert document_printed()
    os.write(1, b"after\n")
    out, err = capfd.readouterr()
    assert out.endswith("after\n")
    assert json.loads(out.removesuffix("after\n")) == {"inside": True}
    assert err == "inside\n"


def test_a_wide_table_off_a_terminal_keeps_its_columns_and_has_no_colour(
    capfd: pytest.CaptureFixture[str],
) -> None:
    from rich.table import Table

    table = Table("first", "last")
    table.add_row("x" * 200, "[bold]end[/bold]")
    console().print(table)
    out, err = capfd.readouterr()
    assert out == ""
    assert "x" * 200 in err
    assert "end" in err
    assert "\x1b" not in err
