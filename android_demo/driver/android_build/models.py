"""The models of the tests: exported once, then linked into a build's assets."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from android_build.tools import run
from lolvit.manifest import MANIFEST_NAME
from lolvit_runtimes.android_assets import package
from lolvit_runtimes.app_models import PackageOptions


@dataclass(frozen=True)
class TestModel:
    """A folder that `lolvit export` writes, and its arguments."""

    __test__ = False  # or pytest collects it by its name

    folder: str
    arguments: tuple[str, ...]


# One that is trained, and the one that the app carries by default.
TEST_MODELS = (
    TestModel("lolvit_xx-256x256", ("lolvit_xx", "--weights", "lolvit_xx.digits")),
    TestModel("lolvit_x-256x256", ("lolvit_x",)),
)
FORMATS = ("onnx", "tflite")


def export_models(models: Path, logs: Path) -> None:
    """Export the models that are not in the folder yet.

    Raises:
        DeviceError: an export failed.
    """
    for model in TEST_MODELS:
        if not (models / model.folder / MANIFEST_NAME).is_file():
            export(
                *model.arguments,
                formats=FORMATS,
                out=models,
                log=logs / f"export-{model.folder}.log",
            )


def export(*arguments: str, formats: Sequence[str], out: Path, log: Path) -> None:
    """Run `lolvit export` with a model's name and options of it.

    Raises:
        DeviceError: the export failed.
    """
    command = [sys.executable, "-m", "lolvit", "export", *arguments]
    options = ["--to", ",".join(formats), "--out", str(out)]
    run([*command, *options], log=log, what=f"exporting {arguments[0]}")


def package_models(models: Path, assets: Path) -> list[Path]:
    """Put each model's manifest and artifacts into the assets; return the models' folders there.

    Raises:
        UserError: a manifest or an artifact is damaged.
    """
    shutil.rmtree(assets / "lolvit", ignore_errors=True)
    options = PackageOptions(formats=FORMATS)
    return [package(models / model.folder, assets, options).folder for model in TEST_MODELS]
