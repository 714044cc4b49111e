"""Products, powers, distances, bilinear layers and other arithmetic that converters lack."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from lolvit_export.rewrites.bilinear_to_matmul import BilinearToMatmul
from lolvit_export.rewrites.bitwise_to_logical import BitwiseToLogical
from lolvit_export.rewrites.bucketize_to_sum import BucketizeToSum
from lolvit_export.rewrites.cumprod_to_products import CumprodToProducts
from lolvit_export.rewrites.decompose_arithmetic import DecomposeArithmetic
from lolvit_export.rewrites.decompose_distances import DecomposeDistances
from lolvit_export.rewrites.pow_to_products import PowToProducts
from lolvit_export.rewrites.prod_to_products import ProdToProducts
from lolvit_export.rewrites.vector_linear_to_matrix import VectorLinearToMatrix
from tests.export.rewriting import Model, match_failures, nodes, operations, rewritten, some_shapes

sides = st.integers(1, 13)
axes = st.integers(-4, 3)


@some_shapes
@given(st.sampled_from([1, 2, 3, 5, 8, 2.0, -1, -3, 0.5, -0.5, 1.7, -2.3]), st.booleans())
def test_a_power_is_products_or_one_of_a_vector(exponent: float, long: bool) -> None:
    def forward(_module: Any, x: Tensor) -> Tensor:
        x = x.tanh() + 2
        return x.unsqueeze(4) ** exponent if long else x**exponent

    model, other = Model(forward), exponent in (1.7, -2.3)
    if other and not long:
        assert match_failures(PowToProducts(), model) == ["its exponent is another one"]
        return
    graph, record = rewritten(PowToProducts(), model)
    assert record.applied == 1 and ("pow" in operations(graph)) == other


FORMULAS: dict[str, Callable[[Tensor], Tensor]] = {
    "lerp": lambda x: torch.lerp(x, x.cos(), 0.3) + torch.lerp(x, x.cos(), x.sigmoid()),
    "addcmul": lambda x: torch.addcmul(x, x.cos(), x) + torch.addcmul(x, x, x, value=-0.5),
    "addcdiv": lambda x: torch.addcdiv(x, x.sin(), x.cos() + 2, value=3),
    "trunc": lambda x: (x * 4).trunc() + torch.fix(x * 3),
    "frac": lambda x: (x * 4).frac(),
    "fmod": lambda x: torch.fmod(x * 4, 0.7) + torch.fmod(x * 4, x.cos() + 2),
    "ceil": lambda x: (x * 4).ceil(),
    "exp2": torch.exp2,
    "asinh": torch.asinh,
    "acosh": lambda x: torch.acosh(x.abs() + 1.5),
    "atanh": lambda x: torch.atanh(x.sin() * 0.9),
    "nan_to_num": lambda x: (
        (x / x.relu()).nan_to_num(2.0, 3.0, -4.0) + (x.sign() / 0).nan_to_num().clamp(-1, 1)
    ),
    "reciprocal": lambda x: (x.abs() + 1).reciprocal(),
    "hypot": lambda x: torch.hypot(x, x.cos()),
}


@pytest.mark.parametrize("name", FORMULAS)
def test_arithmetic_is_what_it_consists_of(name: str) -> None:
    graph, record = rewritten(DecomposeArithmetic(), Model(lambda m, x: FORMULAS[name](x)))
    assert record.applied and name not in operations(graph)


@pytest.mark.parametrize("right", [True, False])
def test_a_search_in_boundaries_is_a_count(right: bool) -> None:
    def forward(module: Any, x: Tensor) -> Tensor:
        whole = torch.bucketize((x * 2).round() / 2, module.boundaries, right=right)
        return whole + torch.bucketize(x, module.boundaries, right=right, out_int32=True).double()

    model = Model(forward, boundaries=torch.tensor([-1.0, -0.5, 0.0, 0.5, 3.0]))
    graph, record = rewritten(BucketizeToSum(), model)
    assert record.applied == 2 and "bucketize" not in operations(graph)


@pytest.mark.parametrize("bias", [True, False])
def test_a_vector_of_weights_is_a_row(bias: bool) -> None:
    def forward(module: Any, x: Tensor) -> Tensor:
        return F.linear(x.softmax(-1), module.weight, module.bias if bias else None)

    weight, offset = nn.Parameter(torch.empty(8)), nn.Parameter(torch.empty(()))
    graph, record = rewritten(VectorLinearToMatrix(), Model(forward, weight=weight, bias=offset))
    assert record.applied == 1
    (linear,) = nodes(graph, "linear")
    assert linear.args[1].meta["val"].shape == (1, 8)


def test_bits_of_booleans_are_logic() -> None:
    def forward(_module: Any, x: Tensor) -> Tensor:
        a, b = x > 0, x > 0.3
        c = x.roll(1, 1) < 0.2
        return torch.stack([a & c, a | c, a ^ c, ~b, torch.logical_xor(b, c)]).double()

    graph, record = rewritten(BitwiseToLogical(), Model(forward))
    assert record.applied == 5
    assert not any("bitwise" in name or "xor" in name for name in operations(graph))
    integers = Model(lambda m, x: ((x * 9).long() & 3).double() + ((x * 9).long() ^ x.long()))
    assert "it is of integers" in match_failures(BitwiseToLogical(), integers)


@some_shapes
@given(axes, sides)
def test_a_product_up_to_each_place_is_few_products(axis: int, width: int) -> None:
    model = Model(lambda m, x: x.cumprod(axis))
    graph, record = rewritten(CumprodToProducts(), model, (3, width))
    assert record.applied == 1 and operations(graph).count("mul") <= 4


@some_shapes
@given(st.integers(-4, 3), st.sampled_from([1e-8, 2.0]), sides)
def test_a_cosine_is_a_sum_of_products(axis: int, least: float, width: int) -> None:
    model = Model(lambda m, x: F.cosine_similarity(x, x.roll(1, 1) * 0.5, axis, least).unsqueeze(0))
    graph, record = rewritten(DecomposeDistances(), model, (3, width))
    assert record.applied == 1 and "cosine_similarity" not in operations(graph)


@pytest.mark.parametrize("order", [1.0, 2.0])
@pytest.mark.parametrize("mode", ["use_mm_for_euclid_dist_if_necessary", "use_mm_for_euclid_dist"])
def test_distances_are_sums_of_differences(order: float, mode: str) -> None:
    model = Model(lambda m, x: torch.cdist(x, x.cos()[..., :5, :], order, mode))
    graph, record = rewritten(DecomposeDistances(), model)
    assert record.applied == 1 and "cdist" not in operations(graph)
    other = Model(lambda m, x: torch.cdist(x, x.cos(), 3.0))
    assert match_failures(DecomposeDistances(), other) == ["its order is neither 1 nor 2"]


@some_shapes
@given(axes, st.booleans(), sides)
def test_a_product_is_one_of_halves(axis: int, kept: bool, width: int) -> None:
    model = Model(lambda m, x: x.prod(axis, keepdim=kept).unsqueeze(0))
    graph, record = rewritten(ProdToProducts(), model, (5, width))
    assert record.applied == 1 and "prod" not in operations(graph)
    whole = Model(lambda m, x: x.tanh().prod().view(1, 1))
    assert rewritten(ProdToProducts(), whole, (2, width))[1].applied == 1


def test_a_product_of_another_type_stays() -> None:
    model = Model(lambda m, x: x.prod(1, dtype=torch.float32).double())
    assert match_failures(ProdToProducts(), model) == ["the type is changed"]


@pytest.mark.parametrize("bias", [True, False])
def test_a_bilinear_layer_is_two_products(bias: bool) -> None:
    layer = nn.Bilinear(8, 8, 5, bias=bias)
    for forward in (
        lambda m, x: m.layer(x, x.roll(1, 2)),  # over the last axis of four
        lambda m, x: m.layer(x.mean((1, 2)), x.amax((1, 2))),
    ):
        graph, record = rewritten(BilinearToMatmul(), Model(forward, layer=layer))
        assert record.applied == 1 and operations(graph).count("matmul") == 2
