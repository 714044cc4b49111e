"""The models of the tests: exported once, then linked into a build's assets."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from android_build.project import ANDROID
from android_build.tools import run
from lolvit.manifest import MANIFEST_NAME
from lolvit_runtimes.android_assets import package
from lolvit_runtimes.app_models import PackageOptions

_NETWORKS = Path(__file__).with_name("colour_networks.py")
_COLOURS: dict[str, Any] = {"size": (128, 160), "mean": (0.5,) * 3, "std": (0.25,) * 3}

# By the folder that `lolvit.export` writes, its arguments: one that is trained, the one that the
# app carries by default, one for each other task, and one that computes the map of classes itself.
TEST_MODELS: dict[str, dict[str, Any]] = {
    "lolvit_xx-256x256": {"model": "lolvit_xx", "weights": "lolvit_xx.digits"},
    "lolvit_x-256x256": {"model": "lolvit_x"},
    "colour_detector-128x160": {
        "model": f"{_NETWORKS}:colour_detector",
        "name": "colour_detector",
        "task": "detection",
        "labels": ("red", "green", "blue"),
        **_COLOURS,
    },
    "colour_segmenter-128x160": {
        "model": f"{_NETWORKS}:colour_segmenter",
        "name": "colour_segmenter",
        "task": "segmentation",
        "labels": ("dark", "red", "green", "blue"),
        "resize": "letterbox",
        **_COLOURS,
    },
    "lolvit_xx-64x96": {
        "model": "lolvit_xx",
        "task": "segmentation",
        "class_map": True,
        "num_classes": 4,
        "size": (64, 96),
    },
}
FORMATS = ("onnx", "tflite")


def export_models(models: Path, logs: Path) -> None:
    """Export the models that are not in the folder yet, in one process: importing the converters
    takes as long as an export.

    Raises:
        DeviceError: an export failed.
    """
    missing = [name for name in TEST_MODELS if not (models / name / MANIFEST_NAME).is_file()]
    if missing:
        command = [sys.executable, "-m", "android_build.models", str(models), *missing]
        what = f"exporting {', '.join(missing)}"
        run(command, log=logs / "export.log", what=what, cwd=ANDROID / "driver")


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
    return [package(models / name, assets, options).folder for name in TEST_MODELS]


def _export_all(out: str, *names: str) -> None:
    import lolvit  # in the child process alone

    for name in names:
        lolvit.export(**TEST_MODELS[name], targets=FORMATS, out=out)


if __name__ == "__main__":
    _export_all(*sys.argv[1:])
