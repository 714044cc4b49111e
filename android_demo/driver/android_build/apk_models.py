"""The models that an APK carries: exported, and packaged by `lolvit package` as any app's are."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from android_build.models import export
from android_build.project import Build
from lolvit.manifest import MANIFEST_NAME
from lolvit_runtimes.android_assets import Packaged, PackageOptions, package


def fill_assets(build: Build, models: Sequence[str], assets: Path) -> list[Packaged]:
    """Put models into `assets`, and nothing else: folders of exports, or models' names, which are
    exported first where that was not done before.

    Raises:
        UserError: a folder is no export, or what is in it is damaged.
        DeviceError: an export failed.
    """
    folders = [_folder(build, model) for model in models]
    shutil.rmtree(assets, ignore_errors=True)
    assets.mkdir(parents=True)
    return [package(folder, assets, PackageOptions()) for folder in folders]


def _folder(build: Build, model: str) -> Path:
    if Path(model).is_dir():
        return Path(model)
    out = build.directory / "exports" / model.replace("/", "-")
    if not list(out.glob(f"*/{MANIFEST_NAME}")):
        export(model, formats=["tflite"], out=out, log=build.logs / f"export-{out.name}.log")
    (manifest,) = out.glob(f"*/{MANIFEST_NAME}")
    return manifest.parent
