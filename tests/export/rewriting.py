"""Apply rewrites to small float64 models and compare the graphs before and after."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from hypothesis import settings
from torch import Tensor, nn
from torch.fx import GraphModule

from lolvit.manifest import RewriteRecord
from lolvit_export.capture import capture
from lolvit_export.rewrites import Rewrite, apply

BOUND = 1e-10  # relative, in float64
some_shapes = settings(max_examples=20, deadline=None)
Size = tuple[int, int]


class Model(nn.Module):
    """A model of a function of (module, image), with parts given by name, in float64."""

    def __init__(self, function: Callable[[Any, Tensor], Any], **parts: Any) -> None:
        super().__init__()
        self.function = function
        self.anchor = nn.Parameter(torch.zeros(1))  # unread: tells capture the type of the image
        generator = torch.Generator().manual_seed(0)
        for name, part in parts.items():
            if isinstance(part, Tensor) and not isinstance(part, nn.Parameter):
                self.register_buffer(name, part)
            else:
                setattr(self, name, part)
        self.double().eval()
        for parameter in self.parameters():
            parameter.data.normal_(generator=generator)
        for module in self.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.track_running_stats:
                module.running_mean.normal_(generator=generator)
                module.running_var.uniform_(0.5, 2, generator=generator)

    def forward(self, image: Tensor) -> Any:
        return self.function(self, image)


def image_like(graph: GraphModule, seed: int = 0) -> Tensor:
    """Return a random float64 image of the shape that a graph takes."""
    value = next(node for node in graph.graph.nodes if node.op == "placeholder").meta["val"]
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(tuple(value.shape), generator=generator, dtype=value.dtype)


def relative_error(result: Tensor, expected: Tensor) -> float:
    """Return the largest difference over the largest expected value."""
    assert result.shape == expected.shape and result.dtype == expected.dtype
    assert bool(torch.isfinite(expected).all())
    if not expected.numel():
        return 0.0
    difference = float((result - expected).abs().max())
    return difference / max(float(expected.abs().max()), math.ulp(1.0))


def rewritten(
    rewrite: Rewrite, model: nn.Module, size: Size = (8, 8), in_chans: int = 3
) -> tuple[GraphModule, RewriteRecord]:
    """Return the graph after one rewrite, proven equal to the one before, which is untouched."""
    before = capture(model, size, in_chans)
    code, state = before.code, {k: v.clone() for k, v in before.state_dict().items()}
    after, record = apply(rewrite, before)
    assert before.code == code and before.state_dict().keys() == state.keys()
    assert all(torch.equal(tensor, state[name]) for name, tensor in before.state_dict().items())
    image = image_like(before)
    with torch.no_grad():
        expected, result = before(image), after(image)
        assert relative_error(expected, model(image.clone())) <= BOUND
    assert relative_error(result, expected) <= BOUND
    assert record.name == rewrite.name and record.fired == len(record.sites)
    return after, record


def refusals(
    rewrite: Rewrite, model: nn.Module, size: Size = (8, 8), in_chans: int = 3
) -> list[str]:
    """Return why a rewrite does not fire on a model, a reason a place; it must fire nowhere."""
    _, record = rewritten(rewrite, model, size, in_chans)
    assert record.fired == 0
    return [line.split(": ", 1)[1] for line in record.skipped]


def operations(graph: GraphModule) -> list[str]:
    """Return what a graph calls, in order, without namespace and overload."""
    calls = [node.target for node in graph.graph.nodes if node.op == "call_function"]
    return [getattr(target, "_opname", getattr(target, "__name__", "")) for target in calls]


def nodes(graph: GraphModule, operation: str) -> list[Any]:
    """Return the nodes that call one operation."""
    found = [node for node in graph.graph.nodes if node.op == "call_function"]
    return [node for node in found if getattr(node.target, "_opname", "") == operation]
