"""`lolvit setup system`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import click

from lolvit.errors import DeviceError, UserError
from lolvit.output import console, print_json

INSTALL = Path(__file__).with_name("install.sh")
MESSAGE = "lolvit: "  # prefix of the script's error line


@click.command()
@click.option(
    "--all",
    "everything",
    is_flag=True,
    help="Also what the repository's tests and Android app need.",
)
@click.option("--dry-run", is_flag=True, help="Only list what is missing.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
def system(everything: bool, dry_run: bool, as_json: bool) -> None:
    """Install the Debian packages that devices need, as root or by sudo.

    adb for phones, Chromium for browsers and for a Vulkan driver in software, qemu for emulated
    Arm cores, a C++ compiler for torch.compile. Installed packages are not changed.
    """
    options = ["--all"] if everything else []
    missing = _run(*options, "--missing").split()
    if missing and not dry_run:
        _run(*options)
    out = console()
    if not missing:
        out.print("nothing is missing")
    elif dry_run:
        out.print(f"missing: {' '.join(missing)}")
    else:
        out.print(f"installed {' '.join(missing)}")
    if as_json:
        print_json({"missing": missing if dry_run else [], "installed": [] if dry_run else missing})


def _run(*options: str) -> str:
    """Run the script, print apt's messages, and return the script's standard output.

    Raises:
        UserError: this system has no apt, or root rights are missing.
        DeviceError: apt failed.
    """
    last = "install.sh failed"
    with subprocess.Popen(
        ["sh", str(INSTALL), *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as script:
        assert script.stdout is not None and script.stderr is not None
        for line in script.stderr:
            last = line.strip() or last
            if not line.startswith(MESSAGE):
                sys.stderr.write(line)
        printed = script.stdout.read()
    if script.returncode:
        kind = UserError if script.returncode == UserError.exit_code else DeviceError
        raise kind(last.removeprefix(MESSAGE))
    return printed
