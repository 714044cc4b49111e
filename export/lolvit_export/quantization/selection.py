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
        UserError: the plan names a layer or a kind that there isn't, or leaves nothing quantized.
    """
    strange = sorted(set(plan.operations) - set(kinds))
    if strange:
        raise UserError(
            f"no operation '{strange[0]}' can be quantized",
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
    left = set(plan.float_layers)
    chosen = {layer.name for layer in layers if layer.operation in plan.operations} - left
    if not chosen:
        raise UserError(
            "leaves every layer in float", where="the plan", remedy="name operations to quantize"
        )
    return frozenset(chosen)


def refuse_ranges(plan: Plan) -> None:
    """Check that a plan for weights alone asks for no ranges of activations.

    Raises:
        UserError: it does.
    """
    if plan.method != "minmax":
        raise UserError(
            f"calibration method '{plan.method}' changes nothing: only weights are quantized",
            remedy="choose minmax",
        )


def refuse_bias_correction(plan: Plan) -> None:
    """Check that a plan does not ask for what its format's quantizer can't do.

    Raises:
        UserError: it asks for corrected biases.
    """
    _refuse(plan, "correct_biases", asked=plan.correct_biases, alone="onnx")


def refuse_compensation(plan: Plan) -> None:
    """Check that a plan does not ask for what its format's quantizer can't do, or always does.

    Raises:
        UserError: it asks for compensated weights.
    """
    _refuse(plan, "compensate_weights", asked=plan.compensate_weights, alone="qnn")


def _refuse(plan: Plan, field: str, *, asked: bool, alone: str) -> None:
    if asked:
        raise UserError(
            f"{plan.format} has no {field}: {alone} alone has it",
            where="the plan",
            remedy=f"set {field} to false",
        )


def present_recipes(
    recipes: Mapping[str, Sequence[str]], layers: Sequence[Layer]
) -> dict[str, tuple[str, ...]]:
    """Return the recipes with the kinds alone that a model has; of those that are then the same,
    the last."""
    there = {layer.operation for layer in layers}
    present = {name: tuple(k for k in kinds if k in there) for name, kinds in recipes.items()}
    last = {frozenset(kinds): name for name, kinds in present.items() if kinds}
    return {name: kinds for name, kinds in present.items() if last.get(frozenset(kinds)) == name}
