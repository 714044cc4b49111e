"""Outputs that hardly depend on the image: agreement with them shows little or nothing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
import timm
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import lolvit
from lolvit.errors import GateFailedError
from lolvit.manifest import Preprocessing, Quantization, Signature, TensorSpec
from lolvit.tasks import find_task
from lolvit_export.photos import verification_pixels
from lolvit_export.pipeline import CONSTANT
from lolvit_export.request import ExportResult
from lolvit_export.verification.comparison import (
    USELESS_SNR_DB,
    mean_outputs,
    pooled_snr_db,
    worst_snr_db,
)
from lolvit_export.verification.reference import Reference, ReferenceData
from lolvit_export.verification.verifiers import Verifiers
from lolvit_export.verification.words import advice


class Gives(nn.Module):
    """Gives the image's mean colour times `slope` plus one, and the same three numbers always."""

    def __init__(self, slope: float, *, anchors: bool = False) -> None:
        super().__init__()
        self.slope, self.anchors = slope, anchors

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        given = {"colors": image.mean((2, 3)) * self.slope + 1}
        if self.anchors:
            given["anchors"] = torch.zeros_like(image[:, :, 0, 0]) + 0.5
        return given


class GivesImageToo(Gives):
    """Gives the image too, under the name of the input, as a network that restores one does."""

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        return {**super().forward(image), "image": image}


def exported(
    model: nn.Module, out: Path, targets: str = "onnx", precision: Sequence[str] = ("fp32",)
) -> ExportResult:
    return lolvit.export(
        model, size=32, targets=targets, precision=precision, out=out, task="tensors"
    )


def data(model: nn.Module) -> ReferenceData:
    image = TensorSpec(name="image", shape=(1, 3, 32, 32), layout="NCHW", meaning="normalized")
    names = ["colors", "anchors"] if getattr(model, "anchors", False) else ["colors"]
    outputs = tuple(TensorSpec(name=name, shape=(1, 3), meaning="tensor") for name in names)
    reference = Reference(model, Signature(inputs=(image,), outputs=outputs))
    preprocessing = Preprocessing(size=(32, 32), crop_pct=1, mean=(0.5,) * 3, std=(0.5,) * 3)
    return ReferenceData(reference, verification_pixels(preprocessing), preprocessing)


@settings(max_examples=20)
@given(st.floats(1e-6, 1e3))
def test_the_mean_over_the_photos_never_reaches_the_least_snr(slope: float) -> None:
    found = data(Gives(slope))
    mean = mean_outputs(found.references)
    for pooled, compare in ((True, pooled_snr_db), (False, worst_snr_db)):
        least = found.least_snr_db(pooled=pooled)
        assert compare(found.references, mean)["colors"] < least["colors"]


def test_an_output_that_is_the_same_always_has_no_least_snr() -> None:
    found = data(Gives(1, anchors=True))
    assert list(found.least_snr_db(pooled=True)) == ["colors"]
    assert not found.is_constant
    assert data(Gives(0, anchors=True)).is_constant and data(Gives(0)).is_constant


def test_of_one_photo_nothing_is_said() -> None:
    found = data(Gives(0)).first(1)
    assert not found.least_snr_db(pooled=True) and not found.is_constant


def test_a_network_with_a_classifier_of_zeros_is_exported_with_a_note(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = timm.create_model("test_resnet", num_classes=5)
    assert CONSTANT not in exported(model, tmp_path / "whole").notes
    nn.init.zeros_(model.fc.weight)
    assert CONSTANT in exported(model, tmp_path / "zeros").notes


@pytest.mark.slow
def test_constants_and_the_image_itself_beside_other_outputs_reach_every_format(
    tmp_path: Path,
) -> None:
    model = GivesImageToo(1, anchors=True)
    result = lolvit.export(
        model, size=32, targets="onnx,tflite,coreml", precision=["fp32", "fp16"], out=tmp_path
    )
    assert len(result.manifest.artifacts) == 6 and CONSTANT not in result.notes
    names = [spec.name for spec in result.manifest.signature.outputs]
    assert names == ["colors", "anchors", "output_image"]


def test_a_precision_that_does_not_resolve_what_the_image_changes_is_withheld(
    tmp_path: Path,
) -> None:
    both = ("fp32", "fp16")
    assert exported(Gives(1), tmp_path / "much", "coreml", both).complete
    with pytest.raises(GateFailedError, match=r"fp16\.mlpackage.* written without it: model-fp32"):
        exported(Gives(1e-4), tmp_path / "little", "coreml", both)
    with pytest.raises(GateFailedError, match=r"model-fp32\.onnx ort\.snr_db"):
        exported(Gives(1e-9), tmp_path / "hardly")


class GivesHalves(Gives):
    """Gives the same, rounded to halves, as coarse integers would."""

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        return {name: torch.round(each * 2) / 2 for name, each in super().forward(image).items()}


def test_an_int8_artifact_whose_snr_alone_decides_must_be_better_than_the_mean(
    tmp_path: Path,
) -> None:
    result = exported(GivesHalves(0.3), tmp_path)
    (made,) = result.manifest.artifacts
    quantization = Quantization(plan="plan.json", calibration=None)
    artifact = made.model_copy(update={"precision": "int8", "quantization": quantization})
    wanted = data(Gives(0.3))
    with Verifiers(own=True) as verifiers:
        found = verifiers.verify(
            result.folder / made.path, artifact, result.manifest.signature, find_task("tensors"),
            wanted,
        )  # fmt: skip
    snr = next(gate for gate in found.gates if gate.name == "ort.snr_db")
    assert snr.value > 9.5 and not snr.passed
    constant = found.measurements["ort.constant_snr_db"]
    assert snr.threshold == pytest.approx(constant + 1) and constant > 9.5


class AmplifiesRounding(nn.Module):
    """Iterates x -> 4 x (1 - x), which doubles a difference each time, beside the image itself."""

    def forward(self, image: Tensor) -> Tensor:
        colors = nn.functional.adaptive_avg_pool2d(image, 8).flatten(1)
        x = colors.sigmoid()
        for _ in range(60):
            x = 4 * x * (1 - x)
        return x - 0.5 + 1.5 * colors


def test_a_network_that_amplifies_rounding_is_withheld_with_the_reason(tmp_path: Path) -> None:
    """Eager float32 itself is as far from float64 as any wrong artifact would be."""
    with pytest.raises(GateFailedError) as caught:
        exported(AmplifiesRounding(), tmp_path)
    (artifact,) = caught.value.result.withheld
    (snr,) = artifact.gates
    assert snr.threshold == USELESS_SNR_DB and not snr.passed
    eager = artifact.measurements["ort.eager_snr_db"]
    assert eager < USELESS_SNR_DB
    said = advice(artifact, quantized=False, trained=True)
    assert f"eager PyTorch itself reaches {eager:.1f} dB" in said
