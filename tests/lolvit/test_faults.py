"""Machines that lack something: one clear line, or the result all the same; old results stay."""

from __future__ import annotations

import json
import os
import resource
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from lolvit.manifest import check_artifact, read_manifest
from tests.benchmarks.tiny import make_folder
from tests.data.images import write_folder

ROOT = Path(__file__).parents[2]
Fault = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return make_folder(tmp_path / "model")


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    from PIL import Image

    Image.effect_noise((64, 48), 80).convert("RGB").save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


@pytest.fixture
def app(tmp_path: Path) -> Path:
    (tmp_path / "app" / "src" / "main").mkdir(parents=True)
    (tmp_path / "app" / "build.gradle.kts").touch()
    return tmp_path / "app"


def run(*arguments: str | Path, **options: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "lolvit", *map(str, arguments)]
    return subprocess.run(
        command, capture_output=True, text=True, stdin=subprocess.DEVNULL, **options
    )


def in_namespace(script: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run a command after a shell script in namespaces of users, mounts and networks of its own."""
    unshare = ["unshare", "-rmn"]
    if shutil.which("unshare") is None or subprocess.run([*unshare, "true"]).returncode:
        pytest.skip("needs a user namespace")
    command = [sys.executable, "-m", "lolvit", *map(str, arguments)]
    return subprocess.run(
        [*unshare, "sh", "-c", f'{script}\nexec "$@"', "sh", *command],
        capture_output=True, text=True, stdin=subprocess.DEVNULL,
    )  # fmt: skip


def one_line(done: subprocess.CompletedProcess[str], code: int) -> str:
    """Check a failure's exit code, and return its only line."""
    assert done.returncode == code, done.stderr
    (line,) = done.stderr.splitlines()
    assert line.startswith("lolvit: ")
    return line


@pytest.mark.parametrize("options", ["size=8k", "size=1m,ro"], ids=["full", "read-only"])
def test_a_full_or_read_only_disk_keeps_what_was_packaged(
    model: Path, app: Path, options: str
) -> None:
    assets = app / "src" / "main" / "assets"
    assets.mkdir()
    # the former result lies on the file system that the second run finds full or read-only
    script = (
        f"mount -t tmpfs -o size=1m none {assets}\n"
        f"{sys.executable} -m lolvit package {model} --android {app} >/dev/null || exit 9\n"
        f"cp -r {assets} {app}/before\n"
        f"head -c 1m /dev/zero > {assets}/filler 2>/dev/null\n"
        f"{f'mount -o remount,bind,ro {assets}' if 'ro' in options else ':'}\n"
        f"trap 'cp -r {assets} {app}/after; rm -f {app}/after/filler' EXIT\n"
        f"{sys.executable} -m lolvit package {model} --android {app}; code=$?\n"
        f"exit $code\n"
    )
    line = one_line(in_namespace(script, "--version"), 2)
    assert "cannot write: " in line
    for copy in ("before", "after"):
        (folder,) = (app / copy / "lolvit").glob("*")
        for artifact in read_manifest(folder).artifacts:
            check_artifact(folder, artifact)


def test_without_a_network_a_model_predicts(model: Path, photo: Path) -> None:
    done = in_namespace(":", "predict", model, photo)
    assert (done.returncode, done.stderr) == (0, "")


WITHOUT_WAITING = """
# The Hub's client waits 23 s between its tries.
import time

time.sleep = lambda seconds: None
"""


def test_without_a_network_a_data_set_of_the_hub_is_one_line(tmp_path: Path) -> None:
    arguments = ["--data", "hf:owner/name", "--model", "lolvit_xx", "--out", tmp_path / "run"]
    (tmp_path / "sitecustomize.py").write_text(WITHOUT_WAITING)
    script = f"export HF_HOME={tmp_path}/hub PYTHONPATH={tmp_path}:${{PYTHONPATH:-}}"
    done = in_namespace(script, "train", *arguments)
    *tries, line = done.stderr.splitlines()  # the Hub's client tries again, and says so
    assert done.returncode == 2
    assert line.startswith("lolvit: owner/name: cannot be loaded: ")
    assert line.endswith("check the name and the network, or give a folder")
    assert all(each.startswith(("'[Errno", "Retrying")) for each in tries), tries
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_loader_workers_without_shared_memory_are_one_line(tmp_path: Path) -> None:
    data = write_folder(tmp_path / "data", 16, 4)
    arguments = ["--data", data, "--model", "lolvit_xx", "--size", "64", "--epochs", "1",
                 "--batch-size", "8", "--workers", "2", "--out", tmp_path / "run"]  # fmt: skip
    line = one_line(in_namespace("mount -t tmpfs -o size=4k none /dev/shm", "train", *arguments), 2)
    assert "/dev/shm" in line


def test_two_commands_at_once_on_one_output_leave_it_whole(model: Path, app: Path) -> None:
    command = [sys.executable, "-m", "lolvit", "package", str(model), "--android", str(app)]
    running = [
        subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    for one in running:
        _, said = one.communicate()
        assert (one.returncode, said) == (0, "")
    (folder,) = (app / "src/main/assets/lolvit").iterdir()
    for artifact in read_manifest(folder).artifacts:
        check_artifact(folder, artifact)


def test_a_folder_that_was_moved_is_used_as_before(
    model: Path, photo: Path, app: Path, tmp_path: Path
) -> None:
    before = run("predict", model, photo, "--json")
    moved = shutil.move(model, tmp_path / "elsewhere")
    after = run("predict", Path(moved).name, photo, "--json", cwd=tmp_path)
    first, second = (json.loads(done.stdout)["predictions"] for done in (before, after))
    assert first == second
    assert run("package", moved, "--android", app).returncode == 0


@pytest.mark.parametrize("clock", ["1975-01-02 00:00:00"])
def test_a_clock_that_was_set_back_changes_nothing(
    model: Path, photo: Path, app: Path, tmp_path: Path, clock: str
) -> None:
    """Debian's faketime sets all clocks when a command starts; then they go on."""
    faketime = shutil.which("faketime")
    if faketime is None:
        pytest.skip("faketime is not installed")
    bench = ["bench", model, "--against", model, "--runtime", "ort", "--profile", "quick"]
    for command in (
        ["package", model, "--android", app],
        ["predict", model, photo],
        [*bench, "--out", tmp_path / "results"],
    ):
        assert run(*command).returncode == 0  # files of today, which are then of the future
        done = subprocess.run(
            [faketime, "-m", clock, sys.executable, "-m", "lolvit",
             *map(str, command)],
            capture_output=True, text=True, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
    dates = [
        json.loads(path.read_text())["environment"]["date"][:4]
        for path in (tmp_path / "results").glob("result-*.json")
    ]
    assert sorted(dates)[0] == clock[:4] and len(dates) == 2


def test_memory_that_runs_out_is_one_line() -> None:
    """400 MB of address space hold the command line, and not torch."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (400 << 20, 400 << 20))

    line = one_line(run("models", preexec_fn=limit), 3)
    assert line.startswith("lolvit: out of memory; ")


@pytest.mark.parametrize("home", ["/proc", None], ids=["can't be written", "none"])
def test_a_home_that_cannot_be_written_is_not_needed(
    model: Path, photo: Path, app: Path, home: str | None
) -> None:
    environment = {n: v for n, v in os.environ.items() if n not in ("HOME", "XDG_CACHE_HOME")}
    if home is not None:
        environment["HOME"] = home
    for arguments in (["predict", model, photo], ["package", model, "--android", app]):
        done = run(*arguments, env=environment)
        assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_a_user_without_an_account_and_a_home(photo: Path, model: Path, tmp_path: Path) -> None:
    if Path(sys.executable).resolve().is_relative_to("/root"):
        pytest.skip("this Python is root's alone")
    for folder in (tmp_path, *tmp_path.parents):
        if folder.stat().st_uid == 0 and folder != Path("/"):
            folder.chmod(folder.stat().st_mode | stat.S_IXOTH | stat.S_IROTH)
    environment = {n: v for n, v in os.environ.items() if n not in ("HOME", "XDG_CACHE_HOME")}
    done = run("predict", model, photo, env=environment, user=12345, group=12345, extra_groups=[])
    assert (done.returncode, done.stderr) == (0, "")
    out = ["--android", tmp_path / "mine"]
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "build.gradle.kts").touch()
    refused = run("package", model, *out, env=environment, user=12345, group=12345, extra_groups=[])
    assert "cannot write: Permission denied" in one_line(refused, 2)


def test_one_core_suffices(model: Path, photo: Path) -> None:
    core = {min(os.sched_getaffinity(0))}
    done = run("predict", model, photo, preexec_fn=lambda: os.sched_setaffinity(0, core))
    assert (done.returncode, done.stderr) == (0, "")


def test_files_of_a_careful_user_are_for_nobody_else(model: Path, app: Path) -> None:
    done = run("package", model, "--android", app, umask=0o077)
    assert done.returncode == 0
    made = list((app / "src" / "main" / "assets").rglob("*"))
    assert made and all(path.stat().st_mode & 0o077 == 0 for path in made)


ODD = (
    "white space",
    "\u00e9\u0301\u4e2d\U0001f600",
    "[b]:cat:",
    "$(x);'\"",
    "/".join(["d" * 100] * 3),
)
# Python takes names as bytes of this encoding, native code always as UTF-8.
PLAIN_C = {
    "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": "",
}  # fmt: skip


@pytest.mark.parametrize("locale", [{}, PLAIN_C], ids=["UTF-8", "C"])
def test_paths_of_any_name_work_and_are_shown(
    tmp_path: Path, model: Path, photo: Path, locale: dict[str, str]
) -> None:
    images = []
    for name in ODD:
        (tmp_path / name).mkdir(parents=True)
        images.append(shutil.copy(photo, tmp_path / name / "p.png"))
    for name in ("\u00e9\u4e2d", ODD[-1]):
        folder = shutil.copytree(model, tmp_path / name / "model")
        done = run("predict", folder, *images, env=os.environ | locale)
        assert (done.returncode, done.stderr) == (0, "")
    missing = run("predict", model, tmp_path / ODD[1] / "none.png", env=os.environ | locale)
    assert "none.png" in one_line(missing, 2)


def test_names_that_are_not_unicode_are_escaped(tmp_path: Path, model: Path, photo: Path) -> None:
    name = "caf\udce9"
    odd = shutil.copy(photo, tmp_path / f"{name}.png")
    done = run("predict", model, odd, photo, env=os.environ | {"PYTHONIOENCODING": "utf-8:strict"})
    assert (done.returncode, done.stderr) == (0, "")
    assert r"caf\xe9.png" in done.stdout and "photo.png" in done.stdout
    (tmp_path / name).mkdir()
    moved = shutil.move(model, tmp_path / name / "model")
    line = one_line(run("predict", moved, photo), 2)
    assert r"caf\xe9/model/model-fp32.onnx: its path is not UTF-8" in line
