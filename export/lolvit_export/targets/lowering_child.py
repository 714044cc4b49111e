"""Lower to one format in a process of its own, beside the others: converters are Python, so that
threads would take turns.

`python -m lolvit_export.targets.lowering_child FORMAT` imports the converter, reads a pickled
graph and request from its standard input, and answers with one JSON document. What is unpickled
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
from dataclasses import asdict
from typing import Any

from lolvit.errors import EXIT_BUG, EXIT_DONE, UserError
from lolvit_export.targets.lowering import Lowered, find_lowering


def _written(item: Lowered) -> dict[str, Any]:
    specs = {name: getattr(item, name).model_dump() for name in ("input", "output")}
    return {**asdict(item), **specs, "path": str(item.path)}


def main(format: str) -> int:
    """Serve one request, and return the exit code."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    gc.disable()  # a tenth of the time of imports and conversion, in a process that soon ends
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what converters print goes to standard error
    try:
        lower = find_lowering(format)
        graph, request = pickle.load(sys.stdin.buffer)
        from lolvit_export.shapes import ensure_shapes  # torch is loaded by now

        ensure_shapes(graph, (1, 3, *request.preprocess.size))
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
