"""What the driver of the Swift tests makes of Swift's output; make ios-test runs Swift itself."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from ios_build import testing
from ios_build.cli import main
from ios_build.mutations import MUTATIONS, Mutation
from ios_build.testing import Build, check_result, run_app_tests, run_tests
from lolvit.errors import DeviceError, GateFailedError, LolvitError

# Written by ComparisonTests.swift in make ios-test.
RESULT = Path(__file__).parent / "result.json"
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
        assert {"/ios/LOLViT", "/build"} <= set(folders)
        scripts.append(script)
        return ["sh", "-c", f'printf "%s\\n" "$1"; exit {code}', "sh", text]

    monkeypatch.setattr(testing, "command", command)
    return scripts


def test_passed_tests_are_counted(build, monkeypatch) -> None:
    (script,) = [swift_prints(monkeypatch, f"compiled\n{PASSED}", 0)]
    outcome = run_tests(build, "Manifest", keep=True)
    assert (outcome.tests, outcome.swift) == (27, "Swift version 6.0.3")
    assert "-warnings-as-errors" in script[-1] and script[-1].endswith("--filter Manifest")
    assert "export LOLVIT_STUBS=1" in script[0]


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


@pytest.fixture
def package(build) -> Path:
    """The Swift package, which the mutations change in a copy."""
    shutil.copytree(testing.REPOSITORY / "ios_demo" / "LOLViT", build.package)
    return build.package


def test_each_mutation_changes_one_text_of_the_package(package, tmp_path) -> None:
    for mutation in MUTATIONS:
        copy = tmp_path / mutation.name
        shutil.copytree(package, copy)
        mutation.apply(copy)
        changed = [
            path.relative_to(package)
            for path in package.rglob("*.swift")
            if path.read_text() != (copy / path.relative_to(package)).read_text()
        ]
        assert [path.name for path in changed] == [mutation.file]


def test_a_mutation_that_no_test_notices_fails_the_run(build, package, monkeypatch) -> None:
    swift_prints(monkeypatch, f"compiled\n{PASSED}", 0)
    with pytest.raises(GateFailedError, match=f"noticed the mutation '{MUTATIONS[0].name}'"):
        run_tests(build, keep=True, mutate=True)


def test_a_mutation_whose_text_is_gone_is_named(package) -> None:
    with pytest.raises(GateFailedError, match="its text occurs 0 times"):
        Mutation("gone", "Boxes.swift", "no such text", "").apply(package)


def test_a_result_document_with_another_speedup_than_its_samples_is_rejected(tmp_path) -> None:
    assert check_result(tmp_path / "none.json") is None
    document = json.loads(RESULT.read_text())
    document["results"][0]["speedup"]["ratio"] *= 1.001
    (tmp_path / "result.json").write_text(json.dumps(document))
    with pytest.raises(GateFailedError, match="is not Python's"):
        check_result(tmp_path / "result.json")


def test_report_and_compare_open_the_document_that_swift_wrote(run_lolvit, tmp_path) -> None:
    assert "coreml-ane fp16" in (check_result(RESULT) or "")
    shown = run_lolvit("report", RESULT, "--out", tmp_path / "report.html", "--json")
    assert shown.returncode == 0, shown.stderr
    assert "lolvit_xx" in (tmp_path / "report.html").read_text()
    compared = run_lolvit("compare", RESULT, RESULT, "--json")
    assert compared.returncode == 0, compared.stderr
    assert json.loads(compared.stdout)["changes"][0]["change"] == 0


def test_without_swift_the_command_that_installs_it_is_named(build, monkeypatch, capsys) -> None:
    monkeypatch.setattr(testing, "find_installation", lambda: None)
    monkeypatch.setattr("sys.argv", ["driver", "test", "--build-dir", str(build.directory)])
    assert main() == 2
    assert capsys.readouterr().err == "ios: Swift is not installed; run: lolvit setup swift\n"


def test_a_machine_without_namespaces_is_told_so(monkeypatch, capsys) -> None:
    monkeypatch.setattr("lolvit.system.swift._can_mount", lambda: False)
    monkeypatch.setattr("sys.argv", ["driver", "available"])
    assert main() == 2
    assert capsys.readouterr().err.startswith("ios: this machine grants no mount namespaces")


def test_the_apps_state_is_compiled_beside_the_library_and_its_result_opened(
    build, monkeypatch, tmp_path
) -> None:
    app = Build(tmp_path / "app", build.directory, library=build.package)
    found: list[tuple[str, dict[str, Path]]] = []

    def command(script: str, *, folders: dict[str, Path]) -> list[str]:
        found.append((script, folders))
        return ["printf", "%s\\n", f"compiled\n{PASSED}"]

    monkeypatch.setattr(testing, "command", command)
    with pytest.raises(GateFailedError, match="benchmark wrote no result"):
        run_app_tests(app)
    shutil.copy(RESULT, app.results / "app-result.json")
    assert run_app_tests(app) == 27
    script, folders = found[-1]
    assert "cd /ios/App/DemoState &&" in script
    assert folders["/ios/LOLViT"] == build.package
    # In one folder with the library's tests: what is compiled of the library is used again.
    assert folders["/build"] == build.compiled
