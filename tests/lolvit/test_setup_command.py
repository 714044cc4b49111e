"""`lolvit setup`: its commands, their former names, the script that installs Debian packages."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from lolvit.cli import main
from lolvit.commands import HIDDEN, SETUP_SECTIONS, commands_of
from lolvit.system.command import INSTALL
from tests.conftest import Run

PACKAGES = INSTALL.with_name("packages.txt")
ALL = [
    line.split()[0]
    for line in PACKAGES.read_text().splitlines()
    if line.strip() and not line.startswith("#")
]
# What the script calls besides apt's own programs.
TOOLS = ("sh", "dirname", "tr", "env")
APT = """\
#!/bin/sh
echo "$@" >>{log}
case "$*" in *install*)
  for word in "$@"; do case $word in -*|[A-Z]*) ;; *) echo "$word" >>{have} ;; esac; done ;;
esac
exit {code}
"""
QUERY = """\
#!/bin/sh
for word in "$@"; do name=$word; done
while read -r have; do [ "$have" = "$name" ] && printf installed; done <{have}
exit 0
"""


class Machine:
    """A Debian machine with nothing but apt, whose packages are the lines of a file."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.have, self.log = folder, folder / "have", folder / "log"
        self.programs = folder / "bin"
        self.programs.mkdir()
        self.have.write_text("")
        self.log.write_text("")
        for name in TOOLS:
            path = next(p for p in (Path("/usr/bin") / name, Path("/bin") / name) if p.exists())
            (self.programs / name).symlink_to(path)
        self.add("apt-get", APT.format(log=self.log, have=self.have, code=0))
        self.add("dpkg-query", QUERY.format(have=self.have))
        self.add("id", "#!/bin/sh\necho 0\n")

    def add(self, name: str, text: str) -> None:
        path = self.programs / name
        path.write_text(text)
        path.chmod(0o755)

    def run(self, *options: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["/bin/sh", str(INSTALL), *options],
            env={"PATH": str(self.programs)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_a_bare_machine_gets_every_package_after_an_update(machine: Machine) -> None:
    done = machine.run("--all")
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    update, install = machine.log.read_text().splitlines()
    assert update.endswith("update")
    assert install.partition("--no-install-recommends ")[2].split() == ALL
    assert machine.run("--all", "--missing").stdout == ""


def test_only_what_is_missing_is_installed(machine: Machine) -> None:
    machine.have.write_text("\n".join(name for name in ALL if name != "chromium") + "\n")
    assert machine.run("--all", "--missing").stdout == "chromium\n"
    assert machine.run("--all").returncode == 0
    assert machine.log.read_text().splitlines()[1].endswith(" chromium")


def test_a_second_run_calls_no_apt(machine: Machine) -> None:
    machine.have.write_text("\n".join(ALL) + "\n")
    done = machine.run("--all")
    assert (done.returncode, done.stderr, machine.log.read_text()) == (0, "", "")


def test_a_program_from_elsewhere_stands_for_its_package(machine: Machine) -> None:
    assert "adb" in machine.run("--missing").stdout.split()
    machine.add("adb", "#!/bin/sh\n")
    assert "adb" not in machine.run("--missing").stdout.split()


def test_without_all_nothing_is_installed_that_tests_alone_need(machine: Machine) -> None:
    missing = machine.run("--missing").stdout.split()
    assert {"adb", "chromium", "qemu-user-static"} <= set(missing)
    assert not {"maven", "apksigner"} & set(missing)


def test_a_system_without_apt_gets_an_error_with_a_remedy(machine: Machine) -> None:
    for name in ("apt-get", "dpkg-query"):
        (machine.programs / name).unlink()
    done = machine.run()
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("lolvit: missing: adb chromium")
    assert "this system has no apt-get" in line and str(PACKAGES) in line


def test_without_root_or_sudo_the_command_is_named(machine: Machine) -> None:
    machine.add("id", "#!/bin/sh\necho 1000\n")
    done = machine.run()
    assert done.returncode == 2
    assert done.stderr.startswith("lolvit: missing: adb")
    assert "run as root: apt-get install adb" in done.stderr


def test_sudo_is_used_if_it_needs_no_password(machine: Machine) -> None:
    machine.add("id", "#!/bin/sh\necho 1000\n")
    machine.add("sudo", f'#!/bin/sh\necho sudo >>{machine.log}\n[ "$1" = -n ] && exit 0\n"$@"\n')
    done = machine.run()
    assert done.returncode == 0, done.stderr
    assert machine.log.read_text().splitlines().count("sudo") == 3  # asked once, then twice by apt


def test_a_failure_of_apt_is_a_device_error(machine: Machine) -> None:
    machine.add("apt-get", APT.format(log=machine.log, have="/dev/null", code=100))
    done = machine.run()
    assert done.returncode == 3
    assert "apt-get update failed" in done.stderr.splitlines()[-1]


def test_a_failed_download_of_a_package_is_reported(machine: Machine) -> None:
    machine.add("apt-get", APT.format(log=machine.log, have="/dev/null", code=0))
    done = machine.run()
    assert done.returncode == 3
    assert "still missing" in done.stderr.splitlines()[-1]


def test_the_command_prints_the_document_of_the_script(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(machine.programs))
    assert main(["setup", "system", "--dry-run", "--json"]) == 0
    missing = json.loads(capfd.readouterr().out)["missing"]
    assert "adb" in missing and machine.log.read_text() == ""
    assert main(["setup", "system", "--json"]) == 0
    assert json.loads(capfd.readouterr().out) == {"missing": [], "installed": missing}
    machine.have.write_text("")
    (machine.programs / "apt-get").unlink()
    assert main(["setup", "system"]) == 2
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith("lolvit: missing: adb")


def test_every_package_has_a_program_a_use_and_a_reason() -> None:
    for line in PACKAGES.read_text().splitlines():
        if line.strip() and not line.startswith("#"):
            _, _, use, reason = line.split(maxsplit=3)
            assert use in ("run", "test")
            assert len(reason) > 10
    assert len(ALL) == len(set(ALL))


@pytest.mark.parametrize("name", HIDDEN)
def test_a_former_name_is_the_same_command_and_is_not_listed(name: str, run_lolvit: Run) -> None:
    assert HIDDEN[name] == commands_of(SETUP_SECTIONS)[name.removesuffix("-setup")]
    former, now = (
        run_lolvit(*arguments, "--help", check=True).stdout
        for arguments in ((name,), ("setup", name.removesuffix("-setup")))
    )
    assert former.partition("\n")[2] == now.partition("\n")[2]
    assert former.startswith(f"Usage: lolvit {name} ")
    assert name not in run_lolvit("--help", check=True).stdout


def test_setup_alone_lists_its_commands(run_lolvit: Run) -> None:
    text = run_lolvit("setup", check=True).stdout
    document = json.loads(run_lolvit("setup", "--json", check=True).stdout)
    assert list(document) == ["browser", "arm64", "swift", "system"]
    assert all(name in text and line in text for name, line in document.items())


def test_an_unknown_command_of_setup_is_reported_with_the_choices(run_lolvit: Run) -> None:
    done = run_lolvit("setup", "browsers")
    assert done.returncode == 2
    assert "did you mean 'browser'? choose from: arm64, browser, swift, system" in done.stderr


def test_the_script_is_posix_shell() -> None:
    assert os.access(INSTALL, os.R_OK)
    subprocess.run(["sh", "-n", str(INSTALL)], check=True)
