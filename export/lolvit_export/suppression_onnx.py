"""Non-maximum suppression in an ONNX detector's graph, for apps that have no postprocessing of
their own: `detections` (D, 6), each a box in the input's pixels as left, top, right, bottom, its
score and its class, highest score first.

ONNX's NonMaxSuppression keeps scores above its threshold, the manifest's postprocessing those of
the threshold itself too; and it knows no limit of candidates. Both differ for few photos, and only
in the least likely detections. Accelerators do not run it: the artifact without it stays.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from lolvit.boxes import points_of
from lolvit.tasks.detection import BoxParameters

BOXES, SCORES, DETECTIONS = "boxes", "scores", "detections"
COLUMNS = 6
_PREFIX = "suppression/"


def with_suppression(
    model: onnx.ModelProto, size: tuple[int, int], parameters: BoxParameters
) -> onnx.ModelProto:
    """Return a copy of a detector with outputs `boxes` (1, 4, N) and `scores` (1, C, N), whose only
    output is `detections`; `size` is its input's height and width."""
    found = onnx.ModelProto()
    found.CopyFrom(model)
    graph = found.graph
    builder = _Builder(graph)
    corners = _corners(builder, size, parameters.strides)
    chosen = builder.add(
        "NonMaxSuppression",
        [
            corners,
            SCORES,
            builder.constant("limit", np.array([parameters.max_detections], np.int64)),
            builder.constant("iou", np.array([parameters.iou_threshold], np.float32)),
            builder.constant("score", np.array([parameters.score_threshold], np.float32)),
        ],
    )  # (K, 3): image, class, point
    rows = _rows(builder, corners, chosen)
    _best(builder, rows, parameters.max_detections)
    del graph.output[:]
    graph.output.append(
        helper.make_tensor_value_info(DETECTIONS, TensorProto.FLOAT, [None, COLUMNS])
    )
    onnx.checker.check_model(found, full_check=True)
    return found


class _Builder:
    """Appends nodes and constants to a graph."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        self._graph = graph

    def constant(self, name: str, values: np.ndarray) -> str:
        """Add a constant; return its name."""
        self._graph.initializer.append(numpy_helper.from_array(values, _PREFIX + name))
        return _PREFIX + name

    def add(self, operation: str, inputs: list[str], output: str = "", **attributes: Any) -> str:
        """Add a node with one output; return the output's name."""
        name = f"{_PREFIX}{operation}_{len(self._graph.node)}"
        output = output or name
        self._graph.node.append(
            helper.make_node(operation, inputs, [output], name=name, **attributes)
        )
        return output

    def column(self, values: str, place: int) -> str:
        """Return one column (K,) of an array (K, columns)."""
        index = self.constant(f"column_{place}_{len(self._graph.node)}", np.array(place, np.int64))
        return self.add("Gather", [values, index], axis=1)


def _corners(builder: _Builder, size: tuple[int, int], strides: tuple[int, ...]) -> str:
    """Return the boxes (1, N, 4) as corners in the input's pixels."""
    centres, widths = points_of(size, strides)
    signs = np.array([-1, -1, 1, 1], np.float32)[:, None]
    scale = builder.constant("scale", (signs * widths[None]).astype(np.float32)[None])
    points = np.concatenate([centres, centres], 1).T.astype(np.float32)
    offset = builder.constant("centres", points[None])
    lengths = builder.add("Mul", [builder.add("Relu", [BOXES]), scale])  # (1, 4, N)
    return builder.add("Transpose", [builder.add("Add", [lengths, offset])], perm=[0, 2, 1])


def _rows(builder: _Builder, corners: str, chosen: str) -> str:
    """Return box, score and class (K, 6) of the chosen classes and points."""
    label, point = builder.column(chosen, 1), builder.column(chosen, 2)
    first = builder.constant("first", np.array([0], np.int64))
    boxes = builder.add("Squeeze", [corners, first])  # (N, 4)
    scores = builder.add("Squeeze", [SCORES, first])  # (C, N)
    last = builder.constant("last", np.array([1], np.int64))
    label_column = builder.add("Unsqueeze", [label, last])  # (K, 1)
    pairs = builder.add("Concat", [label_column, builder.add("Unsqueeze", [point, last])], axis=1)
    parts = [
        builder.add("Gather", [boxes, point], axis=0),
        builder.add("Unsqueeze", [builder.add("GatherND", [scores, pairs]), last]),
        builder.add("Cast", [label_column], to=TensorProto.FLOAT),
    ]
    return builder.add("Concat", parts, axis=1)


def _best(builder: _Builder, rows: str, limit: int) -> None:
    """Give the rows with the highest scores, at most `limit`, as the output."""
    scores = builder.column(rows, 4)
    count = builder.add("Min", [
        builder.add("Shape", [scores]),
        builder.constant("most", np.array([limit], np.int64)),
    ])  # fmt: skip
    order = f"{_PREFIX}order"
    builder._graph.node.append(
        helper.make_node(
            "TopK", [scores, count], [f"{_PREFIX}highest", order], name=f"{_PREFIX}TopK"
        )
    )
    builder.add("Gather", [rows, order], output=DETECTIONS, axis=0)
