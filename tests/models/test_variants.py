"""What every variant promises: its size beside its baseline's, attention, Ghost modules."""

from __future__ import annotations

from functools import cache

import pytest
import timm
from torch import nn

from lolvit.models import VARIANTS, create_model, macs_of, parameters_of
from lolvit.models.lolvit import FastWindowAttention, GhostModule

pytestmark = pytest.mark.parametrize("name", VARIANTS)

# What MobileViT's authors state, so that a changed baseline can't move the goal.
PARAMETERS = {"mobilevit_xxs": 1_272_024, "mobilevit_xs": 2_317_848, "mobilevit_s": 5_578_632}


@cache
def model(name: str) -> nn.Module:
    return create_model(name)


@cache
def baseline_macs(name: str) -> int:
    return macs_of(create_model(VARIANTS[name].baseline))


def stages_with(name: str, kind: type[nn.Module]) -> list[int]:
    stages = model(name).get_submodule("stages").children()
    found = [any(isinstance(part, kind) for part in stage.modules()) for stage in stages]
    return [index for index, has in enumerate(found) if has]


def test_the_baseline_has_the_parameters_that_its_authors_state(name: str) -> None:
    baseline = VARIANTS[name].baseline
    assert parameters_of(create_model(baseline)) == PARAMETERS[baseline]


def test_parameters_are_within_three_percent_of_the_baselines(name: str) -> None:
    assert parameters_of(model(name)) == pytest.approx(
        PARAMETERS[VARIANTS[name].baseline], rel=0.03
    )


def test_the_classifier_is_no_larger_than_the_baselines(name: str) -> None:
    baseline = create_model(VARIANTS[name].baseline)
    own = parameters_of(model(name).get_classifier())
    assert 0 < own <= parameters_of(baseline.get_classifier())


def test_multiply_adds_are_at_least_fifteen_percent_of_the_baselines(name: str) -> None:
    assert macs_of(model(name)) >= 0.15 * baseline_macs(name)


def test_x_does_at_least_150_million_multiply_adds(name: str) -> None:
    if VARIANTS[name].baseline == "mobilevit_xs":
        assert macs_of(model(name)) >= 150e6


def test_attention_runs_in_at_least_two_stages(name: str) -> None:
    assert len(stages_with(name, FastWindowAttention)) >= 2


def test_ghost_modules_are_in_every_stage(name: str) -> None:
    assert stages_with(name, GhostModule) == list(range(len(VARIANTS[name].stages)))
    assert len(VARIANTS[name].stages) in (4, 5)


def test_the_table_is_keyed_by_name_and_heads_fill_the_width(name: str) -> None:
    variant = VARIANTS[name]
    assert variant.name == name
    for stage in variant.stages:
        assert stage.width % 2 == 0 and stage.heads * stage.head_dim <= stage.width


def test_timm_makes_it_by_name(name: str) -> None:
    assert timm.is_model(name)
    made = timm.create_model(name, num_classes=7)
    assert type(made) is type(model(name)) and made.num_classes == 7


def test_timm_knows_how_its_photos_are_prepared(name: str) -> None:
    config = timm.data.resolve_model_data_config(model(name))
    assert config["input_size"] == (3, 256, 256)
    assert len(set(config["mean"])) == len(set(config["std"])) == 1  # Core ML's one scale
