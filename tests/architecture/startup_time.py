"""Time `lolvit --help` and `lolvit COMMAND --help`; fail when one needs more than 0.3 s.

Not a test of the suite: what else the machine does would decide it. Run by `make startup`.
"""

from __future__ import annotations

import subprocess
import sys
import time

from lolvit.commands import COMMANDS, SETUP_SECTIONS, commands_of

LIMIT_S = 0.3
RUNS = 5


def fastest(*arguments: str) -> float:
    """Return the seconds that the fastest of a few runs took: the least disturbed one."""
    return min(_once(*arguments) for _ in range(RUNS))


def _once(*arguments: str) -> float:
    start = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "lolvit", *arguments, "--help"],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    return time.perf_counter() - start


def main() -> int:
    """Print a line each; return 1 when one is over the limit."""
    slow = False
    setup = (("setup", name) for name in commands_of(SETUP_SECTIONS))
    for arguments in ((), *((name,) for name in COMMANDS), *setup):
        seconds = fastest(*arguments)
        over = seconds > LIMIT_S
        slow |= over
        mark = f"over {LIMIT_S} s" if over else "ok"
        print(f"{' '.join(('lolvit', *arguments, '--help')):28} {seconds:5.2f} s  {mark}")
    return int(slow)


if __name__ == "__main__":
    sys.exit(main())
