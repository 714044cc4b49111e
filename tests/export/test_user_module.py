"""Modules of the user's own, as they come: wrapped, normalized, scripted, without values."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import lolvit
from lolvit.errors import UserError
from lolvit_export.prepare import prepare
from lolvit_export.prepared import ModelOptions, Prepared


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 5)
    )


def prepared(module: nn.Module, **options: object) -> Prepared:
    return prepare(module, ModelOptions(size=(32, 32), **options))  # type: ignore[arg-type]


def outputs(module: nn.Module) -> Tensor:
    with torch.no_grad():
        found: Tensor = module.eval()(torch.linspace(-1, 1, 3 * 32 * 32).view(1, 3, 32, 32))
    return found


def test_what_runs_in_parallel_is_exported(tmp_path: Path) -> None:
    module = nn.DataParallel(network())
    found = prepared(module)
    assert isinstance(found.model, nn.Sequential)
    torch.testing.assert_close(outputs(found.model), outputs(network()))


@pytest.mark.filterwarnings("ignore:.*weight_norm.* is deprecated")
def test_normalized_weights_are_computed_and_the_users_module_stays(tmp_path: Path) -> None:
    module = network()
    nn.utils.weight_norm(module[0])
    module[0].weight_g.data *= 1.5
    before, expected = copy.copy(module.state_dict()), outputs(module)
    module(torch.rand(1, 3, 32, 32))  # leaves a weight that torch computed, not a leaf
    exported = lolvit.export(module, size=32, targets="onnx", out=tmp_path)
    assert exported.complete and [*module.state_dict()] == [*before]
    torch.testing.assert_close(outputs(prepared(module).model), expected)


@pytest.mark.filterwarnings("ignore:.*weight_norm.* is deprecated")
def test_weights_are_loaded_by_the_names_that_normalization_gives(tmp_path: Path) -> None:
    module, other = (nn.utils.weight_norm(nn.Conv2d(3, 4, 32)) for _ in range(2))
    torch.save(other.state_dict(), tmp_path / "w.pt")
    found = prepared(nn.Sequential(module, nn.Flatten()), weights=tmp_path / "w.pt").model
    torch.testing.assert_close(outputs(found), outputs(nn.Sequential(other, nn.Flatten())))


@pytest.mark.filterwarnings("ignore:.*torch.jit")
def test_torchscript_and_modules_without_values_are_one_line() -> None:
    image = torch.rand(1, 3, 32, 32)
    for program in (torch.jit.trace(network(), image), torch.jit.script(network())):
        with pytest.raises(UserError, match="a TorchScript program") as found:
            prepared(program)
        assert found.value.remedy == "give the module that it was made from"
    with pytest.raises(UserError, match=r"'0\.weight' is on the device meta"):
        prepared(network().to("meta"))
