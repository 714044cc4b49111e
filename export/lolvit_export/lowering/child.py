"""Lower to one target in a process of its own, beside the others: converters are Python, so that
threads would take turns.

`python -m lolvit_export.lowering.child TARGET` imports the converter, then reads a pickled graph
and request. What is unpickled comes from the process that started this one (`lowerers.py`), through
a pipe of its own.
"""

from __future__ import annotations

import gc
import pickle
import sys
from functools import partial
from typing import TYPE_CHECKING, Any

from lolvit_export.lowering.request import Lowered, LoweringRequest
from lolvit_export.targets import find_lowering
from lolvit_runtimes.worker import server
from lolvit_runtimes.worker.server import Answer, Handle

if TYPE_CHECKING:  # the converter loads torch
    from torch.fx import GraphModule


def _lowering(target: str) -> Handle:
    lower = find_lowering(target)

    def handle(graph: GraphModule, request: LoweringRequest) -> Answer:
        from lolvit_export.shapes import ensure_shapes  # torch is loaded by now

        ensure_shapes(graph, request.image.shape)
        return {"lowered": [_written(item) for item in lower(graph, request)]}, {}

    return handle


def _written(item: Lowered) -> dict[str, Any]:
    specs = {
        name: [spec.model_dump() for spec in getattr(item, name)] for name in ("inputs", "outputs")
    }
    return {"path": str(item.path), "precision": item.precision, **specs}


if __name__ == "__main__":
    gc.disable()  # a tenth of the time of imports and conversion, in a process that soon ends
    server.run(partial(_lowering, sys.argv[1]), receive=pickle.load)
