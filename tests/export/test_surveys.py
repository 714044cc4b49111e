"""The surveys of operations and of others' models: what they cover, that their networks run, and
that a failure of one format has its reason."""

from __future__ import annotations

from importlib.util import find_spec

import pytest
import timm
import torch

from lolvit_export.capture import named_outputs
from tests.export.library_models import MODELS as LIBRARY_MODELS
from tests.export.operations import OPERATIONS, SIZE, Network, outcome
from tests.export.timm_models import MODELS


@pytest.mark.parametrize("name", OPERATIONS)
def test_a_network_computes_its_operation(name: str) -> None:
    torch.manual_seed(0)
    network = Network(OPERATIONS[name]).eval()
    with torch.no_grad():
        first, second = (network(torch.rand(1, 3, *SIZE)) for _ in range(2))
    assert bool(torch.isfinite(first.double()).all())
    assert not torch.equal(first, second)  # it depends on the image


@pytest.mark.slow
def test_a_format_that_lacks_an_operation_is_named_with_the_reason() -> None:
    found = outcome("as_strided", ("onnx", "coreml"))
    assert isinstance(found["onnx"], float) and found["onnx"] > 100
    assert "Unsupported fx node as_strided" in str(found["coreml"])


@pytest.mark.slow
@pytest.mark.parametrize("name", LIBRARY_MODELS)
def test_a_network_of_a_library_runs(name: str) -> None:
    model, size = LIBRARY_MODELS[name]()
    assert named_outputs(model.eval()(torch.rand(1, 3, size, size)))


def test_each_file_of_timm_has_a_model_in_the_survey() -> None:
    surveyed = {timm.model_entrypoint(name).__module__.rpartition(".")[2] for name in MODELS}
    modules = {name for name in timm.list_modules() if find_spec(f"timm.models.{name}")}
    assert modules - surveyed == {"deepseek_vit", "gemma4_vit", "vgg"}
    assert len(surveyed) == len(MODELS)
