"""Emulated Arm cores: a missing requirement and a crash are reported as one line, and the guest's
responses are correct.

The guest runs in this machine's Python here; in the emulator it runs in tests/export.
"""

from __future__ import annotations

import dataclasses
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from lolvit.errors import DeviceError, UserError
from lolvit_runtimes import arm64, arm64_install, arm64_parts
from lolvit_runtimes.arm64_emulator import Emulator
from lolvit_runtimes.arm64_install import install, require_machine
from lolvit_runtimes.arm64_parts import CORES, WHEELS, emulator, install_folder, read_inventory
from lolvit_runtimes.probe import runtime_status
from lolvit_runtimes.table import RUNTIMES, require_runtime
from lolvit_runtimes.worker.wire import send
from tests.processes import is_alive, wait_until_ended
from tests.sessions import run_eager, run_image

ROOT = Path(__file__).parents[2]
ANY_CORE = dataclasses.replace(CORES["a76"], instructions=())
GUEST = """\
import sys
sys.path[:0] = {path!r}
from lolvit_runtimes.arm64_guest import run
run({runtime!r})
"""


def guest(runtime: str) -> list[str]:
    """Return the command line of the guest in this machine's Python: it gets no environment."""
    program = GUEST.format(path=list(filter(None, sys.path)), runtime=runtime)
    return [sys.executable, "-c", program]


def host_python(program: str) -> list[str]:
    return [sys.executable, "-c", f"import os, sys\nsys.stdin.buffer.read(8)\n{program}"]


@pytest.fixture
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with qemu, where nothing has been installed."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(arm64_parts, "emulator", lambda: "/usr/bin/qemu-aarch64-static")
    monkeypatch.setattr(arm64_install, "emulator", lambda: "/usr/bin/qemu-aarch64-static")
    return tmp_path


@pytest.fixture
def on_the_host(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sessions whose guest is not emulated."""
    monkeypatch.setattr(arm64, "read_inventory", dict)
    monkeypatch.setattr(arm64, "emulator", str)
    monkeypatch.setattr(arm64, "command", lambda qemu, core, folder, runtime: guest(runtime))
    for session in (arm64.OrtA76, arm64.LiteRTA76):
        monkeypatch.setattr(session, "core", ANY_CORE)


def test_another_system_is_an_error_with_a_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.system", lambda: "Darwin")
    with pytest.raises(UserError, match=r"needs Linux, this is Darwin; .*container"):
        require_machine()


@pytest.mark.parametrize(
    ("missing", "remedy"),
    [
        ("apt-get", "use Debian or Ubuntu"),
        ("dpkg", "use Debian or Ubuntu"),
        ("qemu-aarch64", "run: apt-get install qemu-user-static"),
    ],
)
def test_a_missing_tool_is_reported_with_the_command_that_adds_it(
    missing: str, remedy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("platform.system", lambda: "Linux")
    monkeypatch.setattr(
        "shutil.which", lambda name: None if name.startswith(missing) else f"/usr/bin/{name}"
    )
    with pytest.raises(UserError, match=missing) as caught:
        require_machine()
    assert remedy in caught.value.remedy


@pytest.mark.usefixtures("empty_cache")
def test_missing_keys_are_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.system", lambda: "Linux")
    monkeypatch.setattr("shutil.which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(arm64_install, "KEYRING", tmp_path / "none.gpg")
    with pytest.raises(UserError, match="apt-get install debian-archive-keyring"):
        require_machine()


def test_without_the_emulator_no_inventory_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda name: None)
    with pytest.raises(UserError, match="apt-get install qemu-user-static"):
        emulator()


@pytest.mark.usefixtures("empty_cache")
@pytest.mark.parametrize("runtime", [name for name in RUNTIMES if "arm64" in name])
def test_a_missing_set_up_names_its_command(runtime: str) -> None:
    with pytest.raises(UserError, match=r"not installed; run: lolvit setup arm64"):
        require_runtime(runtime)
    status = next(status for status in runtime_status() if status.id == runtime)
    assert not status.ready and "lolvit setup arm64" in status.reason


@pytest.mark.usefixtures("empty_cache")
def test_a_set_up_that_was_cut_short_is_none(tmp_path: Path) -> None:
    install_folder().mkdir(parents=True)
    (install_folder() / "installed.json").write_text('{"packages": ')
    with pytest.raises(UserError, match="not installed"):
        read_inventory()


@pytest.mark.parametrize("mirror", ["ftp://mirror", "http://mirror main\ndeb http://other"])
def test_a_mirror_that_is_no_address_is_rejected(
    mirror: str, empty_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arm64_install, "require_machine", lambda: None)
    with pytest.raises(UserError, match="is not a URL of a Debian mirror"):
        install(lambda line: None, mirror)
    assert not list(empty_cache.rglob("*"))


def test_a_failed_download_leaves_no_installation(
    empty_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs = empty_cache / "programs"
    programs.mkdir()
    apt = programs / "apt-get"
    apt.write_text("#!/bin/sh\necho 'E: Failed to fetch: connection refused' >&2\nexit 100\n")
    apt.chmod(0o755)
    monkeypatch.setenv("PATH", str(programs), prepend=":")
    monkeypatch.setattr(arm64_install, "require_machine", lambda: None)
    with pytest.raises(DeviceError, match="apt-get: failed: E: Failed to fetch") as caught:
        install(lambda line: None)
    assert "finished downloads are kept" in caught.value.remedy
    assert not install_folder().exists()


def test_another_wheel_than_the_pinned_one_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(DeviceError, match=r"downloaded no numpy .* with the pinned sha256"):
        arm64_install._unpack({}, WHEELS[0], tmp_path)


@pytest.mark.parametrize("wheel", WHEELS, ids=lambda wheel: wheel.name)
def test_wheels_are_of_the_versions_that_this_project_locks(wheel: arm64_parts.Wheel) -> None:
    lock = (ROOT / "requirements.lock").read_text()
    assert re.search(rf"^{wheel.name}=={re.escape(wheel.version)}\b", lock, re.MULTILINE)


@pytest.mark.usefixtures("on_the_host")
@pytest.mark.parametrize(
    ("session_class", "format"), [(arm64.OrtA76, "onnx"), (arm64.LiteRTA76, "tflite")]
)
def test_the_guest_gives_what_eager_gives(session_class, format, exported, manifest, image, tiny):
    artifact = manifest.find(format, "fp32")
    session = session_class(exported / artifact.path, artifact)
    np.testing.assert_allclose(run_image(session, image), run_eager(tiny, image), atol=2e-5)
    assert session.options()["emulated"] == "yes"
    session.close()


@pytest.mark.usefixtures("on_the_host")
def test_a_rejected_file_is_one_line_that_names_it(manifest, tmp_path):
    broken = tmp_path / "model.onnx"
    broken.write_bytes(b"no protobuf")
    with pytest.raises(DeviceError, match=r"model\.onnx: .*(protobuf|Protobuf|parse)"):
        arm64.OrtA76(broken, manifest.find("onnx", "fp32"))


@pytest.mark.usefixtures("on_the_host")
def test_a_file_that_its_manifest_does_not_describe_is_rejected(exported, manifest):
    artifact = manifest.find("onnx", "fp32")
    other = artifact.outputs[0].model_copy(update={"shape": (1, 3)})
    with pytest.raises(DeviceError, match="its manifest has float32"):
        arm64.OrtA76(exported / artifact.path, artifact.model_copy(update={"outputs": (other,)}))


@pytest.mark.parametrize(
    ("program", "line"),
    [
        ("os.kill(os.getpid(), 11)", r"Cortex-A76 crashed \(SIGSEGV\)"),
        ("os.write(2, b'no such core'); os._exit(1)", "ended with exit code 1: no such core"),
        ("sys.stdout.write('g' * 64)", "gave an invalid response: a message of"),
        ("os._exit(0)", "ended with exit code 0"),
    ],
)
def test_a_crash_is_one_line(program: str, line: str) -> None:
    with pytest.raises(DeviceError, match=line):
        Emulator(host_python(program), ANY_CORE)


def test_a_failure_of_the_guest_s_own_is_a_bug_with_its_traceback() -> None:
    with pytest.raises(RuntimeError, match="KeyError: 'no runtime'"):
        Emulator(guest("no runtime"), ANY_CORE)


def test_a_core_without_its_instructions_is_rejected() -> None:
    with pytest.raises(UserError, match=r"lacks .*i8mm"):
        Emulator(guest("ort"), CORES["i8mm"])


def test_the_guest_ends_with_a_parent_that_was_killed() -> None:
    """The pipe to the guest stays open here: it is not the end of its input that ends it."""
    reading, writing = os.pipe()
    program = (
        "import subprocess, time\n"
        f"guest = subprocess.Popen({guest('ort')!r}, stdin={reading}, stdout=subprocess.PIPE)\n"
        "guest.stdout.read(8)\n"
        "print(guest.pid, flush=True)\n"
        "time.sleep(600)\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, pass_fds=[reading]
    )
    assert parent.stdout is not None
    with os.fdopen(writing, "wb") as requests:
        send(requests, {"do": "hello"})
        pid = int(parent.stdout.readline())
        assert is_alive(pid)
        parent.kill()
        parent.communicate()
        wait_until_ended([pid], 60)
    os.close(reading)
