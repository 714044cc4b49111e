"""An ONNX graph as its quantizers see it: operations, the tensors between them, their values."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from lolvit_export.quantization.quantizer import output_operations
from lolvit_export.quantization.ranges import Values
from lolvit_runtimes.ort import PROVIDER, session_options
from lolvit_runtimes.preprocessing import Pixels
from lolvit_runtimes.session import FloatArray

# A MatMul of two activations: attention's own, as against a layer with weights.
PRODUCT = "Product"
# Kinds that ONNX Runtime has an integer kernel for, and the inputs of each that are activations.
WEIGHTED = frozenset({"Conv", "Gemm", "MatMul"})
KINDS = frozenset(
    {*WEIGHTED, PRODUCT, "Add", "Mul", "Sigmoid", "Concat", "AveragePool", "GlobalAveragePool"}
)
# Kinds that move values and change none: in between two quantized operations they move integers.
CARRIERS = frozenset({"Reshape", "Transpose", "Pad", "Split", "Slice", "Flatten", "Squeeze"})
# Kinds that are folded into the rounding of what they read.
CLAMPS = frozenset({"Relu", "Clip"})


@dataclass
class Graph:
    """An ONNX model, with its tensors' makers and readers, and its weights as arrays."""

    model: onnx.ModelProto

    def __post_init__(self) -> None:
        graph = self.model.graph
        self.nodes = list(graph.node)
        self.weights = {i.name: i for i in graph.initializer}
        self.outputs = {value.name for value in graph.output}
        self.maker = {name: node for node in self.nodes for name in node.output if name}
        self.readers: dict[str, list[onnx.NodeProto]] = defaultdict(list)
        for node in self.nodes:
            for name in node.input:
                self.readers[name].append(node)

    @cached_property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape of each tensor for which it is known."""
        inferred = onnx.shape_inference.infer_shapes(self.model).graph
        return {
            value.name: tuple(each.dim_value for each in value.type.tensor_type.shape.dim)
            for value in (*inferred.input, *inferred.value_info, *inferred.output)
        }

    def array(self, name: str) -> npt.NDArray[np.float32]:
        """Return a weight."""
        return numpy_helper.to_array(self.weights[name])

    def kind(self, node: onnx.NodeProto) -> str:
        """Return the kind of an operation: its type, or `Product`."""
        weighted = node.op_type != "MatMul" or node.input[1] in self.weights
        return str(node.op_type) if weighted else PRODUCT

    @cached_property
    def output_operations(self) -> frozenset[str]:
        """The names of the operations that no other one with weights follows."""
        found = output_operations(
            self.outputs,
            self.maker.get,
            self.activations,
            lambda node: self.kind(node) in WEIGHTED,
        )
        return frozenset(str(node.name) for node in found)

    def divides(self, node: onnx.NodeProto) -> bool:
        """Whether an operation gives a divisor: a small one, rounded, would change the quotient
        beyond measure."""
        return any(
            reader.op_type == "Div" and reader.input[1] == node.output[0]
            for reader in self.readers[node.output[0]]
        )

    def end(self, node: onnx.NodeProto) -> str:
        """Return the tensor that an operation gives once the clamp behind it is folded in."""
        given = node.output[0]
        readers = self.readers[given]
        if len(readers) == 1 and readers[0].op_type in CLAMPS and given not in self.outputs:
            return str(readers[0].output[0])
        return str(given)

    def begin(self, tensor: str) -> onnx.NodeProto | None:
        """Return the operation whose `end` a tensor is, or None for the image."""
        maker: onnx.NodeProto | None = self.maker.get(tensor)
        if maker is not None and maker.op_type in CLAMPS:
            source: onnx.NodeProto | None = self.maker.get(maker.input[0])
            if source is not None and self.end(source) == tensor:
                return source
        return maker

    def activations(self, node: onnx.NodeProto) -> list[str]:
        """Return the inputs of an operation that are computed, not constant."""
        names = node.input[:1] if node.op_type in CARRIERS else node.input
        return [str(name) for name in names if name and name not in self.weights]


def rebuilt(
    model: onnx.ModelProto, nodes: list[onnx.NodeProto], constants: list[onnx.TensorProto]
) -> onnx.ModelProto:
    """Return a copy of a model with other operations and more constants; weights that nothing reads
    any more are left out."""
    result = onnx.ModelProto()
    result.CopyFrom(model)
    graph = result.graph
    del graph.node[:]
    graph.node.extend(nodes)
    read = {name for node in nodes for name in node.input}
    kept = [i for i in graph.initializer if i.name in read]
    del graph.initializer[:]
    graph.initializer.extend([*kept, *constants])
    return result


def attribute(node: onnx.NodeProto, name: str, default: int) -> int:
    """Return an integer attribute."""
    return next((int(a.i) for a in node.attribute if a.name == name), default)


def run_activations(
    model: onnx.ModelProto, tensors: Sequence[str], images: Iterable[FloatArray | Pixels]
) -> Iterator[tuple[str, Values]]:
    """Yield the name and values of each of `tensors`, the image among them, image after image."""
    fed = model.graph.input[0].name
    inner = [name for name in tensors if name != fed]
    shown = onnx.ModelProto()
    shown.CopyFrom(model)
    del shown.graph.output[:]
    shown.graph.output.extend(
        helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in inner
    )
    options = session_options(threads=1)
    # Weights for HTP have the full range: sums are not clipped (see onnx_saturation).
    options.add_session_config_entry("session.x64quantprecision", "1")
    session = onnxruntime.InferenceSession(shown.SerializeToString(), options, providers=[PROVIDER])
    for image in images:
        if fed in tensors:
            yield fed, np.asarray(image, np.float32)
        if inner:  # an empty list of outputs is an error
            yield from zip(inner, session.run(inner, {fed: image}), strict=True)
