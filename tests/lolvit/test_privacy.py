"""Nothing leaves the machine and nothing is written outside of the toolkit's cache."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.data.images import write_folder
from tests.privacy import traced

pytestmark = pytest.mark.slow
NOTHING: tuple[tuple[str, ...], ...] = ((), (), ())


def found(folder: Path, *arguments: str) -> tuple[tuple[str, ...], ...]:
    """Run a command under strace; return its network addresses, this machine's too, what it writes
    outside of `folder`, and what it leaves in its home beside the toolkit's cache."""
    trace = traced(folder, *arguments)
    assert trace.exit_code == 0, trace.error
    network = tuple(s for s in trace.sockets if " INET" in s and not s.startswith("socket"))
    return network, trace.outside, trace.in_home


@pytest.fixture(scope="module")
def strace() -> None:
    """Skip where system calls can't be traced."""
    program = shutil.which("strace")
    if program is None or subprocess.run([program, "-qq", "-e", "trace=none", "true"]).returncode:
        pytest.skip("strace is not installed, or may not trace here")


@pytest.fixture(scope="module")
def folder(strace: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a data set, an export, and where everything is written."""
    made = tmp_path_factory.mktemp("private")
    write_folder(made / "data", 8, 4)
    weights = ["--weights", "lolvit_xx.digits", "--size", "32"]
    exported = found(made, "export", "lolvit_xx", *weights, "--to", "onnx,tflite", "--out", "out")
    assert exported == NOTHING
    return made


MODEL = "out/lolvit_xx-32x32"


@pytest.mark.parametrize(
    "arguments",
    [
        *(["predict", MODEL, "data/test/0/0000.png", "--runtime", r]
          for r in ("ort", "litert", "openvino")),
        ["evaluate", MODEL, "--data", "digits", "--limit", "10"],
        ["train", "--data", "data", "--model", "lolvit_xx", "--size", "32", "--epochs", "1",
         "--batch-size", "8", "--out", "run"],
        ["report", "results.json", "--out", "report.html"],
        ["doctor"],
    ],
    ids=lambda arguments: "-".join(arguments[:1] + arguments[4:5]),
)  # fmt: skip
def test_a_command_opens_no_connection_and_writes_only_where_it_says(
    folder: Path, arguments: list[str]
) -> None:
    if "results.json" in arguments:
        made = sorted((Path(__file__).parents[1] / "benchmarks" / "results").glob("*.json"))[-1]
        shutil.copy(made, folder / "results.json")
    assert found(folder, *arguments) == NOTHING


@pytest.mark.parametrize(
    "module", ["lolvit_runtimes.ort", "lolvit_export", "lolvit_benchmarks", "lolvit"]
)
def test_telemetry_is_off_whichever_part_is_imported_first(module: str) -> None:
    environment = {n: v for n, v in os.environ.items() if "TELEMETRY" not in n}
    code = f"import {module}, os; print(os.environ['ORT_DISABLE_TELEMETRY'])"
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout == "1\n"
