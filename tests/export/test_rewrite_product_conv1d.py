"""Convolutions over a line behind a product of matrices, and one in TFLite."""

from __future__ import annotations

from pathlib import Path

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

import lolvit
from lolvit_export.rewrites.product_conv1d_to_conv2d import ProductConv1dToConv2d
from tests.export.rewriting import Model, operations, rewritten, some_shapes


def product(image: Tensor) -> Tensor:
    """Return a product (B, 3, 4) of the pixels (B, 3, L) and shares of four groups of them."""
    pixels = image.flatten(2)
    shares = torch.cat([pixels, pixels[:, :1] * 2], 1).softmax(-1)
    return pixels @ shares.transpose(1, 2)


@some_shapes
@given(st.data())
def test_any_kernel_stride_padding_dilation_and_groups_give_the_same(data: st.DataObject) -> None:
    kernel, stride, dilation = (data.draw(st.integers(1, 2)) for _ in range(3))
    padding, groups = data.draw(st.integers(0, 2)), data.draw(st.sampled_from([1, 3]))
    bias = data.draw(st.booleans())
    layer = nn.Conv1d(3, 6, kernel, stride, padding, dilation, groups, bias)
    model = Model(lambda m, x: m.layer(product(x)), layer=layer)
    graph, record = rewritten(ProductConv1dToConv2d(), model)
    assert record.applied == 1 and "conv1d" not in operations(graph)


def test_a_convolution_that_reads_no_product_stays() -> None:
    model = Model(lambda m, x: m.layer(x.flatten(2)), layer=nn.Conv1d(3, 4, 3))
    assert rewritten(ProductConv1dToConv2d(), model)[1].applied == 0


def test_one_behind_a_product_is_converted_to_tflite(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = Model(lambda m, x: m.layer(product(x)), layer=nn.Conv1d(3, 8, 1))
    assert lolvit.export(model, size=32, targets="tflite", out=tmp_path).complete
