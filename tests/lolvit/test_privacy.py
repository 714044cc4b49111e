"""Nothing leaves the machine and nothing is written outside of the toolkit's cache."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.data.images import write_folder

pytestmark = pytest.mark.slow
CALLS = "connect,bind,sendto,sendmsg,openat,creat,mkdir,mkdirat,rename,renameat2"
_NETWORK = re.compile(r"sa_family=AF_INET6?\b")
_WRITES = re.compile(
    r'openat\(AT_FDCWD, "([^"]+)", [^)]*O_(?:WRONLY|RDWR|CREAT)|mkdir(?:at)?\([^"]*"([^"]+)"'
)
# Where any process may write: devices, its own state, other mounts of temporary memory.
_ANYWHERE = ("/dev/", "/proc/", "/sys/")


def traced(folder: Path, *arguments: str | Path) -> tuple[list[str], list[str]]:
    """Run a command and its children under strace, with a home of its own; return the calls that
    name an address of a network, and the files written outside of `folder`."""
    log, home = folder / "trace", folder / "home"
    home.mkdir(exist_ok=True)
    (folder / "tmp").mkdir(exist_ok=True)
    environment = os.environ | {"HOME": str(home), "TMPDIR": str(folder / "tmp")}
    environment["PYTHONDONTWRITEBYTECODE"] = "1"  # else Python caches its modules beside them
    for name in ("XDG_CACHE_HOME", "XDG_CONFIG_HOME", "ORT_DISABLE_TELEMETRY", "MPLCONFIGDIR"):
        environment.pop(name, None)
    command = ["strace", "-f", "--seccomp-bpf", "-qq", "-s", "300", "-e", f"trace={CALLS}"]
    done = subprocess.run(
        [*command, "-o", log, sys.executable, "-m", "lolvit", *map(str, arguments)],
        cwd=folder, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    lines = log.read_text(errors="replace").splitlines()
    done_lines = [line for line in lines if " = -1 " not in line]
    written = {match[1] or match[2] for line in done_lines if (match := _WRITES.search(line))}
    return (
        [line for line in lines if _NETWORK.search(line)],
        sorted(path for path in written if _is_outside(path, folder)),
    )


def _is_outside(path: str, folder: Path) -> bool:
    absolute = Path(os.path.normpath(folder / path))
    return not absolute.is_relative_to(folder) and not path.startswith(_ANYWHERE)


def in_home(folder: Path) -> list[str]:
    """Return what lies below HOME, but for the toolkit's cache."""
    home = folder / "home"
    files = (str(path.relative_to(home)) for path in home.rglob("*") if path.is_file())
    return sorted(path for path in files if not path.startswith(".cache/lolvit/"))


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
    network, outside = traced(
        made, "export", "lolvit_xx", *weights, "--to", "onnx,tflite", "--out", "out"
    )
    assert (network, outside, in_home(made)) == ([], [], [])
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
    network, outside = traced(folder, *arguments)
    assert (network, outside, in_home(folder)) == ([], [], [])


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
