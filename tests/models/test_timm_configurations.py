"""Every pretrained configuration of timm is followed, or refused by name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import timm
from timm.data import create_transform, resolve_data_config

from lolvit.errors import UserError
from lolvit.manifest import Preprocessing
from lolvit.models.factory import timm_preprocessing
from lolvit_data.bundled import bundled_photo
from lolvit_runtimes.preprocessing import normalize, to_pixels
from tests.models.timm_configurations import Configuration, configurations, table

DOCUMENT = Path(__file__).parents[2] / "docs" / "photos.md"


@pytest.fixture(scope="module")
def found() -> list[Configuration]:
    return configurations()


def test_the_table_of_the_documentation_is_what_they_are(found: list[Configuration]) -> None:
    assert "\n".join(table(found)) in DOCUMENT.read_text()


def test_all_that_timm_has_today_are_followed(found: list[Configuration]) -> None:
    assert len(found) > 1500
    assert [each.name for each in found if each.preprocessing is None] == []


def test_each_way_to_preprocess_gives_timms_own_input(found: list[Configuration]) -> None:
    """One configuration of each kind, at sides of a sixteenth: rounding has them all."""
    photo = bundled_photo("coffee").resize((151, 97))
    names = {_kind(each.preprocessing): each.name for each in found if each.preprocessing}
    assert len(names) > 40
    for name in names.values():
        config = timm.models.get_pretrained_cfg(name).to_dict()
        size = tuple(max(8, side // 16) for side in config["input_size"][1:])
        own = resolve_data_config({"input_size": (3, *size)}, pretrained_cfg=config)
        preprocessing = timm_preprocessing(config, size, 3, name)
        ours = normalize(to_pixels(photo, preprocessing), preprocessing)[0]
        np.testing.assert_array_equal(ours, create_transform(**own)(photo).numpy(), name)


def _kind(preprocessing: Preprocessing) -> tuple[object, ...]:
    height, width = preprocessing.size
    return (preprocessing.resize, preprocessing.crop_pct, preprocessing.interpolation,
            height == width, preprocessing.mean)  # fmt: skip


@pytest.mark.parametrize(
    ("field", "value", "line"),
    [
        ("crop_mode", "border", "crop_mode 'border', which no runtime here follows; export"),
        ("interpolation", "random", "interpolation 'random', which no runtime here follows"),
        ("interpolation", "lanczos", "interpolation 'lanczos', which no runtime here follows"),
        ("crop_pct", -1.0, "field 'crop_pct' of its pretrained_cfg"),
        ("std", (0.0, 1.0, 1.0), "std"),
    ],
)
def test_a_field_that_cannot_be_followed_is_named(field: str, value: object, line: str) -> None:
    config = timm.models.get_pretrained_cfg("resnet18.a1_in1k").to_dict() | {field: value}
    with pytest.raises(UserError, match=line):
        timm_preprocessing(config, (64, 64), 3, "resnet18")
