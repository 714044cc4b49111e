"""Models that no table knows: several outputs, other channels, batches."""

from __future__ import annotations

import json
from collections import namedtuple
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
import torchvision
from torch import Tensor, nn
from torchvision.models.feature_extraction import create_feature_extractor

import lolvit
from lolvit.errors import UserError
from lolvit_data.bundled import bundled_photo
from lolvit_export.capture import named_outputs
from lolvit_export.prepare import prepare
from lolvit_export.prepared import ModelOptions
from lolvit_export.request import ExportResult
from lolvit_export.user_module import PROBABILITIES, SCORES_OF_PIXELS
from lolvit_runtimes.preprocessing import normalize, to_pixels
from tests.lived_in import lived_in

Points = namedtuple("Points", ["boxes", "scores"])


def compared(exported: Any, model: nn.Module, runtime: str) -> dict[str, float]:
    """Return by output the largest difference between a loaded artifact and eager PyTorch on a
    photo, relative to the largest value."""
    photo = bundled_photo("coffee")
    with lolvit.load(exported.folder, runtime=runtime) as predictor:
        inputs = predictor.prepare(photo).inputs
        found = predictor.outputs(np.repeat(inputs, predictor.input.batch, 0))
    pixels = to_pixels(photo, exported.manifest.preprocessing)
    image = torch.from_numpy(normalize(pixels, exported.manifest.preprocessing))
    with torch.no_grad():
        expected = dict(named_outputs(model.eval()(image)))
    if list(expected) == ["output"] and "logits" in found:
        expected = {"logits": expected["output"]}
    assert list(found) == list(expected)
    return {
        name: float(np.abs(found[name][:1] - value.numpy()).max() / np.abs(value.numpy()).max())
        for name, value in expected.items()
    }


@pytest.mark.slow
def test_a_backbone_of_torchvision_gives_both_its_outputs(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = create_feature_extractor(
        torchvision.models.mobilenet_v3_small(), {"features.3": "low", "features.12": "high"}
    )
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    exported = lolvit.export(model, size=64, targets="onnx,tflite", out=tmp_path, name="backbone")
    assert exported.folder == tmp_path / "backbone-64x64"
    assert exported.manifest.task == "tensors"
    outputs = exported.manifest.signature.outputs
    assert [(o.name, o.shape) for o in outputs] == [
        ("low", (1, 24, 8, 8)),
        ("high", (1, 576, 2, 2)),
    ]
    assert all(torch.equal(tensor, state[name]) for name, tensor in model.state_dict().items())
    for runtime in ("ort", "litert"):
        assert all(error < 1e-3 for error in compared(exported, model, runtime).values())
    lolvit.verify(exported.folder).raise_on_failure()
    with lolvit.load(exported.folder) as predictor:
        prediction = predictor(bundled_photo("astronaut"))
    assert set(prediction.as_document()["outputs"]) == {"low", "high"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("in_chans", "color", "runtimes"),
    [(1, "L", {"onnx": "ort", "coreml": "coreml-reference"}), (4, "RGBA", {"tflite": "litert"})],
)
def test_a_timm_model_of_other_channels_takes_photos_of_them(
    tmp_path: Path, in_chans: int, color: str, runtimes: dict[str, str]
) -> None:
    torch.manual_seed(0)
    model = timm.create_model("resnet10t", in_chans=in_chans, num_classes=5).eval()
    exported = lolvit.export(model, size=64, targets=",".join(runtimes), out=tmp_path)
    assert exported.folder.name == "resnet10t-64x64"
    assert exported.manifest.preprocessing.color == color
    assert exported.manifest.task == "classification"
    for runtime in runtimes.values():
        assert compared(exported, model, runtime)["logits"] < 1e-3


@pytest.mark.slow
def test_a_batch_is_predicted_photo_by_photo(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(1),
        nn.Flatten(), nn.Linear(8, 10),
    ).eval()  # fmt: skip
    exported = lolvit.export(
        model, size=64, targets="onnx,tflite,coreml", out=tmp_path, batch=4, name="seq"
    )
    assert exported.manifest.signature.inputs[0].shape == (4, 3, 64, 64)
    photos = [bundled_photo(name) for name in ("coffee", "astronaut", "rocket")]
    preprocessing = exported.manifest.preprocessing
    images = np.stack(
        [normalize(to_pixels(each, preprocessing), preprocessing)[0] for each in photos]
    )
    with torch.no_grad():
        expected = model(torch.from_numpy(images)).softmax(1).numpy()
    for runtime in ("ort", "litert", "coreml-reference"):
        with lolvit.load(exported.folder, runtime=runtime) as predictor:
            found = list(predictor.predict(photos))
        assert len(found) == len(photos)
        for prediction, scores in zip(found, expected, strict=True):
            for entry in prediction.top:
                assert entry.score == pytest.approx(float(scores[entry.index]), abs=1e-4)


class Gives(nn.Module):
    """Gives whatever a function makes of a convolution's result."""

    def __init__(self, function: Callable[[Tensor], Any], channels: int = 3) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(channels, 4, 3)
        self.function = function

    def forward(self, image: Tensor) -> Any:
        return self.function(self.convolution(image))


def _branching(x: Tensor) -> Tensor:
    return x.mean((2, 3)) if x.sum() > 0 else x.amax((2, 3))


REFUSED = {
    "nothing": (lambda x: None, "returns nothing"),
    "an empty list": (lambda x: [], "returns no output"),
    "a key that is not an identifier": (
        lambda x: {"a b": x},
        "the key 'a b', which is not an identifier",
    ),
    "a key that is a number": (lambda x: {1: x}, "the key 1, which is not an identifier"),
    "a string": (lambda x: {"x": x, "y": "text"}, "returns str as 'y', not a tensor"),
    "a name twice": (lambda x: {"a_0": x, "a": [x]}, "two outputs named 'a_0'"),
    "no batch axis": (lambda x: x[0], "has no batch axis of 1"),
    "data-dependent control flow": (_branching, r"data-dependent.*torch\.where"),
}


@pytest.mark.parametrize(("function", "message"), REFUSED.values(), ids=REFUSED)
def test_outputs_that_cannot_be_exported_are_one_line(
    tmp_path: Path, function: Callable[[Tensor], Any], message: str
) -> None:
    with pytest.raises(UserError, match=message) as caught:
        lolvit.export(Gives(function), size=32, targets="onnx", out=tmp_path / "out")
    assert "\n" not in caught.value.line()
    assert not list((tmp_path / "out").iterdir())


@pytest.mark.slow
def test_an_output_that_is_returned_twice_is_one_in_every_format(tmp_path: Path) -> None:
    dropout = nn.Dropout().eval()
    model = Gives(lambda x: ((x, x.mean((2, 3))), {"map": x, "dropped": dropout(x)}))
    exported = lolvit.export(model, size=32, targets="onnx,tflite,coreml", out=tmp_path)
    outputs = [spec.name for spec in exported.manifest.signature.outputs]
    assert outputs == ["output_0_0", "output_0_1"]
    assert exported.notes[-2:] == (
        "output 'map' is 'output_0_0' again, and left out",
        "output 'dropped' is 'output_0_0' again, and left out",
    )
    assert {artifact.format for artifact in exported.manifest.artifacts} == {
        "onnx", "tflite", "coreml",
    }  # fmt: skip
    lolvit.verify(exported.folder).raise_on_failure()


def test_weights_of_the_network_that_a_module_wraps_are_loaded(tmp_path: Path) -> None:
    trained = lived_in(timm.create_model("test_resnet")).half()
    torch.save({"epoch": 9, "ema": None, "model": trained}, tmp_path / "best.pt")
    module = nn.Sequential()
    module.network, module.scale = timm.create_model("test_resnet"), nn.Linear(1000, 3)
    options = ModelOptions(size=(64, 64), weights=tmp_path / "best.pt")
    prepared = prepare(module, options)
    found = prepared.model.state_dict()
    for name, tensor in trained.state_dict().items():
        torch.testing.assert_close(found[f"network.{name}"], tensor, check_dtype=False)
    assert torch.equal(found["scale.weight"], module.scale.weight)
    assert "the module's 'network'; 2 outside of it keep" in prepared.notes[-1]


class FusesWrongly(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(3, 8, 3)

    def forward(self, image: Tensor) -> Tensor:
        return self.convolution(image)

    def fuse(self) -> nn.Module:
        return nn.Conv2d(3, 8, 3)


def test_a_module_whose_fuse_changes_its_outputs_is_exported_without_it(tmp_path: Path) -> None:
    model = nn.Sequential(FusesWrongly(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    exported = lolvit.export(model, size=32, targets="onnx", out=tmp_path)
    assert compared(exported, model, "ort")["logits"] < 1e-5
    assert any("fuse" in note and "change its outputs" in note for note in exported.notes)


@pytest.mark.slow
def test_a_network_for_mnists_digits_is_exported_at_their_size(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 16, 5), nn.ReLU(),
        nn.MaxPool2d(2), nn.Flatten(), nn.Linear(400, 10),
    )  # fmt: skip
    exported = lolvit.export(
        model, size=28, targets="onnx,tflite", mean=[0.1307], std=[0.3081], out=tmp_path
    )
    assert exported.manifest.preprocessing.mean == (0.1307,)
    assert compared(exported, model, "ort")["logits"] < 1e-5


def test_one_value_of_normalization_is_for_all_channels() -> None:
    options = ModelOptions(size=(24, 24), mean=(0.5,), std=(0.25,))
    preprocessing = prepare(nn.Sequential(nn.Conv2d(3, 2, 3), nn.Flatten()), options).preprocessing
    assert (preprocessing.mean, preprocessing.std) == ((0.5,) * 3, (0.25,) * 3)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"mean": (0.5,) * 4}, "--mean has 4 values, the image 3 channels"),
        ({"std": (0.2, 0.0, 0.2)}, "--std 0.2,0.0,0.2 is impossible"),
        ({"mean": (float("nan"),)}, "--mean nan is impossible"),
        ({"interpolation": "nearest"}, "field 'interpolation'"),
    ],
)
def test_an_impossible_preprocessing_is_one_line(given: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        prepare(nn.Conv2d(3, 2, 3), ModelOptions(size=(24, 24), **given))


def test_an_input_that_is_no_photo_is_rejected(tmp_path: Path) -> None:
    model = Gives(lambda x: x.mean((2, 3)), channels=7)
    with pytest.raises(
        UserError, match=r"takes 7 channels, images have 1 \(grey\), 3 \(RGB\) or 4 \(RGBA\)"
    ):
        lolvit.export(model, size=32, targets="onnx", out=tmp_path)


class Focus(nn.Module):
    """Moves pixels into channels first (YOLOX, arXiv 2107.08430), and has attention, whose
    convolution takes two channels, as the first of its modules."""

    def __init__(self) -> None:
        super().__init__()
        self.attention, self.first = nn.Conv2d(2, 1, 7, padding=3), nn.Conv2d(12, 8, 3)

    def forward(self, image: Tensor) -> Tensor:
        patches = [image[..., row::2, column::2] for column in (0, 1) for row in (0, 1)]
        x = self.first(torch.cat(patches, 1))
        pools = torch.stack([x.mean(1), x.amax(1)], 1)
        return (x * self.attention(pools).sigmoid()).mean((2, 3))


@pytest.mark.parametrize(
    ("model", "size", "color"),
    [
        (Focus(), (32, 48), "RGB"),
        (nn.Sequential(nn.Flatten(), nn.Linear(784, 32), nn.ReLU(), nn.Linear(32, 10)), 28, "L"),
        (nn.Sequential(nn.PixelUnshuffle(4), nn.Conv2d(64, 8, 3), nn.Flatten()), 32, "RGBA"),
    ],
)
def test_channels_are_those_that_the_module_runs_on(
    model: nn.Module, size: Any, color: str
) -> None:
    size = (size, size) if isinstance(size, int) else size
    assert prepare(model, ModelOptions(size=size)).preprocessing.color == color


def test_a_module_needs_a_size() -> None:
    with pytest.raises(UserError, match="its image size is unknown"):
        lolvit.export(nn.Conv2d(3, 4, 3))


@pytest.mark.parametrize(
    ("outputs", "names"),
    [
        (torch.zeros(1, 2), ["output"]),
        ((torch.zeros(1), torch.zeros(1)), ["output_0", "output_1"]),
        ({"a": torch.zeros(1), "b": [torch.zeros(1), torch.zeros(1)]}, ["a", "b_0", "b_1"]),
        (Points(torch.zeros(1), torch.zeros(1)), ["boxes", "scores"]),
        ((torch.zeros(1), None), ["output_0"]),
        (
            (torch.zeros(1), {"many": {"boxes": [torch.zeros(1)], "scores": torch.zeros(1)}},
             {"one": {"boxes": [torch.zeros(1)]}}),
            ["output_0", "output_1_many_boxes_0", "scores", "output_2_one_boxes_0"],
        ),
    ],
)  # fmt: skip
def test_outputs_are_named_by_what_holds_them(outputs: Any, names: list[str]) -> None:
    assert [name for name, _ in named_outputs(outputs)] == names


def test_a_target_given_twice_is_taken_once_and_an_unknown_one_is_named() -> None:
    with pytest.raises(UserError, match="unknown target 'onx'; did you mean 'onnx'"):
        lolvit.export("lolvit_xx", targets="onx,onnx")


def test_features_of_a_model_without_classes_are_no_classification(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = timm.create_model("resnet10t", num_classes=0).eval()
    exported = lolvit.export(model, size=64, targets="onnx", out=tmp_path)
    assert exported.manifest.task == "tensors"
    (output,) = exported.manifest.signature.outputs
    assert (output.name, output.shape, output.meaning) == ("features", (1, 512), "features")
    with lolvit.load(exported.folder) as predictor:
        rows = predictor(bundled_photo("coffee")).rows()
    assert [row[:2] for row in rows] == [("features", "1x512")]


@pytest.mark.slow
def test_a_greyscale_checkpoint_is_exported_verified_and_predicts(
    tmp_path: Path,
) -> None:
    torch.manual_seed(0)
    source = timm.create_model("test_resnet", num_classes=10, in_chans=1).eval()
    torch.save({"state_dict": source.state_dict()}, tmp_path / "grey.pth")
    exported = lolvit.export(
        "timm/test_resnet", weights=tmp_path / "grey.pth", size=64, targets="onnx,tflite",
        task="tensors", out=tmp_path,
    )  # fmt: skip
    assert exported.manifest.preprocessing.color == "L"
    assert exported.manifest.signature.inputs[0].shape == (1, 1, 64, 64)
    lolvit.verify(exported.folder).raise_on_failure()
    photo = bundled_photo("coffee")
    with torch.no_grad():
        pixels = to_pixels(photo, exported.manifest.preprocessing)
        expected = source(torch.from_numpy(normalize(pixels, exported.manifest.preprocessing)))
    with lolvit.load(exported.folder) as predictor:
        (found,) = predictor(photo).outputs.values()
    np.testing.assert_allclose(found, expected.numpy(), rtol=1e-3, atol=1e-4)


def test_a_vit_is_exported_at_another_size_than_its_own_and_rebuilt_from_its_weights(
    tmp_path: Path,
) -> None:
    exported = lolvit.export("timm/test_vit", size=(96, 64), targets="onnx", out=tmp_path)
    assert exported.manifest.weights.path == "weights.safetensors"
    assert exported.manifest.signature.inputs[0].shape == (1, 3, 96, 64)
    lolvit.verify(exported.folder).raise_on_failure()


def test_a_size_that_a_vit_cannot_have_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"height \(100\) should be divisible by patch size \(16\)"):
        lolvit.export("timm/test_vit", size=100, targets="onnx", out=tmp_path)


def test_timms_squashed_photos_reach_the_artifact_as_timm_makes_them(tmp_path: Path) -> None:
    folder = tmp_path / "hub"
    timm.models.save_for_hf(
        timm.create_model("test_resnet", num_classes=3).eval(), str(folder), safe_serialization=True
    )
    document = json.loads((folder / "config.json").read_text())
    document["pretrained_cfg"] |= {"crop_mode": "squash", "crop_pct": 0.95}
    (folder / "config.json").write_text(json.dumps(document))
    exported = lolvit.export("timm/test_resnet", weights=folder, targets="onnx", out=tmp_path)
    assert exported.manifest.preprocessing.resize == "stretch"
    assert any("config.json beside the weights" in note for note in exported.notes)
    model = timm.create_model(f"local-dir:{folder}", pretrained=True).eval()
    photo = bundled_photo("coffee")
    data = timm.data.resolve_model_data_config(model)
    with torch.no_grad():
        expected = model(timm.data.create_transform(**data)(photo)[None]).softmax(1)[0]
    with lolvit.load(exported.folder) as predictor:
        for entry in predictor(photo).top:
            assert entry.score == pytest.approx(float(expected[entry.index]), abs=1e-4)


class Spectrum(nn.Module):
    """Has an operation that not every converter knows."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(3, 4, 3)

    def forward(self, image: Tensor) -> Tensor:
        return torch.special.bessel_j0(self.convolution(image)).mean((2, 3))


@pytest.mark.slow
def test_a_target_that_cannot_convert_the_model_leaves_the_others(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(UserError, match="onnx: its converter cannot convert the model") as caught:
        lolvit.export(Spectrum(), size=32, targets="onnx,torch", out=tmp_path)
    assert "bessel_j0" in caught.value.line() and "\n" not in caught.value.line()
    exported = caught.value.result
    assert isinstance(exported, ExportResult)
    assert [artifact.path for artifact in exported.manifest.artifacts] == ["model-fp32.pt2"]
    assert (exported.folder / "model-fp32.pt2").exists()


def test_probabilities_in_place_of_logits_are_noted() -> None:
    body = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    options = ModelOptions(size=(32, 32), mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
    probabilities = nn.Sequential(body, nn.Softmax(1))
    assert prepare(probabilities, options).notes == (PROBABILITIES,)
    assert prepare(probabilities, replace(options, task="tensors")).notes == ()
    for last in (nn.Identity(), nn.LogSoftmax(1), nn.Sigmoid()):
        assert prepare(nn.Sequential(body, last), options).notes == ()


def test_one_output_of_classes_by_pixel_gets_a_note_on_segmentation() -> None:
    options = ModelOptions(size=(32, 48), mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
    for stride, noted in ((1, True), (8, True), (16, False)):
        network = nn.Conv2d(3, 4, stride, stride)
        assert (SCORES_OF_PIXELS in prepare(network, options).notes) == noted
    mask = nn.Conv2d(3, 1, 1)  # of one class: may be a depth, or another image
    assert prepare(mask, options).notes == ()
    assert prepare(nn.Conv2d(3, 4, 1), replace(options, task="segmentation")).notes == ()
