"""The times of single operations from OpenVINO's performance counters.

The counters hold each layer's mean over all runs, in whole microseconds. Layers are those of the
graph as compiled; each lists the artifact's layers that it was made of. A change of layout is named
after the layers that it stands between. What OpenVINO takes apart (attention, layer norms) gets
names of its own: such a layer is counted to the part of the model where the one before it runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lolvit_benchmarks.profiling.onnx_layers import Layer, named, read_layers, values_of
from lolvit_benchmarks.profiling.operations import Operation, Recorded, repeat
from lolvit_runtimes.native import opening
from lolvit_runtimes.openvino import DEVICE, RUNTIME_ERRORS, core, openvino, settings
from lolvit_runtimes.session import FloatArray

_MULTIPLYING = frozenset({"Convolution", "GroupConvolution", "FullyConnected", "MatMul"})


def profile(path: Path, threads: int, image: FloatArray) -> Recorded:
    """Run an ONNX artifact with performance counters on, otherwise as it is timed.

    Raises:
        DeviceError: OpenVINO can't open it.
    """
    options = {**settings(threads), "PERF_COUNT": True}
    with opening("OpenVINO", path, RUNTIME_ERRORS):
        model = core().compile_model(str(path), DEVICE, options)
        request = model.create_infer_request()
        times = repeat(lambda: request.infer([image], share_inputs=True))
    made_of = {
        layer.get_friendly_name(): layer.get_rt_info()["originalLayersNames"].astype(str)
        for layer in model.get_runtime_model().get_ops()
    }
    layers = read_layers(path)
    by_value = values_of(layers)
    found = [
        _operation(seen, made_of.get(seen.node_name, ""), by_value)
        for seen in request.profiling_info
        if _ran(seen)
    ]
    return Recorded(
        runs=len(times),
        run_ms=sum(times) / len(times),
        operations=tuple(follow(found)),
        layers=tuple(layers),
    )


def _ran(seen: openvino.ProfilingInfo) -> bool:
    """Whether a layer was run: one that takes less than a microsecond is reported as not, as
    those that are part of another one; a product is never part of another one."""
    return seen.status == openvino.ProfilingInfo.Status.EXECUTED or seen.node_type in _MULTIPLYING


def _operation(seen: openvino.ProfilingInfo, made_of: str, by_value: dict[str, Layer]) -> Operation:
    own = [by_value[name] for name in made_of.split(",") if name in by_value]
    place = own[0] if own else named(seen.node_name, by_value)
    return Operation(
        kind=seen.node_type,
        ms=seen.real_time.total_seconds() * 1e3,
        path=place.path if place is not None else "",
        layers=tuple(layer.name for layer in own),
        multiplies=seen.node_type in _MULTIPLYING or "MatMul" in made_of,
    )


def follow(operations: Sequence[Operation]) -> list[Operation]:
    """Return the operations, in order, each one of unknown place at that of the one before it; the
    first ones, at that of the first whose place is known."""
    path = next((one.path for one in operations if one.path), "")
    placed = []
    for one in operations:
        path = one.path if one.path or one.layers else path
        placed.append(one.model_copy(update={"path": path}))
    return placed
