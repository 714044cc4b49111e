"""What the driver of the Swift tests makes of Swift's output; make ios-test runs Swift itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from ios_build import testing
from ios_build.cli import main
from ios_build.testing import Build, run_tests
from lolvit.errors import DeviceError, GateFailedError, LolvitError

PASSED = "✔ Test run with 27 tests passed after 4.789 seconds."
FAILED = "✘ Test a() recorded an issue at A.swift:1:6: Expectation failed"


@pytest.fixture
def build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Build:
    monkeypatch.setattr(testing, "require_machine", lambda: None)
    monkeypatch.setattr(testing, "find_installation", lambda: {"swift": "Swift version 6.0.3"})
    found = Build(tmp_path / "package", tmp_path / "build")
    found.fixtures.mkdir(parents=True)
    (found.fixtures / "predictions.json").write_text("[]")
    return found


def swift_prints(monkeypatch: pytest.MonkeyPatch, text: str, code: int) -> list[str]:
    """Have Swift print a text and end; return the scripts that it is asked to run."""
    scripts: list[str] = []

    def command(script: str, *, folders: dict[str, Path]) -> list[str]:
        assert set(folders) == {"/package", "/build", "/fixtures"}
        scripts.append(script)
        return ["sh", "-c", f'printf "%s\\n" "$1"; exit {code}', "sh", text]

    monkeypatch.setattr(testing, "command", command)
    return scripts


def test_passed_tests_are_counted(build, monkeypatch) -> None:
    (script,) = [swift_prints(monkeypatch, f"compiled\n{PASSED}", 0)]
    outcome = run_tests(build, "Manifest", keep=True)
    assert (outcome.tests, outcome.swift) == (27, "Swift version 6.0.3")
    assert "-warnings-as-errors" in script[0] and script[0].endswith("--filter Manifest")


@pytest.mark.parametrize(
    ("text", "code", "kind", "line"),
    [
        (f"\ncompiled\n{FAILED}", 1, GateFailedError, "Test a() recorded an issue at A.swift:1:6"),
        ("A.swift:1: error: cannot convert", 1, DeviceError, "error: cannot convert"),
        ("nothing known", 9, DeviceError, "swift ended with exit code 9"),
        ("compiled\n", 0, GateFailedError, "no test ran"),
        (
            "compiled\n✔ Test run with 0 tests passed after 0.1 seconds.", 0, GateFailedError,
            "no test ran",
        ),
    ],
)  # fmt: skip
def test_everything_else_is_a_failure_of_one_line(
    text, code, kind, line, build, monkeypatch
) -> None:
    swift_prints(monkeypatch, text, code)
    with pytest.raises(LolvitError) as caught:
        run_tests(build, keep=True)
    assert type(caught.value) is kind
    assert line in caught.value.what and caught.value.where == str(build.log)


def test_without_swift_the_command_that_installs_it_is_named(build, monkeypatch, capsys) -> None:
    monkeypatch.setattr(testing, "find_installation", lambda: None)
    monkeypatch.setattr("sys.argv", ["driver", "test", "--build-dir", str(build.directory)])
    assert main() == 2
    assert capsys.readouterr().err == "ios: Swift is not installed; run: lolvit setup swift\n"
