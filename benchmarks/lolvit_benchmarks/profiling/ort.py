"""The times of single operations from ONNX Runtime's own profiler.

Its events name the operations of the graph as optimised. A fused one is named after the last value
that it gives (`stages.0.0/relu_1_nchwc`), a product with its transposes has a suffix, and a change
of layout has no name but reads or gives a value that has one; the optimised graph, which the same
session writes, has these values. Durations are whole microseconds, cut off.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import onnx
import onnxruntime

from lolvit_benchmarks.profiling.onnx_layers import Layer, named, path_of, read_layers, values_of
from lolvit_benchmarks.profiling.operations import WARM_UP, Operation, Recorded, repeat
from lolvit_runtimes.native import opening
from lolvit_runtimes.ort import PROVIDER, RUNTIME_ERRORS, session_options
from lolvit_runtimes.session import FloatArray

_SUFFIX = "_kernel_time"
_RUN = "model_run"
_QUIET_SHARE = 0.25  # of the runs: those that nothing has interrupted

Event = dict[str, Any]


def profile(path: Path, threads: int, image: FloatArray) -> Recorded:
    """Run an ONNX artifact with the profiler on, otherwise as it is timed.

    Raises:
        DeviceError: ONNX Runtime can't open it.
    """
    with tempfile.TemporaryDirectory() as scratch:
        optimised = Path(scratch) / "optimised.onnx"
        options = session_options(threads)
        options.enable_profiling = True
        options.profile_file_prefix = str(Path(scratch) / "profile")
        options.optimized_model_filepath = str(optimised)
        with opening("ONNX Runtime", path, RUNTIME_ERRORS):
            session = onnxruntime.InferenceSession(str(path), options, providers=[PROVIDER])
            feed = {session.get_inputs()[0].name: image}
            repeat(lambda: session.run(None, feed))
        events = json.loads(Path(session.end_profiling()).read_text())
        graph = onnx.load(optimised).graph
    return recorded(list(runs_of(events))[WARM_UP:], read_layers(path), list(graph.node))


Timed = tuple[float, dict[str, tuple[str, float]]]  # of a run: its ms; by name: kind and ms


def runs_of(events: Sequence[Event]) -> Iterator[Timed]:
    """Return each inference of a profile: an event for each operation comes before its own."""
    times: dict[str, tuple[str, float]] = {}
    for event in events:
        if event["cat"] == "Node" and event["name"].endswith(_SUFFIX):
            name = event["name"].removesuffix(_SUFFIX)
            times[name] = (event["args"]["op_name"], event["dur"] / 1e3)
        elif event["name"] == _RUN:
            yield event["dur"] / 1e3, times
            times = {}


def recorded(
    runs: Sequence[Timed], layers: Sequence[Layer], nodes: Sequence[onnx.NodeProto]
) -> Recorded:
    """Return each operation's mean over the fastest quarter of the runs."""
    quiet = sorted(runs, key=lambda run: run[0])[: max(1, round(_QUIET_SHARE * len(runs)))]
    by_value = values_of(layers)
    by_node = {node.name: node for node in nodes}
    return Recorded(
        runs=len(runs),
        run_ms=sum(ms for ms, _ in quiet) / len(quiet),
        operations=tuple(
            _operation(
                kind,
                sum(times[name][1] for _, times in quiet) / len(quiet),
                named(name, by_value),
                _beside(by_node.get(name), by_value),
            )
            for name, (kind, _) in quiet[0][1].items()
        ),
        layers=tuple(layers),
    )


def _operation(kind: str, ms: float, layer: Layer | None, beside: Layer | None) -> Operation:
    place = layer or beside
    return Operation(
        kind=kind,
        ms=ms,
        path=path_of(place.name) if place is not None else "",
        layers=(layer.name,) if layer is not None else (),
    )


def _beside(node: onnx.NodeProto | None, by_value: dict[str, Layer]) -> Layer | None:
    """Return the layer whose value an operation gives or, else, reads."""
    values = (*node.output, *node.input) if node is not None else ()
    return next((by_value[value] for value in values if value in by_value), None)
