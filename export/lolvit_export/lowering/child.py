"""Lower to one target in a process of its own, beside the others: converters are Python, so that
threads would take turns.

`python -m lolvit_export.lowering.child TARGET` imports the converter, reads a pickled
graph and request from standard input, and answers with one JSON document. What is unpickled
comes from the process that started this one (`lowerers.py`), through a pipe of its own.
"""

from __future__ import annotations

import gc
import json
import os
import pickle
import signal
import sys
import traceback
from typing import Any

from lolvit.errors import EXIT_BUG, EXIT_DONE, UserError
from lolvit_export.lowering.request import Lowered
from lolvit_export.targets import find_lowering


def _written(item: Lowered) -> dict[str, Any]:
    specs = {
        name: [spec.model_dump() for spec in getattr(item, name)] for name in ("inputs", "outputs")
    }
    return {"path": str(item.path), "precision": item.precision, **specs}


def main(target: str) -> int:
    """Serve one request, and return the exit code."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    gc.disable()  # a tenth of the time of imports and conversion, in a process that soon ends
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what converters print goes to standard error
    try:
        lower = find_lowering(target)
        graph, request = pickle.load(sys.stdin.buffer)
        from lolvit_export.shapes import ensure_shapes  # torch is loaded by now

        ensure_shapes(graph, request.image.shape)
        answer: dict[str, Any] = {"lowered": [_written(item) for item in lower(graph, request)]}
    except EOFError:
        return EXIT_DONE  # the parent is gone, or has no need of it any more
    except UserError as error:
        answer = {"error": {"what": error.what, "where": error.where, "remedy": error.remedy}}
    except Exception:  # noqa: BLE001 - the outermost handler: the parent shows the traceback
        traceback.print_exc()
        return EXIT_BUG
    answers.write(json.dumps(answer))
    answers.flush()
    return EXIT_DONE


if __name__ == "__main__":
    code = main(sys.argv[1])
    sys.stderr.flush()
    os._exit(code)  # native libraries may crash while they unload, which no longer matters
