"""`apk`: the app with its models as a signed APK, verified, with its size by part; the library."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from android_build.aar import Aar, build_aar
from android_build.apk_build import ApkFiles, build_apk
from android_build.apk_checks import Check, check_apk, require_passed
from android_build.apk_size import require_budget, sizes_by_part
from android_build.fetch import APK_PROGRAMS, fetch, fetch_apk_parts
from android_build.models import export
from android_build.project import Build
from android_build.resources import link_resources
from android_build.tools import require, run
from lolvit.files import write_atomic
from lolvit.manifest import MANIFEST_NAME
from lolvit_runtimes.android_assets import package
from lolvit_runtimes.app_models import PackageOptions, PackageResult

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Made:
    """A finished APK: its checks, its size by part, the time of each step."""

    files: ApkFiles
    library: Aar
    models: tuple[str, ...]
    checks: tuple[Check, ...]
    parts: dict[str, int]
    seconds: dict[str, float]

    def document(self) -> dict[str, Any]:
        """Return the JSON report."""
        return {
            "apk": str(self.files.apk),
            "bytes": self.files.apk.stat().st_size,
            "library": str(self.library.archive),
            "abis": list(self.files.abis),
            "models": list(self.models),
            "checks": [asdict(check) for check in self.checks],
            "parts": self.parts,
            "seconds": self.seconds,
        }


def make_apk(build: Build, models: Sequence[str], abis: Sequence[str], progress: Progress) -> Made:
    """Make and check an APK, from fetching on; `progress` gets the name of each step.

    Raises:
        UserError: a program is missing, or a model is no export.
        DeviceError: a tool failed.
    """
    require(APK_PROGRAMS)
    files = ApkFiles(build, tuple(abis))
    clock = _Clock(progress)
    with clock.step("fetch"):
        fetch(build)
        fetch_apk_parts(build)
    with clock.step("models"):
        packaged = _fill_assets(build, models, files.assets)
    with clock.step("compile"):
        link_resources(build)
        run(build.maven("compile"), log=build.logs / "compile.log", what="compiling")
        library = build_aar(build)
    with clock.step("shrink, pack, align, sign"):
        build_apk(files)
    with clock.step("verify"):
        checks = check_apk(files)
    return Made(
        files=files,
        library=library,
        models=tuple(each.folder.name for each in packaged),
        checks=tuple(checks),
        parts=sizes_by_part(files.apk),
        seconds=clock.seconds,
    )


def _fill_assets(build: Build, models: Sequence[str], assets: Path) -> list[PackageResult]:
    """Fill `assets` with models only: folders of exports, or models' names, which are exported
    unless they have been.

    Raises:
        UserError: a folder is not an export, or a file in it is damaged.
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


def require_valid(made: Made, budget_mb: float) -> None:
    """Write the APK's JSON report beside it; require that all checks passed, and the budget.

    Raises:
        GateFailedError: a check failed, or the APK is over the budget.
    """
    document = json.dumps(made.document(), indent=2) + "\n"
    write_atomic(made.files.apk.with_suffix(".json"), document)
    require_passed(list(made.checks), made.files)
    require_budget(made.files.apk, budget_mb)


def lines_of(made: Made, budget_mb: float) -> list[str]:
    """Return the lines to print: the checks, the size by part, the time of each step."""
    marks = {True: "passed", False: "FAILED", None: "      "}
    size = made.files.apk.stat().st_size / 1e6
    return [
        *(f"{marks[check.passed]}  {check.name}: {check.detail}" for check in made.checks),
        *(f"{share / 1e6:8.3f} MB  {part}" for part, share in made.parts.items()),
        f"{size:8.3f} MB  in all, of at most {budget_mb:g}",
        f"{sum(made.seconds.values()):8.1f} s   "
        + ", ".join(f"{step} {seconds:.1f}" for step, seconds in made.seconds.items()),
        str(made.library.archive),
        str(made.files.apk),
    ]


class _Clock:
    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self.seconds: dict[str, float] = {}

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        self._progress(name)
        start = time.monotonic()
        yield
        self.seconds[name] = round(time.monotonic() - start, 2)
