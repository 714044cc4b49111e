"""Reparameterisation: equal outputs, one branch where there were two, the original untouched."""

from __future__ import annotations

import copy

import pytest
import timm
import torch
from torch import Tensor, nn

from lolvit.models import VARIANTS, create_model
from lolvit.models.lolvit import RepDepthwise
from lolvit.models.reparam import reparameterize
from tests.lived_in import lived_in


def relative_error(result: Tensor, expected: Tensor) -> float:
    return float((result - expected).abs().max() / expected.abs().max())


def batch_norms(model: nn.Module) -> int:
    return sum(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in model.modules())


@pytest.mark.parametrize(
    ("dtype", "bound"), [(torch.float32, 1e-5), (torch.float64, 1e-12)], ids=str
)
@pytest.mark.parametrize("name", VARIANTS)
def test_a_variant_gives_equal_logits_without_parallel_branches(
    name: str, dtype: torch.dtype, bound: float
) -> None:
    torch.manual_seed(0)
    model = lived_in(create_model(name)).to(dtype)
    image = torch.rand(2, 3, 96, 64, dtype=dtype)
    folded = reparameterize(model)
    with torch.no_grad():
        assert relative_error(folded(image), model(image)) <= bound
    merged = sum(isinstance(m, RepDepthwise) for m in model.modules())
    assert batch_norms(folded) == batch_norms(model) - 2 * merged < batch_norms(model)
    assert not any(isinstance(m, RepDepthwise) for m in folded.modules())


def test_branches_of_feature_maps_are_merged() -> None:
    model = lived_in(create_model("lolvit_xx", features_only=True)).double()
    image = torch.rand(1, 3, 64, 64, dtype=torch.float64)
    folded = reparameterize(model)
    with torch.no_grad():
        for result, expected in zip(folded(image), model(image), strict=True):
            assert relative_error(result, expected) <= 1e-12
    assert not any(isinstance(m, RepDepthwise) for m in folded.modules())


def test_timms_own_function_merges_in_place_or_in_a_copy() -> None:
    model = lived_in(create_model("lolvit_xx")).double()
    image = torch.rand(1, 3, 64, 64, dtype=torch.float64)
    with torch.no_grad():
        expected = model(image)
        copied = timm.models.reparameterize_model(model)
        assert any(isinstance(m, RepDepthwise) for m in model.modules())
        inplace = timm.models.reparameterize_model(model, inplace=True)
        assert inplace is model and not any(isinstance(m, RepDepthwise) for m in model.modules())
        for merged in (copied, inplace):
            assert relative_error(merged(image), expected) <= 1e-12


@pytest.mark.parametrize("training", [True, False])
def test_the_original_is_untouched(training: bool) -> None:
    model = lived_in(create_model("lolvit_xx")).train(training)
    model.stem.eval()  # as when the stem is frozen
    state, modes = copy.deepcopy(model.state_dict()), [m.training for m in model.modules()]
    folded = reparameterize(model)
    with torch.no_grad():
        for parameter in folded.parameters():
            parameter.zero_()
    assert [m.training for m in model.modules()] == modes
    assert model.state_dict().keys() == state.keys()
    assert all(torch.equal(tensor, state[name]) for name, tensor in model.state_dict().items())
    assert not folded.training


def test_a_model_in_training_mode_is_folded_as_in_eval_mode() -> None:
    model = lived_in(create_model("lolvit_xx", drop_path=0.5)).double()
    image = torch.rand(1, 3, 64, 64, dtype=torch.float64)
    with torch.no_grad():
        expected = model(image)
        assert relative_error(reparameterize(model.train())(image), expected) <= 1e-12


def test_frozen_weights_stay_frozen() -> None:
    model = lived_in(create_model("lolvit_xx")).requires_grad_(False)
    assert not any(p.requires_grad for p in reparameterize(model).parameters())


def test_gradients_of_the_original_stay_its_own() -> None:
    model = lived_in(create_model("lolvit_xx"))
    model(torch.rand(1, 3, 64, 64)).sum().backward()
    before = model.stem.patches.conv.weight.grad.clone()
    reparameterize(model)(torch.rand(1, 3, 64, 64)).sum().backward()
    assert torch.equal(model.stem.patches.conv.weight.grad, before)


@pytest.mark.parametrize("kernel_size", [1, 3, 5])
def test_depthwise_branches_become_one_convolution(kernel_size: int) -> None:
    block = lived_in(RepDepthwise(6, kernel_size)).double()
    x = torch.randn(2, 6, 7, 5, dtype=torch.float64)
    state = copy.deepcopy(block.state_dict())
    fused = block.fuse()
    assert fused.kernel_size == (kernel_size, kernel_size) and fused.groups == 6
    with torch.no_grad():
        assert relative_error(fused(x), block(x)) <= 1e-12
    assert all(torch.equal(tensor, state[name]) for name, tensor in block.state_dict().items())


def test_a_peer_with_branches_of_its_own_is_folded_by_timm() -> None:
    model = lived_in(timm.create_model("mobileone_s0")).double()
    image = torch.rand(1, 3, 64, 64, dtype=torch.float64)
    folded = reparameterize(model)
    assert batch_norms(model) > 0 and batch_norms(folded) == 0
    with torch.no_grad():
        assert relative_error(folded(image), model(image)) <= 1e-10


def test_a_peer_without_branches_is_copied_as_it_is() -> None:
    model = timm.create_model("mobilevit_xs").eval()
    image = torch.rand(1, 3, 64, 64)
    folded = reparameterize(model)
    assert batch_norms(folded) == batch_norms(model)
    with torch.no_grad():
        assert torch.equal(folded(image), model(image))


class Branch(nn.Module):
    """Two branches, of which `merge` makes one."""

    def __init__(self) -> None:
        super().__init__()
        self.one = nn.Conv2d(3, 3, 1)
        self.two = nn.Conv2d(3, 3, 1)

    def forward(self, image: Tensor) -> Tensor:
        result: Tensor = self.one(image)
        return result if self.two is None else result + self.two(image)

    def merge(self) -> None:
        self.one.weight.data += self.two.weight.data
        self.one.bias.data += self.two.bias.data
        self.two = None  # type: ignore[assignment]


class Deployed(Branch):
    def switch_to_deploy(self) -> None:
        self.merge()


class FusesItself(Branch):
    def fuse(self) -> None:
        self.merge()


class FailsHalfway(Branch):
    def reparameterize(self) -> None:
        self.merge()
        raise RuntimeError("a kernel is missing")


class NeedsAnArgument(Branch):
    def fuse(self, verbose: bool) -> nn.Module:
        return self


class HasAFlag(Branch):
    fuse = True


@pytest.mark.parametrize(
    ("block", "merged"),
    [
        (Deployed, True),
        (FusesItself, False),
        (FailsHalfway, False),
        (NeedsAnArgument, False),
        (HasAFlag, False),
    ],
)
def test_other_peoples_methods_merge_branches_or_leave_the_module_as_it_was(
    block: type[Branch], merged: bool
) -> None:
    model = nn.Sequential(block(), nn.ReLU()).eval()
    image = torch.rand(1, 3, 4, 4)
    folded = reparameterize(model)
    assert isinstance(folded[0], block) and (folded[0].two is None) == merged  # type: ignore[index]
    with torch.no_grad():
        assert relative_error(folded(image), model(image)) <= 1e-6
