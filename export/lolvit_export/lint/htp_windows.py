"""Average pools and paddings that HTP takes without complaint and computes wrong, or slowly.

Found by comparing 2,400 pools and paddings, between 1x1 convolutions and alone, of 3 to 288
channels, with ONNX Runtime's CPU kernels. Unpadded pools in floor mode are all right, overlapping
ones included.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lolvit_export.lint.graph import Graph, Operation
from lolvit_export.lint.rules import Rule, on

MEASURED = "measured with onnxruntime-qnn 2.7.0, HTP emulator, half precision"
EXACT_WINDOWS = (
    "make windows exact: pad with zeros, pool with kernel = stride, multiply by a constant map "
    "(the static rewrite does this)"
)
# Operations that run with channels last, so that what stands between them does too.
CHANNELS_LAST = frozenset({
    "AveragePool", "Conv", "ConvTranspose", "DepthToSpace", "GlobalAveragePool", "GlobalMaxPool",
    "MaxPool", "Resize", "SpaceToDepth",
})  # fmt: skip
PASS_THROUGH = frozenset({"Add", "Clip", "Div", "Mul", "Relu", "Sigmoid", "Sub", "Tanh"})
REACH = 4  # operations to look past on each side


@dataclass(frozen=True)
class Pool:
    """One spatial axis of an average pool."""

    extent: int
    kernel: int
    stride: int
    begin: int
    end: int

    @property
    def read(self) -> int:
        """How much of the padded axis whole windows read."""
        padded = self.extent + self.begin + self.end
        return (padded - self.kernel) // self.stride * self.stride + self.kernel

    @property
    def ragged(self) -> bool:
        """Whether ceil mode adds a window that is cut short."""
        return (self.extent + self.begin + self.end - self.kernel) % self.stride != 0


def axes_of(operation: Operation) -> list[Pool]:
    """Return the spatial axes of a pool with explicit padding; none where a size is not known."""
    data = operation.input(0)
    sizes = data.shape[2:] if data is not None and data.shape is not None else ()
    kernel: Sequence[int] = operation.attributes.get("kernel_shape", ())
    if None in sizes or len(sizes) != len(kernel):
        return []
    strides = operation.attributes.get("strides", (1,) * len(kernel))
    pads = operation.attributes.get("pads", (0,) * 2 * len(kernel))
    rows = zip(sizes, kernel, strides, pads[: len(kernel)], pads[len(kernel) :], strict=True)
    return [Pool(*row) for row in rows]  # type: ignore[arg-type]


def _ceil_mode(operation: Operation, _: Graph) -> str | None:
    if not operation.attributes.get("ceil_mode"):
        return None
    ragged = [axis for axis in axes_of(operation) if axis.ragged]
    if not ragged:
        return None
    axis = ragged[0]
    return f"ceil mode cuts its last window of {axis.kernel} short on an extent of {axis.extent}"


def _excluded_padding(operation: Operation, _: Graph) -> str | None:
    if operation.attributes.get("count_include_pad") or operation.attributes.get("ceil_mode"):
        return None
    for axis in axes_of(operation):
        if max(axis.begin, axis.end) > 0 and _wrong_if_excluded(axis):
            return f"padding {axis.begin}, {axis.end} of a window of {axis.kernel} is not counted"
    return None


def _wrong_if_excluded(axis: Pool) -> bool:
    """Whether wrong pools were measured of this kernel and stride, their padding not counted."""
    if axis.stride in (1, axis.kernel):
        return axis.kernel != 3 or axis.stride == 1
    return max(axis.begin, axis.end) >= axis.kernel - 1


def _counted_padding(operation: Operation, _: Graph) -> str | None:
    if not operation.attributes.get("count_include_pad") or operation.attributes.get("ceil_mode"):
        return None
    for axis in axes_of(operation):
        if _wrong_if_counted(axis):
            return f"its window of {axis.kernel} is padded by {axis.begin}, {axis.end}"
    return None


def _wrong_if_counted(axis: Pool) -> bool:
    """The same, padding counted. What exact tiles need, padding at the end alone, is right."""
    if axis.begin:
        overlapping = axis.stride == 1 and axis.kernel not in (3, 5)
        return overlapping or (axis.stride == axis.kernel and axis.kernel != 3)
    unread = axis.read != axis.extent + axis.end
    return axis.end > 0 and axis.stride == axis.kernel > 3 and unread


def _automatic_padding(operation: Operation, _: Graph) -> str | None:
    mode = operation.attributes.get("auto_pad", "NOTSET")
    return f"its padding is '{mode}'" if mode in ("SAME_UPPER", "SAME_LOWER") else None


def _slow_kernel(operation: Operation, _: Graph) -> str | None:
    odd = sorted({a.kernel for a in axes_of(operation) if a.kernel & (a.kernel - 1)})
    whole = all(a.kernel == a.extent for a in axes_of(operation))
    return f"its window of {odd[0]} is no power of two" if odd and not whole else None


def _padding_outside_convolutions(operation: Operation, graph: Graph) -> str | None:
    data, pads = operation.input(0), operation.input(1)
    if data is None or data.rank != 4 or pads is None or pads.values is None:
        return None
    begin, end = pads.values[3], pads.values[7]
    if begin or end <= 0 or operation.attributes.get("mode", "constant") != "constant":
        return None
    if any(_reaches_convolution(operation, graph, forwards) for forwards in (False, True)):
        return None
    return "it pads the end of the last axis, and no convolution or pool is next to it"


def _reaches_convolution(operation: Operation, graph: Graph, forwards: bool) -> bool:
    """Whether a convolution or pool is found on one side, past elementwise operations."""
    front = [operation]
    for _ in range(REACH):
        front = [near for op in front for near in _neighbours(op, graph, forwards)]
        if any(near.kind in CHANNELS_LAST for near in front):
            return True
        front = [near for near in front if near.kind in PASS_THROUGH]
    return False


def _neighbours(operation: Operation, graph: Graph, forwards: bool) -> list[Operation]:
    if forwards:
        return [after for output in operation.outputs for after in graph.consumers(output)]
    return [op for op in map(graph.producer, operation.given) if op is not None]


WINDOWS: tuple[Rule, ...] = (
    Rule(
        "ceil-pool",
        on(("AveragePool",), _ceil_mode),
        EXACT_WINDOWS,
        f"{MEASURED}: wrong (16 to -115 dB) or refused in 209 of 209 such pools",
    ),
    Rule(
        "excluded-padding",
        on(("AveragePool",), _excluded_padding),
        EXACT_WINDOWS,
        f"{MEASURED}: wrong (19 to -115 dB) in 229 of 478 pools of such kernel and stride, and in "
        "none of 268 others",
    ),
    Rule(
        "counted-padding",
        on(("AveragePool",), _counted_padding),
        EXACT_WINDOWS,
        f"{MEASURED}: wrong (1 to -3 dB) or a crash in 163 of 247 pools of such kernel and stride, "
        "and in none of 498 others",
    ),
    Rule(
        "automatic-padding",
        on(("AveragePool",), _automatic_padding),
        EXACT_WINDOWS,
        f"{MEASURED}: wrong for some sizes, as explicit padding is",
    ),
    Rule(
        "pad-alone",
        on(("Pad",), _padding_outside_convolutions),
        "pad next to a convolution or pool, or concatenate zeros",
        f"{MEASURED}: -54 to 23 dB away from convolutions, 65 dB next to one",
    ),
    Rule(
        "slow-window",
        on(("AveragePool",), _slow_kernel),
        "average by a depthwise convolution with constant weights",
        "estimated by the vendor's compiler for the SoC models 52 to 114, in milliseconds: pools "
        "of 3x3 0.06 to 0.8, 6x6 3 to 24, 4x4 0.04 to 1, 2x2 0.03; as depthwise convolutions 0.02 "
        "to 0.2; it gives no estimate for phones",
        "advice",
    ),
)
