"""A small trained model, exported for Apple's runtimes; an app's folder."""

from __future__ import annotations

from pathlib import Path

import pytest

import lolvit

NAME = "lolvit_xx-64x64"


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """LOLViT-XX, trained on digits, for Core ML and Core AI in fp16. Not to be changed."""
    return lolvit.export(
        "lolvit_xx",
        weights="lolvit_xx.digits",
        size=(64, 64),
        targets=["coreml", "coreai"],
        precision=["fp16"],
        out=tmp_path_factory.mktemp("exported"),
    ).folder


@pytest.fixture
def app(tmp_path: Path) -> Path:
    """The folder of an app, as Xcode makes it."""
    folder = tmp_path / "Photos"
    (folder / "Photos.xcodeproj").mkdir(parents=True)
    (folder / "Photos.xcodeproj" / "project.pbxproj").write_text("// !$*UTF8*$!\n{}\n")
    return folder
