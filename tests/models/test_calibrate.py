"""Calibration of BatchNorm, and the check that activations are fit to be timed."""

from __future__ import annotations

import copy

import pytest
import timm
import torch
from timm.layers import Mlp
from torch import Tensor, nn

from lolvit.denormals import MAX_DENORMAL_SHARE
from lolvit.errors import UserError
from lolvit.models import create_model
from lolvit.models.calibrate import (
    calibrate_batch_norm,
    check_denormals,
    largest_denormal_share,
    make_representative,
    randomize_ineffective,
)

TINY = torch.finfo(torch.float32).tiny


def images(seed: int = 0, count: int = 8, side: int = 64) -> Tensor:
    return torch.randn(count, 3, side, side, generator=torch.Generator().manual_seed(seed))


def scaling(factor: float) -> nn.Sequential:
    """Return a model whose one layer multiplies by `factor`."""
    model = nn.Sequential(nn.Conv2d(3, 3, 1, groups=3, bias=False), nn.Flatten())
    nn.init.constant_(model[0].weight, factor)
    return model.eval()


def test_statistics_become_those_of_the_photos() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4))
    photos = images()
    with torch.no_grad():
        activations = model[0](photos).transpose(0, 1).flatten(1)
    calibrate_batch_norm(model, photos)
    torch.testing.assert_close(model[1].running_mean, activations.mean(1))
    torch.testing.assert_close(model[1].running_var, activations.var(1))


def test_calibrated_activations_are_normalised_in_eval_mode() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4))
    result = calibrate_batch_norm(model, images())(images()).transpose(0, 1).flatten(1)
    assert not model.training and not model[1].training
    torch.testing.assert_close(result.mean(1), torch.zeros(4), atol=1e-4, rtol=0)
    torch.testing.assert_close(result.std(1), torch.ones(4), atol=1e-3, rtol=0)


def test_calibration_is_deterministic_whatever_is_random_in_training() -> None:
    torch.manual_seed(0)
    model = timm.create_model("mobilevit_xxs", drop_rate=0.5, drop_path_rate=0.5)
    one = calibrate_batch_norm(copy.deepcopy(model), images())
    torch.manual_seed(1)
    other = calibrate_batch_norm(model.train(), images())
    states = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    assert all(torch.equal(a, b) for a, b in states)


def test_calibrating_again_gives_the_same_statistics() -> None:
    torch.manual_seed(0)
    model = calibrate_batch_norm(create_model("lolvit_xx"), images())
    before = copy.deepcopy(model.state_dict())
    calibrate_batch_norm(calibrate_batch_norm(model, images(seed=1)), images())
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_momentum_is_given_back_also_after_a_failure() -> None:
    model = nn.Sequential(nn.BatchNorm2d(3, momentum=0.3))
    calibrate_batch_norm(model, images())
    assert model[0].momentum == 0.3
    with pytest.raises(ValueError, match="expected 4D input"):
        calibrate_batch_norm(model, torch.zeros(3, 8))
    assert model[0].momentum == 0.3 and not model[0].training


def test_a_dead_branch_is_revived() -> None:
    model = nn.Sequential(nn.BatchNorm2d(3))
    nn.init.zeros_(model[0].weight)
    assert calibrate_batch_norm(model, images())(images()).any()
    assert torch.equal(model[0].weight, torch.ones(3))


def test_a_weight_with_some_zeros_is_kept() -> None:
    model = nn.Sequential(nn.BatchNorm2d(3))
    model[0].weight.data[0] = 0
    calibrate_batch_norm(model, images())
    assert model[0].weight.tolist() == [0, 1, 1]


def test_the_twins_branches_are_all_alive() -> None:
    """timm starts the last BatchNorm of MobileViT's residual branches at weight zero."""
    torch.manual_seed(0)
    model = timm.create_model("mobilevit_xxs")
    norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
    assert any(not norm.weight.any() for norm in norms)
    calibrate_batch_norm(model, images())
    assert all(norm.weight.any() for norm in norms)


def test_batch_norm_over_vectors_is_calibrated_too() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(3 * 64 * 64, 4), nn.BatchNorm1d(4))
    calibrate_batch_norm(model, images())
    assert model[2].running_mean.any()


def test_a_batch_norm_without_statistics_is_left_alone() -> None:
    model = nn.Sequential(nn.BatchNorm2d(3, track_running_stats=False))
    calibrate_batch_norm(model, images())
    assert model[0].running_mean is None and model[0].momentum == 0.1


def effect_of_blocks(name: str, *, representative: bool) -> float:
    """Return, in dB relative to the outputs, by how much they change where the weights of each
    block's first linear layer are halved."""
    torch.manual_seed(0)
    model = timm.create_model(name)
    side = model.pretrained_cfg["input_size"][-1]
    initialize = make_representative if representative else calibrate_batch_norm
    initialize(model, images(side=side, count=2))
    photos = images(seed=1, count=2, side=side)
    with torch.no_grad():
        before = model(photos)
        for module in model.modules():
            if isinstance(module, Mlp):
                module.fc1.weight /= 2
        change = model(photos) - before
    signal, noise = before.square().sum(), change.square().sum()
    return float(10 * torch.log10(noise.clamp(1e-30) / signal.clamp(1e-15)))


@pytest.mark.parametrize(
    "name", ["convnext_atto", "swinv2_tiny_window8_256", "mixer_s32_224", "cait_xxs24_224"]
)
def test_a_wrong_branch_of_a_network_that_begins_without_it_shows_in_the_outputs(name: str) -> None:
    """LayerScale of 1e-6 and 1e-5, a last norm of weight zero, a classifier of zeros."""
    assert effect_of_blocks(name, representative=False) < -80
    assert effect_of_blocks(name, representative=True) > -20


def test_scales_and_matrices_of_zeros_are_set_and_all_else_is_kept() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.GroupNorm(1, 4), nn.Linear(4, 5)
    )
    nn.init.zeros_(model[1].weight)
    nn.init.constant_(model[2].weight, 1e-6)
    nn.init.zeros_(model[2].bias)
    nn.init.zeros_(model[3].weight)
    before = copy.deepcopy(model.state_dict())
    found = randomize_ineffective(model).state_dict()
    changed = {name for name, tensor in found.items() if not torch.equal(tensor, before[name])}
    assert changed == {"2.weight", "3.weight"}
    assert 0.5 <= found["2.weight"].min() < found["2.weight"].max() <= 1.5
    assert found["3.weight"].std() == pytest.approx(0.02, rel=0.5)


def test_weights_that_are_set_are_the_same_ones_each_time_and_set_once() -> None:
    torch.manual_seed(0)
    model = timm.create_model("convnext_atto")
    first = randomize_ineffective(copy.deepcopy(model)).state_dict()
    torch.manual_seed(1)
    again = randomize_ineffective(randomize_ineffective(model)).state_dict()
    assert all(torch.equal(tensor, again[name]) for name, tensor in first.items())


@pytest.mark.parametrize(
    ("factor", "share"), [(1.0, 0.0), (TINY / 1e3, 1.0), (1e-60, 0.0), (0.0, 0.0)]
)
def test_denormal_values_are_counted_and_zeros_are_not(factor: float, share: float) -> None:
    assert largest_denormal_share(scaling(factor), images()) == pytest.approx(share, abs=1e-3)


def test_a_model_that_takes_one_image_at_a_time_is_checked() -> None:
    class Fixed(nn.Module):
        def forward(self, image: Tensor) -> Tensor:
            return image.view(1, -1)

    check_denormals(Fixed(), images(), where="here")


def test_the_worst_layer_counts() -> None:
    model = nn.Sequential(scaling(TINY / 1e3)[0], nn.BatchNorm2d(3)).eval()
    assert largest_denormal_share(model, images()) > 0.99


def test_denormal_share_removes_its_hooks() -> None:
    model = scaling(1.0)
    largest_denormal_share(model, images())
    with pytest.raises(RuntimeError):
        largest_denormal_share(model, torch.zeros(1, 4, 8, 8))
    assert not any(module._forward_hooks for module in model.modules())


def test_denormal_activations_are_rejected() -> None:
    with pytest.raises(UserError) as caught:
        check_denormals(scaling(TINY / 1e3), images(), where="weights.safetensors")
    assert caught.value.line() == (
        "weights.safetensors: outputs on photos: 100.0% of a layer's activations are denormal; "
        "check its weights and its normalization (mean, std)"
    )


@pytest.mark.parametrize("factor", [float("inf"), float("nan")])
def test_outputs_that_are_not_finite_are_rejected(factor: float) -> None:
    with pytest.raises(UserError, match="not finite"):
        check_denormals(scaling(factor), images(), where="weights.safetensors")


class MaskedAttention(nn.Module):
    """Softmax of masked scores, as Swin has it: -100 leaves denormal probabilities."""

    def __init__(self, scale: float) -> None:
        super().__init__()
        self.softmax, self.drop, self.scale = nn.Softmax(-1), nn.Dropout(0.1), scale

    def forward(self, image: Tensor) -> Tensor:
        scores = image - 100 * (torch.arange(image.shape[-1]) % 2)
        return self.drop(self.softmax(scores)) * self.scale


def test_probabilities_of_masked_scores_are_accepted_and_what_is_not_is_not() -> None:
    check_denormals(MaskedAttention(1.0).eval(), images(), where="swin")
    with pytest.raises(UserError, match=r"% of a layer's activations are denormal"):
        check_denormals(MaskedAttention(0.5).eval(), images(), where="swin")


def test_a_module_may_return_its_parameter() -> None:
    class Table(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.values = nn.Parameter(torch.ones(4, 8, 8))

        def forward(self, image: Tensor) -> Tensor:
            return self.values

    check_denormals(nn.Sequential(Table()), images(), where="table")


def test_a_calibrated_model_is_accepted() -> None:
    torch.manual_seed(0)
    model = calibrate_batch_norm(create_model("lolvit_xx"), images())
    assert largest_denormal_share(model, images(seed=1)) < MAX_DENORMAL_SHARE
    check_denormals(model, images(seed=1), where="lolvit_xx")
