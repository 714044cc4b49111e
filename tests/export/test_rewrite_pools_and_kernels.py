"""Adaptive maximum pools as fixed ones, output padding as a longer kernel, and TFLite's answer."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

import lolvit
from lolvit_export.rewrites.adaptive_max_pool_to_max_pool import AdaptiveMaxPoolToMaxPool
from lolvit_export.rewrites.output_padding_to_kernel import OutputPaddingToKernel
from lolvit_export.rewrites.transposed_padding_to_slice import TransposedPaddingToSlice
from tests.export.rewriting import Model, match_failures, operations, rewritten, some_shapes

sides, counts = st.integers(1, 13), st.integers(1, 6)


@some_shapes
@given(sides, sides, counts, counts)
def test_any_division_gives_the_same_maxima(height: int, width: int, h: int, w: int) -> None:
    model = Model(lambda m, x: F.adaptive_max_pool2d(x, (h, w)))
    graph, record = rewritten(AdaptiveMaxPoolToMaxPool(), model, (height, width))
    assert record.applied == 1 and "adaptive_max_pool2d" not in operations(graph)
    whole = height % h == 0 and width % w == 0
    assert (operations(graph) == ["max_pool2d"]) == whole


def test_places_of_the_maxima_that_are_read_stay() -> None:
    model = Model(lambda m, x: F.adaptive_max_pool2d(x, 2, return_indices=True)[1].double())
    assert match_failures(AdaptiveMaxPoolToMaxPool(), model) == ["its indices are read"]


@some_shapes
@given(st.data())
def test_any_output_padding_and_dilation_is_a_larger_kernel(data: st.DataObject) -> None:
    kernel, stride, padding = (data.draw(st.integers(1, 4)) for _ in range(3))
    more = data.draw(st.tuples(*[st.integers(0, stride - 1)] * 2))
    groups = data.draw(st.sampled_from([1, 3]))
    dilation = data.draw(st.tuples(*[st.integers(1, 3)] * 2))
    if 7 * stride - 2 * padding + kernel < 1:
        return
    layer = nn.ConvTranspose2d(3, 6, kernel, stride, padding, more, groups, dilation=dilation)
    model = Model(lambda m, x: m.layer(x), layer=layer)
    _, record = rewritten(OutputPaddingToKernel(), model)
    assert record.applied == int(any(more) or dilation != (1, 1))


@some_shapes
@given(st.data())
def test_any_padding_is_cut_off(data: st.DataObject) -> None:
    kernel, stride = (data.draw(st.tuples(*[st.integers(1, 5)] * 2)) for _ in range(2))
    padding = data.draw(st.tuples(*[st.integers(0, 2)] * 2))
    if any(6 * s - 2 * p + k < 1 for k, s, p in zip(kernel, stride, padding, strict=True)):
        return
    layer = nn.ConvTranspose2d(3, 4, kernel, stride, padding)
    _, record = rewritten(
        TransposedPaddingToSlice(), Model(lambda m, x: m.layer(x), layer=layer), (7, 7)
    )
    kept = tuple(k - 2 * p for k, p in zip(kernel, padding, strict=True))
    assert record.applied == int(any(padding) and kept != stride)


@pytest.mark.slow
def test_transposed_convolutions_of_any_padding_and_dilation_reach_tflite(tmp_path: Path) -> None:
    """Those of kernels 3, 5 and 7 with the usual padding double the extent but for a pixel."""
    torch.manual_seed(0)
    layers = [nn.ConvTranspose2d(4, 4, k, 2, p) for k, p in ((3, 1), (5, 2), (7, 3))]
    dilated = nn.ConvTranspose2d(4, 4, 3, 2, 1, dilation=2)
    model = nn.Sequential(nn.Conv2d(3, 4, 3, 4), *layers, dilated, nn.MaxPool2d(4))
    assert lolvit.export(model, size=32, targets="tflite", out=tmp_path).complete


class Decoder(nn.Module):
    """Halves a map and doubles it, weighted by its channels' largest values: as decoders of ENet
    and LinkNet, with the attention of CBAM."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.Conv2d(3, 8, 3, 2, 1)
        self.up = nn.ConvTranspose2d(8, 4, 3, 2, 1, output_padding=1)
        self.gate = nn.Conv2d(8, 8, 1)

    def forward(self, image: Tensor) -> Tensor:
        x = self.down(image)
        return self.up(x * self.gate(F.adaptive_max_pool2d(x, 1)).sigmoid())


@pytest.mark.slow
def test_a_decoder_is_converted_to_every_format(tmp_path: Path) -> None:
    torch.manual_seed(0)
    exported = lolvit.export(
        Decoder().eval(), size=(32, 40), targets=["onnx", "tflite", "coreml"], precision=["fp32"],
        out=tmp_path,
    )  # fmt: skip
    artifacts = exported.manifest.artifacts
    assert len(artifacts) == 3 and all(gate.passed for each in artifacts for gate in each.gates)
