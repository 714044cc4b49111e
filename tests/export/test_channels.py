"""Models with one and with four channels: grey levels and alpha from a photo to every command."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from lolvit.cli import main
from lolvit.manifest import Preprocessing, read_manifest
from lolvit.models.checkpoint import read_state
from lolvit.weights import find_weights
from lolvit_benchmarks.harness.prepare import open_photo
from lolvit_data.table import open_dataset
from lolvit_export.photos import calibration_images, verification_pixels
from lolvit_export.quantization.images import open_images
from tests.data.images import write_shards

RGBA = Preprocessing(
    size=(32, 32), crop_pct=1.0, mean=(0.5,) * 4, std=(0.5,) * 4, color="RGBA"
)  # fmt: skip


@pytest.fixture(scope="module")
def grey_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """LOLViT-XX of the digits, trained on equal channels, as the same network of one channel."""
    state, _ = read_state(find_weights("lolvit_xx.digits"))
    (first,) = (n for n, t in state.items() if t.ndim == 4 and t.shape[1] == 3)
    state[first] = state[first].float().sum(dim=1, keepdim=True)
    path = tmp_path_factory.mktemp("grey") / "grey.pth"
    torch.save(state, path)
    return path


@pytest.mark.slow
def test_a_greyscale_model_goes_through_every_command(
    grey_weights: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    def run(*arguments: str | Path) -> dict[str, object]:
        capfd.readouterr()
        assert main([*map(str, arguments), "--json"]) == 0
        document: dict[str, object] = json.loads(capfd.readouterr().out)
        return document

    run("export", "lolvit_xx", "--weights", grey_weights, "--size", "64", "--to", "onnx,tflite",
        "--precision", "fp32,int8", "--calibrate", "digits", "--out", tmp_path)  # fmt: skip
    folder = tmp_path / "lolvit_xx-64x64"
    manifest = read_manifest(folder)
    assert manifest.preprocessing.color == "L"
    assert [a.precision for a in manifest.artifacts] == ["fp32", "int8"] * 2
    run("verify", folder)
    evaluated = run("evaluate", folder, "--data", "digits", "--limit", "100")
    assert all(row["metrics"]["top1"] >= 0.97 for row in evaluated["results"])  # type: ignore
    digits = open_dataset("digits", "test")
    for index in (0, 1, 2):
        digits.image(index).save(tmp_path / f"{index}.png")
    found = run("predict", folder, *(tmp_path / f"{index}.png" for index in (0, 1, 2)))
    tops = [each["top"][0]["index"] for each in found["predictions"]]  # type: ignore
    assert tops == [digits.labels[index] for index in (0, 1, 2)]
    bench = run("bench", folder, "--against", folder, "--runtime", "ort", "--precision", "fp32",
                "--profile", "quick", "--out", tmp_path / "bench")  # fmt: skip
    assert len(bench["results"]) == 1  # type: ignore[arg-type]
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
