"""The docs' pictures are made of what the tests rendered, small and in few colours."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from android_build import screens
from android_build.photos import digit
from lolvit.errors import GateFailedError, UserError


@pytest.fixture
def rendered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A screen of each name, upright, in one colour with a mark in another; pictures are small."""
    monkeypatch.setattr(screens, "_HEIGHT", 200)
    monkeypatch.setattr(screens, "BUDGET", 8_000)
    for parts in screens.PICTURES.values():
        for part in parts:
            screen = Image.new("RGB", (180, 400), (243, 245, 247))
            screen.paste((156, 43, 43), (25, 25, 75, 50))
            screen.save(tmp_path / f"{part}.png")
    return tmp_path


def test_pictures_hold_their_screens_side_by_side_in_a_palette(rendered: Path) -> None:
    sizes = screens.write_pictures(rendered, rendered / "docs")
    assert set(sizes) == set(screens.PICTURES)
    for name, parts in screens.PICTURES.items():
        with Image.open(rendered / "docs" / f"{name}.png") as picture:
            assert picture.mode == "P"
            assert picture.size == (24 + len(parts) * (90 + 24), 248)
            colours = {colour for _, colour in picture.convert("RGB").getcolors() or []}
        assert {(243, 245, 247), (156, 43, 43)} <= colours  # not merged into neighbours


def test_a_screen_that_was_not_rendered_is_named_with_the_command(rendered: Path) -> None:
    (rendered / "main-dark.png").unlink()
    with pytest.raises(UserError, match="main-dark") as failure:
        screens.write_pictures(rendered, rendered / "docs")
    assert "driver test" in failure.value.line()
    assert not (rendered / "docs" / "android-main.png").exists()


def test_a_picture_over_the_budget_is_not_written(rendered: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (400, 180, 3), np.uint8)
    Image.fromarray(noise).save(rendered / "main-tablet.png")
    with pytest.raises(GateFailedError, match="android-tablet"):
        screens.write_pictures(rendered, rendered / "docs")
    assert not (rendered / "docs" / "android-tablet.png").exists()


def test_the_digit_is_a_two_of_the_test_images() -> None:
    assert digit()[:8] == b"\x89PNG\r\n\x1a\n"
