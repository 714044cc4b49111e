"""Where a model's numbers stop being finite."""

from __future__ import annotations

import math

import pytest
import torch

from lolvit.errors import UserError
from lolvit.models import create_model
from lolvit.models.finite import check_outputs, check_weights

IMAGES = torch.linspace(-1, 1, 3 * 64 * 64).reshape(1, 3, 64, 64)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_the_first_tensor_of_the_weights_that_is_not_finite_is_named(value: float) -> None:
    model = create_model("lolvit_xx", num_classes=10).eval()
    names = [name for name, tensor in model.state_dict().items() if tensor.is_floating_point()]
    for name in (names[20], names[-1]):
        model.state_dict()[name].view(-1)[0] = value
    with pytest.raises(UserError, match=f"^w.pth: not finite: 1 of the .*'{names[20]}'"):
        check_weights(model, "w.pth")


def test_the_first_layer_that_overflows_is_named() -> None:
    model = create_model("lolvit_xx", num_classes=10).eval()
    layer = "head"
    model.get_submodule(layer).weight.data.fill_(3e38)
    with torch.no_grad():
        outputs = model(IMAGES * 1e3)
    with pytest.raises(UserError, match=f"not finite, from layer '{layer}' on; its weights are"):
        check_outputs(model, IMAGES * 1e3, outputs, "w.pth")
    assert not model.get_submodule(layer)._forward_hooks


def test_finite_outputs_pass() -> None:
    model = create_model("lolvit_xx", num_classes=10).eval()
    check_weights(model, "")
    with torch.no_grad():
        check_outputs(model, IMAGES, model(IMAGES), "")
