"""Applying rewrites: on a copy, in order, with a report; and the table of them."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.fx import GraphModule, Node

from lolvit.manifest import RewriteRecord
from lolvit_export.capture import capture
from lolvit_export.rewrites import STATIC_REWRITE, Refusal, Rewrite, apply, apply_all
from lolvit_export.rewrites.cancel_transposes import CancelTransposes
from lolvit_export.rewrites.graph import aten, is_call
from lolvit_export.rewrites.remove_identities import RemoveIdentities
from tests.export.rewriting import Model, image_like, operations


class HalveRelu(Rewrite):
    """Replace every ReLU but the second by its input; the second has its reason to stay."""

    name = "halve_relu"
    ensures = "at most one ReLU"

    def matches(self, node: Node) -> bool:
        return is_call(node, aten.relu.default)

    def check(self, module: GraphModule, node: Node) -> Refusal | None:
        return Refusal("it is the second") if node.name == "relu_1" else None

    def rewrite(self, module: GraphModule, node: Node) -> None:
        node.replace_all_uses_with(node.args[0])


def three_relus() -> GraphModule:
    return capture(Model(lambda m, x: x.relu().exp().relu().exp().relu() + m.conv(x).mean() * 0,
                         conv=nn.Conv2d(3, 1, 1)), (4, 4))  # fmt: skip


def test_the_report_tells_where_it_fired_and_why_not_elsewhere() -> None:
    _, record = apply(HalveRelu(), three_relus())
    assert record == RewriteRecord(
        name="halve_relu",
        fired=2,
        sites=("relu", "relu_2"),
        skipped=("relu_1: it is the second",),
    )


def test_a_rewrite_works_on_a_copy() -> None:
    graph = three_relus()
    code, state = graph.code, copy.deepcopy(graph.state_dict())
    result, _ = apply(HalveRelu(), graph)
    with torch.no_grad():
        for tensor in result.state_dict().values():
            tensor.zero_()
    assert graph.code == code != result.code
    assert all(torch.equal(tensor, state[name]) for name, tensor in graph.state_dict().items())


def test_a_rewrite_that_fires_nowhere_gives_an_equal_copy() -> None:
    graph = capture(Model(lambda m, x: x + 1), (4, 4))
    result, record = apply(HalveRelu(), graph)
    assert result is not graph and result.code == graph.code
    assert record == RewriteRecord(name="halve_relu", fired=0)


def test_shapes_and_weights_are_settled_after_a_rewrite() -> None:
    def forward(m: Any, x: Tensor) -> Tensor:
        unread = m.conv(x)
        return x.transpose(2, 3).transpose(2, 3) + 0 * unread.shape[1]

    result, _ = apply(CancelTransposes(), capture(Model(forward, conv=nn.Conv2d(3, 4, 1)), (4, 5)))
    assert "conv2d" not in operations(result) and result.state_dict() == {}
    assert all("val" in node.meta for node in result.graph.nodes if node.op != "output")


def test_weights_under_two_names_are_both_dropped_when_unread() -> None:
    def forward(m: Any, x: Tensor) -> Tensor:
        return x.clone() + 0 * (m.one(x) + m.other(x)).shape[0]

    conv = nn.Conv2d(3, 4, 1)
    result, _ = apply(RemoveIdentities(), capture(Model(forward, one=conv, other=conv), (4, 4)))
    assert result.state_dict() == {}


def test_rewrites_apply_in_their_order_and_report_each() -> None:
    graph = three_relus()
    result, records = apply_all((HalveRelu(), CancelTransposes(), HalveRelu()), graph)
    assert [(r.name, r.fired, len(r.skipped)) for r in records] == [
        ("halve_relu", 2, 1),
        ("cancel_transposes", 0, 0),
        ("halve_relu", 0, 1),
    ]
    assert operations(result).count("relu") == 1
    assert operations(graph).count("relu") == 3


def test_no_rewrites_leave_the_graph_as_it_is() -> None:
    graph = three_relus()
    result, records = apply_all((), graph)
    assert (str(result.graph), records) == (str(graph.graph), ())


def test_each_rewrite_is_named_after_its_file_and_says_what_it_ensures() -> None:
    names = [rewrite.name for rewrite in STATIC_REWRITE]
    assert {name for name in names if names.count(name) > 1} == {"cancel_transposes"}
    for rewrite in STATIC_REWRITE:
        module = type(rewrite).__module__
        assert module.rsplit(".", 1)[1] == rewrite.name and rewrite.ensures


@pytest.mark.parametrize(
    "forward",
    [
        lambda m, x: m.drop(m.norm(m.conv(x))),
        lambda m, x: m.conv(x).mT.mT.reshape(1, 2, 2, -1).unbind(1)[0],
        lambda m, x: nn.functional.avg_pool2d(x, 3, ceil_mode=True)[..., ::2],
    ],
)
def test_the_static_rewrite_done_twice_changes_nothing_more(forward: Any) -> None:
    model = Model(forward, conv=nn.Conv2d(3, 4, 1), norm=nn.BatchNorm2d(4), drop=nn.Dropout())
    once, records = apply_all(STATIC_REWRITE, capture(model, (7, 7)))
    twice, again = apply_all(STATIC_REWRITE, once)
    assert any(record.fired for record in records)
    assert not any(record.fired for record in again)
    assert torch.equal(once(image_like(once)), twice(image_like(once)))
