"""Debian packages in a folder of their own: apt downloads them and checks their signatures,
whatever the system has installed, and without root rights."""

from __future__ import annotations

from pathlib import Path

from lolvit.files import write_atomic

PUBLIC_MIRROR = "http://deb.debian.org/debian"
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")


def write_apt_settings(folder: Path, mirror: str, suite: str, architecture: str) -> Path:
    """Write an apt configuration with one source, independent of the system's state, and return its
    path; archives go to `folder/archives`.

    Raises:
        UserError: the folder can't be written.
    """
    for part in ("lists/partial", "archives/partial", "dpkg"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    write_atomic(folder / "dpkg" / "status", "")  # nothing is installed
    source = f"deb [arch={architecture} signed-by={KEYRING}] {mirror} {suite} main\n"
    write_atomic(folder / "sources.list", source)
    values = {
        "APT::Architecture": architecture,
        "APT::Architectures": "",
        "APT::Architectures::": architecture,
        "APT::Sandbox::User": "",
        "Acquire::Languages": "none",
        "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled": "false",
        "APT::Update::Error-Mode": "any",  # otherwise an unreachable source is only a warning
        "Acquire::Retries": "3",
        "Dir::Etc::SourceList": str(folder / "sources.list"),
        "Dir::Etc::SourceParts": "/dev/null",
        "Dir::State": str(folder),
        "Dir::State::Lists": str(folder / "lists"),
        "Dir::State::status": str(folder / "dpkg" / "status"),
        "Dir::Cache": str(folder),
    }
    # Hooks of the system's apt are about the system's own packages.
    lines = ["#clear APT::Update::Post-Invoke-Success;", "#clear APT::Update::Post-Invoke;"]
    lines += [f'{key} "{value}";' for key, value in values.items()]
    write_atomic(folder / "apt.conf", "\n".join(lines) + "\n")
    return folder / "apt.conf"
