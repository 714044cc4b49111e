"""`apk`: the app with its models as a signed APK, verified, with its size by part."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

from android_build.apk_build import ApkFiles, build_apk
from android_build.apk_checks import Check, check_apk, require_passed
from android_build.apk_models import fill_assets
from android_build.apk_parts import PROGRAMS, fetch_apk_parts
from android_build.apk_size import require_budget, sizes_by_part
from android_build.fetch import fetch
from android_build.project import Build
from android_build.resources import link_resources
from android_build.tools import require, run
from lolvit.files import write_atomic

Say = Callable[[str], None]


@dataclass(frozen=True)
class Made:
    """A finished APK: what was checked, what it weighs, how long each step took."""

    files: ApkFiles
    models: tuple[str, ...]
    checks: tuple[Check, ...]
    parts: dict[str, int]
    seconds: dict[str, float]

    def document(self) -> dict[str, Any]:
        """Return it as what a JSON file holds."""
        return {
            "apk": str(self.files.apk),
            "bytes": self.files.apk.stat().st_size,
            "abis": list(self.files.abis),
            "models": list(self.models),
            "checks": [asdict(check) for check in self.checks],
            "parts": self.parts,
            "seconds": self.seconds,
        }


def make_apk(build: Build, models: Sequence[str], abis: Sequence[str], say: Say) -> Made:
    """Do all of it, from fetching on; `say` gets a line for each step.

    Raises:
        UserError: a program is missing, or a model is no export.
        DeviceError: a tool failed.
    """
    require(PROGRAMS)
    files = ApkFiles(build, tuple(abis))
    clock = _Clock(say)
    with clock.step("fetch"):
        fetch(build)
        fetch_apk_parts(build)
    with clock.step("models"):
        packaged = fill_assets(build, models, files.assets)
    with clock.step("compile"):
        link_resources(build)
        run(build.maven("compile"), log=build.logs / "compile.log", what="compiling")
    with clock.step("shrink, pack, align, sign"):
        build_apk(files)
    with clock.step("verify"):
        checks = check_apk(files)
    return Made(
        files=files,
        models=tuple(each.folder.name for each in packaged),
        checks=tuple(checks),
        parts=sizes_by_part(files.apk),
        seconds=clock.seconds,
    )


def judge_apk(made: Made, budget_mb: float) -> None:
    """Leave `apk.json` beside the APK, and refuse one that failed a check or is too large.

    Raises:
        GateFailedError: it did, or is.
    """
    document = json.dumps(made.document(), indent=2) + "\n"
    write_atomic(made.files.apk.with_suffix(".json"), document)
    require_passed(list(made.checks), made.files)
    require_budget(made.files.apk, budget_mb)


def lines_of(made: Made, budget_mb: float) -> list[str]:
    """Return what the user reads: the checks, the size by part, the time of each step."""
    marks = {True: "passed", False: "FAILED", None: "      "}
    size = made.files.apk.stat().st_size / 1e6
    return [
        *(f"{marks[check.passed]}  {check.name}: {check.told}" for check in made.checks),
        *(f"{share / 1e6:8.3f} MB  {part}" for part, share in made.parts.items()),
        f"{size:8.3f} MB  in all, of at most {budget_mb:g}",
        f"{sum(made.seconds.values()):8.1f} s   "
        + ", ".join(f"{step} {seconds:.1f}" for step, seconds in made.seconds.items()),
        str(made.files.apk),
    ]


class _Clock:
    def __init__(self, say: Say) -> None:
        self._say = say
        self.seconds: dict[str, float] = {}

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        self._say(name)
        start = time.monotonic()
        yield
        self.seconds[name] = round(time.monotonic() - start, 2)
