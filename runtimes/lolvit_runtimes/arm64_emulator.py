"""The emulator's process and the talk with the program inside it (`arm64_guest.py`)."""

from __future__ import annotations

import signal
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from lolvit.errors import DeviceError, UserError
from lolvit_runtimes.arm64_guest import EXIT_BUG
from lolvit_runtimes.arm64_parts import CORES_FOLDER, PYTHON, ROOT, SETUP_COMMAND, SITE, Core
from lolvit_runtimes.native import reason
from lolvit_runtimes.wire import Array, Arrays, Message, WireError, receive, send

# The guest finds our modules by their folder alone: what lies beside them was built for the host.
_BOOTSTRAP = """\
import sys, types
site, ours, runtime = sys.argv[1:]
sys.path.insert(0, site)
package = sys.modules["lolvit_runtimes"] = types.ModuleType("lolvit_runtimes")
package.__path__ = [ours]
from lolvit_runtimes.arm64_guest import run
run(runtime)
"""


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
        *(str(folder / SITE), str(Path(__file__).parent), runtime),
    ]


class Emulator:
    """A runtime on an emulated core: is asked, and is ended whatever happens."""

    def __init__(self, arguments: Sequence[str], core: Core) -> None:
        """Start it and ask what it is.

        Raises:
            UserError: this qemu does not have the core.
            DeviceError: it did not start.
        """
        self._core = core
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the process
        self._process = subprocess.Popen(
            arguments,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            env={},  # qemu and Python would read settings of the host's programs
        )
        answer, _ = self.ask({"do": "hello"}, "")
        self.version = str(answer.get("version"))
        self.instructions = tuple(map(str, answer.get("instructions", ())))
        if lacking := set(core.instructions) - set(self.instructions):
            self.close()
            raise UserError(
                f"this qemu's {core.cpu} lacks {', '.join(sorted(lacking))}",
                remedy="install qemu 7.1 or newer",
            )

    def ask(
        self, request: Message, where: str, arrays: Arrays | None = None
    ) -> tuple[Message, dict[str, Array]]:
        """Send a request and return the answer; after any failure but a refusal it is gone.

        Raises:
            DeviceError: it refused, crashed or answered senselessly.
            RuntimeError: the program inside failed, a bug of ours.
        """
        stdin, stdout = self._pipes()
        try:
            send(stdin, request, arrays)
            answer, results = receive(stdout)
        except (EOFError, BrokenPipeError) as error:
            raise self._post_mortem(where) from error
        except WireError as error:
            self.close()
            raise DeviceError(
                f"the emulated {self._core.name} gave {error}", where=where
            ) from error
        if "refused" in answer:
            raise DeviceError(reason(ValueError(str(answer["refused"]))), where=where)
        return answer, results

    def _pipes(self) -> tuple[IO[bytes], IO[bytes]]:
        if self._said.closed:
            raise DeviceError(f"the emulated {self._core.name} has ended")
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        return self._process.stdin, self._process.stdout

    def _post_mortem(self, where: str) -> DeviceError:
        code = self._process.wait()
        self._said.seek(0)
        words = self._said.read().decode(errors="replace").strip()
        self.close()
        if code == EXIT_BUG:
            raise RuntimeError(f"the program inside the emulator failed:\n{words}")
        last = f": {reason(ValueError(words.splitlines()[-1]))}" if words else ""
        how = f"ended with exit code {code}" if code >= 0 else _crash(-code)
        return DeviceError(
            f"the emulated {self._core.name} {how}{last}",
            where=where,
            remedy=f"if it never ran here, run again: {SETUP_COMMAND}",
        )

    def close(self) -> None:
        """End the process."""
        if self._said.closed:
            return
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                _close_broken(stream)
        self._said.close()


def _close_broken(stream: IO[bytes]) -> None:
    try:
        stream.close()
    except BrokenPipeError:  # what was still buffered has no reader any more
        return


def _crash(number: int) -> str:
    return f"crashed ({signal.Signals(number).name})"
