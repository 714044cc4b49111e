"""Lower to Core AI by coreai-torch: an `.aimodel` folder.

The image is an array of normalized values, in float32 in every precision, as ONNX and TFLite
artifacts have it. Core AI's image inputs exist on Apple's systems only: they could not be verified
elsewhere.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Sequence
from types import TracebackType
from typing import Any

import torch
from torch.export import ExportedProgram
from torch.fx import GraphModule, Node
from torch.fx.node import map_aggregate

from lolvit_export.capture import INPUT_NAME, MODEL_PATH, recapture
from lolvit_export.lowering.failures import AT_OPERATION
from lolvit_export.lowering.request import Lowered, LoweringRequest
from lolvit_export.module_paths import module_path
from lolvit_export.rewrites.graph import aten
from lolvit_runtimes.coreai_system import require_system

require_system()  # with an older libc the import below fails in a message about symbols
with warnings.catch_warnings():
    # Of coreai-torch about torch 2.13.0+cu130, which it takes for newer than 2.13.0.
    warnings.filterwarnings("ignore", "coreai-torch has only been validated", UserWarning)
    from coreai_torch import TorchConverter, get_decomp_table


def lower(graph: GraphModule, request: LoweringRequest) -> list[Lowered]:
    """Write `model-PRECISION.aimodel`: float32 image (B, C, H, W) in, the graph's outputs out,
    64-bit ones in 32 bits, which Core AI has at most.

    In fp16 the weights and the arithmetic are half precision, input and outputs stay float32.
    """
    outputs = request.outputs_in_32_bits
    names = [spec.name for spec in outputs]
    written = []
    for precision in request.precisions:
        program = recapture(in_half_precision(graph) if precision == "fp16" else graph)
        _convert(program, names).save_asset(request.path(precision))
        written.append(request.lowered(precision, outputs=outputs))
    return written


def _convert(program: ExportedProgram, outputs: Sequence[str]) -> Any:
    """Return Core AI's program.

    Raises:
        Exception: of coreai-torch, of many types, with a note that names the operation.
    """
    program = program.run_decompositions(get_decomp_table())
    # Not the default mode, which stores stack traces with the paths of source files.
    converter = TorchConverter(mode=TorchConverter.Mode.RELEASE)
    try:
        converter.add_exported_program(program, input_names=[INPUT_NAME], output_names=outputs)
        return converter.to_coreai()
    except Exception as error:
        if culprit := _culprit(program, error):
            reason = "it has no conversion" if _names(error, culprit) else str(error)
            error.add_note(f"{AT_OPERATION} {_described(culprit)}: {reason}")
        raise


def _culprit(program: ExportedProgram, error: Exception) -> Node | None:
    """Return the operation that a converter's error is about: the first that its message names, or
    else the one that it was converting."""
    calls = [node for node in program.graph.nodes if node.op == "call_function"]
    named = next((node for node in calls if _names(error, node)), None)
    return named or _node_in(error.__traceback__)


def _names(error: Exception, node: Node) -> bool:
    return str(node.target) in str(error)


def _node_in(traceback: TracebackType | None) -> Node | None:
    """Return the call that the innermost frame with a variable `node` works on."""
    found = None
    while traceback is not None:
        node = traceback.tb_frame.f_locals.get("node")
        if isinstance(node, Node) and node.op == "call_function":
            found = node
        traceback = traceback.tb_next
    return found


def _described(node: Node) -> str:
    path = (module_path(node) or "").removeprefix(MODEL_PATH).removeprefix(".")
    return f"{node.target} in '{path}'" if path else str(node.target)


def in_half_precision(graph: GraphModule) -> GraphModule:
    """Return a copy of a captured graph that computes in half precision: its weights, and float32
    wherever an operation names a type. Its image and its outputs keep float32, by casts."""
    half = copy.deepcopy(graph).half()
    for node in half.graph.nodes:
        node.args = map_aggregate(node.args, _half_type)
        node.kwargs = map_aggregate(node.kwargs, _half_type)
    (image,) = (node for node in half.graph.nodes if node.op == "placeholder")
    with half.graph.inserting_after(image):
        cast = half.graph.call_function(aten.to.dtype, (image, torch.float16))
    image.replace_all_uses_with(cast, delete_user_cb=lambda user: user is not cast)
    output = half.graph.output_node()
    with half.graph.inserting_before(output):
        output.args = torch.fx.map_arg(output.args, _in_single_precision)
    half.recompile()
    return half


def _half_type(argument: Any) -> Any:
    return torch.float16 if argument is torch.float32 else argument


def _in_single_precision(node: Node) -> Node:
    if not node.meta["val"].dtype.is_floating_point:
        return node
    return node.graph.call_function(aten.to.dtype, (node, torch.float32))
