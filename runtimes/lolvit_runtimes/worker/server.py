"""The child's side of a worker process (the parent's is `process.py`): a loop that answers one
request after another, and the tie to the parent.

Besides `wire` it imports only `lolvit.errors`, because it also runs inside the arm64 emulator, in a
Python with numpy only.

`python -m lolvit_runtimes.worker.server MODULE ARGUMENTS` runs a module as `python -m` does, tied
to the parent.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import traceback
from collections.abc import Callable
from typing import IO, Any, NoReturn

from lolvit.errors import EXIT_BUG, EXIT_DONE, DeviceError, LolvitError, is_out_of_memory
from lolvit_runtimes.worker import wire
from lolvit_runtimes.worker.wire import Array, Message

Answer = tuple[Message, dict[str, Array]]
Handle = Callable[..., Answer]  # called with what `Receive` returned
Receive = Callable[[IO[bytes]], tuple[Any, Any]]

PARENT_PID = "LOLVIT_PARENT_PID"
_PR_SET_PDEATHSIG = 1


def run(make_handle: Callable[[], Handle], receive: Receive = wire.receive) -> NoReturn:
    """Answer requests until the parent closes its end, then end this process.

    Standard output is kept for the answers; what libraries print goes to standard error. A
    `LolvitError` of the handler, and want of memory, are answers with the key `error`; any other
    exception ends the process with its traceback and `EXIT_BUG`.

    Args:
        make_handle: returns the handler of requests; called once, before the first request is
            read. A `LolvitError` that it raises is the answer to each request.
        receive: reads a request from the parent; raises `EOFError` when there is none any more.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    end_with_parent(signal.SIGKILL)
    code = EXIT_DONE
    try:
        _serve(make_handle, receive, *_take_streams())
    except Exception:  # noqa: BLE001 - the outermost handler: the parent shows the traceback
        traceback.print_exc()
        code = EXIT_BUG
    sys.stderr.flush()
    os._exit(code)  # native libraries may crash while they unload, which no longer matters


def end_with_parent(number: signal.Signals) -> None:
    """Have the kernel send this process a signal when the thread that started it is gone, however
    that happened (Linux; elsewhere only the end of its input ends it).

    `process.start` reports the parent's pid in the environment: a parent that ended before the
    kernel was asked is no longer this process's parent, and this process ends at once.
    """
    parent = os.environ.pop(PARENT_PID, "")
    if sys.platform != "linux":
        return
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(number), 0, 0, 0)
    if parent and os.getppid() != int(parent):
        os.kill(os.getpid(), number)


def _take_streams() -> tuple[IO[bytes], IO[bytes]]:
    """Keep the two pipes for messages alone: what else reads finds nothing, what prints goes to
    standard error."""
    requests, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    return requests, answers


def _serve(
    make_handle: Callable[[], Handle], receive: Receive, requests: IO[bytes], answers: IO[bytes]
) -> None:
    try:
        handle = make_handle()
    except LolvitError as error:
        handle = _always(_reported(error))
    while True:
        try:
            request = receive(requests)
        except EOFError:
            return
        wire.send(answers, *_answer(handle, *request))


def _always(answer: Answer) -> Handle:
    return lambda *request: answer


def _answer(handle: Handle, *request: Any) -> Answer:
    """Return the answer to a request, a failure that a user can cause included."""
    try:
        return handle(*request)
    except LolvitError as error:
        return _reported(error)
    except (MemoryError, RuntimeError, ImportError, OSError) as error:
        if not is_out_of_memory(error):
            raise
        return _reported(DeviceError("out of memory"))


def _reported(error: LolvitError) -> Answer:
    """Return a failure as the command line's documents have it."""
    keys = ("what", "where", "remedy", "exit_code")
    return {"error": {key: getattr(error, key) for key in keys}}, {}


if __name__ == "__main__":
    import runpy  # no other child needs it

    end_with_parent(signal.SIGTERM)  # which a command may handle, to clean up
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
