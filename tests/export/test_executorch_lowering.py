"""The forms that XNNPACK in ExecuTorch takes, and the program that comes out: one delegate."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

import lolvit
from lolvit.cli import main
from lolvit_export.command import export
from lolvit_export.rewrites.decompose_layer_norm import DecomposeLayerNorm
from lolvit_export.rewrites.decompose_sdpa import DecomposeSdpa
from lolvit_export.rewrites.matmul_to_bmm import MatmulToBmm
from lolvit_export.rewrites.mean_to_keepdim import MeanToKeepdim
from lolvit_export.rewrites.sum_to_matmul import SumToMatmul
from lolvit_export.targets import target_names
from tests.export.rewriting import Model, match_failures, operations, rewritten, some_shapes

sizes = st.tuples(st.integers(1, 9), st.integers(1, 9))


def heads(x: Any) -> Any:
    """(1, 3, H, W) to (1, 3, H, W), as queries of width W, not symmetric in anything."""
    return x * torch.linspace(0.5, 1.5, x.shape[-1], dtype=x.dtype)


@some_shapes
@given(sizes)
def test_attention_without_a_mask_is_products_and_softmax(size: tuple[int, int]) -> None:
    model = Model(lambda m, x: F.scaled_dot_product_attention(x, heads(x), x.sin()))
    graph, record = rewritten(DecomposeSdpa(), model, size)
    assert record.applied == 1
    assert operations(graph).count("matmul") == 2 and "softmax" in operations(graph)


def test_attention_keeps_a_scale_of_its_own() -> None:
    model = Model(lambda m, x: F.scaled_dot_product_attention(x, heads(x), x, scale=0.3))
    assert rewritten(DecomposeSdpa(), model)[1].applied == 1


@some_shapes
@given(sizes, st.sampled_from(["causal", "booleans", "numbers"]), st.booleans())
def test_attention_with_a_known_mask_is_products_and_softmax(
    size: tuple[int, int], kind: str, keep_plain: bool
) -> None:
    rows = size[0]
    numbers = torch.randn(3, rows, rows, generator=torch.Generator().manual_seed(0))
    options = {
        "causal": {"is_causal": True},
        "booleans": {"attn_mask": (numbers > 0) | torch.eye(rows, dtype=torch.bool)},
        "numbers": {"attn_mask": numbers.double().masked_fill(numbers > 1, -torch.inf)},
    }[kind]
    model = Model(lambda m, x: F.scaled_dot_product_attention(x, heads(x), x.sin(), **options))
    if bool((numbers > 1).all(-1).any()) and kind == "numbers":
        assert match_failures(DecomposeSdpa(), model, size) == ["a row of its mask is empty"]
        return
    graph, record = rewritten(DecomposeSdpa(keep_plain=keep_plain), model, size)
    assert record.applied == 1 and "softmax" in operations(graph)


def test_attention_with_an_empty_row_or_a_computed_mask_is_left() -> None:
    mask = torch.eye(8, dtype=torch.bool)
    mask[3] = False
    model = Model(lambda m, x: F.scaled_dot_product_attention(x, heads(x), x, mask))
    assert match_failures(DecomposeSdpa(), model) == ["a row of its mask is empty"]
    model = Model(lambda m, x: F.scaled_dot_product_attention(x, heads(x), x, x.cos()))
    assert match_failures(DecomposeSdpa(), model) == ["its mask is computed: a row may be empty"]


def test_only_attention_with_a_mask_is_written_so_where_that_is_wanted() -> None:
    model = Model(lambda m, x: F.scaled_dot_product_attention(x, heads(x), x))
    assert rewritten(DecomposeSdpa(keep_plain=True), model)[1].applied == 0


@pytest.mark.parametrize("axes", [3, 5])
def test_attention_of_another_rank_reaches_onnx(axes: int, tmp_path: Path) -> None:
    def attend(m: Any, x: Any) -> Any:
        x = x.flatten(0, 1) if axes == 3 else x.unflatten(3, (2, -1)).transpose(2, 3)
        return F.scaled_dot_product_attention(x, heads(x), x.sin()).reshape(1, -1)

    model = Model(attend)
    graph, record = rewritten(DecomposeSdpa(keep_plain=True), model)
    assert record.applied == 1 and operations(graph).count("matmul") == 2
    done = lolvit.export(model, size=8, targets="onnx", out=tmp_path, name="attention")
    assert [artifact.format for artifact in done.manifest.artifacts] == ["onnx"]


@some_shapes
@given(sizes, st.booleans(), st.booleans())
def test_layer_norm_is_products(size: tuple[int, int], affine: bool, biased: bool) -> None:
    norm = nn.LayerNorm(size[1], elementwise_affine=affine, bias=biased)
    graph, record = rewritten(DecomposeLayerNorm(), Model(lambda m, x: m.norm(x), norm=norm), size)
    assert record.applied == 1
    assert "layer_norm" not in operations(graph)


def test_layer_norm_over_two_axes_is_left() -> None:
    model = Model(lambda m, x: m.norm(x), norm=nn.LayerNorm((8, 8)))
    assert match_failures(DecomposeLayerNorm(), model) == ["it normalises over 2 axes"]


@some_shapes
@given(sizes, st.sampled_from([-1, -2, 2, 3]))
def test_a_kept_sum_is_a_product(size: tuple[int, int], axis: int) -> None:
    model = Model(lambda m, x: x / (x.abs().sum(axis, keepdim=True) + 1))
    graph, record = rewritten(SumToMatmul(), model, size)
    assert record.applied == 1
    assert "sum" not in operations(graph)


@pytest.mark.parametrize(
    ("axes", "kept", "reason"),
    [
        (-1, False, "the axis is dropped, or the type changed"),
        (1, True, "axes [1] of 4 are not one of the last two"),
        ((2, 3), True, "axes [2, 3] of 4 are not one of the last two"),
    ],
)
def test_other_sums_are_left(axes: Any, kept: bool, reason: str) -> None:
    model = Model(lambda m, x: x.sum(axes, keepdim=kept))
    assert match_failures(SumToMatmul(), model) == [reason]


@some_shapes
@given(sizes)
def test_a_product_of_equal_batches_is_one_bmm(size: tuple[int, int]) -> None:
    model = Model(lambda m, x: heads(x) @ x.transpose(-2, -1))
    graph, record = rewritten(MatmulToBmm(), model, size)
    assert record.applied == 1
    assert "matmul" not in operations(graph) and operations(graph).count("bmm") == 1


def test_a_broadcast_product_is_left() -> None:
    model = Model(lambda m, x: x @ x[:, :1].transpose(-2, -1))
    (reason,) = match_failures(MatmulToBmm(), model)
    assert "do not share their batch axes" in reason


@some_shapes
@given(sizes)
def test_a_global_mean_keeps_its_axes_inside(size: tuple[int, int]) -> None:
    for function in (
        lambda m, x: x.mean((-2, -1)),
        lambda m, x: x.mean((3, 2)),
        lambda m, x: F.adaptive_avg_pool2d(x, 1),
    ):
        graph, record = rewritten(MeanToKeepdim(), Model(function), size)
        assert record.applied == 1
        assert "adaptive_avg_pool2d" not in operations(graph)


@pytest.mark.parametrize("axes", [1, (1, 2), -1])
def test_other_means_are_left(axes: Any) -> None:
    (reason,) = match_failures(MeanToKeepdim(), Model(lambda m, x: x.mean(axes)))
    assert "are not height and width" in reason


def test_a_pool_to_more_than_one_value_is_left() -> None:
    model = Model(lambda m, x: F.adaptive_avg_pool2d(x, 2))
    assert match_failures(MeanToKeepdim(), model) == ["it is not averaged to one value"]


def test_the_command_offers_every_target() -> None:
    (to,) = [option for option in export.params if option.name == "targets"]
    assert all(name in to.help for name in target_names())


@pytest.mark.parametrize("format", ["executorch", "torch"])
def test_a_precision_that_a_target_does_not_support_is_an_error_at_once(
    format: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    command = ["export", "lolvit_xx", "--to", format, "--precision", "fp16", "--out", str(tmp_path)]
    assert main(command) == 2
    assert (
        f"target {format} does not support precision fp16; add --precision fp32"
        in capfd.readouterr().err
    )
    assert not list(tmp_path.iterdir())


EXPORT = "import sys; from lolvit.cli import main; sys.exit(main(sys.argv[1:]))"


@pytest.mark.slow
@pytest.mark.parametrize("model", ["lolvit_xx", "mobilevit_xxs"])
def test_the_whole_model_is_one_delegate_and_passes_its_gates(model: str, tmp_path: Path) -> None:
    """As a user runs it."""
    from lolvit_runtimes.pte import _plan, _program, placement_of

    command = ["export", model, "--to", "executorch,torch", "--size", "64", "--out", str(tmp_path)]
    done = subprocess.run(
        [sys.executable, "-c", EXPORT, *command, "--json"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert [each["path"] for each in document["artifacts"]] == ["model-fp32.pte", "model-fp32.pt2"]
    assert all(gate["passed"] for each in document["artifacts"] for gate in each["gates"])
    content = (Path(document["folder"]) / "model-fp32.pte").read_bytes()
    assert set(placement_of(content)) == {"XNNPACK"}
    assert len(_plan(_program(content)[0])["delegates"]) == 1
    text = (Path(document["folder"]) / "model-fp32.pt2").read_bytes()
    assert str(Path(__file__).parents[2]).encode() not in text
