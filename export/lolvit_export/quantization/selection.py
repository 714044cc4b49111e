"""What a plan chooses of a model's layers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lolvit.errors import UserError
from lolvit_export.quantization.plan import Plan
from lolvit_export.quantization.quantizer import Layer


def chosen_layers(plan: Plan, layers: Sequence[Layer], kinds: Sequence[str]) -> frozenset[str]:
    """Return the names of the layers that a plan quantizes; `kinds` are those that a quantizer
    knows, whether the model has them or not.

    Raises:
        UserError: the plan names a layer or a kind that does not exist, quantizes nothing, or has
            a `gemm_layers` for which there is no choice.
    """
    unknown_kinds = sorted(set(plan.operations) - set(kinds))
    if unknown_kinds:
        raise UserError(
            f"no operation '{unknown_kinds[0]}' can be quantized",
            where="the plan's operations",
            remedy=f"choose from: {', '.join(sorted(kinds))}",
        )
    unknown = sorted(set(plan.float_layers) - {layer.name for layer in layers})
    if unknown:
        raise UserError(
            f"no layer '{unknown[0]}'",
            where="the plan's float_layers",
            remedy="take names from the plan's sensitivity",
        )
    others = sorted(set(plan.gemm_layers) - {layer.name for layer in layers if layer.gemm_depth})
    if others:
        raise UserError(
            f"layer '{others[0]}' can't be computed as a product of matrices instead",
            where="the plan's gemm_layers",
            remedy="leave it out",
        )
    left = set(plan.float_layers)
    chosen = {layer.name for layer in layers if layer.operation in plan.operations} - left
    if not chosen:
        raise UserError(
            "leaves every layer in float", where="the plan", remedy="name operations to quantize"
        )
    return frozenset(chosen)


def reject_ranges(plan: Plan) -> None:
    """Check that a plan for weights only asks for no ranges of activations.

    Raises:
        UserError: it does.
    """
    if plan.method != "minmax":
        raise UserError(
            f"calibration method '{plan.method}' changes nothing: only weights are quantized",
            remedy="choose minmax",
        )


def reject_bias_correction(plan: Plan) -> None:
    """Check that a plan does not ask for what its format's quantizer can't do.

    Raises:
        UserError: it asks for bias correction.
    """
    _reject(
        plan,
        "bias_correction",
        asked=plan.bias_correction,
        only="int8 and w8a16 of onnx, qnn and tflite",
    )


def reject_gptq(plan: Plan) -> None:
    """Check that a plan does not ask for what its format's quantizer can't do, or always does.

    Raises:
        UserError: it asks for GPTQ.
    """
    _reject(plan, "gptq", asked=plan.gptq, only="qnn")


def _reject(plan: Plan, field: str, *, asked: bool, only: str) -> None:
    if asked:
        raise UserError(
            f"{plan.format} has no {field}: {only} only",
            where="the plan",
            remedy=f"set {field} to false",
        )


def present_recipes(
    recipes: Mapping[str, Sequence[str]], layers: Sequence[Layer]
) -> dict[str, tuple[str, ...]]:
    """Return the recipes with only the kinds that a model has; of those that are then the same,
    the last."""
    there = {layer.operation for layer in layers}
    present = {name: tuple(k for k in kinds if k in there) for name, kinds in recipes.items()}
    last = {frozenset(kinds): name for name, kinds in present.items() if kinds}
    return {name: kinds for name, kinds in present.items() if last.get(frozenset(kinds)) == name}
