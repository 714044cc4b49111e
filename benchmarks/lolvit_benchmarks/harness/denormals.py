"""Refuse to time an artifact whose activations are denormal.

Random weights with uncalibrated normalisation drive activations below the smallest normal float,
where processors are tens of times slower; a ratio against such a model is false. The measuring
process has no PyTorch model, so the artifact itself is looked at: every intermediate float32 tensor
of a run on the photo that is timed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from lolvit.errors import UserError

MAX_SHARE = 1e-3
# A tensor of fewer values can't cost time, and one value of it can be over the largest share.
SMALLEST_TENSOR = 1024
SMALLEST_NORMAL = np.finfo(np.float32).tiny

Array = npt.NDArray[np.generic]
Activations = Callable[[Path, Array], Iterator[Array]]


def denormal_share(activations: Iterator[Array]) -> float:
    """Return the largest share of denormal values in any tensor of at least 1,024 values; 1 where
    a tensor of any size holds NaN or infinity. Other types than float32 are passed over."""
    return max((_share(tensor) for tensor in activations), default=0.0)


def _share(tensor: Array) -> float:
    if tensor.dtype != np.float32:
        return 0.0
    values = tensor.astype(np.float32, copy=False)
    if not np.isfinite(values).all():
        return 1.0
    if values.size < SMALLEST_TENSOR:
        return 0.0
    magnitudes = np.abs(values)
    return float(((magnitudes > 0) & (magnitudes < SMALLEST_NORMAL)).mean())


def share_of_artifact(path: Path, format: str, image: Array) -> float | None:
    """Return the largest share of denormal values in any tensor of a run on `image`, or None for a
    format whose intermediate tensors can't be read here."""
    read = _READERS.get(format)
    return denormal_share(read(path, image)) if read is not None else None


def refuse_denormals(share: float | None, where: str) -> None:
    """Raise where a share is too large for a timing to mean anything.

    Raises:
        UserError: it is over 0.1 %.
    """
    if share is not None and share > MAX_SHARE:
        raise UserError(
            f"{share:.1%} of a layer's activations are denormal or not finite, so that its timing "
            "would mean nothing",
            where=where,
            remedy="export it with trained weights, or without --weights so that it is calibrated",
        )


def _onnx_activations(path: Path, image: Array) -> Iterator[Array]:
    """Run a copy of the graph, unoptimised, of which every tensor is an output."""
    import onnx
    import onnxruntime

    model = onnx.load(path)
    have = {output.name for output in model.graph.output}
    made = [name for node in model.graph.node for name in node.output if name]
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in made if name not in have)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    yield from session.run(None, {session.get_inputs()[0].name: image})


def _tflite_activations(path: Path, image: Array) -> Iterator[Array]:
    """Run LiteRT's own kernels, without XNNPACK, which would keep the tensors to itself."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    interpreter = Interpreter(
        str(path),
        experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
        experimental_preserve_all_tensors=True,
    )
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], image)
    interpreter.invoke()
    made = {int(i) for op in interpreter._get_ops_details() for i in op["outputs"] if i >= 0}
    yield from (interpreter.get_tensor(index) for index in sorted(made))


_READERS: dict[str, Activations] = {"onnx": _onnx_activations, "tflite": _tflite_activations}
