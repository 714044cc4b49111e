"""Makes weights of an ML Program 4 bits wide; activations stay in half precision.

    conv(x, w, b)   ->   conv(x, constexpr_blockwise_shift_scale(w), b + change)

One step an output channel: Apple's documentation has blocks within channels for GPUs alone.
Convolutions in groups keep half precision: they have few weights, and few to make good for errors.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
from torch import Tensor

from lolvit_export.quantization.compensation import Rounded, channel_steps, rounded
from lolvit_export.quantization.moments import InputMoments, patches
from lolvit_export.quantization.ranges import Values
from lolvit_runtimes.coreml_tools import coremltools as ct
from lolvit_runtimes.mil_operations.padding import resolve_padding

_BITS = 4
_mb, _types = ct.converters.mil.Builder, ct.converters.mil.mil.types


def is_dense(operation: Any) -> bool:
    """Whether each result of a layer with weights depends on all channels that it reads."""
    groups = operation.inputs.get("groups")
    return groups is None or int(groups.val) == 1


class WeightRounding:
    """The weights of a program's layers in 4 bits: each layer's once, for whichever plan."""

    def __init__(self, function: Any, names: Collection[str]) -> None:
        """`names` are those of the layers that any plan may quantize."""
        self._layers = {each.name: each for each in function.operations if each.name in names}
        self._moments = InputMoments()
        self._rounded: dict[str, Rounded] = {}

    def observe(self, name: str, value: Tensor) -> None:
        """Count a value of the program, if a layer reads it."""
        for layer, operation in self._layers.items():
            if operation.inputs["x"].name == name:
                self._moments.add(layer, _columns(operation, value.numpy()))

    def of(self, layer: str) -> Rounded:
        """Return a layer's weight (outputs, inputs) and what its bias gains."""
        if layer not in self._rounded:
            weight = self._layers[layer].inputs["weight"].val
            exact = weight.astype(np.float64).reshape(len(weight), -1)
            steps = channel_steps(exact, _BITS, weight.dtype)
            self._rounded[layer] = rounded(exact, self._moments.of(layer), steps, _BITS)
        return self._rounded[layer]


def _columns(operation: Any, x: Values) -> Values:
    """Return what a layer multiplies its weights with: (inputs, places)."""
    if operation.op_type == "linear":
        return x.reshape(-1, x.shape[-1]).T
    given = {name: _value(operation, name) for name in ("strides", "dilations", "pad")}
    kernel = operation.inputs["weight"].shape[2:]
    strides, dilations = given["strides"] or (1, 1), given["dilations"] or (1, 1)
    pad_type = str(operation.inputs["pad_type"].val)
    pairs = resolve_padding(pad_type, given["pad"], x.shape[2:], kernel, strides, dilations)
    return patches(x[0], kernel, strides, pairs, dilations)


def _value(operation: Any, name: str) -> tuple[int, ...]:
    variable = operation.inputs.get(name)
    return () if variable is None else tuple(int(each) for each in variable.val)


def quantize_to_four_bits(function: Any, chosen: Mapping[str, Rounded]) -> None:
    """Store the weights of the chosen layers in 4 bits, and correct their biases."""
    with function:
        for operation in [each for each in function.operations if each.name in chosen]:
            _store(function, operation, chosen[operation.name])


def _store(function: Any, operation: Any, stored: Rounded) -> None:
    old = [operation.inputs[name] for name in ("weight", "bias") if name in operation.inputs]
    weight = old[0]
    kind, shape = weight.val.dtype, (-1, *[1] * (weight.rank - 1))
    four_bits = _types.nptype_from_builtin(_types.int4)
    bias = old[1].val if len(old) > 1 else np.zeros(len(stored.steps), kind)
    new = _mb.constexpr_blockwise_shift_scale(
        data=stored.codes.reshape(weight.shape).astype(four_bits),
        scale=stored.steps.astype(kind).reshape(shape),
        before_op=operation,
        name=f"{operation.name}_weight_quantized",
    )
    corrected = _mb.const(
        val=(bias.astype(np.float64) + stored.bias_change).astype(kind),
        before_op=operation,
        name=f"{operation.name}_bias_corrected",
    )
    operation.set_inputs(weight=new, bias=corrected, no_check_var_types=True)
    function.remove_ops([each.op for each in old if not each.child_ops])
