"""What a model may be called."""

from __future__ import annotations

import pytest
import timm

from lolvit.errors import UserError
from lolvit.model_names import KNOWN, check_name
from lolvit.models import VARIANTS, create_model
from lolvit.models.names import resolve_name
from lolvit_export.pipeline import folder_name
from lolvit_export.prepared import ModelOptions


@pytest.mark.parametrize("name", VARIANTS)
def test_variants_and_their_baselines_have_their_own_names(name: str) -> None:
    assert resolve_name(name) == name
    assert resolve_name(VARIANTS[name].baseline) == VARIANTS[name].baseline


def test_mobilevit_x_is_read_as_xs() -> None:
    assert resolve_name("mobilevit_x") == "mobilevit_xs"


def test_timms_models_are_reached_by_prefix() -> None:
    assert resolve_name("timm/ghostnet_100") == "ghostnet_100"
    assert resolve_name("timm/resnet18.a1_in1k") == "resnet18.a1_in1k"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("lolvit_xs", "unknown model 'lolvit_xs'; did you mean 'lolvit_x'?"),
        ("ghostnet_100", "unknown model 'ghostnet_100'; for timm's model, write timm/ghostnet_100"),
        ("timm/ghostnet", "timm has no model 'ghostnet'; did you mean one of: ghostnet"),
        ("timm/zzz", "timm has no model 'zzz'; see timm.list_models()"),
        (
            "timm/mobilenetv3_small_050.nope",
            "timm's model 'mobilenetv3_small_050' has no tag 'nope'; choose from: lamb_in1k",
        ),
        ("", "unknown model ''"),
    ],
)
def test_an_unknown_name_is_a_user_error_with_a_hint(name: str, message: str) -> None:
    with pytest.raises(UserError) as caught:
        resolve_name(name)
    assert caught.value.line().startswith(message)


def test_a_folder_is_named_after_model_and_size() -> None:
    options = ModelOptions(size=(192, 320))
    assert folder_name("mobilevit_x", options) == "mobilevit_xs-192x320"


@pytest.mark.parametrize("name", ["mobilevit_x", "timm/mobilevit_xs"])
def test_a_baseline_is_created_by_any_of_its_names(name: str) -> None:
    assert create_model(name, num_classes=3).num_classes == 3


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("lolvit_xs", "unknown model 'lolvit_xs'; did you mean 'lolvit_x'?"),
        ("ghostnet_100", "for timm's model, write timm/ghostnet_100"),
        ("timm/mobilenetv3_smal_100", "did you mean one of: mobilenetv3_small_100, "),
        ("timm/zzz", "timm has no model 'zzz'; see timm.list_models()"),
    ],
)
def test_without_timm_names_are_checked_by_its_sources(name: str, message: str) -> None:
    with pytest.raises(UserError) as caught:
        check_name(name)
    assert message in caught.value.line()


def test_every_name_of_timm_passes_the_check_by_its_sources() -> None:
    former = ("vit_base_patch16_224_in21k", "mixnet_m.ft_in1k")
    assert timm.is_model(former[0])
    own = [n for n in timm.list_models() if timm.model_entrypoint(n).__module__[:5] == "timm."]
    for name in (*own, *former):  # other packages may register models too
        check_name(f"timm/{name}")
    for name in KNOWN:
        check_name(name)
