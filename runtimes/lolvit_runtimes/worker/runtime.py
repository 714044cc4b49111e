"""The child process that runs a native runtime on a file that may crash it:
`python -m lolvit_runtimes.worker.runtime`. Its other end is `isolated.py`."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from lolvit.manifest import Artifact
from lolvit_runtimes import bare
from lolvit_runtimes.session import Session, import_session_class, open_session
from lolvit_runtimes.worker import server
from lolvit_runtimes.worker.server import Answer
from lolvit_runtimes.worker.wire import Arrays, Message


class Requests:
    """What the runtime's process is asked for; holds at most one session."""

    def __init__(self) -> None:
        self._session: Session | None = None

    def handle(self, request: Message, arrays: Arrays) -> Answer:
        """Return the answer to a request.

        Raises:
            LolvitError: the runtime or the file failed.
        """
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


def limit_resources(memory: int) -> None:
    """Cap the address space where the system supports it, and write no core dumps."""
    if sys.platform == "linux":
        import resource  # not on every system

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))


if __name__ == "__main__":
    server.run(lambda: Requests().handle)
