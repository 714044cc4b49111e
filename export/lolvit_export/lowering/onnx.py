"""Lower to ONNX: torch's dynamo exporter, simplified by onnxsim, checked by onnx.checker."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace

import onnx
import onnxsim
import torch
from onnxruntime.transformers.float16 import convert_float_to_float16
from onnxruntime.transformers.onnx_model import OnnxModel
from torch.fx import GraphModule

from lolvit.files import write_atomic
from lolvit_export.capture import INPUT_NAME, MODEL_PATH, recapture
from lolvit_export.lowering.onnx_names import name_added_nodes, name_by_module
from lolvit_export.lowering.request import Lowered, LoweringRequest
from lolvit_export.rewrites import CPU_REWRITES, INTEGER_REWRITES, apply_all
from lolvit_export.rewrites.decompose_sdpa import DecomposeSdpa
from lolvit_export.rewrites.padded_max_pool_to_cat import PaddedMaxPoolToCat

OPSET = 18
# Explicit pads are kept: an average pool with padding is wrong on Qualcomm's HTP.
_SKIPPED = ["fuse_pad_into_pool"]
_REWRITES = (
    DecomposeSdpa(keep_plain=True),  # the exporter fails on some masks and ranks
    PaddedMaxPoolToCat(),
)


def lower(graph: GraphModule, request: LoweringRequest) -> list[Lowered]:
    """Write `model-PRECISION.onnx`: float32 image (B, C, H, W) in, the graph's outputs out.

    In fp16 the weights and the arithmetic are half precision, input and outputs stay float32.
    Float artifacts have the CPU rewrites applied. Quantization starts from the graph with the
    integer rewrites instead, which is written to a separate file where it differs.
    """
    names = [spec.name for spec in request.outputs]
    split, records = apply_all(CPU_REWRITES, graph)
    fp32 = to_onnx(split, names)
    written = []
    for precision in request.precisions:
        model = _half(fp32) if precision == "fp16" else fp32
        onnx.checker.check_model(model, full_check=True)
        write_atomic(request.path(precision), model.SerializeToString())
        written.append(request.lowered(precision))
    if "fp32" in request.bases:
        base, changes = apply_all(INTEGER_REWRITES, graph)
        if any(record.applied for record in (*records, *changes)):
            path = request.base_path("fp32")
            write_atomic(path, to_onnx(base, names).SerializeToString())
            written.append(replace(request.lowered("fp32"), path=path))
    return written


def _half(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return the model in half precision; its input and output keep float32 behind casts."""
    half = OnnxModel(convert_float_to_float16(copy.deepcopy(model), keep_io_types=True))
    half.topological_sort()  # the converter appends its casts at the end
    result: onnx.ModelProto = half.model
    return result


def to_onnx(
    graph: GraphModule, outputs: Sequence[str], *, unfused: Sequence[str] = ()
) -> onnx.ModelProto:
    """Return a captured graph as a simplified fp32 ONNX model, its operations named by module, its
    outputs named `outputs`. `unfused` are fusions of onnxsim that are left out."""
    graph, _ = apply_all(_REWRITES, graph)
    program = torch.onnx.export(
        recapture(graph),
        dynamo=True,
        opset_version=OPSET,
        input_names=[INPUT_NAME],
        output_names=list(outputs),
        verbose=False,
    )
    assert program is not None
    named = program.model_proto
    known = name_by_module(named, MODEL_PATH)
    model, same = onnxsim.simplify(named, skipped_optimizers=[*_SKIPPED, *unfused])
    if not same:
        raise AssertionError("onnxsim changed the model's result")
    simplified: onnx.ModelProto = model
    name_added_nodes(simplified, known)
    _give_constant_outputs_a_node(simplified.graph)
    return simplified


def _give_constant_outputs_a_node(graph: onnx.GraphProto) -> None:
    """Let an Identity give each output that is a constant, such as a detector's anchors: the
    conversion to half precision takes an output for a node's."""
    outputs = {output.name for output in graph.output}
    for constant in graph.initializer:
        if constant.name in outputs:
            name = constant.name
            constant.name = f"{name}_constant"
            for node in graph.node:
                node.input[:] = [constant.name if each == name else each for each in node.input]
            graph.node.append(
                onnx.helper.make_node("Identity", [constant.name], [name], name=f"{name}_identity")
            )
