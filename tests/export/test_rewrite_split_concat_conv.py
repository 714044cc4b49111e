"""split_concat_conv: a 1x1 convolution for each input of a Concat, and their sum."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from lolvit.models import create_model
from lolvit.models.lolvit import GhostBottleneck, GlobalLocalFusion
from lolvit.models.reparam import reparameterize
from lolvit_export.capture import capture
from lolvit_export.module_paths import module_path
from lolvit_export.rewrites import CPU_REWRITES, STATIC_REWRITE, apply_all
from lolvit_export.rewrites.graph import aten, constant, is_call
from lolvit_export.rewrites.split_concat_conv import SplitConcatConv
from tests.export.rewriting import (
    BOUND,
    Model,
    image_like,
    match_failures,
    nodes,
    operations,
    relative_error,
    rewritten,
    some_shapes,
)
from tests.lived_in import lived_in

REWRITE = SplitConcatConv()
channels = st.lists(st.integers(1, 7), min_size=2, max_size=5)
extents = st.integers(1, 9)


def joined(widths: list[int], out: int = 4, axis: int = 1, **options: Any) -> Model:
    """A Concat of 1x1 convolutions of the given widths, read by a convolution."""

    def forward(m: Any, x: Tensor) -> Tensor:
        parts = [getattr(m, f"part{i}")(x) for i in range(len(widths))]
        return m.conv(torch.cat(parts, axis)).relu()

    parts = {f"part{i}": nn.Conv2d(3, width, 1) for i, width in enumerate(widths)}
    return Model(forward, conv=nn.Conv2d(sum(widths), out, **{"kernel_size": 1} | options), **parts)


@some_shapes
@given(channels, st.integers(1, 6), st.booleans(), st.sampled_from([1, -3]), extents, extents)
def test_any_number_of_inputs_of_any_widths_is_convolved_apart(
    widths: list[int], out: int, bias: bool, axis: int, height: int, width: int
) -> None:
    model = joined(widths, out, axis, bias=bias)
    graph, record = rewritten(REWRITE, model, (height, width))
    made = nodes(graph, "conv2d")[len(widths) :]
    weights = [constant(graph, node.args[1]) for node in made]
    assert record.applied == 1 and record.match_failures == ()
    assert [tuple(w.shape) for w in weights if w is not None] == [(out, n, 1, 1) for n in widths]
    assert [len(node.args) > 2 and node.args[2] is not None for node in made] == [
        bias and index == 0 for index in range(len(widths))
    ]
    count = len(widths)
    assert Counter(operations(graph)) == {"conv2d": 2 * count, "add": count - 1, "relu": 1}


@some_shapes
@given(
    channels,
    st.tuples(st.integers(1, 3), st.integers(1, 3)),
    st.tuples(st.integers(0, 2), st.integers(0, 2)) | st.sampled_from(["same", "valid"]),
    st.tuples(extents, extents),
)
def test_strides_and_padding_stay_with_each_convolution(
    widths: list[int], stride: Any, padding: Any, size: tuple[int, int]
) -> None:
    stride = 1 if padding == "same" else stride  # torch has no other
    model = joined(widths, stride=stride, padding=padding)
    graph, record = rewritten(REWRITE, model, size)
    assert record.applied == 1 and "cat" not in operations(graph)


def test_a_value_that_is_joined_twice_is_convolved_twice() -> None:
    model = Model(lambda m, x: m.conv(torch.cat([x, x.relu(), x], 1)), conv=nn.Conv2d(9, 2, 1))
    graph, record = rewritten(REWRITE, model)
    assert record.applied == 1
    assert Counter(operations(graph)) == {"relu": 1, "conv2d": 3, "add": 2}


def test_a_concat_of_a_concat_is_taken_apart_only_where_the_convolution_reads_it() -> None:
    def forward(m: Any, x: Tensor) -> Tensor:
        return m.conv(torch.cat([torch.cat([x, -x], 1), x], 1))

    graph, _ = rewritten(REWRITE, Model(forward, conv=nn.Conv2d(9, 2, 1)))
    concat, first = nodes(graph, "cat")[0], nodes(graph, "conv2d")[0]
    assert first.args[0] is concat and operations(graph).count("cat") == 1


def test_the_convolutions_and_their_sum_come_from_where_the_convolution_does() -> None:
    graph, _ = rewritten(REWRITE, joined([2, 3]))
    made = [*nodes(graph, "conv2d")[2:], *nodes(graph, "add")]
    assert [module_path(node) for node in made] == ["model.conv"] * 3


WHERE_NOT = {
    "the kernel is larger than 1x1": joined([2, 3], kernel_size=(1, 3)),
    "the convolution is grouped": joined([2, 2], groups=2),
    "the Concat joins axis 2, not the channels": Model(
        lambda m, x: m.conv(torch.cat([x, x], 2)), conv=nn.Conv2d(3, 2, 1)
    ),
    "the Concat joins axis 0, not the channels": Model(
        lambda m, x: m.conv(torch.cat([x, x], -4))[:1], conv=nn.Conv2d(3, 2, 1)
    ),
    "the Concat has rank 3, not 4": Model(
        lambda m, x: m.conv(torch.cat([x[0], x[0]])), conv=nn.Conv2d(6, 2, 1)
    ),
    "the Concat has a single input": Model(
        lambda m, x: m.conv(torch.cat([x], 1)), conv=nn.Conv2d(3, 2, 1)
    ),
    "an input of the Concat is empty": Model(
        lambda m, x: m.conv(torch.cat([x[:, :0], x], 1)), conv=nn.Conv2d(3, 2, 1)
    ),
    "the Concat changes the type of an input": Model(
        lambda m, x: m.conv(torch.cat([x.float(), x], 1)), conv=nn.Conv2d(6, 2, 1)
    ),
    "the convolution's weight is computed, not constant": Model(
        lambda m, x: nn.functional.conv2d(torch.cat([x, x], 1), m.weight.exp()),
        weight=torch.linspace(-1, 1, 12).reshape(2, 6, 1, 1),
    ),
    "the convolution's bias is computed, not constant": Model(
        lambda m, x: nn.functional.conv2d(torch.cat([x, x], 1), m.weight, m.bias.exp()),
        weight=torch.linspace(-1, 1, 12).reshape(2, 6, 1, 1),
        bias=torch.ones(2),
    ),
}


@pytest.mark.parametrize("reason", WHERE_NOT)
def test_a_match_failure_has_its_reason(reason: str) -> None:
    assert match_failures(REWRITE, WHERE_NOT[reason]) == [reason]


def test_a_concat_with_another_reader_is_kept() -> None:
    def forward(m: Any, x: Tensor) -> Tensor:
        both = torch.cat([x, -x], 1)
        return m.first(both) + m.second(both)

    model = Model(forward, first=nn.Conv2d(6, 2, 1), second=nn.Conv2d(6, 2, 1))
    kept = "the Concat has another reader, which needs the copy all the same"
    assert match_failures(REWRITE, model) == [kept, kept]


@pytest.mark.parametrize("forward", [lambda m, x: m.conv(x), lambda m, x: torch.cat([x, x], 1)])
def test_a_convolution_of_something_else_is_not_reported(forward: Any) -> None:
    assert match_failures(REWRITE, Model(forward, conv=nn.Conv2d(3, 2, 1))) == []


def test_lolvit_keeps_only_the_concats_that_a_residual_reads() -> None:
    torch.manual_seed(0)
    model = lived_in(create_model("lolvit_xx").double())
    before = capture(reparameterize(model), (64, 64))
    after, records = apply_all((*STATIC_REWRITE, *CPU_REWRITES), before)
    image = image_like(before)
    with torch.no_grad():
        assert relative_error(after(image), model(image)) <= BOUND
    kinds = [type(module) for module in model.modules()]
    bottlenecks, fusions = kinds.count(GhostBottleneck), kinds.count(GlobalLocalFusion)
    record = next(record for record in records if record.name == REWRITE.name)
    assert record.applied == bottlenecks + fusions > 0 and record.match_failures == ()
    assert len(nodes(before, "cat")) - len(nodes(after, "cat")) == record.applied
    assert all(is_call(user, aten.add.Tensor) for cat in nodes(after, "cat") for user in cat.users)
