"""Writing: the old file or folder stands until the new one is whole."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from lolvit import files
from lolvit.errors import UserError
from lolvit.files import sha256_of, size_of, staged_folder, write_atomic


def run_child(program: str, folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", program]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def target(tmp_path: Path) -> Path:
    """A folder `target` that an earlier run wrote."""
    folder = tmp_path / "target"
    folder.mkdir()
    (folder / "file").write_text("previous")
    return folder


@pytest.fixture
def unwritable(tmp_path: Path) -> Path:
    """A folder that nobody, root included, can write into."""
    if os.geteuid() == 0:
        return Path("/sys")
    folder = tmp_path / "read-only"
    folder.mkdir(mode=0o555)
    return folder


def test_write_atomic_creates_parents_and_replaces(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b.json"
    write_atomic(path, "first")
    write_atomic(path, b"second")
    assert path.read_bytes() == b"second"
    assert names(path.parent) == ["b.json"]


def test_write_atomic_to_an_unwritable_folder_is_a_user_error(unwritable: Path) -> None:
    with pytest.raises(UserError, match="cannot write") as caught:
        write_atomic(unwritable / "lolvit-test.json", "x")
    assert str(unwritable / "lolvit-test.json") in str(caught.value)


def test_write_atomic_below_a_file_is_a_user_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(UserError, match="cannot write"):
        write_atomic(tmp_path / "file" / "below.json", "x")


def test_write_atomic_at_a_size_limit_keeps_the_old_file(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("previous")
    program = (
        "import resource\n"
        "from pathlib import Path\n"
        "from lolvit.errors import UserError\n"
        "from lolvit.files import write_atomic\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))\n"
        "try:\n    write_atomic(Path('f'), b'x' * 100_000)\n"
        "except UserError as error:\n    print(error)\n"
    )
    done = run_child(program, tmp_path)
    assert f"cannot write: {os.strerror(errno.EFBIG)}" in done.stdout, done.stderr
    assert (tmp_path / "f").read_text() == "previous"
    assert names(tmp_path) == ["f"]


def test_a_full_disk_keeps_the_previous_folder(tmp_path: Path) -> None:
    """On a file system of 256 KiB, in a mount namespace of its own."""
    if shutil.which("unshare") is None or subprocess.run(["unshare", "-rm", "true"]).returncode:
        pytest.skip("needs a user namespace to mount a small file system")
    program = (
        "from pathlib import Path\n"
        "from lolvit.errors import UserError\n"
        "from lolvit.files import staged_folder\n"
        "target = Path('disk/target')\n"
        "with staged_folder(target) as staging:\n"
        "    (staging / 'file').write_text('previous')\n"
        "try:\n"
        "    with staged_folder(target) as staging:\n"
        "        (staging / 'file').write_bytes(b'x' * 1_000_000)\n"
        "except UserError as error:\n    print(error)\n"
        "print(sorted(p.name for p in Path('disk').iterdir()), (target / 'file').read_text())\n"
    )
    (tmp_path / "disk").mkdir()
    (tmp_path / "program.py").write_text(program)
    script = 'mount -t tmpfs -o size=256k none disk && exec "$0" program.py'
    done = subprocess.run(
        ["unshare", "-rm", "sh", "-c", script, sys.executable],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    line, state = done.stdout.splitlines()
    assert "cannot write: No space left on device" in line
    assert state == "['target'] previous"


def test_sha256_of_a_file_is_the_digest_of_its_bytes(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"x" * 3_000_000)
    assert sha256_of(tmp_path / "f") == hashlib.sha256(b"x" * 3_000_000).hexdigest()


def test_sha256_of_a_folder_depends_on_names_and_contents(tmp_path: Path) -> None:
    def digest(**contents: str) -> str:
        folder = tmp_path / "p.mlpackage"
        shutil.rmtree(folder, ignore_errors=True)
        for name, text in contents.items():
            write_atomic(folder / "Data" / name, text)
        return sha256_of(folder)

    base = digest(a="1", b="2")
    assert digest(b="2", a="1") == base
    assert len({base, digest(a="2", b="1"), digest(a="1", c="2"), digest(a="12", b="")}) == 4


def test_size_of_a_folder_is_the_sum_of_its_files(tmp_path: Path) -> None:
    write_atomic(tmp_path / "d" / "a", b"123")
    write_atomic(tmp_path / "d" / "e" / "b", b"4567")
    assert size_of(tmp_path / "d") == 7


def test_a_staged_folder_replaces_the_previous_one_whole(target: Path) -> None:
    with staged_folder(target) as staging:
        (staging / "new").write_text("new")
        assert (target / "file").read_text() == "previous"
    assert names(target) == ["new"]
    assert names(target.parent) == ["target"]


def test_a_block_that_removes_the_staging_folder_keeps_the_previous_one(target: Path) -> None:
    with staged_folder(target) as staging:
        shutil.rmtree(staging)
    assert (target / "file").read_text() == "previous"
    assert names(target.parent) == ["target"]


def test_a_staged_folder_appears_where_none_was(tmp_path: Path) -> None:
    with staged_folder(tmp_path / "a" / "b") as staging:
        (staging / "f").write_text("x")
    assert names(tmp_path / "a" / "b") == ["f"]
    assert (tmp_path / "a" / "b").stat().st_mode & 0o777 == 0o755


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, FileNotFoundError])
def test_an_exception_keeps_the_previous_folder(target: Path, error: type[BaseException]) -> None:
    with pytest.raises(error), staged_folder(target) as staging:
        (staging / "half").write_text("half")
        raise error
    assert names(target) == ["file"]
    assert names(target.parent) == ["target"]


def test_without_an_atomic_exchange_the_folder_is_still_replaced(
    target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "_exchange", lambda first, second: False)
    with staged_folder(target) as staging:
        (staging / "new").write_text("new")
    assert names(target) == ["new"]
    assert names(target.parent) == ["target"]


def test_of_two_first_writes_at_once_the_later_one_remains(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other process's folder appears between the look for it and the rename."""
    target = tmp_path / "target"
    with staged_folder(target) as staging:
        (staging / "mine").write_text("mine")
        with staged_folder(target) as other:
            (other / "theirs").write_text("theirs")
        exists = Path.exists
        monkeypatch.setattr(Path, "exists", lambda path: path != target and exists(path))
    monkeypatch.undo()
    assert (names(tmp_path), names(target)) == (["target"], ["mine"])


@pytest.mark.skipif(sys.platform != "linux", reason="renameat2 is Linux's")
def test_linux_exchanges_two_folders_in_one_step(target: Path) -> None:
    other = target.parent / "other"
    other.mkdir()
    assert files._exchange(other, target)
    assert (names(other), names(target)) == (["file"], [])


def test_an_exchange_that_the_system_denies_is_reported(tmp_path: Path) -> None:
    assert not files._exchange(tmp_path / "missing", tmp_path / "also missing")


def test_a_target_that_is_a_file_is_rejected(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(UserError, match="is not a folder"), staged_folder(tmp_path / "file"):
        pass
    assert (tmp_path / "file").read_text() == "mine"


def test_a_link_to_a_folder_stays_a_link(target: Path) -> None:
    link = target.parent / "link"
    link.symlink_to("target")
    with staged_folder(link) as staging:
        (staging / "new").write_text("new")
    assert link.is_symlink()
    assert names(target) == ["new"]


def test_an_unwritable_parent_is_a_user_error(unwritable: Path) -> None:
    with pytest.raises(UserError, match="cannot write"), staged_folder(unwritable / "lolvit-test"):
        pass


def test_a_relative_target_is_written_where_the_work_began(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with staged_folder(Path("out")) as staging:
        (staging / "f").write_text("x")
        monkeypatch.chdir("/")
    assert names(tmp_path / "out") == ["f"]


KILLED_WHILE_STAGING = """
import os, signal
from pathlib import Path
from lolvit.files import staged_folder
with staged_folder(Path("target")) as staging:
    (staging / "half").write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""

# Without the exchange, the swap is two renames: killed between them.
KILLED_WHILE_SWAPPING = """
import os, signal
from pathlib import Path
from lolvit import files
files._exchange = lambda first, second: False
rename = os.rename
def rename_once(source, destination):
    rename(source, destination)
    os.kill(os.getpid(), signal.SIGKILL)
os.rename = rename_once
with files.staged_folder(Path("target")) as staging:
    (staging / "half").write_text("half")
"""


@pytest.mark.parametrize("program", [KILLED_WHILE_STAGING, KILLED_WHILE_SWAPPING])
def test_after_kill_9_the_next_run_finds_the_previous_folder_and_no_leftovers(
    target: Path, program: str
) -> None:
    done = run_child(program, target.parent)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert len(names(target.parent)) == 2, "the killed process left its staging folder"
    with staged_folder(target):
        assert (target / "file").read_text() == "previous"
        assert len([n for n in names(target.parent) if "staging" in n]) == 1
    assert names(target.parent) == ["target"]


def test_kill_9_while_staging_leaves_the_previous_folder_in_place(target: Path) -> None:
    run_child(KILLED_WHILE_STAGING, target.parent)
    assert (target / "file").read_text() == "previous"
    assert names(target) == ["file"]


def test_the_staging_folder_of_a_running_process_is_left_alone(target: Path) -> None:
    with staged_folder(target) as outer:
        (outer / "outer").write_text("x")
        with staged_folder(target) as inner:
            (inner / "inner").write_text("x")
        assert names(target) == ["inner"]
    assert names(target) == ["outer"]


def test_leftovers_of_another_target_are_left_alone(tmp_path: Path) -> None:
    other = tmp_path / ".other.staging-999999999-x"
    other.mkdir()
    with staged_folder(tmp_path / "target"):
        pass
    assert other.is_dir()


@pytest.mark.parametrize(("mask", "file", "folder"), [(0o022, 0o644, 0o755), (0o077, 0o600, 0o700)])
def test_permissions_are_those_of_the_umask(
    tmp_path: Path, mask: int, file: int, folder: int
) -> None:
    before = os.umask(mask)
    try:
        write_atomic(tmp_path / "one.json", "x")
        with staged_folder(tmp_path / "target") as staging:
            (staging / "inside").write_text("x")
    finally:
        os.umask(before)
    assert (tmp_path / "one.json").stat().st_mode & 0o777 == file
    assert (tmp_path / "target").stat().st_mode & 0o777 == folder


@pytest.mark.parametrize("name", ["n" * 255, "é" * 127, "[a]*?", "caf\udce9", "two\nlines"])
def test_any_name_that_the_file_system_takes_can_be_written(tmp_path: Path, name: str) -> None:
    for content in ("first", "second"):
        write_atomic(tmp_path / "files" / name, content)
        with staged_folder(tmp_path / "folders" / name) as staging:
            (staging / "inside").write_text(content)
    assert (tmp_path / "files" / name).read_text() == "second"
    assert (tmp_path / "folders" / name / "inside").read_text() == "second"
    assert names(tmp_path / "files") == names(tmp_path / "folders") == [name]


def test_a_name_that_is_too_long_is_a_user_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot write: File name too long"):
        write_atomic(tmp_path / ("n" * 256), "x")
    with (
        pytest.raises(UserError, match="cannot write: File name too long"),
        staged_folder(tmp_path / ("n" * 256)),
    ):
        pass


def test_what_a_killed_process_was_writing_goes_with_the_next_write(tmp_path: Path) -> None:
    program = (
        "import os, signal\n"
        "from pathlib import Path\n"
        "from lolvit import files\n"
        "files.os.fsync = lambda _: os.kill(os.getpid(), signal.SIGKILL)\n"
        "files.write_atomic(Path('last.pt'), 'half')\n"
    )
    (tmp_path / "last.pt").write_text("previous")
    assert run_child(program, tmp_path).returncode == -signal.SIGKILL
    assert len(names(tmp_path)) == 2
    write_atomic(tmp_path / "other", "x")
    assert names(tmp_path) == ["last.pt", "other"]
    assert (tmp_path / "last.pt").read_text() == "previous"
