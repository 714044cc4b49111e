"""Look up pinned versions in PyPI's database of vulnerabilities: `python audit.py LOCK ...`.

Exits with 0 if none is known, 1 if one is, and 3 if a package could not be looked up: what was not
looked up is not known to be safe.
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

SECONDS = 600
_LISTED = 5


def audited(locks: list[str]) -> list[dict[str, Any]]:
    """Return pip-audit's entry of each package.

    Raises:
        OSError: the database is not reachable; the message is pip-audit's.
    """
    command = [sys.executable, "-m", "pip_audit", "--format", "json", "--progress-spinner", "off"]
    command += ["--disable-pip", "--require-hashes"]
    for lock in locks:
        command += ["--requirement", lock]
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS)
    try:
        found: list[dict[str, Any]] = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError) as error:
        lines = done.stderr.strip().splitlines() or ["no answer"]
        raise OSError(lines[-1][:300]) from error
    return found


def report(packages: list[dict[str, Any]]) -> tuple[list[str], int]:
    """Return the lines to print, and the exit code."""
    skipped = [package["name"] for package in packages if "skip_reason" in package]
    looked_up = [package for package in packages if "skip_reason" not in package]
    lines = [
        f"{package['name']} {package['version']}: {found['id']}, fixed in "
        f"{', '.join(found['fix_versions']) or 'no version'}"
        for package in looked_up
        for found in package["vulns"]
    ]
    if skipped:
        more = f" and {len(skipped) - _LISTED} more" if len(skipped) > _LISTED else ""
        lines.append(
            f"audit: {len(skipped)} of {len(packages)} packages are not in the database that was "
            f"reached: {', '.join(skipped[:_LISTED])}{more}; use a network that reaches pypi.org"
        )
    elif not lines:
        lines.append(f"audit: no known vulnerability in {len(packages)} packages")
    vulnerable = any(package["vulns"] for package in looked_up)
    return lines, 1 if vulnerable else 3 if skipped else 0


def main(locks: list[str]) -> int:
    """Print the report; return the exit code."""
    try:
        lines, code = report(audited(locks))
    except (OSError, subprocess.TimeoutExpired) as error:
        lines, code = [f"audit: the database of vulnerabilities is not reachable: {error}"], 3
    print("\n".join(lines))
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
