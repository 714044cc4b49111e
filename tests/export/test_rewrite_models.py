"""The static rewrite on whole models: equal to the model before, and in static form."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import pytest
import torch
from torch import nn

from lolvit.manifest import RewriteRecord
from lolvit.models import create_model
from lolvit.models.lolvit import FastWindowAttention
from lolvit.models.reparam import reparameterize
from lolvit_export.capture import capture
from lolvit_export.rewrites import STATIC_REWRITE, apply_all
from tests.export.other_formulation import OtherLolvit
from tests.export.rewriting import BOUND, image_like, operations, relative_error
from tests.export.static_form import violations
from tests.lived_in import lived_in

slow = pytest.mark.slow
Size = tuple[int, int]
# The variants differ in width and depth, so that one sees all sizes.
WHOLE: list[object] = [("lolvit_xx", (64, 64))] + [
    pytest.param(name, size, marks=slow)
    for name, size in (
        ("lolvit_xx", (224, 224)),
        ("lolvit_xx", (256, 256)),
        ("lolvit_xx", (192, 320)),
        ("lolvit_xx", (160, 416)),
        ("lolvit_xx", (225, 97)),
        ("lolvit_x", (192, 320)),
        ("lolvit_s", (225, 97)),
    )
]


def trained(name: str) -> nn.Module:
    """Return a model in float64 whose BatchNorms are as after training."""
    torch.manual_seed(0)
    return lived_in(create_model(name).double())


def rewrite_whole(
    model: nn.Module, size: Size, prepare: Callable[[nn.Module], nn.Module] = reparameterize
) -> tuple[list[str], dict[str, RewriteRecord], list[str]]:
    """Return what the rewritten graph violates, the reports, and its operations; it must give
    what the model gives, and so must the captured graph, which is untouched."""
    graph = capture(prepare(model), size)
    code = graph.code
    static, records = apply_all(STATIC_REWRITE, graph)
    image = image_like(graph)
    with torch.no_grad():
        assert relative_error(static(image), model(image)) <= BOUND
    assert graph.code == code
    last = {record.name: record for record in records}
    return violations(static), last, operations(static)


def without_coverage(operations: list[str]) -> list[str]:
    """Leave out the constant maps behind exact windows."""
    pairs = pairwise(["", *operations])
    return [after for before, after in pairs if (before, after) != ("avg_pool2d", "mul")]


@pytest.mark.parametrize(("name", "size"), WHOLE, ids=str)
def test_a_reparameterized_variant_takes_static_form(name: str, size: Size) -> None:
    broken, records, left = rewrite_whole(trained(name), size)
    modules = create_model(name).modules()
    blocks = sum(isinstance(module, FastWindowAttention) for module in modules)
    assert broken == []
    assert not any(record.match_failures for record in records.values())
    assert (
        records["split_qkv_projection"].applied
        == records["transpose_relu_attention"].applied
        == blocks
    )
    assert records["fold_attention_scale"].applied == 2 * blocks  # on the query and on the key
    assert left.count("matmul") == 2 * blocks and "mul" not in without_coverage(left)
    assert left.count("permute") + left.count("transpose") == blocks  # of the few keys


@pytest.mark.parametrize("name", ["lolvit_xx", pytest.param("lolvit_x", marks=slow)])
def test_a_variant_as_it_was_trained_takes_static_form_too(name: str) -> None:
    broken, records, left = rewrite_whole(trained(name), (64, 96), lambda model: model)
    assert broken == [] and "batch_norm" not in left
    assert records["fold_batch_norm"].applied > 40


@pytest.mark.parametrize("size", [(64, 64), (30, 46), (33, 17), (8, 8)], ids=str)
def test_another_formulation_takes_static_form(size: Size) -> None:
    torch.manual_seed(0)
    broken, records, left = rewrite_whole(OtherLolvit(), size)
    assert broken == []
    assert not {"einsum", "expand", "select", "mT", "batch_norm", "dropout"} & {*left}
    assert (
        records["fold_attention_scale"].applied == records["transpose_relu_attention"].applied == 2
    )
    assert records["split_qkv_projection"].applied == 2


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("mobilevit_xxs", (64, 64)),
        pytest.param("mobilevit_xs", (192, 320), marks=slow),
    ],
)
def test_the_baseline_is_rewritten_where_the_rewrites_apply(name: str, size: Size) -> None:
    broken, records, left = rewrite_whole(trained(name), size)
    assert records["split_qkv_projection"].applied == 9 and records["fold_batch_norm"].applied == 32
    assert not {"unbind", "batch_norm", "dropout"} & {*left}
    for rewrite in (
        "transpose_relu_attention",
        "fold_attention_scale",
        "pad_avg_pool_to_divisible",
    ):
        assert records[rewrite].applied == 0
    assert {line.split(": ", 1)[1].split(",")[0] for line in broken} == {"its first axis"}


def test_the_graph_works_in_single_precision_as_export_has_it() -> None:
    model = trained("lolvit_xx").float()
    graph, _ = apply_all(STATIC_REWRITE, capture(reparameterize(model), (64, 64)))
    image = image_like(graph)
    with torch.no_grad():
        assert image.dtype == torch.float32
        assert relative_error(graph(image), model(image)) <= 1e-5
