"""The child process that runs a native runtime on a file that may crash it.

`python -m lolvit_runtimes.child`: requests arrive on standard input, answers leave on standard
output (`wire.py`), and it ends when its input does. Its other end is `isolated.py`.
"""

from __future__ import annotations

import os
import signal
import sys
import time
import traceback
from pathlib import Path
from typing import IO

from lolvit.errors import EXIT_BUG, EXIT_DONE, DeviceError, LolvitError
from lolvit.manifest import Artifact
from lolvit_runtimes import bare
from lolvit_runtimes.session import Session, import_session_class, open_session
from lolvit_runtimes.wire import Array, Arrays, Message, receive, send

_NO_ROOM = "failed to map segment from shared object"
Answer = tuple[Message, dict[str, Array]]


class Server:
    """Answers one request after another; holds at most one session."""

    def __init__(self) -> None:
        self._session: Session | None = None

    def answer(self, request: Message, arrays: Arrays) -> Answer:
        """Return the answer to a request, a failure that a user can cause included."""
        try:
            return self._do(request, arrays)
        except LolvitError as error:
            parts = {"what": error.what, "where": error.where, "remedy": error.remedy}
            return {"error": parts, "exit_code": error.exit_code}, {}
        except MemoryError:
            return _out_of_memory(request)
        except ImportError as error:
            if _NO_ROOM in str(error):  # what the dynamic linker says of a library it can't load
                return _out_of_memory(request)
            raise

    def _do(self, request: Message, arrays: Arrays) -> Answer:
        match request["do"]:
            case "limit":
                limit_resources(request["bytes"])
                return {}, {}
            case "import":
                import_session_class(request["runtime"])
                return {}, {}
            case "check":
                bare.check(Path(request["path"]), request["format"])
                return {}, {}
            case "open":
                return self._open(request), {}
            case "run":
                return self._run(arrays)
            case "placement":
                return {"placement": self._opened().placement()}, {}
        raise ValueError(f"unknown request {request['do']!r}")

    def _open(self, request: Message) -> Message:
        path, stated = Path(request["path"]), request["artifact"]
        if stated is None:
            bare.check(path, request["format"])
            artifact = bare.describe(path, request["format"], request.get("batch"))
        else:
            artifact = Artifact.model_validate(stated)
        self._close()
        self._session = open_session(request["runtime"], path, artifact, threads=request["threads"])
        return {
            "version": self._session.version,
            "options": self._session.options(),
            "inputs": [spec.model_dump() for spec in artifact.inputs],
            "outputs": [spec.model_dump() for spec in artifact.outputs],
        }

    def _close(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            session.close()

    def _run(self, inputs: Arrays) -> Answer:
        session = self._opened()
        started = time.perf_counter()
        outputs = session.run(inputs)
        seconds = time.perf_counter() - started
        return {"seconds": seconds}, outputs

    def _opened(self) -> Session:
        if self._session is None:
            raise ValueError("no session is open")
        return self._session


def _out_of_memory(request: Message) -> Answer:
    parts = {"what": "out of memory", "where": str(request.get("path", "")), "remedy": ""}
    return {"error": parts, "exit_code": DeviceError.exit_code}, {}


def limit_resources(memory: int) -> None:
    """Cap the address space where the system supports it, and write no core dumps."""
    if sys.platform == "linux":
        import resource  # not on every system

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))


def take_streams() -> tuple[IO[bytes], IO[bytes]]:
    """Keep the two pipes for messages alone: what else reads finds nothing, what prints goes to
    standard error."""
    requests, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    return requests, answers


def serve(requests: IO[bytes], answers: IO[bytes]) -> None:
    """Answer requests until the parent closes its end."""
    server = Server()
    while True:
        try:
            request, arrays = receive(requests)
        except EOFError:
            return
        send(answers, *server.answer(request, arrays))


def main() -> int:
    """Serve, and return the exit code."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    try:
        serve(*take_streams())
    except Exception:  # noqa: BLE001 - the outermost handler: the parent shows the traceback
        traceback.print_exc()
        return EXIT_BUG
    return EXIT_DONE


if __name__ == "__main__":
    code = main()
    sys.stderr.flush()
    os._exit(code)  # native libraries may crash while they unload, which no longer matters
