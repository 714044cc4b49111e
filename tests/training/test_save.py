"""Folders to publish, and weights that others have published."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import timm
import torch

import lolvit.models  # noqa: F401 - registers the variants
from lolvit.cli import main
from lolvit.errors import UserError
from lolvit.models.checkpoint import save_checkpoint
from lolvit.models.factory import create_model
from lolvit.models.loading import load_checkpoint
from lolvit_training.card import save_folder
from lolvit_training.recipe import read_recipe

CONFIG = {
    "model": "lolvit_xx",
    "num_classes": 10,
    "trained": True,
    "data": "digits",
    "recipe": read_recipe("small", {}).model_dump(mode="json"),
    "preprocess": {"size": [64, 64], "crop_pct": 1.0, "mean": [0.5] * 3, "std": [0.5] * 3},
    "labels": [str(digit) for digit in range(10)],
    "metrics": {"images": 355, "top1": 0.9, "top5": 1.0, "loss": 0.3},
}


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    torch.manual_seed(1)
    path = tmp_path / "model.safetensors"
    save_checkpoint(create_model("lolvit_xx", num_classes=10), path, CONFIG)
    return path


def test_a_saved_folder_is_what_timm_creates_a_model_from(checkpoint: Path, tmp_path: Path) -> None:
    loaded = load_checkpoint(None, checkpoint)
    save_folder(loaded, tmp_path / "card", licence="mit", half=False)
    model = timm.create_model(f"local-dir:{tmp_path / 'card'}", pretrained=True).eval()
    image = torch.rand(1, 3, 64, 64)
    assert torch.equal(model(image), loaded.model(image))
    assert model.pretrained_cfg["input_size"] == [3, 64, 64]


def test_the_card_names_data_result_and_recipe_and_the_recipe_reads_back(
    checkpoint: Path, tmp_path: Path
) -> None:
    save_folder(load_checkpoint(None, checkpoint), tmp_path / "card", licence="mit", half=False)
    text = (tmp_path / "card" / "README.md").read_text()
    for part in ("license: mit", "trained on digits", "top-1 90.00%", "355 images"):
        assert part in text
    written = tmp_path / "recipe.toml"
    written.write_text(text.split("```toml\n")[1].split("```")[0])
    assert read_recipe(str(written), {}) == read_recipe("small", {})


def test_half_precision_halves_the_file_and_keeps_the_values_to_eleven_bits(
    checkpoint: Path, tmp_path: Path
) -> None:
    whole = load_checkpoint(None, checkpoint)
    save_folder(whole, tmp_path / "card", licence="mit", half=True)
    path = tmp_path / "card" / "model.safetensors"
    assert path.stat().st_size < 0.52 * checkpoint.stat().st_size
    for ours, theirs in zip(
        load_checkpoint(None, path).model.parameters(), whole.model.parameters(), strict=True
    ):
        assert ours.dtype == torch.float32
        assert torch.allclose(ours, theirs, rtol=2**-11, atol=1e-7)


def test_a_checkpoint_without_metadata_gets_no_card(tmp_path: Path) -> None:
    path = tmp_path / "bare.safetensors"
    save_checkpoint(create_model("lolvit_xx", num_classes=10), path, {"model": "lolvit_xx"})
    with pytest.raises(UserError, match="does not record its data, recipe, metrics, preprocess"):
        save_folder(load_checkpoint(None, path), tmp_path / "card", licence="mit", half=False)
    assert not (tmp_path / "card").exists()


def test_weights_of_the_hub_bring_their_preprocessing(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The hub answers from a folder here: what it gives is a file for each name."""
    import huggingface_hub

    card = tmp_path / "card"
    save_folder(load_checkpoint(None, checkpoint), card, licence="mit", half=False)
    plain = load_checkpoint(None, checkpoint)
    save_checkpoint(plain.model, card / "model.safetensors", {})
    monkeypatch.setattr(
        huggingface_hub, "hf_hub_download", lambda repo, name, revision=None: str(card / name)
    )
    loaded = load_checkpoint(None, Path("hf-hub:someone/something"))
    assert (loaded.name, loaded.preprocessing().size) == ("lolvit_xx", (64, 64))
    assert loaded.labels() == plain.labels()
    image = torch.rand(1, 3, 64, 64)
    assert torch.equal(loaded.model(image), plain.model(image))


def test_the_hub_offline_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    assert main(["evaluate", "hf-hub:nobody/nothing"]) == 2
    said = capfd.readouterr().err.strip()
    assert said.startswith("lolvit: hf-hub:nobody/nothing: can't be downloaded from the Hub")
    assert len(said.splitlines()) == 1


def test_only_a_whole_saved_folder_is_pushed(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "config.json").write_text(json.dumps({}))
    assert main(["push", str(tmp_path), "someone/something"]) == 2
    assert "has no model.safetensors; run: lolvit save" in capfd.readouterr().err
