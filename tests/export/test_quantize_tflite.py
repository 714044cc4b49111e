"""A quantized TFLite artifact is an integer program, as near to the float one as it says."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ai_edge_litert.interpreter import Interpreter
from torch import nn

from lolvit.errors import UserError
from lolvit.manifest import Artifact, Precision, check_artifact
from lolvit_export.quantization.images import Images
from lolvit_export.quantization.plan import Plan
from lolvit_export.quantization.tflite import TfliteQuantizer
from tests.export import small_net

JOINS = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "ADD", "CONCATENATION")


@pytest.fixture(scope="module")
def fp32(folder: Path, model: small_net.SmallNet) -> Artifact:
    return small_net.lower(model, "tflite", folder)


@pytest.fixture(scope="module")
def quantizer(folder: Path, fp32: Artifact, images: Images) -> TfliteQuantizer:
    return make(folder, fp32, images, "int8")


def make(folder: Path, fp32: Artifact, images: Images, precision: Precision) -> TfliteQuantizer:
    return TfliteQuantizer(folder / fp32.path, fp32, images, small_net.PREPROCESS, precision)


def plan(**changes: Any) -> Plan:
    return small_net.plan("tflite", JOINS, changes)


def logits(path: Path, artifact: Artifact, images: Images) -> list[np.ndarray]:
    return small_net.logits("litert", path, artifact, images.held_out)


def kinds(path: Path) -> Counter[str]:
    """Count the operations of a file by kind and the type that they give."""
    interpreter: Any = Interpreter(str(path), experimental_preserve_all_tensors=True)
    interpreter.allocate_tensors()
    types = {each["index"]: each["dtype"].__name__ for each in interpreter.get_tensor_details()}
    return Counter(
        f"{each['op_name']} {types[int(each['outputs'][0])]}"
        for each in interpreter._get_ops_details()
        if each["op_name"] != "DELEGATE"
    )


def test_int8_is_near_float_and_a_quarter_of_its_size(folder, fp32, images, quantizer) -> None:
    artifact = quantizer.quantize(plan(), folder / "model-int8.tflite")
    assert (artifact.precision, artifact.path) == ("int8", "model-int8.tflite")
    check_artifact(folder, artifact)
    reference = logits(folder / fp32.path, fp32, images)
    found = logits(folder / artifact.path, artifact, images)
    assert small_net.snr_db(reference, found) >= 25
    right = [
        np.sum([o.argmax() for o in each] == np.array(images.truth.values))
        for each in (reference, found)
    ]
    assert right[0] - right[1] <= 1


def test_only_the_kinds_of_the_plan_become_integers(folder, quantizer) -> None:
    quantizer.quantize(plan(), folder / "kinds.tflite")
    found = kinds(folder / "kinds.tflite")
    for kind in ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "CONCATENATION"):
        assert found[f"{kind} int8"] and not found[f"{kind} float32"]
    assert found["BATCH_MATMUL float32"] == 2 and not found["BATCH_MATMUL int8"]


def test_input_and_output_stay_float(folder, quantizer) -> None:
    artifact = quantizer.quantize(plan(), folder / "ends.tflite")
    interpreter = Interpreter(str(folder / artifact.path))
    ends = (*interpreter.get_input_details(), *interpreter.get_output_details())
    assert [end["dtype"] for end in ends] == [np.float32, np.float32]


def test_what_gives_a_divisor_stays_float_in_the_widest_recipe(folder, quantizer) -> None:
    widest = next(iter(quantizer.recipes().values()))
    assert "BATCH_MATMUL" in widest
    quantizer.quantize(plan(operations=widest), folder / "wide.tflite")
    found = kinds(folder / "wide.tflite")
    assert found["DIV float32"] == 1 and found["SUM float32"] == 1
    assert found["ADD float32"] == 1 and found["ADD int8"] == 1  # the divisor's, the residual


def test_layers_that_the_plan_leaves_stay_float(folder, quantizer) -> None:
    convolutions = [each.name for each in quantizer.layers() if each.operation == "CONV_2D"]
    quantizer.quantize(plan(float_layers=tuple(convolutions[:2])), folder / "left.tflite")
    found = kinds(folder / "left.tflite")
    assert found["CONV_2D float32"] == 2
    assert found["CONV_2D int8"] == len(convolutions) - 2


def test_only_the_classifier_gives_the_output(quantizer) -> None:
    given = [each.operation for each in quantizer.layers() if each.is_output]
    assert given == ["FULLY_CONNECTED"]


def test_layers_are_named_once_and_in_the_order_of_execution(quantizer) -> None:
    layers = quantizer.layers()
    names = [each.name for each in layers]
    assert len(set(names)) == len(names)
    assert layers[0].operation == "CONV_2D" and layers[-1].operation == "FULLY_CONNECTED"


@pytest.mark.parametrize("method", ["percentile", "mse"])
def test_methods_cut_ranges(folder, fp32, images, quantizer, method) -> None:
    quantizer.quantize(plan(), folder / "minmax.tflite")
    artifact = quantizer.quantize(plan(method=method, percentile=99.5), folder / "cut.tflite")
    assert scales(folder / "cut.tflite") < scales(folder / "minmax.tflite")
    reference = logits(folder / fp32.path, fp32, images)
    assert small_net.snr_db(reference, logits(folder / artifact.path, artifact, images)) >= 15


def scales(path: Path) -> float:
    """Return the sum of the steps of all int8 activations."""
    interpreter = Interpreter(str(path), experimental_preserve_all_tensors=True)
    details = [each for each in interpreter.get_tensor_details() if each["dtype"] is np.int8]
    return float(sum(each["quantization"][0] for each in details))


def test_the_images_are_run_once_for_all_plans(
    folder, fp32, images, quantizer, monkeypatch
) -> None:
    runs: list[int] = []
    replay = TfliteQuantizer._replay

    def counted(self: TfliteQuantizer) -> Iterator[Any]:
        runs.append(1)
        return replay(self)

    monkeypatch.setattr(TfliteQuantizer, "_replay", counted)
    fresh = make(folder, fp32, images, "int8")
    for operations in fresh.recipes().values():
        fresh.quantize(plan(operations=operations), folder / "again.tflite")
    assert len(runs) == 1


def test_w8a16_has_16_bit_activations_and_is_nearer(folder, fp32, images) -> None:
    artifact = make(folder, fp32, images, "w8a16").quantize(
        plan(precision="w8a16"), folder / "model-w8a16.tflite"
    )
    assert artifact.precision == "w8a16"
    assert kinds(folder / artifact.path)["CONV_2D int16"]
    reference = logits(folder / fp32.path, fp32, images)
    assert small_net.snr_db(reference, logits(folder / artifact.path, artifact, images)) >= 30


def test_a_layer_that_does_not_exist_is_a_user_error(folder, quantizer) -> None:
    with pytest.raises(UserError, match="float_layers: no layer 'conv_nine'"):
        quantizer.quantize(plan(float_layers=("conv_nine",)), folder / "no.tflite")
    assert not (folder / "no.tflite").exists()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"operations": ("CONV_9D",)}, "no operation 'CONV_9D' can be quantized"),
        ({"operations": ("LOGISTIC",)}, "leaves every layer in float"),
        ({"method": "percentile", "percentile": 20.0}, "percentile 20"),
    ],
)
def test_a_plan_that_cannot_be_followed_is_a_user_error(folder, quantizer, changes, words) -> None:
    with pytest.raises(UserError, match=words):
        quantizer.quantize(plan(**changes), folder / "no.tflite")


def test_activations_and_channels_that_are_always_zero_keep_their_biases(
    tmp_path, model, images
) -> None:
    fp32 = small_net.lower(small_net.without_attention(model), "tflite", tmp_path)
    artifact = make(tmp_path, fp32, images, "int8").quantize(plan(), tmp_path / "zero.tflite")
    reference = logits(tmp_path / fp32.path, fp32, images)
    assert small_net.snr_db(reference, logits(tmp_path / artifact.path, artifact, images)) >= 25


def test_an_activation_that_overflows_is_a_user_error(tmp_path, images) -> None:
    broken = small_net.SmallNet().eval()
    broken.mixed.bias.data.fill_(3e38)
    broken.last[0].weight.data.fill_(10.0)
    fp32 = small_net.lower(broken, "tflite", tmp_path)
    few = replace(images, calibration=images.calibration[:2])
    with pytest.raises(UserError, match="overflows on a calibration image"):
        make(tmp_path, fp32, few, "int8").quantize(plan(), tmp_path / "no.tflite")


def test_a_max_pool_whose_padding_is_infinite_stays_in_float(tmp_path: Path, images) -> None:
    """As ResNets have one after the first convolution."""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU(), nn.MaxPool2d(3, 2, 1), nn.Conv2d(8, 8, 3, 1, 1),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 10),
    ).eval()  # fmt: skip
    fp32 = small_net.lower(model, "tflite", tmp_path)
    made = make(tmp_path, fp32, images, "int8").quantize(plan(), tmp_path / "model-int8.tflite")
    reference = logits(tmp_path / fp32.path, fp32, images)
    assert small_net.snr_db(reference, logits(tmp_path / made.path, made, images)) >= 25
    found = kinds(tmp_path / made.path)
    assert found["CONV_2D int8"] == 2 and found["MAX_POOL_2D float32"] == 1


class ScaledLayer(nn.Module):
    """A linear layer on channels, then a scale for each, as ConvNeXt's blocks have."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.layer = nn.Conv2d(3, 8, 4, 4), nn.Linear(8, 8)
        self.gamma, self.head = nn.Parameter(torch.linspace(0.1, 0.8, 8)), nn.Linear(8, 10)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        x = self.stem(image).permute(0, 2, 3, 1)
        return self.head((x + self.layer(x) * self.gamma).mean((1, 2)))


def test_a_linear_layer_that_the_converter_scales_is_one_of_integers(
    tmp_path: Path, images
) -> None:
    torch.manual_seed(0)
    fp32 = small_net.lower(ScaledLayer().eval(), "tflite", tmp_path)
    made = make(tmp_path, fp32, images, "int8").quantize(plan(), tmp_path / "model-int8.tflite")
    reference = logits(tmp_path / fp32.path, fp32, images)
    assert small_net.snr_db(reference, logits(tmp_path / made.path, made, images)) >= 25
    assert kinds(tmp_path / made.path)["FULLY_CONNECTED int8"] == 2


@pytest.mark.parametrize("precision", ["int8", "w8a16"])
def test_bias_correction_takes_out_the_mean_error(folder, fp32, images, precision) -> None:
    quantizer = make(folder, fp32, images, precision)
    seen = images.calibration[:64]
    reference = small_net.logits("litert", folder / fp32.path, fp32, seen)
    shifts = []
    for corrects in (False, True):
        path = folder / f"corrected-{corrects}-{precision}.tflite"
        artifact = quantizer.quantize(plan(bias_correction=corrects), path)
        found = small_net.logits("litert", path, artifact, seen)
        shifts.append(np.abs(np.mean(np.subtract(found, reference), axis=0)).max())
    assert shifts[1] < shifts[0] / 2
