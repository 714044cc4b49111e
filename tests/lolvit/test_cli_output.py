"""Where documents and tables go."""

from __future__ import annotations

import contextlib
import json
import math
import os
import pty
import re
import sys

import pytest

from lolvit.output import (
    Finished,
    console,
    document_only_stdout,
    document_printed,
    print_json,
    print_table,
    results,
    step_progress,
)


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
    table.add_row("x" * 200, "end")
    console().print(table)
    out, err = capfd.readouterr()
    assert out == ""
    assert "x" * 200 in err
    assert "end" in err
    assert "\x1b" not in err


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("cell [cd4]", "cell [cd4]"),
        ("bad [/b]", "bad [/b]"),
        ("[link=x]:cat:", "[link=x]:cat:"),
        ("caf\udce9.png", r"caf\xe9.png"),
        ("\x1b[2J", r"\x1b[2J"),
        ("two\u2028lines", r"two\u2028lines"),
    ],
)
def test_a_name_is_printed_as_it_is_in_lines_and_tables(
    name: str, shown: str, capfd: pytest.CaptureFixture[str]
) -> None:
    from rich.table import Table

    results().print(name)
    table = Table(name, title=name)
    table.add_row(name)
    print_table(table, results())
    out, _ = capfd.readouterr()
    assert out.count(shown) == 4
    assert "\x1b" not in out


def test_a_terminal_narrower_than_a_table_gets_a_line_for_each_cell(
    capfd: pytest.CaptureFixture[str],
) -> None:
    from rich.table import Table

    table = Table("model", "parameters", "baseline")
    table.add_row("lolvit_xx", "1,283,472", "mobilevit_xxs")
    out = results()
    out.width = 30
    print_table(table, out)
    assert capfd.readouterr().out.splitlines() == [
        "model: lolvit_xx",
        "parameters: 1,283,472",
        "baseline: mobilevit_xxs",
        "",
    ]


def read_to_its_end(terminal: int) -> bytes:
    """Return all that a terminal has got, whose other end is closed."""
    parts = []
    with open(terminal, "rb", buffering=0) as stream, contextlib.suppress(OSError):
        while part := stream.read(1 << 12):
            parts.append(part)
    return b"".join(parts)


def steps_shown(monkeypatch: pytest.MonkeyPatch, encoding: str, term: str) -> str:
    """Return what a terminal of 40 columns gets of two steps."""
    reading, writing = pty.openpty()
    for name, value in (("TERM", term), ("COLUMNS", "40"), ("NO_COLOR", "1")):
        monkeypatch.setenv(name, value)
    with os.fdopen(writing, "w", encoding=encoding) as stream:
        monkeypatch.setattr(sys, "stderr", stream)
        with step_progress() as progress:
            progress("lower to \u4e2d")
            progress(Finished("model.onnx: 24.1 dB"))
            progress("verify")
    text = read_to_its_end(reading).decode(encoding)
    return re.sub(r"\d+\.\d s", "0.0 s", text)


@pytest.mark.skipif(sys.platform != "linux", reason="opens pseudo terminals")
@pytest.mark.parametrize(("encoding", "shown"), [("utf-8", "\u4e2d"), ("latin-1", r"\u4e2d")])
def test_a_finished_step_stays_on_a_terminal_with_its_own_time(
    monkeypatch: pytest.MonkeyPatch, encoding: str, shown: str
) -> None:
    text = steps_shown(monkeypatch, encoding, "xterm")
    assert re.findall(r"^.*?( +\d+\.\d s  .+?)\r$", text, re.MULTILINE) == [
        "   0.0 s  model.onnx: 24.1 dB",
        f"   0.0 s  lower to {shown}",
        "   0.0 s  verify",
    ]
    assert text.endswith("\x1b[?25h") or "\x1b[?25h" in text.rpartition("verify")[2]


@pytest.mark.skipif(sys.platform != "linux", reason="opens pseudo terminals")
def test_standard_error_is_not_replaced_while_a_terminal_shows_steps(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Otherwise converters' progress bars are printed although its descriptor is redirected."""
    reading, writing = pty.openpty()
    monkeypatch.setenv("TERM", "xterm")
    with os.fdopen(writing, "w", encoding="utf-8") as stream, monkeypatch.context() as patched:
        patched.setattr(sys, "stderr", stream)
        with step_progress() as progress:
            progress("lower to coreml")
            assert sys.stderr is stream
    assert "lower to coreml" in read_to_its_end(reading).decode()


@pytest.mark.skipif(sys.platform != "linux", reason="opens pseudo terminals")
def test_a_terminal_that_can_not_draw_anew_gets_a_line_as_each_step_begins(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert steps_shown(monkeypatch, "utf-8", "dumb").splitlines() == [
        "[  0.0 s] lower to \u4e2d",
        "[  0.0 s] model.onnx: 24.1 dB",
        "[  0.0 s] verify",
    ]
