"""A small data set and a small recipe, for runs of seconds."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.data.images import write_folder

RECIPE = """
epochs = 3
batch_size = 8
size = 64
crop_pct = 1.0
drop_path = 0.1
ema_decay = 0.9
[optimizer]
lr = 1e-3
clip_grad = 1.0
[schedule]
warmup_epochs = 1
[augmentation]
hflip = 0.5
random_erasing = 0.2
auto_augment = "rand-m5-n1"
mixup = 0.2
cutmix = 0.5
"""


@pytest.fixture(scope="session")
def few_digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 48 training and 18 test images of three digits."""
    return write_folder(tmp_path_factory.mktemp("data") / "few")


@pytest.fixture(scope="session")
def recipe_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recipe that uses all kinds of randomness."""
    path = tmp_path_factory.mktemp("recipe") / "all.toml"
    path.write_text(RECIPE)
    return path
