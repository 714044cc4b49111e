"""`make release`: what is published, and whether it installs and runs: `python -m
tests.packaging.release`.

`make` has built the wheel, the sdist and the bill of materials in dist/. This adds the release
notes and SHA256SUMS, checks that the sdist gives the same wheel, and installs the wheel into a
fresh environment for the base and each extra, on each Python that is here, to run a command there.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import platform
import re
import resource
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import tomllib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from packaging.tags import sys_tags
from packaging.utils import parse_wheel_filename

import lolvit

ROOT = Path(__file__).parents[2]
PYTHONS = ("3.11", "3.12", "3.13")
TESTED = PYTHONS[0]  # on which every extra has to work
BASE = "base"
MAX_BASE_MB = 60.0  # of the files that pip downloads
MAX_PREDICT_S = 1.0
_PREDICT = ("predict", "{artifacts}", "{photo}", "--json", "--runtime")
_EXPORT = ("export", "lolvit_xx", "--weights", "lolvit_xx.digits", "--out", "{out}", "--json")
# By extra, the command that is run in its environment; `dev` is for this repository alone.
COMMANDS: dict[str, tuple[str, ...]] = {
    BASE: ("doctor", "--json"),
    "ort": (*_PREDICT, "ort"),
    "litert": (*_PREDICT, "litert"),
    "openvino": (*_PREDICT, "openvino"),
    "executorch": (*_PREDICT, "executorch"),
    "qnn": (*_PREDICT, "qnn"),
    "coreai": (*_PREDICT, "coreai"),
    "tensorflow": (*_PREDICT, "tensorflow"),
    "export": (*_EXPORT, "--to", "onnx,tflite,coreml"),
    "bench": ("bench", "{artifacts}/model-fp16.onnx", "--against", "{artifacts}/model-fp32.onnx",
              "--runtime", "ort", "--profile", "quick", "--out", "{out}", "--json"),
    "train": ("train", "--data", "digits", "--model", "lolvit_xx", "--size", "32", "--epochs", "1",
              "--out", "{out}", "--json"),
    "all": (*_EXPORT, "--to", "onnx,tflite,coreml,coreai,executorch"),
}  # fmt: skip
# The targets of the artifacts that these commands open; the time of `predict` is that of ONNX.
TARGETS = {
    BASE: "onnx", "litert": "tflite", "tensorflow": "tflite", "executorch": "executorch",
    "qnn": "qnn", "coreai": "coreai",
}  # fmt: skip


@dataclass(frozen=True)
class Row:
    """What became of one extra on one Python; `error` is empty where its command ran."""

    python: str
    extra: str
    error: str
    download_mb: float = 0.0
    installed_mb: float = 0.0
    seconds: float = 0.0
    unpinned: bool = False

    def line(self) -> str:
        """Return the row of the table."""
        end = self.error or ("newest versions, not the pinned ones" if self.unpinned else "ran")
        both = (self.download_mb, self.installed_mb)
        sizes = " ".join(f"{mb:7,.0f} MB" if mb else " " * 10 for mb in both)
        return f"{self.python:<6} {self.extra:<11} {sizes} {self.seconds:6.0f} s  {end}"


def release_notes(changelog: str, version: str) -> tuple[str, str]:
    """Return the name and the text of the changelog's section of a version, or else of what is not
    released yet."""
    sections = dict(re.findall(r"^## \[([^\]]+)\][^\n]*\n(.*?)(?=^## |\Z)", changelog, re.M | re.S))
    name = version if version in sections else "Unreleased"
    return name, sections[name].strip() + "\n"


def checksums(paths: Sequence[Path]) -> str:
    """Return the lines of SHA256SUMS, which `sha256sum --check` reads."""
    lines = [f"{hashlib.sha256(p.read_bytes()).hexdigest()}  {p.name}\n" for p in paths]
    return "".join(sorted(lines, key=lambda line: line.split()[1]))


def megabytes(folder: Path) -> float:
    """Return the size of the files below a folder, in 10^6 bytes."""
    return sum(p.lstat().st_size for p in folder.rglob("*") if not p.is_dir()) / 1e6


def pins(*locks: Path) -> str:
    """Return the pinned versions of lock files, without digests, as constraints."""
    names = [re.findall(r"^[a-z][^ ]*==[^ \\\n]+", lock.read_text(), re.M) for lock in locks]
    return "\n".join(dict.fromkeys(name for lock in names for name in lock)) + "\n"


def fitting(names: Sequence[str]) -> str | None:
    """Return the wheel that pip takes of a package's wheels on this Python; None: none fits."""
    order = {tag: number for number, tag in enumerate(sys_tags())}
    ranks = [
        (min(order.get(tag, len(order)) for tag in parse_wheel_filename(name)[3]), name)
        for name in names
    ]
    rank, best = min(ranks, default=(len(order), ""))
    return best if rank < len(order) else None


def download_mb(wheel: Path, extra: str, constraints: Path) -> float:
    """Return the size of the files that an extra downloads on this Python, the wheel of this
    project among them, in 10^6 bytes: as the package index states them."""
    command = [sys.executable, "-m", "uv", "-q", "pip", "compile", "-", "--format", "pylock.toml"]
    command += ["--python", sys.executable, "--constraints", str(constraints)]
    name = "lolvit" if extra == BASE else f"lolvit[{extra}]"
    requirement = f"{name} @ {wheel.resolve().as_uri()}\n"
    done = subprocess.run(command, input=requirement, check=True, capture_output=True, text=True)
    total = wheel.stat().st_size
    for package in tomllib.loads(done.stdout)["packages"]:
        if package["name"] == "lolvit":
            continue
        files = {each["url"].rpartition("/")[2]: each for each in package.get("wheels", [])}
        best = fitting(list(files))
        total += (files[best] if best else package["sdist"])["size"]
    return total / 1e6


def failures(rows: Sequence[Row], base_mb: float, predict_s: float) -> list[str]:
    """Return what stops the release: each a line."""
    found = [f"Python {r.python}, {r.extra}: {r.error}" for r in rows if r.error]
    found = [line for line in found if line.startswith(f"Python {TESTED}, ")]
    if base_mb > MAX_BASE_MB:
        found.append(f"the base downloads {base_mb:.1f} MB, limit {MAX_BASE_MB:g}")
    if predict_s > MAX_PREDICT_S:
        found.append(f"lolvit predict takes {predict_s:.2f} s, limit {MAX_PREDICT_S:g}")
    return found


def published(dist: Path) -> list[Path]:
    """Write the release notes and SHA256SUMS; return the files of the release."""
    version = lolvit.__version__
    section, notes = release_notes((ROOT / "CHANGELOG.md").read_text(), version)
    if section != version:
        print(f"CHANGELOG.md has no section [{version}]: the notes are those of [{section}]")
    names = ("lolvit-{}-py3-none-any.whl", "lolvit-{}.tar.gz", "lolvit-{}.cdx.json")
    paths = [dist / name.format(version) for name in names]
    paths.append(dist / f"RELEASE-NOTES-{version}.md")
    paths[-1].write_text(notes, encoding="utf-8")
    sums = dist / "SHA256SUMS"
    sums.write_text(checksums(paths), encoding="utf-8")
    return [*paths, sums]


def same_wheel(sdist: Path, wheel: Path, folder: Path) -> bool:
    """Whether the sdist alone gives the wheel, bit by bit."""
    with tarfile.open(sdist) as archive:
        archive.extractall(folder)  # built here; Python 3.11.2 knows no filter
    (source,) = folder.iterdir()
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder]
    subprocess.run([*command, source], check=True, capture_output=True)
    return (folder / wheel.name).read_bytes() == wheel.read_bytes()


def interpreter(version: str) -> str | None:
    """Return a Python of a version that is on this machine; None: there is none."""
    places = [shutil.which(f"python{version}")]
    root = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    places += [str(p / "bin" / f"python{version}") for p in sorted(root.glob(f"{version}.*"))]
    for place in filter(None, places):
        command = [place, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]
        found = subprocess.run(command, capture_output=True, text=True)
        if found.returncode == 0 and found.stdout.strip() == version:
            return place
    return None


@contextmanager
def environment(python: str) -> Iterator[Path]:
    """Make an empty environment and remove it afterwards."""
    with tempfile.TemporaryDirectory(prefix="lolvit-release-") as folder:
        place = Path(folder) / "venv"
        command = [sys.executable, "-m", "uv", "-q", "venv", "--python", python, str(place)]
        subprocess.run(command, check=True)
        yield place


def install(place: Path, requirement: str, constraints: Path | None) -> str:
    """Install into an environment; return the reason in one line if that is not possible."""
    command = [sys.executable, "-m", "uv", "-q", "pip", "install"]
    command += ["--python", str(place / "bin" / "python"), requirement]
    if constraints is not None:
        command += ["--constraints", str(constraints)]
    done = subprocess.run(command, capture_output=True, text=True)
    return "" if done.returncode == 0 else " ".join(done.stderr.split())[-300:]


def run(place: Path, words: Sequence[str], folder: Path) -> tuple[float, str]:
    """Run `lolvit` of an environment; return its seconds, and its last line if it failed."""
    start = time.perf_counter()
    outside = ("PYTHONPATH", "VIRTUAL_ENV", "XDG_CACHE_HOME")
    clean = {k: v for k, v in os.environ.items() if k not in outside}
    clean["HOME"] = str(folder)  # nothing that was cached before
    done = subprocess.run(
        [place / "bin" / "lolvit", *words], cwd=folder, env=clean, capture_output=True, text=True
    )
    seconds = time.perf_counter() - start
    last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
    return seconds, "" if done.returncode == 0 else last[-300:]


def constraints_of(extra: str, work: Path) -> Path:
    """Return the file with the pinned versions of an extra."""
    return work / ("tensorflow.txt" if extra == "tensorflow" else "pins.txt")


def row(python: str, version: str, extra: str, wheel: Path, work: Path) -> Row:
    """Install the base or an extra into a fresh environment, and run its command there."""
    start = time.perf_counter()
    requirement = str(wheel) if extra == BASE else f"{wheel}[{extra}]"
    constraints = constraints_of(extra, work)
    download = download_mb(wheel, extra, constraints) if version == TESTED else 0.0
    with environment(python) as place:
        error = install(place, requirement, constraints)
        unpinned = bool(error) and version != TESTED
        if unpinned:  # the lock is for one Python
            error = install(place, requirement, None)
        size = megabytes(place / "lib")
        out = place.parent / "out"
        given = {"artifacts": work / "model", "photo": photo(), "out": out}
        if not error:
            _, error = run(place, [w.format(**given) for w in COMMANDS[extra]], place.parent)
    seconds = time.perf_counter() - start
    return Row(version, extra, error, download, 0 if error else size, seconds, unpinned)


def photo() -> Path:
    """Return a photo of scikit-image's."""
    spec = find_spec("skimage")
    assert spec is not None and spec.origin is not None
    return Path(spec.origin).parent / "data" / "coffee.png"


def export_model(work: Path, extras: Sequence[str]) -> None:
    """Export the trained LOLViT-XX in each format that the extras' commands open."""
    targets = dict.fromkeys(TARGETS[extra] for extra in (BASE, *extras) if extra in TARGETS)
    command = [sys.executable, "-m", "lolvit", "export", "lolvit_xx", "--precision", "fp32,fp16"]
    command += ["--weights", "lolvit_xx.digits", "--out", str(work / "export"), "--json"]
    command += ["--to", ",".join(targets)]
    subprocess.run(command, check=True, capture_output=True)
    (folder,) = (work / "export").iterdir()
    folder.rename(work / "model")


def predict_seconds(python: str, wheel: Path, work: Path) -> tuple[float, float]:
    """Return how long `lolvit predict` takes from start to end, and its processor time: of five
    runs the least of each, in seconds."""
    with environment(python) as place:
        error = install(place, f"{wheel}[ort]", work / "pins.txt")
        words = [w.format(artifacts=work / "model", photo=photo()) for w in COMMANDS["ort"]]
        run(place, words, place.parent)  # compiles bytecode
        runs = []
        for _ in range(5):
            before = _processor_time()
            seconds, failed = run(place, words, place.parent)
            runs.append((seconds, _processor_time() - before))
            error = error or failed
    assert not error, error
    return min(wall for wall, _ in runs), min(used for _, used in runs)


def _processor_time() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def undisturbed(seconds: float, processor: float, load: float, cores: int) -> tuple[float, str]:
    """Return the time that the limit is for, and its name: where other processes want more than all
    cores, a command waits for them, and only its processor time is its own."""
    if load > cores:
        return processor, "of processor time, as the machine is busy"
    return seconds, "from start to end"


def machine() -> str:
    """Return this machine's class in words."""
    cpu = Path("/proc/cpuinfo")
    names = re.findall(r"^model name\s*: (.*)$", cpu.read_text(), re.M) if cpu.exists() else []
    load = f"load {os.getloadavg()[0]:.1f}"
    return f"{os.cpu_count()} cores, {names[0] if names else platform.processor()}, {load}"


def options(arguments: Sequence[str]) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.packaging.release")
    parser.add_argument("--dist", type=Path, default=ROOT / "dist")
    parser.add_argument("--python", default=",".join(PYTHONS), help="versions to install on")
    parser.add_argument("--extras", default=",".join(COMMANDS), help="base, or names of extras")
    return parser.parse_args(arguments)


def rows_of(pythons: Sequence[str], extras: Sequence[str], wheel: Path, work: Path) -> list[Row]:
    """Install everything, one after another, and print a line of each."""
    print(f"{'Python':<6} {'extra':<11} {'download':>10} {'installed':>10} {'time':>8}", flush=True)
    rows = []
    for version in pythons:
        python = interpreter(version)
        if python is None:
            print(f"Python {version} is not on this machine: not tried")
        for extra in extras if python else ():
            rows.append(row(str(python), version, extra, wheel, work))
            print(rows[-1].line(), flush=True)
    return rows


def main(arguments: Sequence[str]) -> int:
    """Make the release; return 1 if something stops it."""
    chosen = options(arguments)
    paths = published(chosen.dist)
    wheel, sdist = paths[:2]
    with tempfile.TemporaryDirectory(prefix="lolvit-release-") as folder:
        work = Path(folder)
        (work / "pins.txt").write_text(pins(ROOT / "requirements.lock"))
        (work / "tensorflow.txt").write_text(pins(ROOT / "requirements-tensorflow.lock"))
        (work / "sdist").mkdir()
        same = same_wheel(sdist, wheel, work / "sdist")
        print(f"sdist: {'gives the same wheel, bit by bit' if same else 'gives another wheel'}")
        base_mb = download_mb(wheel, BASE, constraints_of(BASE, work))
        print(f"the base downloads {base_mb:.1f} MB", flush=True)
        extras = chosen.extras.split(",")
        print("exporting the model that the commands of the extras open", flush=True)
        export_model(work, extras)
        rows = rows_of(chosen.python.split(","), extras, wheel, work)
        times = predict_seconds(sys.executable, wheel, work)
        predict_s, what = undisturbed(*times, os.getloadavg()[0], os.cpu_count() or 1)
        print(f"lolvit predict takes {predict_s:.2f} s {what} (best of five; {machine()})")
    stopping = failures(rows, base_mb, predict_s)
    stopping += [] if same else [f"{sdist.name} gives another wheel than the tree"]
    for line in stopping:
        print(f"release: {line}", file=sys.stderr)
    for path in paths:
        print(f"{path.stat().st_size:>12,} bytes  {path}")
    return 1 if stopping else 0


def extras_of_the_project() -> list[str]:
    """Return the extras that users install."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return [name for name in project["optional-dependencies"] if name != "dev"]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
