"""Filled places, dilated pools, unpools, products, bilinear layers and negative padding; and all in
one network in every format."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import deform_conv2d

import lolvit
from lolvit_export.rewrites.affine_grid_to_matmul import AffineGridToMatmul
from lolvit_export.rewrites.bilinear_to_matmul import BilinearToMatmul
from lolvit_export.rewrites.bitwise_to_logical import BitwiseToLogical
from lolvit_export.rewrites.cumprod_to_products import CumprodToProducts
from lolvit_export.rewrites.decompose_arithmetic import DecomposeArithmetic
from lolvit_export.rewrites.decompose_distances import DecomposeDistances
from lolvit_export.rewrites.deform_conv_to_grid_sample import DeformConvToGridSample
from lolvit_export.rewrites.diagonal_to_index_select import DiagonalToIndexSelect
from lolvit_export.rewrites.dilated_max_pool_to_slices import DilatedMaxPoolToSlices
from lolvit_export.rewrites.drop_batch_axis import DropBatchAxis
from lolvit_export.rewrites.explicit_pool_stride import ExplicitPoolStride
from lolvit_export.rewrites.index_fill_to_where import IndexFillToWhere
from lolvit_export.rewrites.index_writes_to_index_select import IndexWritesToIndexSelect
from lolvit_export.rewrites.max_unpool_to_masks import MaxUnpoolToMasks
from lolvit_export.rewrites.negative_padding_to_slice import NegativePaddingToSlice
from lolvit_export.rewrites.one_hot_to_equal import OneHotToEqual
from lolvit_export.rewrites.padded_max_pool_to_cat import PaddedMaxPoolToCat
from lolvit_export.rewrites.pow_to_products import PowToProducts
from lolvit_export.rewrites.prod_to_products import ProdToProducts
from lolvit_export.rewrites.unfold_to_reshape import UnfoldToReshape
from tests.export.rewriting import Model, match_failures, nodes, operations, rewritten, some_shapes

sides = st.integers(1, 13)
axes = st.integers(-4, 3)


@some_shapes
@given(
    st.tuples(st.integers(5, 13), st.integers(5, 13)),
    st.tuples(st.integers(1, 3), st.integers(1, 3)),
    st.tuples(st.integers(1, 3), st.integers(1, 3)),
    st.tuples(st.integers(1, 3), st.integers(1, 3)),
    st.booleans(),
)
def test_a_dilated_pool_is_maxima_of_slices(
    size: Any, window: Any, stride: Any, dilation: Any, ceil: bool
) -> None:
    assume(dilation != (1, 1))
    assume(all(s > (w - 1) * d for s, w, d in zip(size, window, dilation, strict=True)))
    padding = tuple(each // 2 for each in window)
    pool = nn.MaxPool2d(window, stride, padding, dilation, ceil_mode=ceil)
    graph, record = rewritten(DilatedMaxPoolToSlices(), Model(lambda m, x: pool(x)), size)
    assert record.applied == 1 and "max_pool2d" not in operations(graph)


@some_shapes
@given(st.integers(4, 13), st.integers(4, 13), st.integers(2, 4), st.booleans())
def test_an_unpool_puts_the_first_of_equal_maxima_back(
    height: int, width: int, side: int, changed: bool
) -> None:
    def forward(_module: Any, x: Tensor) -> Tensor:
        pooled, places = F.max_pool2d(x.relu(), side, return_indices=True)
        size = {"output_size": x.shape[2:]}
        return F.max_unpool2d(pooled.cos() + 2 if changed else pooled, places, side, **size)

    graph, record = rewritten(MaxUnpoolToMasks(), Model(forward), (height, width))
    assert record.applied == 1
    assert not {"max_unpool2d", "max_pool2d_with_indices"} & {*operations(graph)}


@pytest.mark.parametrize(
    ("pool", "reason"),
    [
        ({"kernel_size": 4, "stride": 2}, "the windows overlap, are padded or not square"),
        ({"kernel_size": (2, 4)}, "the windows overlap, are padded or not square"),
        ({"kernel_size": 2}, "it has another size than what was pooled"),
    ],
)
def test_other_unpools_stay(pool: dict[str, Any], reason: str) -> None:
    def forward(_module: Any, x: Tensor) -> Tensor:
        pooled, places = F.max_pool2d(x, return_indices=True, **pool)
        return F.max_unpool2d(
            pooled, places, output_size=(9, 8 if pool == {"kernel_size": (2, 4)} else 9), **pool
        )

    assert match_failures(MaxUnpoolToMasks(), Model(forward)) == [reason]


@some_shapes
@given(sides, sides, sides, sides, st.booleans())
def test_an_affine_grid_is_a_product(h: int, w: int, height: int, width: int, align: bool) -> None:
    def forward(_module: Any, x: Tensor) -> Tensor:
        theta = x.mean((2, 3))[:, :, None].expand(1, 3, 2).permute(0, 2, 1)
        return F.affine_grid(theta.cos(), [1, 5, height, width], align)

    graph, record = rewritten(AffineGridToMatmul(), Model(forward), (h, w))
    assert record.applied == 1 and "affine_grid_generator" not in operations(graph)


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_a_pools_stride_is_its_window(axes: int) -> None:
    pool = getattr(F, f"max_pool{axes}d")
    model = Model(lambda m, x: pool(x.flatten(2) if axes == 1 else x, 2))
    graph, record = rewritten(ExplicitPoolStride(), model)
    assert record.applied == 1
    (made,) = nodes(graph, f"max_pool{axes}d")
    assert made.args[2] == made.args[1]
    with_places = Model(
        lambda m, x: torch.cat([*map(Tensor.double, F.max_pool2d(x, 2, return_indices=True))])
    )
    assert rewritten(ExplicitPoolStride(), with_places)[1].applied == 1


@some_shapes
@given(st.sampled_from([2, 3, -1, -2]), st.integers(1, 6), st.integers(1, 7), st.integers(6, 13))
def test_windows_are_a_reshape(axis: int, size: int, step: int, width: int) -> None:
    model = Model(lambda m, x: x.unfold(axis, size, step).unfold(1, 3, 3))
    graph, record = rewritten(UnfoldToReshape(), model, (width, width))
    assert record.applied == 2 and "unfold" not in operations(graph)
    assert ("index_select" in operations(graph)) == (step != size)


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


@some_shapes
@given(
    st.integers(5, 9), st.tuples(st.integers(1, 3), st.integers(1, 3)), st.integers(1, 2),
    st.integers(0, 2), st.integers(1, 2), st.sampled_from([1, 2]), st.booleans(), st.booleans(),
)  # fmt: skip
def test_a_deformable_convolution_is_samples_and_a_projection(
    side: int, kernel: Any, stride: int, padding: int, dilation: int, parts: int, masked: bool,
    grouped: bool,
) -> None:  # fmt: skip
    places = kernel[0] * kernel[1]

    def forward(module: Any, x: Tensor) -> Tensor:
        x = torch.cat([x, x.cos()[:, :1]], 1)
        steps = {"stride": (stride, 1), "padding": (padding, 1), "dilation": (1, dilation)}
        height, width = F.conv2d(x, module.weight[:1, :1].expand(1, 4, -1, -1), **steps).shape[2:]
        moved = F.adaptive_avg_pool2d(module.move(x), (height, width))
        mask = moved[:, : parts * places].sigmoid() if masked else None
        return deform_conv2d(x, moved * 3, module.weight, module.bias, mask=mask, **steps)

    weight = nn.Parameter(torch.empty(6, 2 if grouped else 4, *kernel))
    move = nn.Conv2d(4, 2 * parts * places, 1)
    model = Model(forward, move=move, weight=weight, bias=nn.Parameter(torch.empty(6)))
    graph, record = rewritten(DeformConvToGridSample(), model, (side, side + 2))
    assert record.applied == 1 and "deform_conv2d" not in operations(graph)


@some_shapes
@given(
    st.lists(st.integers(0, 2), min_size=4, max_size=4),
    st.sampled_from([0.0, 0.5, None]),
    st.booleans(),
)
def test_constants_are_joined_to_a_padded_map(
    pads: list[int], value: float | None, short: bool
) -> None:
    pads = pads[:2] if short else pads
    model = Model(lambda m, x: F.max_pool2d(F.pad(x - 1, pads, value=value), 3, 2))
    assume(any(pads))
    graph, record = rewritten(PaddedMaxPoolToCat(), model, (6, 7))
    assert record.applied == 1 and "pad" not in operations(graph)


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (lambda x: F.pad(x.relu(), (1, 1, 1, 1)), "it has no negative values"),
        (lambda x: F.pad(x, (1, -1, 1, 1)), "a pad is negative"),
        (lambda x: F.pad(x, (1, 1, 1, 1), "replicate"), "it is not padded by a constant"),
    ],
)
def test_padding_that_a_pool_may_have_itself_stays(function: Any, reason: str) -> None:
    model = Model(lambda m, x: F.max_pool2d(function(x), 3, 2))
    assert match_failures(PaddedMaxPoolToCat(), model) == [reason]


def test_onnx_runtime_takes_a_padded_maximum_of_negative_values(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ZeroPad2d((0, 1, 0, 1)), nn.MaxPool2d(2, 1))
    nn.init.constant_(model[0].bias, -5.0)
    exported = lolvit.export(model, size=16, targets="onnx", out=tmp_path)
    assert len(exported.manifest.artifacts) == 1


LONG: dict[str, Callable[[Any, Tensor], Tensor]] = {
    "involution": lambda m, x: (
        x.reshape(1, 3, 1, 2, 4, 8).mul(m.weight.sigmoid() + x.view(1, 3, 2, 4, 8).unsqueeze(2))
    ).sum(3).flatten(1, 2),
    "windows": lambda m, x: (
        x.view(1, 3, 2, 4, 2, 4).permute(0, 2, 4, 3, 5, 1).softmax(-1).relu()
        .transpose(1, -1).flatten(1, 4) * 2
    ),
    "constants": lambda m, x: (x.view(1, 3, 2, 4, 2, 4) + m.weight).amax((2, 4)),
    "expanded": lambda m, x: (
        x.view(1, 3, 1, 8, 8).unsqueeze(1).expand(1, 2, 3, 2, 8, 8).mean(2).select(2, 1)
    ),
    "products": lambda m, x: (
        x.view(1, 3, 2, 2, 2, 8) @ x.view(1, 3, 2, 2, 8, 2)
    )[:, :, :, 1:].squeeze(3),
}  # fmt: skip


@pytest.mark.parametrize("function", LONG.values(), ids=LONG)
def test_six_axes_of_one_image_are_five(function: Callable[[Any, Tensor], Tensor]) -> None:
    weight = nn.Parameter(torch.empty(1, 3, 1, 1, 2, 4))
    if function is LONG["involution"]:
        weight = nn.Parameter(torch.empty(1, 3, 1, 2, 1, 8))
    graph, record = rewritten(DropBatchAxis(), Model(function, weight=weight))
    assert record.applied and not record.match_failures
    long = [
        node
        for node in graph.graph.nodes
        if node.op == "call_function" and len(node.meta["val"].shape) > 5 and node.users
    ]
    assert long == []


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (lambda x: x.view(1, 3, 2, 4, 2, 4).cumsum(2), "aten.cumsum.default of more than"),
        (lambda x: x.view(3, 1, 2, 4, 2, 4).relu(), "it has more than one image, or seven axes"),
        (lambda x: x.view(1, 3, 2, 4, 2, 4).transpose(0, 1), "it moves the batch axis"),
        (lambda x: x.view(1, 3, 2, 4, 2, 4).sum(0), "it is along the batch axis"),
    ],
)
def test_other_values_of_six_axes_stay(function: Any, reason: str) -> None:
    _, record = rewritten(DropBatchAxis(), Model(lambda m, x: function(x).flatten(1)))
    assert any(reason in line for line in record.match_failures)


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
    "hypot": lambda x: torch.hypot(x, x.cos()),
}


@pytest.mark.parametrize("name", FORMULAS)
def test_arithmetic_is_what_it_consists_of(name: str) -> None:
    graph, record = rewritten(DecomposeArithmetic(), Model(lambda m, x: FORMULAS[name](x)))
    assert record.applied and name not in operations(graph)


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
@given(sides, sides, st.integers(-1, 1), st.permutations([1, 2, 3]))
def test_a_diagonal_is_chosen(height: int, width: int, offset: int, order: list[int]) -> None:
    model = Model(lambda m, x: x.diagonal(offset, *order[:2]))
    graph, record = rewritten(DiagonalToIndexSelect(), model, (height, width))
    assert record.applied == 1 and "diagonal" not in operations(graph)


@some_shapes
@given(axes, st.permutations([0, 1, 2]), st.booleans())
def test_writes_to_constant_places_are_choices(axis: int, order: list[int], adds: bool) -> None:
    def forward(module: Any, x: Tensor) -> Tensor:
        moved = x.flatten(0, 1).unsqueeze(0)[:, :, :3]  # (1, 3, 3, 8)
        written = moved.narrow(axis, 0, module.places.numel()).cos()
        write = moved.index_add if adds else moved.index_copy
        return write(axis, module.places, written)

    model = Model(forward, places=torch.tensor(order[:2] if axis % 4 else [0]))
    model.places = model.places.long()
    graph, record = rewritten(IndexWritesToIndexSelect(), model)
    assert record.applied == 1 and not {"index_copy", "index_add"} & {*operations(graph)}


def test_places_that_are_written_twice_stay() -> None:
    model = Model(lambda m, x: x.index_add(1, torch.tensor([1, 1]), x[:, :2]))
    (reason,) = match_failures(IndexWritesToIndexSelect(), model)
    assert reason in ("a place is written twice", "its places are computed")


@some_shapes
@given(st.integers(3, 9), sides)
def test_one_hot_is_a_comparison(classes: int, width: int) -> None:
    model = Model(lambda m, x: F.one_hot(x.argmax(1), classes).double())
    graph, record = rewritten(OneHotToEqual(), model, (2, width))
    assert record.applied == 1 and "one_hot" not in operations(graph)


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


@some_shapes
@given(
    st.lists(st.integers(-2, 2), min_size=4, max_size=4), st.sampled_from(["constant", "reflect"])
)
def test_negative_padding_is_a_slice(pads: list[int], mode: str) -> None:
    assume(min(pads) < 0)
    value = 0.7 if mode == "constant" else None
    model = Model(lambda m, x: F.pad(x, pads, mode, value))
    graph, record = rewritten(NegativePaddingToSlice(), model, (6, 7))
    assert record.applied == 1 and "slice" in operations(graph)
    assert ("pad" in operations(graph)) == (max(pads) > 0)


@some_shapes
@given(axes, st.lists(st.integers(0, 2), min_size=1, max_size=3, unique=True), st.booleans())
def test_places_are_filled_by_a_mask(axis: int, places: list[int], computed: bool) -> None:
    def forward(module: Any, x: Tensor) -> Tensor:
        value = x.mean() if computed else 0.5
        return x.unsqueeze(0).flatten(0, 1).index_fill(axis, module.places, value)

    model = Model(forward, places=torch.tensor(places) if axis % 4 else torch.tensor([0]))
    model.places = model.places.long()
    graph, record = rewritten(IndexFillToWhere(), model)
    assert record.applied == 1 and "index_fill" not in operations(graph)


@pytest.mark.parametrize("bias", [True, False])
def test_a_bilinear_layer_is_two_products(bias: bool) -> None:
    layer = nn.Bilinear(8, 8, 5, bias=bias)
    for forward in (
        lambda m, x: m.layer(x, x.roll(1, 2)),  # over the last axis of four
        lambda m, x: m.layer(x.mean((1, 2)), x.amax((1, 2))),
    ):
        graph, record = rewritten(BilinearToMatmul(), Model(forward, layer=layer))
        assert record.applied == 1 and operations(graph).count("matmul") == 2


class Unpooled(nn.Module):
    """A small SegNet (arXiv 1511.00561) with a dilated pool, whose features are multiplied,
    compared and cut."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.back = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1)
        self.compared = nn.Bilinear(8, 8, 4)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        x = self.conv(image).relu()
        pooled, places = F.max_pool2d(x, 2, return_indices=True)
        pooled = F.pad(F.max_pool2d(pooled, 3, 1, 1, dilation=2), (1, 1, 1, 1)) - pooled
        x = self.back(F.max_unpool2d(pooled, places, 2, output_size=x.shape[2:]))
        x = F.pad(x, (-1, -2, 1, -1)).index_fill(1, torch.tensor([2, 5]), 0.25)
        return x, self.compared(x.mean((2, 3)), (x.tanh() + 1).mean(2).prod(2))


@pytest.mark.slow
def test_a_network_with_all_of_them_reaches_every_format(tmp_path: Path) -> None:
    torch.manual_seed(0)
    exported = lolvit.export(Unpooled(), size=(30, 33), targets="onnx,tflite,coreml", out=tmp_path)
    for artifact in exported.manifest.artifacts:
        assert min(g.value for g in artifact.gates if g.name.endswith(".snr_db")) > 100
    assert len(exported.manifest.artifacts) == 3
