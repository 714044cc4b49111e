"""Checkpoints as common trainers and tools write them, with the configuration beside them."""

from __future__ import annotations

import argparse
import copy
import json
import pathlib
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from lolvit.errors import UserError
from lolvit.models.checkpoint import read_state
from lolvit.models.loading import LoadedCheckpoint, load_checkpoint
from lolvit.models.prefixes import Wrapped, find_wrapped, match_names
from tests.lived_in import lived_in

NAME = "timm/test_resnet"  # timm's own for tests: 0.5 M parameters
State = dict[str, Tensor]


def model(name: str = "test_resnet", **options: Any) -> nn.Module:
    torch.manual_seed(3)
    created: nn.Module = timm.create_model(name, **options)
    return created.eval()


def prefixed(state: State, prefix: str) -> State:
    return {prefix + name: tensor for name, tensor in state.items()}


def halved(state: State, dtype: torch.dtype) -> State:
    return {name: t.to(dtype) if t.is_floating_point() else t for name, t in state.items()}


def zeroed(state: State) -> State:
    return {name: torch.zeros_like(tensor) for name, tensor in state.items()}


def averaged(source: nn.Module) -> State:
    average = torch.optim.swa_utils.AveragedModel(source, use_buffers=True)
    average.update_parameters(source)
    return dict(average.state_dict())


def assert_same(loaded: LoadedCheckpoint, source: nn.Module, tolerance: float = 0.0) -> None:
    """Check that the loaded model computes what the saved one does."""
    own = source.state_dict()
    for name, tensor in loaded.model.state_dict().items():
        if not name.endswith("num_batches_tracked"):
            torch.testing.assert_close(tensor, own[name], rtol=tolerance, atol=tolerance)


TRAINERS: dict[str, Callable[[State], Any]] = {
    "timm": lambda s: {
        "epoch": 3, "arch": "test_resnet", "state_dict": s, "metric": np.float64(0.5), "version": 2,
        "optimizer": {"state": {}, "param_groups": []},
        "args": argparse.Namespace(model="test_resnet", lr=0.1, output=pathlib.Path("out")),
    },
    "timm with a moving average": lambda s: {"state_dict": zeroed(s), "state_dict_ema": s},
    "torchvision": lambda s: {
        "model": zeroed(s), "model_ema": {"n_averaged": torch.tensor(1), **prefixed(s, "module.")},
        "args": argparse.Namespace(data_path="/data"), "epoch": 1,
    },
    "PyTorch's tutorial": lambda s: {
        "epoch": 5, "model_state_dict": s, "optimizer_state_dict": {}, "loss": torch.tensor(0.4),
    },
    "a moving average's settings beside": lambda s: {
        "state_dict": s, "ema": {"decay": 0.999, "updates": 7}, "model_ema": None,
    },
    "net": lambda s: {"net": s, "acc": 99.1, "epoch": 5},
    "Lightning": lambda s: {
        "state_dict": {**prefixed(s, "model."), "criterion.weight": torch.ones(10)},
        "epoch": 3, "pytorch-lightning_version": "2.4.0", "callbacks": {},
        "hyper_parameters": {"num_classes": 10, "lr": 0.1},
    },
    "Lightning, compiled": lambda s: {"state_dict": prefixed(s, "net._orig_mod.")},
    "Lightning with a moving average": lambda s: {
        "state_dict": {**prefixed(zeroed(s), "model."), **prefixed(s, "ema_model.module.")},
    },
    "DeepSpeed": lambda s: {"module": prefixed(s, "module."), "global_steps": 7},
    "DistributedDataParallel of a compiled module": lambda s: prefixed(s, "module._orig_mod."),
    "a backbone of another module": lambda s: prefixed(s, "model.backbone."),
    "OrderedDict": OrderedDict,
    "fp16": lambda s: halved(s, torch.float16),
    "bf16": lambda s: {"model": halved(s, torch.bfloat16)},
    "numpy and paths beside": lambda s: {
        "state_dict": s, "history": np.arange(3.0), "best": np.float32(1), "count": np.int64(3),
        "names": np.array(["a"]), "path": pathlib.PureWindowsPath("c:/x"), "flag": np.bool_(True),
    },
}  # fmt: skip


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
@pytest.mark.parametrize("trainer", TRAINERS)
def test_the_weights_of_a_trainer_are_loaded(tmp_path: Path, trainer: str, zipped: bool) -> None:
    source = model(num_classes=10)
    document = TRAINERS[trainer](dict(source.state_dict()))
    torch.save(document, tmp_path / "c.ckpt", _use_new_zipfile_serialization=zipped)
    loaded = load_checkpoint(NAME, tmp_path / "c.ckpt")
    assert_same(loaded, source, {"fp16": 2e-3, "bf16": 1e-2}.get(trainer, 0.0))


def test_a_moving_average_is_unwrapped_as_torch_writes_it(tmp_path: Path) -> None:
    source = model(num_classes=10)
    document = {"model": zeroed(dict(source.state_dict())), "model_ema": averaged(source)}
    torch.save(document, tmp_path / "c.pth")
    assert_same(load_checkpoint(NAME, tmp_path / "c.pth"), source)


def test_what_was_removed_and_left_out_is_said(tmp_path: Path) -> None:
    state = prefixed(dict(model().state_dict()), "model.")
    torch.save({"state_dict": {**state, "loss.weight": torch.ones(3)}}, tmp_path / "c.ckpt")
    loaded = load_checkpoint(NAME, tmp_path / "c.ckpt")
    assert loaded.notes == (
        f"{tmp_path / 'c.ckpt'}: the prefix 'model.' of its tensors' names was removed, 1 tensors "
        "beside the model left out: loss.weight",
    )


def test_a_prefix_is_removed_only_where_it_makes_names_the_models() -> None:
    own = ("stem.weight", "stem.bias", "head.weight", "head.bias")
    state = {name: torch.zeros(1) for name in own}
    assert match_names(prefixed(state, "a.b."), own).prefix == "a.b."
    assert match_names({**state, "extra.weight": torch.zeros(1)}, own).prefix == ""
    other = {"encoder.conv1.weight": torch.zeros(1), "encoder.conv1.bias": torch.zeros(1)}
    assert match_names(other, own).state.keys() == other.keys()


def test_a_module_that_wraps_the_network_of_a_checkpoint_is_recognized() -> None:
    names = ("stem.weight", "stem.bias", "head.weight")
    own = [f"net.model.{name}" for name in names]
    assert find_wrapped(names, own) == Wrapped("net.model.", ())
    assert find_wrapped(names, [*own, "scale"]) == Wrapped("net.model.", ("scale",))
    assert find_wrapped(names, names) is None  # they are its own
    assert find_wrapped(names, own[:-1]) is None  # one is missing
    assert find_wrapped(names, [*own, *(f"twin.{name}" for name in names)]) is None


def test_a_backbone_without_the_models_classifier_is_refused(tmp_path: Path) -> None:
    state = prefixed(dict(model(num_classes=0).state_dict()), "backbone.")
    torch.save({**state, "head.weight": torch.zeros(10, 4)}, tmp_path / "c.pth")
    with pytest.raises(UserError, match=r"2 missing: fc\.weight, fc\.bias"):
        load_checkpoint(NAME, tmp_path / "c.pth")


def test_the_keys_that_were_found_are_listed_where_none_is_known(tmp_path: Path) -> None:
    state = dict(model().state_dict())
    torch.save({"generator": state, "epoch": 3}, tmp_path / "c.pth")
    line = rf"holds no tensors under a known key; its keys: generator \({len(state)} tensors\), ep"
    with pytest.raises(UserError, match=line):
        read_state(tmp_path / "c.pth")


class Trainer:
    """A class of a training script, as some pickle it with the weights."""


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_a_pickled_class_is_named_and_not_loaded(tmp_path: Path, zipped: bool) -> None:
    document = {"model": Trainer(), "ema": None, "epoch": 3}
    torch.save(document, tmp_path / "best.pt", _use_new_zipfile_serialization=zipped)
    line = (
        r"holds more than weights \(.*test_foreign_checkpoints\.Trainer\), and is not loaded; save"
    )
    with pytest.raises(UserError, match=line):
        read_state(tmp_path / "best.pt")


class AttributeDict(dict[str, Any]):
    """As Lightning has one for hyperparameters."""


class Block(nn.Module):
    """A module with all that a pickled one may hold: other modules, functions, passing buffers."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.SiLU())
        self.act, self.trainer = torch.relu, Trainer()
        self.branches = nn.ModuleDict({"a": nn.Linear(2, 2)})
        self.scales = nn.ParameterDict({"b": torch.ones(2)})
        self.register_buffer("grid", torch.arange(3.0), persistent=False)
        self.register_parameter("nothing", None)


PICKLED: dict[str, Callable[[nn.Module], Any]] = {
    "a module": lambda model: model,
    "a module in DataParallel": nn.DataParallel,
    # As Ultralytics does when it strips the optimizer.
    "Ultralytics": lambda model: {
        "epoch": -1, "ema": None, "model": copy.deepcopy(model).half(), "train_args": {"lr": 0.01},
    },
    "a moving average": lambda model: {"model": Block(), "ema": model, "trainer": Trainer()},
    "Lightning": lambda model: {
        "state_dict": model.state_dict(),
        "hyper_parameters": AttributeDict(model="lolvit_xx", optimizer=Trainer()),
        "callbacks": {"early": Trainer()},
    },
    "MMEngine": lambda model: {"meta": {"hook": Trainer()}, "state_dict": model.state_dict(),
                               "message_hub": {"log_scalars": OrderedDict(a=Trainer())}},
}  # fmt: skip


@pytest.mark.parametrize("trainer", PICKLED)
def test_tensors_of_pickled_modules_and_beside_pickled_objects_are_read(
    tmp_path: Path, trainer: str
) -> None:
    model = lived_in(Block())
    torch.save(PICKLED[trainer](model), tmp_path / "best.pt")
    state, _ = read_state(tmp_path / "best.pt")
    expected = model.state_dict()
    assert state.keys() == expected.keys()
    for name, tensor in expected.items():
        torch.testing.assert_close(state[name].to(tensor.dtype), tensor, atol=0, rtol=1e-3)


OTHER_FILES = {
    "pointer.bin": (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "git lfs pull"),
    "page.pth": (b"<!DOCTYPE html><html>404</html>", "is an HTML page; download the file itself"),
    "keras.h5": (b"\x89HDF\r\n\x1a\n" + bytes(99), "is an HDF5 file, as Keras writes it"),
    "model.onnx": (b"\x08\x07", r"is an artifact \(\.onnx\); give the PyTorch weights"),
}


@pytest.mark.parametrize("name", OTHER_FILES)
def test_a_file_of_another_kind_is_called_what_it_is(tmp_path: Path, name: str) -> None:
    content, line = OTHER_FILES[name]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=line):
        read_state(tmp_path / name)


def test_a_torchscript_program_and_an_exported_program_are_named(tmp_path: Path) -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())
    torch.jit.script(net).save(str(tmp_path / "script.pt"))
    with pytest.raises(UserError, match=r"is a TorchScript program.*give the state_dict"):
        read_state(tmp_path / "script.pt")
    torch.export.save(torch.export.export(net, (torch.rand(1, 3, 8, 8),)), tmp_path / "p.pt2")
    with pytest.raises(UserError, match=r"is a torch\.export program; give the state_dict"):
        read_state(tmp_path / "p.pt2")


def write_shards(folder: Path, state: State, suffix: str) -> Path:
    """Write a state in two shards with their index; return the index."""
    folder.mkdir()
    stem = "model" if suffix == ".safetensors" else "pytorch_model"
    names, weight_map = list(state), {}
    for number, part in enumerate((names[::2], names[1::2]), 1):
        shard = f"{stem}-{number:05}-of-00002{suffix}"
        tensors = {name: state[name].contiguous() for name in part}
        if suffix == ".safetensors":
            save_file(tensors, folder / shard)
        else:
            torch.save(tensors, folder / shard)
        weight_map |= dict.fromkeys(part, shard)
    index = folder / f"{stem}{suffix}.index.json"
    index.write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    return index


@pytest.mark.parametrize("suffix", [".safetensors", ".bin"])
def test_shards_are_read_by_their_index_their_folder_or_one_of_them(
    tmp_path: Path, suffix: str
) -> None:
    source = model(num_classes=10)
    index = write_shards(tmp_path / "hub", dict(source.state_dict()), suffix)
    first = next(index.parent.glob(f"*-00001-of-00002{suffix}"))
    for path in (index, index.parent, first):
        assert_same(load_checkpoint(NAME, path), source)
    first.unlink()
    with pytest.raises(UserError, match=r"-00001-of-00002\S+: missing; download every shard"):
        load_checkpoint(NAME, index)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('{"weight_map": {}}', "names no shards"),
        ('{"a": 1}', "is not an index of shards"),
        ("[1]", "is not an index of shards"),
        ("{", "is not an index of shards"),
        ('{"weight_map": {"w": "../w.safetensors"}}', "names a shard outside of its folder"),
    ],
)
def test_an_index_that_is_none_is_one_line(tmp_path: Path, text: str, line: str) -> None:
    path = tmp_path / "model.safetensors.index.json"
    path.write_text(text)
    with pytest.raises(UserError, match=line):
        read_state(path)


def test_a_folder_with_several_checkpoints_lists_them(tmp_path: Path) -> None:
    for name in ("a.pth", "b.pth"):
        torch.save({}, tmp_path / name)
    with pytest.raises(UserError, match=r"holds 2 checkpoints; give one of: a\.pth, b\.pth"):
        load_checkpoint(NAME, tmp_path)
    (tmp_path / "none").mkdir()
    with pytest.raises(UserError, match="holds no weights"):
        load_checkpoint(NAME, tmp_path / "none")


DATA = {"mean": [0.1, 0.2, 0.3], "std": [0.9, 0.8, 0.7], "crop_pct": 0.9, "crop_mode": "squash",
        "interpolation": "bilinear", "input_size": [3, 96, 128]}  # fmt: skip


def hub_folder(folder: Path, source: nn.Module, **config: Any) -> Path:
    """Write a folder as timm's save_for_hf does, with a changed configuration."""
    from timm.models import save_for_hf

    save_for_hf(source, str(folder), model_config={"label_names": ["ant", "bee", "cat"]},
                safe_serialization=True)  # fmt: skip
    document = json.loads((folder / "config.json").read_text())
    document["pretrained_cfg"].update(DATA)
    (folder / "config.json").write_text(json.dumps(document | config))
    return folder


@pytest.mark.parametrize("given", ["folder", "file"])
@pytest.mark.parametrize("name", [NAME, None])
def test_timms_folder_gives_model_labels_size_and_preprocessing(
    tmp_path: Path, given: str, name: str | None
) -> None:
    source = model(num_classes=3)
    folder = hub_folder(tmp_path / "hub", source)
    path = folder if given == "folder" else folder / "model.safetensors"
    loaded = load_checkpoint(name, path)
    assert_same(loaded, source)
    assert loaded.labels() == ("ant", "bee", "cat")
    assert loaded.config["model_args"] == {"global_pool": "avg"}
    found = loaded.preprocessing()
    assert (found.size, found.mean, found.std) == ((96, 128), (0.1, 0.2, 0.3), (0.9, 0.8, 0.7))
    assert (found.crop_pct, found.resize, found.interpolation) == (0.9, "stretch", "bilinear")
    assert loaded.notes == (
        f"{path}: config.json beside the weights: model, number of classes, labels, size and "
        "preprocessing",
    )


def test_a_configuration_of_another_model_is_refused(tmp_path: Path) -> None:
    folder = hub_folder(tmp_path / "hub", model(num_classes=3))
    with pytest.raises(UserError, match="is a checkpoint of test_resnet, not of timm/test_vit"):
        load_checkpoint("timm/test_vit", folder)


def test_transformers_wrapper_of_timm_is_read(tmp_path: Path) -> None:
    source = model(num_classes=3)
    folder = hub_folder(tmp_path / "hub", source, architectures=["TimmWrapperForImageClassifi"])
    save_file(prefixed(dict(source.state_dict()), "timm_model."), folder / "model.safetensors")
    assert_same(load_checkpoint(None, folder), source)


def test_labels_and_normalization_of_transformers_files_are_used(tmp_path: Path) -> None:
    source = model(num_classes=2)
    torch.save(source.state_dict(), tmp_path / "pytorch_model.bin")
    labels = {"id2label": {"1": "dog", "0": "cat"}, "model_type": "resnet"}
    (tmp_path / "config.json").write_text(json.dumps(labels))
    processor = {"image_mean": [0.5] * 3, "image_std": [0.25] * 3, "crop_pct": 0.95}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(processor))
    loaded = load_checkpoint(NAME, tmp_path)
    assert loaded.labels() == ("cat", "dog")
    found = loaded.preprocessing()
    assert (found.mean, found.std, found.crop_pct) == ((0.5,) * 3, (0.25,) * 3, 0.95)
    assert "config.json and preprocessor_config.json beside" in loaded.notes[0]


def test_the_options_of_timms_train_script_beside_the_weights_are_used(tmp_path: Path) -> None:
    source = model(num_classes=4)
    torch.save({"state_dict": source.state_dict()}, tmp_path / "model_best.pth.tar")
    (tmp_path / "args.yaml").write_text(
        "model: test_resnet\nnum_classes: 4\nimg_size: 128\ninput_size: null\n"
        "mean: [0.5, 0.4, 0.3]\nstd: null\ninterpolation: ''\ncrop_pct: 1.0\n"
    )
    loaded = load_checkpoint(None, tmp_path)
    assert_same(loaded, source)
    found = loaded.preprocessing()
    assert (found.size, found.mean, found.crop_pct) == ((128, 128), (0.5, 0.4, 0.3), 1.0)


def test_both_heads_of_a_distilled_model_are_loaded(tmp_path: Path) -> None:
    source = model("deit_tiny_distilled_patch16_224", num_classes=7)
    torch.save({"model": source.state_dict()}, tmp_path / "deit.pth")
    loaded = load_checkpoint("timm/deit_tiny_distilled_patch16_224", tmp_path / "deit.pth")
    assert_same(loaded, source)
    assert loaded.model.num_classes == 7


def test_a_greyscale_checkpoint_gives_a_greyscale_model(tmp_path: Path) -> None:
    source = model(num_classes=5, in_chans=1)
    torch.save(source.state_dict(), tmp_path / "grey.pth")
    loaded = load_checkpoint(NAME, tmp_path / "grey.pth")
    assert_same(loaded, source)
    found = loaded.preprocessing()
    assert found.color == "L" and len(found.mean) == 1


def test_a_vit_is_created_at_the_size_of_its_weights_and_changed_to_the_one_asked_for(
    tmp_path: Path,
) -> None:
    source = model("test_vit", num_classes=5, img_size=96)
    torch.save(source.state_dict(), tmp_path / "vit.pth")
    with pytest.raises(UserError, match=r"1 misshapen: pos_embed"):
        load_checkpoint("timm/test_vit", tmp_path / "vit.pth")
    assert_same(load_checkpoint("timm/test_vit", tmp_path / "vit.pth", size=(96, 96)), source)
    torch.save({"state_dict": source.state_dict(), "args": {"img_size": 96}}, tmp_path / "vit.pth")
    loaded = load_checkpoint("timm/test_vit", tmp_path / "vit.pth", size=(128, 128))
    source.set_input_size(img_size=(128, 128))
    assert_same(loaded, source)
    assert loaded.model(torch.rand(1, 3, 128, 128)).shape == (1, 5)
