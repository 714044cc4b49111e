"""A simulated phone to try commands on: python -m tests.benchmarks.adb_daemon [FAULT]."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import threading
from pathlib import Path

from tests.benchmarks.adb_daemon.daemon import Daemon
from tests.benchmarks.adb_daemon.phone import Faults, Phone

FAULTS = {
    "none": Faults(),
    "lost": Faults(lose_at=3),
    "garbage": Faults(garbage=True),
    "hot": Faults(hot_after=3),
    "full": Faults(free_kb=10),
}


def main(fault: str = "none") -> None:
    """Attach a phone until Ctrl-C, and then print what it was left as."""
    with tempfile.TemporaryDirectory() as folder:
        phone = Phone(Path(folder) / "phone", faults=FAULTS[fault])
        with Daemon(phone) as daemon:
            subprocess.run(["adb", "connect", daemon.serial], check=True)
            print(f"measure with: --device adb:{daemon.serial}", flush=True)
            try:
                threading.Event().wait()
            except KeyboardInterrupt:
                subprocess.run(["adb", "disconnect", daemon.serial], check=False)
        print(f"settings {phone.settings}, screen on: {phone.awake}, files: {phone.files()}")


if __name__ == "__main__":
    main(*sys.argv[1:])
