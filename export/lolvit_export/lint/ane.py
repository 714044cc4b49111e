"""Apple's Neural Engine, as far as it can be known from a Core ML program.

Core ML decides by itself where an operation runs, and only on a device. These rules hold what is
published about the engine's compiler: for most, `GUIDE` measured it on an M1 (A13 generation) and
an M5. What depends on the generation is advice.
"""

from __future__ import annotations

from collections.abc import Iterator

from lolvit_export.lint.graph import Graph, Operation, Tensor
from lolvit_export.lint.rules import Rule, Site, dynamic_sizes, on, rank_above, shape_text

GUIDE = "ane-guide.readthedocs.io"
MATRIX = f"{GUIDE}, appendix A"
RULES_OF_DESIGN = f"{GUIDE}, chapter 17"
APPLE = "machinelearning.apple.com/research/neural-engine-transformers"

NO_PATH = frozenset({
    "acos", "acosh", "asin", "asinh", "atanh", "band_part", "cond", "constexpr_cast", "cosh",
    "custom_layer", "gru", "list_gather", "list_length", "list_read", "list_scatter", "list_write",
    "logical_and", "logical_or", "logical_xor", "lstm", "make_list", "mod",
    "non_maximum_suppression", "non_zero", "one_hot", "random_bernoulli", "random_categorical",
    "random_normal", "reduce_prod", "reverse_sequence", "rnn", "scatter", "scatter_along_axis",
    "scatter_nd", "shape", "sinh", "sliding_windows", "tan", "while_loop",
})  # fmt: skip
# operation: the first SoC whose engine has it
SINCE: dict[str, str] = {
    **dict.fromkeys(
        ("affine", "argsort", "crop_resize", "gather", "gather_along_axis", "gather_nd",
         "resample", "resize", "resize_bilinear", "resize_nearest_neighbor", "topk",
         "upsample_bilinear", "upsample_nearest_neighbor"),
        "A14 (M1: not, or in a small envelope)",
    ),
    **dict.fromkeys(("cos", "random_uniform", "reduce_argmin", "sin"), "A15"),
}  # fmt: skip
MOST_AXES = 5
FOUR_AXES = ("linear", "matmul", "conv", "conv_transpose", "einsum")
LONGEST_SIDE = 16384
MOST_CHANNELS = 65536
WIDEST_KERNEL, WIDEST_KERNEL_A13 = 16, 13
LONGEST_ARGUMENT = 2048
FLOATS = ("float32", "float16")
COMPUTING = ("conv", "conv_transpose", "linear", "matmul", "einsum")


def _no_path(operation: Operation, _: Graph) -> str | None:
    return "no generation of the engine has it"


def _later(operation: Operation, _: Graph) -> str | None:
    return f"the engine has it since {SINCE[operation.kind]}"


def _too_long(operation: Operation, _: Graph) -> str | None:
    for tensor in operation.outputs:
        sizes = [size or 0 for size in tensor.shape or ()]
        if max(sizes[-2:], default=0) > LONGEST_SIDE:
            return f"a side of {max(sizes[-2:])}; at most {LONGEST_SIDE} here"
        if len(sizes) > 2 and sizes[-3] > MOST_CHANNELS:
            return f"{sizes[-3]} channels; at most {MOST_CHANNELS} here"
    return None


def _kernel_width(operation: Operation) -> int:
    weights: Tensor | None = operation.attributes.get("arguments", {}).get("weight")
    return (weights.shape[-1] or 0) if weights is not None and weights.shape else 0


def _wide_kernel(operation: Operation, _: Graph) -> str | None:
    width = _kernel_width(operation)
    return f"its kernel is {width} wide; at most {WIDEST_KERNEL}" if width > WIDEST_KERNEL else None


def _wide_kernel_a13(operation: Operation, _: Graph) -> str | None:
    width = _kernel_width(operation)
    if not WIDEST_KERNEL_A13 < width <= WIDEST_KERNEL:
        return None
    return f"its kernel is {width} wide; at most {WIDEST_KERNEL_A13} on A13 and M1"


def _padded_axes(operation: Operation, _: Graph) -> str | None:
    pads = operation.attributes.get("pad")
    if not isinstance(pads, tuple):
        return None
    count = len(operation.outputs[0].shape or ())
    pairs = list(zip(pads[::2], pads[1::2], strict=True))
    axes = [count - len(pairs) + i for i, pair in enumerate(pairs) if any(pair)]
    wrong = [axis for axis in axes if axis < count - 2]
    return f"it pads axis {wrong[0]} of {count}, only the last two can be" if wrong else None


def _padding_mode(operation: Operation, _: Graph) -> str | None:
    mode = operation.attributes.get("mode", "constant")
    return None if mode == "constant" else f"its mode is '{mode}', which needs A14 (M1: not)"


def _long_argument(operation: Operation, _: Graph) -> str | None:
    data: Tensor | None = operation.attributes.get("arguments", {}).get("x")
    axis = operation.attributes.get("axis", -1)
    if data is None or data.shape is None or not isinstance(axis, int):
        return None
    size = data.shape[axis] or 0
    if size <= LONGEST_ARGUMENT:
        return None
    return f"it compares {size} values; at most {LONGEST_ARGUMENT}"


def _batched_dynamic_weights(operation: Operation, _: Graph) -> str | None:
    arguments = operation.attributes.get("arguments", {})
    weights, data = arguments.get("weight"), arguments.get("x")
    if weights is None or weights.constant or data is None or not data.shape:
        return None
    batch = data.shape[0]
    return None if batch == 1 else f"its weights are computed, for a batch of {batch}"


def _singleton_last_axis(operation: Operation, _: Graph) -> str | None:
    for tensor in operation.outputs:
        shape = tensor.shape or ()
        if len(shape) == 4 and shape[-1] == 1 and (shape[-2] or 0) > 1:
            return f"the last axis of its result, {shape_text(shape)}, is stored padded"
    return None


def _integers(operation: Operation, _: Graph) -> str | None:
    target = operation.outputs[0].dtype if operation.outputs else ""
    return f"it casts to {target}" if target in ("int32", "int64") else None


def _single_precision(graph: Graph) -> Iterator[Site]:
    wide = [op for op in graph.operations if op.kind in COMPUTING]
    wide = [op for op in wide if op.outputs[0].dtype == "float32"]
    if wide:
        reason = f"{len(wide)} operations in float32 run on the GPU or the CPU"
        yield Site(wide[0].kind, wide[0].place, reason)


RULES: tuple[Rule, ...] = (
    Rule("operator", on(NO_PATH, _no_path), "rewrite it, or compute it in the app", MATRIX),
    Rule(
        "rank",
        rank_above(MOST_AXES),
        "reshape to fewer axes",
        f"{RULES_OF_DESIGN} and chapter 4: the compiler refuses a sixth axis",
    ),
    Rule(
        "rank-4",
        rank_above(4, FOUR_AXES),
        "keep to 4 axes: give query, key and value a projection each (the static rewrite does "
        "this)",
        f"{RULES_OF_DESIGN}: validators of Linear, MatrixMult and Conv",
    ),
    Rule("size", on(None, _too_long), "split it, or use a smaller input", RULES_OF_DESIGN),
    Rule(
        "kernel-width",
        on(("conv", "conv_transpose"), _wide_kernel),
        "split the kernel, or write a wide stem as space-to-depth and a small one",
        MATRIX,
    ),
    Rule(
        "pad-axes",
        on(("pad",), _padded_axes),
        "pad height and width alone; concatenate zeros to channels",
        f"{RULES_OF_DESIGN}: validator of Pad",
    ),
    Rule(
        "argument-length",
        on(("reduce_argmax", "reduce_argmin"), _long_argument),
        "compare in two steps",
        RULES_OF_DESIGN,
    ),
    Rule(
        "dynamic-weights",
        on(("conv",), _batched_dynamic_weights),
        "run one image at a time",
        f"{GUIDE}, chapter 19",
    ),
    Rule(
        "dynamic-shape",
        dynamic_sizes,
        "fix the size, or list the sizes (EnumeratedShapes)",
        "developer.apple.com/forums/thread/724930: with a range, only the default shape runs there",
    ),
    Rule("generation", on(SINCE, _later), "replace it if older phones matter", MATRIX, "advice"),
    Rule(
        "kernel-width-a13",
        on(("conv", "conv_transpose"), _wide_kernel_a13),
        "use a narrower kernel if older phones matter",
        MATRIX,
        "advice",
    ),
    Rule(
        "padding-mode",
        on(("pad",), _padding_mode),
        "pad with a constant if older phones matter",
        f"{RULES_OF_DESIGN}: validator of Pad",
        "advice",
    ),
    Rule("integers", on(("cast",), _integers), "keep to float16", f"{GUIDE}, chapter 4", "advice"),
    Rule(
        "singleton-last-axis",
        on(None, _singleton_last_axis),
        "put a long axis last: 1xCx1xS",
        f"{APPLE}: the last axis is stored in units of 64 bytes",
        "advice",
    ),
    Rule(
        "single-precision",
        _single_precision,
        "use the fp16 package on the Neural Engine",
        "apple.github.io/coremltools, typed execution",
        "advice",
    ),
)
