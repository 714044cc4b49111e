"""The backbone as a timm model: sizes, features, options."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from torch import nn

from lolvit.errors import UserError
from lolvit.models import VARIANTS, create_model
from tests.lived_in import lived_in

SMALLEST = "lolvit_xx"
slow = pytest.mark.slow
SIZES = [
    (64, 64),
    (96, 96),
    (33, 47),
    (192, 320),
    pytest.param((224, 224), marks=slow),
    pytest.param((256, 256), marks=slow),
    pytest.param((512, 512), marks=slow),
]


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("name", VARIANTS)
def test_a_training_step_reaches_every_parameter(name: str, size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    model = lived_in(create_model(name, num_classes=5)).train()  # none starts as nothing
    logits = model(torch.rand(2, 3, *size))
    assert logits.shape == (2, 5)
    nn.functional.cross_entropy(logits, torch.tensor([1, 4])).backward()
    unreached = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert not unreached
    assert all(torch.isfinite(p.grad).all() for p in model.parameters())


@pytest.mark.parametrize("name", VARIANTS)
def test_the_smallest_size_gives_logits(name: str) -> None:
    with torch.no_grad():
        assert create_model(name).eval()(torch.rand(1, 3, 32, 32)).shape == (1, 1000)


@pytest.mark.parametrize("name", VARIANTS)
def test_feature_maps_have_the_strides_and_widths_that_they_announce(name: str) -> None:
    model = create_model(name, features_only=True).eval()
    assert model.feature_info.reduction() == [4, 8, 16, 32]
    assert model.feature_info.channels() == [stage.width for stage in VARIANTS[name].stages]
    with torch.no_grad():
        maps = model(torch.rand(2, 3, 96, 160))
    announced = zip(model.feature_info.channels(), (4, 8, 16, 32), strict=True)
    assert [tuple(m.shape) for m in maps] == [(2, c, 96 // s, 160 // s) for c, s in announced]


def test_feature_maps_are_those_of_the_classifier() -> None:
    torch.manual_seed(0)
    whole = create_model(SMALLEST).eval()
    features = create_model(SMALLEST, features_only=True).eval()
    state = whole.state_dict()
    renamed = {name: state[name.replace("stages_", "stages.")] for name in features.state_dict()}
    features.load_state_dict(renamed)
    image = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        last = torch.relu(features(image)[-1])  # which the classifier reads activated
        assert torch.equal(last, whole.forward_features(image))


def test_out_indices_pick_maps() -> None:
    model = create_model(SMALLEST, features_only=True, out_indices=(1, 3))
    assert model.feature_info.reduction() == [8, 32]
    assert [m.shape[-1] for m in model(torch.rand(1, 3, 64, 64))] == [8, 2]


@pytest.mark.parametrize(
    "options", [{"features_only": True, "out_indices": (9,)}, {"out_indices": (1,)}]
)
def test_out_indices_that_no_map_has_are_a_user_error(options: dict[str, object]) -> None:
    with pytest.raises(UserError, match="lolvit_xx: cannot be created"):
        create_model(SMALLEST, **options)


@pytest.mark.parametrize("channels", [1, 4])
def test_in_chans_changes_the_stem_alone(channels: int) -> None:
    model, usual = create_model(SMALLEST, in_chans=channels), create_model(SMALLEST)
    assert model(torch.rand(2, channels, 64, 64)).shape == (2, 1000)
    shapes = {n: p.shape for n, p in usual.named_parameters()}
    changed = [n for n, p in model.named_parameters() if p.shape != shapes[n]]
    assert changed == ["stem.patches.conv.weight"]


def test_no_classes_leaves_the_pooled_features() -> None:
    model = create_model(SMALLEST, num_classes=0).eval()
    image = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        pooled = model.forward_features(image).mean((2, 3))
        assert torch.equal(model(image), pooled)
        assert torch.equal(
            model.forward_head(model.forward_features(image), pre_logits=True), pooled
        )
    assert model.num_features == pooled.shape[1]


@pytest.mark.parametrize(("classes", "width"), [(7, 7), (0, 256)])
def test_reset_classifier_replaces_the_last_layer(classes: int, width: int) -> None:
    model = create_model(SMALLEST).eval()
    model.reset_classifier(classes)
    assert model.num_classes == classes
    assert model(torch.rand(1, 3, 64, 64)).shape == (1, width)
    assert isinstance(model.get_classifier(), nn.Linear if classes else nn.Identity)


def test_drop_path_grows_with_depth_and_rests_in_eval_mode() -> None:
    torch.manual_seed(0)
    model = lived_in(create_model(SMALLEST, drop_path=0.3))
    rates = [m.drop_prob for n, m in model.named_modules() if n.endswith("ghost.drop_path")]
    assert rates == sorted(rates) and rates[-1] == pytest.approx(0.3)
    image = torch.rand(4, 3, 64, 64)
    assert not torch.equal(model.train()(image), model(image))
    assert torch.equal(model.eval()(image), model(image))


def test_drop_path_is_off_unless_asked_for() -> None:
    model = lived_in(create_model(SMALLEST)).train()
    image = torch.rand(4, 3, 64, 64)
    assert torch.equal(model(image), model(image))


def test_a_batch_gives_what_its_images_give_alone() -> None:
    torch.manual_seed(0)
    model = lived_in(create_model(SMALLEST).double())
    images = torch.rand(3, 3, 96, 64, dtype=torch.float64)
    with torch.no_grad():
        alone = torch.cat([model(image[None]) for image in images])
        torch.testing.assert_close(model(images), alone, rtol=1e-12, atol=1e-14)


def test_importing_the_package_alone_loads_no_torch() -> None:
    program = "import sys, lolvit; sys.exit('torch' in sys.modules or 'timm' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


@pytest.mark.slow
def test_importing_the_models_registers_them_with_timm() -> None:
    program = (
        "import timm\n"
        "assert not timm.is_model('lolvit_x')\n"
        "import lolvit.models\n"
        "assert type(timm.create_model('lolvit_x')).__name__ == 'Lolvit'\n"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
