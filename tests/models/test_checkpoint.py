"""Checkpoints: what is written comes back, and what does not fit is named."""

from __future__ import annotations

import copy
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lolvit.errors import UserError
from lolvit.models import create_model
from lolvit.models.checkpoint import classes_in, load_weights, read_state, save_checkpoint

CONFIG = {"model": "lolvit_xx", "num_classes": 5, "labels": ["ä", "b"], "nested": {"size": [1, 2]}}


class TinyNet(nn.Module):
    """Convolution, BatchNorm, linear: enough of each kind of tensor."""

    def __init__(self, classes: int = 3) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.norm = nn.BatchNorm2d(4)
        self.head = nn.Linear(4, classes)


def equal(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)


def snapshot(model: nn.Module) -> dict[str, Tensor]:
    return copy.deepcopy(dict(model.state_dict()))


def load_error(model: nn.Module, state: dict[str, Any]) -> str:
    """Return the one line that refuses `state`; the model must be as it was."""
    before = snapshot(model)
    with pytest.raises(UserError) as caught:
        load_weights(model, state, where="some.safetensors")
    assert equal(snapshot(model), before)
    return caught.value.line()


def test_safetensors_round_trip_is_bit_equal_and_keeps_the_configuration(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = create_model("lolvit_xx", num_classes=5)
    model.train()(torch.rand(2, 3, 64, 64))  # so that the statistics are not the initial ones
    path = tmp_path / "weights.safetensors"
    save_checkpoint(model, path, CONFIG)
    state, config = read_state(path)
    assert config == CONFIG
    other = create_model("lolvit_xx", num_classes=5)
    load_weights(other, state, where=str(path))
    assert equal(snapshot(other), snapshot(model))


def test_tied_and_non_contiguous_weights_are_saved(tmp_path: Path) -> None:
    model = TinyNet()
    model.other = model.head
    model.conv.weight = nn.Parameter(model.conv.weight.to(memory_format=torch.channels_last))
    save_checkpoint(model, tmp_path / "tied.safetensors", {})
    state, _ = read_state(tmp_path / "tied.safetensors")
    assert equal(state, snapshot(model))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64], ids=str)
def test_other_float_types_are_converted(dtype: torch.dtype) -> None:
    state = {
        name: t.to(dtype) if t.is_floating_point() else t
        for name, t in TinyNet().state_dict().items()
    }
    model = TinyNet()
    load_weights(model, state, where="half.safetensors")
    assert equal(
        snapshot(model), {name: t.to(snapshot(model)[name].dtype) for name, t in state.items()}
    )


@pytest.mark.parametrize("wrap", ["", "state_dict", "model", "state_dict_ema", "model_ema"])
@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod.", "module._orig_mod."])
@pytest.mark.parametrize("zipped", [True, False])
def test_torch_files_are_read_as_training_scripts_write_them(
    tmp_path: Path, wrap: str, prefix: str, zipped: bool
) -> None:
    state = TinyNet().state_dict()
    document: dict[str, Any] = {prefix + name: tensor for name, tensor in state.items()}
    if wrap:
        document = {wrap: document, "epoch": 3, "optimizer": {"state": {}}}
    path = tmp_path / "checkpoint.pth"
    torch.save(document, path, _use_new_zipfile_serialization=zipped)
    read, config = read_state(path)
    assert equal(read, dict(state)) and config == {}


def test_the_moving_average_is_preferred(tmp_path: Path) -> None:
    average, last = {"w": torch.ones(1)}, {"w": torch.zeros(1)}
    torch.save({"state_dict": last, "state_dict_ema": average}, tmp_path / "both.pth")
    assert equal(read_state(tmp_path / "both.pth")[0], average)


def test_missing_tensors_are_named_and_counted() -> None:
    state = {n: t for n, t in TinyNet().state_dict().items() if not n.startswith("head")}
    line = load_error(TinyNet(), state)
    assert line == (
        "some.safetensors: does not fit TinyNet: 2 missing: head.weight, head.bias; "
        "check the model's name and number of classes"
    )


def test_unknown_tensors_are_named() -> None:
    state = {**TinyNet().state_dict(), "neck.weight": torch.zeros(1)}
    assert "1 unknown: neck.weight" in load_error(TinyNet(), state)


def test_misshapen_tensors_are_named_with_both_shapes() -> None:
    line = load_error(TinyNet(3), TinyNet(7).state_dict())
    assert (
        "2 misshapen: head.weight (7, 4) instead of (3, 4), head.bias (7,) instead of (3,)" in line
    )


@pytest.mark.parametrize(
    ("tensor", "message"),
    [
        (torch.zeros(4, dtype=torch.int8), "int8"),
        (torch.zeros(4, dtype=torch.complex64), "complex64"),
        (torch.zeros(4).to_sparse(), "float32, not strided"),
        (torch.zeros(4, device="meta"), "float32 without values"),
    ],
    ids=["quantized", "complex", "sparse", "meta"],
)
def test_tensors_that_are_no_plain_floats_are_named(tensor: Tensor, message: str) -> None:
    state = {**TinyNet().state_dict(), "conv.bias": tensor}
    assert f"1 mistyped: conv.bias {message} instead of float32" in load_error(TinyNet(), state)


def test_a_long_list_of_names_is_cut() -> None:
    line = load_error(create_model("lolvit_xx"), {})
    assert " …" in line and len(line) < 400 and "\n" not in line


def test_all_kinds_of_problems_are_reported_at_once() -> None:
    state = dict(TinyNet(7).state_dict())
    state["extra"] = state.pop("conv.weight")
    line = load_error(TinyNet(), state)
    assert "1 missing: conv.weight" in line and "1 unknown: extra" in line
    assert "2 misshapen: head.weight" in line


@pytest.mark.parametrize("counter", [None, torch.tensor(3.0)])
def test_the_batch_counter_of_a_batch_norm_is_not_needed(counter: Tensor | None) -> None:
    state = dict(TinyNet().state_dict())
    del state["norm.num_batches_tracked"]
    if counter is not None:
        state["norm.num_batches_tracked"] = counter
    load_weights(TinyNet(), state, where="some.safetensors")


def test_the_number_of_classes_is_read_off_the_classifier() -> None:
    assert classes_in(TinyNet(7).state_dict(), "head") == 7
    assert classes_in(TinyNet(7).state_dict(), "fc") is None


def test_an_unwritable_folder_is_a_user_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(UserError, match=r"weights\.safetensors: cannot write"):
        save_checkpoint(TinyNet(), tmp_path / "file" / "weights.safetensors", {})


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_folder_is_a_user_error_and_keeps_what_stood_there(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    save_checkpoint(TinyNet(), path, {})
    before = path.read_bytes()
    tmp_path.chmod(0o500)
    with pytest.raises(UserError, match="cannot write"):
        save_checkpoint(TinyNet(), path, {})
    tmp_path.chmod(0o700)
    assert path.read_bytes() == before
