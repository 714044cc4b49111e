"""What a model's name says of it without building it."""

from __future__ import annotations

import pytest

from lolvit.errors import UserError
from lolvit.models.factory import default_size


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
