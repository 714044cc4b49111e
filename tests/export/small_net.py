"""A small network with what quantization meets in LOLViT, trained on digits in a few seconds."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from lolvit.files import sha256_of, size_of
from lolvit.manifest import Artifact, Preprocessing, Signature, TensorSpec
from lolvit_data.dataset import even_share
from lolvit_data.table import open_dataset
from lolvit_export.capture import capture
from lolvit_export.lowering.request import LoweringRequest
from lolvit_export.quantization.images import Images
from lolvit_export.quantization.plan import Plan
from lolvit_export.targets import find_lowering
from lolvit_export.verification.truth import Labels
from lolvit_runtimes.preprocessing import Pixels, normalize, to_input, to_pixels
from lolvit_runtimes.session import open_session

SIDE = 32
PREPROCESS = Preprocessing(
    size=(SIDE, SIDE), crop_pct=1.0, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)
)
SIGNATURE = Signature(
    inputs=(
        TensorSpec(name="image", shape=(1, 3, SIDE, SIDE), layout="NCHW", meaning="normalized"),
    ),
    outputs=(TensorSpec(name="logits", shape=(1, 10), layout="NC", meaning="logits"),),
)
FORMATS = {
    "onnx": "model-fp32.onnx",
    "tflite": "model-fp32.tflite",
    "coreml": "model-fp32.mlpackage",
    "coreai": "model-fp32.aimodel",
}


class SmallNet(nn.Module):
    """Convolutions, a depthwise one, a concatenation, and ReLU attention over four keys."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 16, 4, 4), nn.BatchNorm2d(16))
        self.depthwise = nn.Sequential(nn.Conv2d(16, 16, 3, 1, 1, groups=16), nn.BatchNorm2d(16))
        self.query, self.key, self.value = (nn.Conv2d(32, 16, 1) for _ in range(3))
        self.mixed = nn.Conv2d(16, 32, 1)
        self.last = nn.Sequential(nn.Conv2d(32, 32, 3, 2, 1), nn.BatchNorm2d(32))
        self.classifier = nn.Linear(32, 10)

    def forward(self, image: Tensor) -> Tensor:
        x = self.stem(image).relu()  # (1, 16, 8, 8)
        x = torch.cat([x, self.depthwise(x).relu()], 1)  # (1, 32, 8, 8)
        x = (x + self.mixed(self.attend(x))).relu()
        logits: Tensor = self.classifier(self.last(x).relu().mean((2, 3)))
        return logits

    def attend(self, x: Tensor) -> Tensor:
        few = nn.functional.avg_pool2d(x, 4)  # (1, 32, 2, 2)
        query = self.query(x).relu().flatten(2)  # (1, 16, 64)
        key = self.key(few).relu().flatten(2)  # (1, 16, 4)
        value = self.value(few).flatten(2)  # (1, 16, 4)
        weights = (key.transpose(1, 2) @ query).relu()  # (1, 4, 64)
        weights = weights / (weights.sum(1, keepdim=True) + 1e-3)
        return (value @ weights).reshape(x.shape[0], 16, *x.shape[2:])


def digits(count: int, split: str, skip: int = 0) -> tuple[tuple[Pixels, ...], tuple[int, ...]]:
    """Return crops (SIDE, SIDE, 3) of a split of the digits, and their labels."""
    dataset = open_dataset("digits", "train" if split == "train" else "test")
    places = even_share(dataset.labels, count + skip)[skip:]
    crops = tuple(to_pixels(dataset.image(place), PREPROCESS) for place in places)
    return crops, tuple(dataset.labels[place] for place in places)


def images() -> Images:
    """Return 64 digits to calibrate with, 16 others, and 100 test digits with their labels."""
    crops, _ = digits(80, "train")
    held_out, labels = digits(100, "test")
    return Images("digits", crops[:64], crops[64:], held_out, Labels(labels))


def trained() -> SmallNet:
    """Return the network after a few seconds of training."""
    torch.manual_seed(0)
    crops, labels = digits(1200, "train")
    inputs = torch.from_numpy(np.concatenate([normalize(crop, PREPROCESS) for crop in crops]))
    model, target = SmallNet(), torch.tensor(labels)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for _ in range(6):
        for batch in torch.randperm(len(labels)).split(50):
            loss = nn.functional.cross_entropy(model(inputs[batch]), target[batch])
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
    return model.eval()


class Joined(nn.Module):
    """A trained network whose output is a concatenation: of the first and the other classes."""

    def __init__(self, model: SmallNet) -> None:
        super().__init__()
        self.features = copy.deepcopy(model)
        weight, bias = model.classifier.weight, model.classifier.bias
        self.features.classifier = nn.Identity()  # type: ignore[assignment]
        self.parts = nn.ModuleList(nn.Linear(32, 5) for _ in range(2))
        for part, rows in zip(self.parts, (slice(0, 5), slice(5, 10)), strict=True):
            part.weight.data, part.bias.data = weight.data[rows].clone(), bias.data[rows].clone()

    def forward(self, image: Tensor) -> Tensor:
        features = self.features(image)
        return torch.cat([part(features) for part in self.parts], 1)


def lower(model: nn.Module, format: str, folder: Path) -> Artifact:
    """Write the network's fp32 artifact of a format into `folder`."""
    request = LoweringRequest(folder, format, ("fp32",), SIGNATURE, PREPROCESS)
    (lowered,) = find_lowering(format)(capture(model, (SIDE, SIDE)), request)
    assert lowered.path.name == FORMATS[format]
    return Artifact(
        path=lowered.path.name,
        format=format,
        precision="fp32",
        sha256=sha256_of(lowered.path),
        bytes=size_of(lowered.path),
        inputs=lowered.inputs,
        outputs=lowered.outputs,
    )


def without_attention(model: SmallNet) -> SmallNet:
    """Return a copy with activations and a channel of weights that are always zero."""
    model = copy.deepcopy(model)
    model.key.weight.data.zero_()
    assert model.key.bias is not None and model.mixed.bias is not None
    model.key.bias.data.fill_(-1.0)
    model.mixed.bias.data += 0.5
    model.last[0].weight.data[3] = 0.0
    return model


def plan(format: str, operations: Sequence[str], changes: Mapping[str, object]) -> Plan:
    """Return a plan for int8 that leaves nothing of `operations` in float, but for the changes."""
    given: dict[str, object] = {
        "format": format,
        "precision": "int8",
        "method": "minmax",
        "operations": operations,
        "float_layers": (),
    }
    return Plan.model_validate({**given, **changes})


def logits(
    runtime: str, path: Path, artifact: Artifact, crops: Sequence[Pixels]
) -> list[np.ndarray]:
    """Run an artifact on each crop."""
    with closing(open_session(runtime, path, artifact)) as session:
        inputs = [to_input(crop, PREPROCESS, artifact.image) for crop in crops]
        name, output = artifact.image.name, artifact.outputs[0].name
        return [session.run({name: image})[output] for image in inputs]


def snr_db(reference: Sequence[np.ndarray], output: Sequence[np.ndarray]) -> float:
    """Return the signal-to-noise ratio over all images together, in dB."""
    exact, found = np.concatenate(reference), np.concatenate(output)
    return float(10 * np.log10(np.square(exact).sum() / np.square(exact - found).sum()))
