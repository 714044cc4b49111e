"""What is known of a model: its input size without building it, its multiply-adds."""

from __future__ import annotations

import pytest
import timm
import torch
from torch import Tensor, nn

from lolvit.errors import UserError
from lolvit.models import create_model, macs_of
from lolvit.models.factory import channels_of, default_size
from lolvit.models.lolvit import FastWindowAttention


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("lolvit_x", (256, 256)),
        ("mobilevit_xs", (256, 256)),
        ("timm/mobilenetv4_conv_small", (224, 224)),
        ("timm/mobilenetv4_conv_small.e2400_r224_in1k", (224, 224)),
    ],
)
def test_the_default_size_is_the_one_a_model_was_designed_for(
    name: str, size: tuple[int, int]
) -> None:
    assert default_size(name) == size


def test_an_unknown_name_has_no_size() -> None:
    with pytest.raises(UserError, match="unknown model 'lolvit_y'"):
        default_size("lolvit_y")


@pytest.mark.parametrize(("options", "channels"), [({}, 3), ({"in_chans": 1}, 1)])
def test_channels_are_the_first_convolutions_where_an_image_can_have_so_many(
    options: dict[str, int], channels: int
) -> None:
    with torch.device("meta"):
        assert channels_of(timm.create_model("test_resnet", **options)) == channels
        first = timm.create_model("csatv2")  # whose first convolution reads a cosine transform
    assert channels_of(first) == 3


def test_counting_multiply_adds_leaves_each_module_in_its_mode() -> None:
    model = create_model("lolvit_xx").train()
    frozen = next(m for m in model.modules() if isinstance(m, nn.BatchNorm2d)).eval()
    macs_of(model, (64, 64))
    assert model.training and not frozen.training


class PassesAParameter(nn.Module):
    """Gives a view of a parameter to a module, as transformers do with their class token."""

    def __init__(self) -> None:
        super().__init__()
        self.token, self.layer = nn.Parameter(torch.zeros(1, 6, 4, 4)), nn.Conv2d(6, 2, 1)

    def forward(self, image: Tensor) -> Tensor:
        return self.layer(self.token.expand(len(image), -1, -1, -1)) + image.mean()


def test_layers_of_a_view_of_a_parameter_are_counted() -> None:
    model = PassesAParameter()
    assert macs_of(model, (16, 16)) == 6 * 2 * 4 * 4
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_multiply_adds_include_the_products_of_attention() -> None:
    layer = FastWindowAttention(in_chs=8, heads=2, head_dim=4)
    queries, keys = 16 * 16, 4 * 4
    projections = queries * 8 * 8 + keys * 8 * 16
    products = 2 * queries * keys * 8
    assert macs_of(layer, (16, 16), in_chans=8) == projections + products
