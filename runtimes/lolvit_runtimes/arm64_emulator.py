"""The emulator's process, with the program `arm64_guest.py` inside it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import lolvit
from lolvit.errors import UserError
from lolvit.privacy import NO_TELEMETRY
from lolvit_runtimes.arm64_parts import CORES_FOLDER, PYTHON, ROOT, SETUP_COMMAND, SITE, Core
from lolvit_runtimes.worker.process import Process

# The guest finds our modules by their folders alone: what lies beside them was built for the host,
# and the packages' own `__init__` are not run.
_BOOTSTRAP = """\
import sys, types
site, runtime, *folders = sys.argv[1:]
sys.path.insert(0, site)
for folder in folders:
    name = folder.rpartition("/")[2]
    package = sys.modules[name] = types.ModuleType(name)
    package.__path__ = [folder]
from lolvit_runtimes.arm64_guest import run
run(runtime)
"""
_OURS = [str(Path(lolvit.__file__).parent), str(Path(__file__).parent)]


def command(qemu: str, core: Core, folder: Path, runtime: str, *, keep: bool = True) -> list[str]:
    """Return the command line of a runtime (`ort`, `litert`) on an emulated core.

    Args:
        folder: what `lolvit setup arm64` installed.
        keep: leave the installation as it is: write no bytecode.
    """
    options = ["-I", "-B"] if keep else ["-I"]
    return [
        qemu,
        *("-cpu", core.cpu, "-L", str(folder / CORES_FOLDER / core.id)),
        str(folder / ROOT / PYTHON),
        *(*options, "-c", _BOOTSTRAP),
        *(str(folder / SITE), runtime, *_OURS),
    ]


class Emulator(Process):
    """A runtime on an emulated core."""

    def __init__(self, arguments: Sequence[str], core: Core) -> None:
        """Start it and ask what it is.

        Raises:
            UserError: this qemu does not have the core.
            DeviceError: it did not start.
        """
        super().__init__(
            arguments,
            name=f"the emulated {core.name}",
            remedy=f"if it never ran here, run again: {SETUP_COMMAND}",
            # qemu and Python would read settings of the host's programs
            environment=NO_TELEMETRY,
        )
        answer, _ = self.ask({"do": "hello"})
        self.version = str(answer.get("version"))
        self.instructions = tuple(map(str, answer.get("instructions", ())))
        if lacking := set(core.instructions) - set(self.instructions):
            self.close()
            raise UserError(
                f"this qemu's {core.cpu} lacks {', '.join(sorted(lacking))}",
                remedy="install qemu 7.1 or newer",
            )
