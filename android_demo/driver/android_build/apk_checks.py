"""Checks of the finished APK, by other tools than those that made it, and by reading it back."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from android_build.apk_build import ApkFiles
from android_build.dex import dex_of_apk
from android_build.elf import PAGE_16K, page_alignment
from android_build.fetch import api
from android_build.members import REVIEWED, find_problems, read_reviewed
from android_build.project import ANDROID, pom_property
from android_build.public_api import read_api
from android_build.tools import output_of
from lolvit.errors import GateFailedError

_SHOWN = 5
_NAME = "{http://schemas.android.com/apk/res/android}name"


@dataclass(frozen=True)
class Check:
    """One check of the APK. `passed` is None for information only."""

    name: str
    passed: bool | None
    detail: str


def check_apk(files: ApkFiles) -> list[Check]:
    """Return every check, failed ones included."""
    return [*_signature(files), *_badging(files), *_aligned(files), *_code(files), *_pages(files)]


def require_passed(checks: list[Check], files: ApkFiles) -> None:
    """Raise on the first check that failed.

    Raises:
        GateFailedError: one did.
    """
    for check in checks:
        if check.passed is False:
            raise GateFailedError(f"{check.name}: {check.detail}", where=str(files.apk))


def _signature(files: ApkFiles) -> Iterator[Check]:
    command = ["apksigner", "verify", "--verbose", "--min-sdk-version", pom_property("min.sdk")]
    code, output = output_of([*command, files.apk])
    schemes = re.findall(r"Verified using v([\d.]+) scheme .*: true", output)
    passed = code == 0 and {"2", "3"} <= set(schemes)
    yield Check("apksigner verify", passed, f"schemes v{', v'.join(schemes)}" if passed else output)


def _badging(files: ApkFiles) -> Iterator[Check]:
    code, output = output_of([files.build.aapt2, "dump", "badging", files.apk])
    package = re.escape(files.build.package)
    wanted = {
        "package": rf"package: name='{package}'",
        "minSdk": rf"(?m)^(?:sdkVersion|minSdkVersion):'{pom_property('min.sdk')}'",
        "targetSdk": rf"targetSdkVersion:'{pom_property('target.sdk')}'",
        "launcher": rf"launchable-activity: name='{package}\.\w+'",
        "ABIs": "native-code: " + " ".join(f"'{abi}'" for abi in files.abis) + "(?m:$)",
    }
    missing = [name for name, pattern in wanted.items() if not re.search(pattern, output)]
    passed = code == 0 and not missing
    shown = [re.search(pattern, output) for pattern in wanted.values()]
    what = "; ".join(match.group(0) for match in shown if match)
    yield Check(
        "aapt2 dump badging", passed, what if passed else f"lacks {missing}: {output[:300]}"
    )


def _aligned(files: ApkFiles) -> Iterator[Check]:
    code, output = output_of(["zipalign", "-c", "-p", "4", files.apk])
    how = "compressed" if files.natives_compressed else "uncompressed, on pages of 4 KB"
    yield Check("zipalign -c -p 4", code == 0, f"natives {how}" if code == 0 else output[-300:])


def _code(files: ApkFiles) -> Iterator[Check]:
    dex = dex_of_apk(files.apk)
    detail = f"{len(dex.classes)} classes, {dex.call_sites} call sites"
    yield Check("no invoke-custom", dex.call_sites == 0, detail)
    named = components(files.directory / "AndroidManifest.xml")
    lost = [name for name in named if name.replace(".", "/") not in dex.classes]
    detail = f"{len(named)} of {len(named)}"
    yield Check("the manifest's classes are in the code", not lost, _some(lost) or detail)
    oldest, newest = (read_api(api(files.build, level)) for level in ("min.sdk", "api.sdk"))
    reviewed = read_reviewed(files.build.library) | read_reviewed(files.build.app)
    found = find_problems(dex, oldest, newest, reviewed)
    detail = f"{found.checked} members looked up in the API of Android's level"
    known = f"{detail} {pom_property('api.sdk')}"
    yield Check("no hidden API", not found.hidden, _some(found.hidden) or known)
    # An entry that another app does not use is fine; for the demo it is stale.
    stale = found.unused if files.build.app.is_relative_to(ANDROID) else ()
    wrong = [*found.unguarded, *(f"{name} (unused)" for name in stale)]
    known = f"{detail} {pom_property('min.sdk')}; {len(reviewed)} newer ones are reviewed"
    yield Check(f"newer API is in {REVIEWED}", not wrong, _some(wrong) or known)


def components(manifest: Path) -> list[str]:
    """Return the classes that a manifest names: Android instantiates them by name."""
    root = ElementTree.parse(manifest).getroot()
    kinds = ("application", "activity", "provider", "receiver", "service", "instrumentation")
    names = [entry.get(_NAME) for kind in kinds for entry in root.iter(kind)]
    package = root.get("package", "")
    return [f"{package}{name}" if name.startswith(".") else name for name in names if name]


def _some(names: list[str] | tuple[str, ...]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def _pages(files: ApkFiles) -> Iterator[Check]:
    """Report the page size that each native library fits; it can't be changed here."""
    with zipfile.ZipFile(files.apk) as archive:
        for name in archive.namelist():
            if name.startswith("lib/"):
                alignment = page_alignment(archive.read(name), f"{files.apk}/{name}")
                large = alignment >= PAGE_16K
                fits = "16 KB pages too" if large else "not for phones with 16 KB pages"
                yield Check(name, None, f"segments on {alignment // 1024} KB: {fits}")
