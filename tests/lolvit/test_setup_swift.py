"""`lolvit setup swift`: what it needs, what it runs, and that nothing stays mounted."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
from pathlib import Path

import pytest

from lolvit.cli import main
from lolvit.errors import UserError
from lolvit.system import swift

pytestmark = pytest.mark.skipif(
    os.name != "posix" or not swift._can_mount(), reason="needs a mount namespace"
)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache's"))
    return tmp_path / "cache's" / "lolvit" / "swift"


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of programs that come before the system's; `log` has the downloads."""
    folder = tmp_path / "programs"
    folder.mkdir()
    given = swift.environment()
    given["PATH"] = f"{folder}:{given['PATH']}"
    monkeypatch.setattr(swift, "environment", lambda: given)
    return folder


def program(folder: Path, name: str, script: str) -> None:
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)


def installable(programs: Path) -> None:
    """An apt that brings files named as packages, and a chroot in which Swift tells its version."""
    archives = " ".join(f"{name}_1%3a2_amd64.deb" for name in (*swift.PACKAGES, "libc6"))
    download = f'echo $2 >>{programs}/log; cd "$(dirname "$2")/archives"; touch {archives}'
    program(programs, "apt-get", f"case $* in *--download-only*) {download} ;; esac")
    program(programs, "dpkg-deb", f'echo $2 >>{programs}/unpacked; mkdir -p "$3/usr/bin"')
    program(programs, "chroot", "case $* in *--version*) echo Swift version 6.0.3 ;; esac")


def test_it_installs_once(cache, programs, capfd) -> None:
    installable(programs)
    for attempt in range(2):
        assert main(["setup", "swift", "--json"]) == 0
        captured = capfd.readouterr()
        assert ("downloading about 550 MB" in captured.err) == (attempt == 0)
        document = json.loads(captured.out)
        assert document["folder"] == str(cache / "trixie")
        assert document["swift"] == "Swift version 6.0.3"
    assert len((programs / "log").read_text().splitlines()) == 1
    assert [path.name for path in cache.iterdir()] == ["trixie"]
    unpacked = (programs / "unpacked").read_text().splitlines()
    # The folders' links come first, and what the packages need after them.
    assert [Path(path).name.split("_")[0] for path in unpacked] == [*swift.PACKAGES, "libc6"]
    assert (cache / "trixie/usr/bin/swift").is_symlink()
    assert main(["setup", "swift", "--reinstall"]) == 0
    assert len((programs / "log").read_text().splitlines()) == 2


def test_a_failed_download_is_one_line_and_leaves_nothing(cache, programs, capfd) -> None:
    program(programs, "apt-get", "echo E: Failed to fetch >&2; exit 100")
    assert main(["setup", "swift"]) == 3
    error = capfd.readouterr().err.splitlines()[-1]
    assert error.startswith("lolvit: apt-get: failed: E: Failed to fetch; check the network")
    assert [path.name for path in cache.iterdir()] == ["downloads"]


def test_a_failed_reinstallation_keeps_what_was_there(cache, programs) -> None:
    installable(programs)
    assert main(["setup", "swift"]) == 0
    program(programs, "chroot", "exit 7")
    assert main(["setup", "swift", "--reinstall"]) == 3
    assert swift.find_installation() is not None


def test_folders_are_mounted_for_the_program_alone(cache, programs, tmp_path) -> None:
    root, outside = cache / "trixie", tmp_path / "a 'b' c"
    root.mkdir(parents=True)
    outside.mkdir()
    (outside / "file").write_text("content")
    program(programs, "chroot", 'cat "$1/package/file"; cat /proc/self/mounts; echo "$4"')
    arguments = swift.command("echo 'x y'", folders={"/package": outside})
    done = subprocess.run(arguments, env=swift.environment(), capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("content") and done.stdout.endswith("echo 'x y'\n")
    mounted = [line for line in done.stdout.splitlines() if "/swift/trixie/" in line]
    assert {line.split()[1].rpartition("/")[2] for line in mounted} >= {"proc", "dev", "package"}
    assert "/swift/trixie/" not in Path("/proc/self/mounts").read_text()
    assert [path.name for path in (root / "package").iterdir()] == []


def test_only_network_settings_reach_the_programs_inside(monkeypatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://localhost:1")
    monkeypatch.setenv("SECRET", "x")
    assert set(swift.environment()) == {
        "PATH", "HOME", "LANG", *(k for k in os.environ if k.lower().endswith("_proxy"))
    }  # fmt: skip


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (
            ("platform.system", lambda: "Darwin"),
            "for Linux, not Darwin; on a Mac, Swift comes",
        ),
        (("platform.machine", lambda: "riscv64"), "Debian has no Swift for riscv64"),
        (("shutil.which", lambda tool, path: None), "apt-get is missing; run: apt-get install apt"),
        (("lolvit.system.swift._can_mount", lambda: False), "no mount namespaces, in which Swift"),
    ],
)
def test_a_machine_that_cannot_is_told_why(change, line, monkeypatch) -> None:
    monkeypatch.setattr(*change)
    with pytest.raises(UserError, match=line):
        swift.require_machine()


def test_a_damaged_installation_is_none(cache) -> None:
    assert swift.find_installation() is None
    (cache / "trixie").mkdir(parents=True)
    (cache / "trixie" / "lolvit-swift.json").write_text("{")
    assert swift.find_installation() is None
    assert shlex.quote(str(cache)) != str(cache)  # the path of these tests needs quoting
