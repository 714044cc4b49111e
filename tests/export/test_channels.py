"""Models with one and with four channels: grey levels and alpha from a photo to every command."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from PIL import Image

from lolvit.cli import main
from lolvit.manifest import Preprocessing, read_manifest
from lolvit.models.calibrate import calibrate_batch_norm
from lolvit_benchmarks.harness.prepare import open_photo
from lolvit_data.table import open_dataset
from lolvit_export.photos import calibration_images, verification_pixels
from lolvit_export.quantization.images import open_images
from lolvit_runtimes.preprocessing import normalize, to_pixels
from tests.data.images import write_shards

RGBA = Preprocessing(
    size=(32, 32), crop_pct=1.0, mean=(0.5,) * 4, std=(0.5,) * 4, color="RGBA"
)  # fmt: skip


@pytest.mark.slow
def test_a_greyscale_model_goes_through_every_command(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    def run(*arguments: str | Path) -> Any:
        capfd.readouterr()
        assert main([*map(str, arguments), "--json"]) == 0
        out = capfd.readouterr().out
        return json.loads(out[out.index("{") :])  # bench's table is Python's, which capfd catches

    torch.manual_seed(0)
    model = timm.create_model("test_resnet", in_chans=1, num_classes=10).eval()
    torch.save(calibrate_batch_norm(model, torch.rand(8, 1, 64, 64)).state_dict(), tmp_path / "w")
    run("export", "timm/test_resnet", "--weights", tmp_path / "w", "--size", "64", "--to", "onnx",
        "--precision", "fp32,int8", "--calibrate", "digits", "--out", tmp_path)  # fmt: skip
    folder = tmp_path / "test_resnet-64x64"
    preprocessing = read_manifest(folder).preprocessing
    assert preprocessing.color == "L"
    run("verify", folder / "model-fp32.onnx")
    rows = run("evaluate", folder, "--data", "digits", "--limit", "50")["results"]
    assert [row["precision"] for row in rows] == ["fp32", "fp32", "int8"]
    assert all(row["agreement"] >= least for row, least in zip(rows, (1, 1, 0.8), strict=True))
    digits = open_dataset("digits", "test")
    digits.image(5).save(tmp_path / "5.png")
    (found,) = run("predict", folder, tmp_path / "5.png", "--top", "1")["predictions"]
    pixels = to_pixels(digits.image(5, "L"), preprocessing)
    with torch.no_grad():
        logits = model(torch.from_numpy(normalize(pixels, preprocessing)))
    assert found["top"][0]["index"] == int(logits.argmax())
    bench = run("bench", folder, "--against", folder, "--runtime", "ort", "--precision", "fp32",
                "--profile", "quick", "--out", tmp_path / "bench")  # fmt: skip
    assert len(bench["results"]) == 1
    (tmp_path / "app/src/main").mkdir(parents=True)
    (tmp_path / "app/build.gradle.kts").touch()
    run("package", folder, "--android", tmp_path / "app")


@pytest.fixture
def transparent(tmp_path: Path) -> Path:
    """A folder of photos whose alpha channels have levels of their own."""
    folder, noise = tmp_path / "photos", np.random.default_rng(0)
    for number in range(12):
        pixels = noise.integers(0, 256, (48, 40, 4), np.uint8)
        pixels[..., 3] = 20 * number + noise.integers(0, 9, (48, 40))
        path = folder / ("train", "test")[number % 2] / f"c{number % 3}" / f"{number:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)
    return folder


def test_alpha_reaches_data_sets_calibration_and_bench(transparent: Path, tmp_path: Path) -> None:
    dataset = open_dataset(str(transparent), "train")
    (path,) = transparent.glob("train/c0/00.png")
    expected = np.asarray(Image.open(path))
    images = [dataset.image(i, "RGBA") for i in range(len(dataset.labels))]
    assert any(np.array_equal(np.asarray(image), expected) for image in images)
    assert np.array_equal(np.asarray(dataset.image(0)), np.asarray(images[0])[..., :3])
    photo = open_photo(path)
    assert photo.image.mode == "RGB"
    assert photo.pixels(RGBA)[..., 3].max() < 20
    assert calibration_images(RGBA, str(transparent))[:, 3].std() > 0.1
    flat = tmp_path / "flat"
    flat.mkdir()
    for number, each in enumerate(sorted(transparent.rglob("*.png"))):
        each.rename(flat / f"{number}.png")
    for part in (images := open_images(str(flat), RGBA, None)).calibration, images.held_out:
        assert {int(crop[..., 3].max()) == 255 for crop in part} == {False}


def test_the_photos_of_verification_have_an_alpha_channel_that_varies() -> None:
    for pixels in verification_pixels(RGBA):
        assert pixels.shape == (32, 32, 4) and pixels[..., 3].std() > 5


def test_alpha_reaches_shards_and_is_255_where_there_is_none(tmp_path: Path) -> None:
    shards = open_dataset(str(write_shards(tmp_path / "shards")), "test")
    assert set(np.asarray(shards.image(0, "RGBA"))[..., 3].ravel()) == {255}
    digits = open_dataset("digits", "test")
    assert digits.image(0, "L").mode == "L" and digits.image(0).mode == "RGB"
