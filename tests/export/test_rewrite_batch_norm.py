"""fold_batch_norm: into the convolution before it, and only where nobody would notice."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from lolvit_export.capture import capture
from lolvit_export.rewrites import apply
from lolvit_export.rewrites.fold_batch_norm import FoldBatchNorm
from tests.export.rewriting import Model, match_failures, operations, rewritten, some_shapes

pytestmark = pytest.mark.filterwarnings("ignore:Using padding='same'")
REWRITE = FoldBatchNorm()


@some_shapes
@given(
    groups=st.sampled_from([1, 2, 4]),
    kernel=st.integers(1, 3),
    stride=st.integers(1, 2),
    padding=st.sampled_from([0, 1, "same"]),
    dilation=st.integers(1, 2),
    bias=st.booleans(),
    affine=st.booleans(),
    size=st.tuples(st.integers(5, 9), st.integers(5, 9)),
)
def test_any_convolution_takes_its_norm_in(
    groups: int,
    kernel: int,
    stride: int,
    padding: Any,
    dilation: int,
    bias: bool,
    affine: bool,
    size: tuple[int, int],
) -> None:
    conv = nn.Conv2d(
        4, 8, kernel, 1 if padding == "same" else stride, padding, dilation, groups, bias
    )
    model = Model(lambda m, x: m.norm(m.conv(x)), conv=conv, norm=nn.BatchNorm2d(8, affine=affine))
    graph, record = rewritten(REWRITE, model, size, in_chans=4)
    assert record.applied == 1 and operations(graph) == ["conv2d"]
    assert {name.rsplit("_", 1)[1] for name in graph.state_dict()} == {"weight", "bias"}


def test_a_weight_that_two_convolutions_share_is_folded_into_each() -> None:
    def forward(m: Any, x: Tensor) -> Tensor:
        return m.first(m.conv(x)) + m.second(m.conv(x * 2)) + m.conv(x * 3)

    conv = nn.Conv2d(3, 4, 1)
    model = Model(forward, conv=conv, first=nn.BatchNorm2d(4), second=nn.BatchNorm2d(4))
    graph, record = rewritten(REWRITE, model)
    assert record.applied == 2 and "batch_norm" not in operations(graph)
    assert operations(graph).count("conv2d") == 3


def test_a_norm_that_two_convolutions_share_is_folded_into_each() -> None:
    model = Model(
        lambda m, x: m.norm(m.one(x)) + m.norm(m.other(x)),
        one=nn.Conv2d(3, 4, 1),
        other=nn.Conv2d(3, 4, 3, padding=1),
        norm=nn.BatchNorm2d(4),
    )
    assert rewritten(REWRITE, model)[1].applied == 2


def conv_then(**parts: Any) -> dict[str, Any]:
    return {"conv": nn.Conv2d(3, 4, 1), "norm": nn.BatchNorm2d(4), **parts}


def without_statistics(m: Any, x: Tensor) -> Tensor:
    return F.batch_norm(m.conv(x), None, None, training=True)


def computed(what: str) -> Any:
    """Return a forward pass in which one tensor of the pair is computed."""

    def forward(m: Any, x: Tensor) -> Tensor:
        given: dict[str, Tensor] = {
            "weight": m.conv.weight,
            "bias": m.conv.bias,
            "scale": m.norm.weight,
            "shift": m.norm.bias,
            "mean": m.norm.running_mean,
            "variance": m.norm.running_var,
        }
        given[what] = given[what] * x.mean().exp()
        image = F.conv2d(x, given["weight"], given["bias"])
        statistics = given["mean"], given["variance"]
        return F.batch_norm(image, *statistics, given["scale"], given["shift"])

    return forward


ANOTHER_READER = "the convolution has another reader"
NO_CONVOLUTION = "its input is not a convolution"
NO_BATCH = "the convolution's output has no batch axis"
OWN = "its own parameters are computed, not constant"
REFUSED = {
    "after an activation": (lambda m, x: m.norm(F.relu(m.conv(x))), NO_CONVOLUTION),
    "after a transposed convolution": (lambda m, x: m.norm(m.transposed(x)), NO_CONVOLUTION),
    "after a change of layout": (lambda m, x: m.norm(m.conv(x).transpose(2, 3)), NO_CONVOLUTION),
    "convolution read elsewhere": (lambda m, x: (y := m.conv(x)) + m.norm(y), ANOTHER_READER),
    "its view read": (lambda m, x: (y := m.conv(x)).flatten().sum() + m.norm(y), ANOTHER_READER),
    "batch statistics": (without_statistics, "BatchNorm is in training mode"),
    "channels on another axis": (lambda m, x: m.norm1(m.conv(x[0])), NO_BATCH),
    "computed weight": (computed("weight"), "the convolution's weight is computed, not constant"),
    "computed bias": (computed("bias"), "the convolution's bias is computed, not constant"),
    "computed scale": (computed("scale"), OWN),
    "computed shift": (computed("shift"), OWN),
    "computed mean": (computed("mean"), OWN),
    "computed variance": (computed("variance"), OWN),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_match_failure_has_its_reason(case: str) -> None:
    forward, reason = REFUSED[case]
    transposed, norm1 = nn.ConvTranspose2d(3, 4, 1), nn.BatchNorm1d(4)
    model = Model(forward, **conv_then(transposed=transposed, norm1=norm1))
    assert match_failures(REWRITE, model, (4, 4)) == [reason]


def test_a_linear_layers_norm_is_left_alone() -> None:
    model = Model(
        lambda m, x: m.norm(m.linear(x.flatten(1))),
        linear=nn.Linear(48, 5),
        norm=nn.BatchNorm1d(5),
    )
    assert match_failures(REWRITE, model, (4, 4)) == ["its input is not a convolution"]


def test_folding_keeps_the_single_precision_of_the_weights() -> None:
    model = Model(lambda m, x: m.norm(m.conv(x)), **conv_then()).float()
    graph, _ = apply(REWRITE, capture(model, (4, 4)))
    assert {tensor.dtype for tensor in graph.state_dict().values()} == {torch.float32}
