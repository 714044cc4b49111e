"""The largest rate of multiply-adds that a runtime reaches on this machine, which a model's own is
held against.

Two loads are timed, in a process of its own and with the options of any other session: a product of
two large matrices, and a chain of 1x1 convolutions of a size that light models have. The latter is
often the faster one, so that a matrix product alone understates the roof.

Run as a module it prints one JSON document.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lolvit.files import sha256_of, size_of
from lolvit.manifest import Artifact, TensorSpec
from lolvit_benchmarks.analysis import statistics as stats
from lolvit_benchmarks.harness.child import answer, run_module
from lolvit_benchmarks.harness.pinning import pinned
from lolvit_benchmarks.harness.sysfs import Machine
from lolvit_benchmarks.results.profile import Load, Roof
from lolvit_runtimes.session import open_session

if TYPE_CHECKING:
    import onnx

_EXTENT = 1024  # of the matrices
_CHANNELS, _SIDE, _CONVOLUTIONS = 128, 32, 8
_WARM_UP_S, _SECONDS, _FEWEST = 0.3, 1.5, 20
_OPSET, _IR = 18, 10

Shape = tuple[int, ...]


def measure_roof(runtime: str, threads: int) -> Roof:
    """Find the roof of a runtime that opens ONNX, in a child process.

    Raises:
        LolvitError: the child failed.
    """
    document = run_module(
        "lolvit_benchmarks.profiling.roofline", [runtime, str(threads)], what=f"roof of {runtime}"
    )
    return Roof.model_validate(document)


def look(runtime: str, threads: int) -> Roof:
    """Find the roof in this process.

    Raises:
        LolvitError: a package is missing, or the runtime failed.
    """
    with pinned(threads, Machine()):
        loads = tuple(_timed(runtime, threads, *load) for load in _loads())
    best = max(loads, key=lambda load: load.gmacs_per_s)
    return Roof(gmacs_per_s=best.gmacs_per_s, by=best.name, loads=loads)


def _loads() -> tuple[tuple[str, str, int, Shape, Callable[[], onnx.ModelProto]], ...]:
    """Return name, words, multiply-adds, shape of input and output, and the model of each."""
    chain = (1, _CHANNELS, _SIDE, _SIDE)
    return (
        ("matmul", f"one product of {_EXTENT}x{_EXTENT} matrices", _EXTENT**3,
         (1, 1, _EXTENT, _EXTENT), _matmul),
        ("convolutions",
         f"{_CONVOLUTIONS} 1x1 convolutions of {_CHANNELS} channels at {_SIDE}x{_SIDE}, with ReLU",
         _CONVOLUTIONS * _CHANNELS**2 * _SIDE**2, chain, _convolutions),
    )  # fmt: skip


def _timed(
    runtime: str, threads: int, name: str, what: str, macs: int, shape: Shape,
    build: Callable[[], onnx.ModelProto],
) -> Load:  # fmt: skip
    image = np.random.default_rng(1).standard_normal(shape).astype(np.float32)
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / f"{name}.onnx"
        path.write_bytes(build().SerializeToString())
        session = open_session(runtime, path, _artifact(path, shape), threads=threads)
        try:
            ms = _median_ms(lambda: session.run({"image": image}))
        finally:
            session.close()
    return Load(name=name, what=what, macs=macs, median_ms=ms, gmacs_per_s=macs / ms / 1e6)


def _median_ms(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    while time.perf_counter() - start < _WARM_UP_S:
        run()
    times: list[float] = []
    while len(times) < _FEWEST or sum(times) < _SECONDS * 1e3:
        before = time.perf_counter()
        run()
        times.append((time.perf_counter() - before) * 1e3)
    return stats.median(times)


def _artifact(path: Path, shape: Shape) -> Artifact:
    """Return what a manifest would say of a model that keeps the shape of its input."""
    return Artifact(
        path=path.name,
        format="onnx",
        precision="fp32",
        sha256=sha256_of(path),
        bytes=size_of(path),
        inputs=(TensorSpec(name="image", shape=shape, layout="NCHW", meaning="normalized"),),
        outputs=(TensorSpec(name="out", shape=shape, layout="NCHW", meaning="tensor"),),
    )


def _matmul() -> onnx.ModelProto:
    from onnx import helper

    weight = _random((_EXTENT, _EXTENT), _EXTENT)
    node = helper.make_node("MatMul", ["image", "weight"], ["out"])
    return _model([node], {"weight": weight}, (1, 1, _EXTENT, _EXTENT))


def _convolutions() -> onnx.ModelProto:
    from onnx import helper

    nodes, weights, below = [], {}, "image"
    for number in range(_CONVOLUTIONS):
        weights[f"w{number}"] = _random((_CHANNELS, _CHANNELS, 1, 1), _CHANNELS)
        above = "out" if number == _CONVOLUTIONS - 1 else f"r{number}"
        nodes.append(helper.make_node("Conv", [below, f"w{number}"], [f"c{number}"]))
        nodes.append(helper.make_node("Relu", [f"c{number}"], [above]))
        below = above
    return _model(nodes, weights, (1, _CHANNELS, _SIDE, _SIDE))


def _random(shape: Shape, inputs: int) -> Any:
    """Return weights that keep the magnitude of what goes through them and a ReLU."""
    values = np.random.default_rng(0).standard_normal(shape) * np.sqrt(2 / inputs)
    return values.astype(np.float32)


def _model(nodes: list[onnx.NodeProto], weights: dict[str, Any], shape: Shape) -> onnx.ModelProto:
    from onnx import TensorProto, helper, numpy_helper

    graph = helper.make_graph(
        nodes,
        "roof",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, shape)],
        [numpy_helper.from_array(values, name) for name, values in weights.items()],
    )
    opsets = [helper.make_opsetid("", _OPSET)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=_IR)


def _document(arguments: list[str]) -> dict[str, Any]:
    runtime, threads = arguments
    return look(runtime, int(threads)).model_dump()


if __name__ == "__main__":
    sys.exit(answer(lambda: _document(sys.argv[1:])))
