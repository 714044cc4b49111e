"""The wheel: what is in it, and that `lolvit predict` runs from it without torch."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from email.message import Message
from email.parser import Parser
from importlib.util import find_spec
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import lolvit

ROOT = Path(__file__).parents[2]
MODULES = "backends/browser/page/lolvit"
PACKAGES = {
    "lolvit",
    "lolvit_data",
    "lolvit_training",
    "lolvit_export",
    "lolvit_runtimes",
    "lolvit_benchmarks",
}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from this tree with the installed hatchling."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder)]
    subprocess.run([*command, str(ROOT)], check=True, capture_output=True)
    (path,) = folder.glob("lolvit-*.whl")
    return path


def members(wheel: Path) -> list[str]:
    with zipfile.ZipFile(wheel) as archive:
        return archive.namelist()


def metadata(wheel: Path) -> Message:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (n for n in archive.namelist() if n.endswith(".dist-info/METADATA"))
        return Parser().parsestr(archive.read(name).decode())


def test_the_wheel_holds_the_packages_and_nothing_else(wheel: Path) -> None:
    tops = {name.partition("/")[0] for name in members(wheel)}
    assert {top for top in tops if not top.endswith(".dist-info")} == PACKAGES


@pytest.mark.parametrize(
    ("package", "folder"),
    [
        ("lolvit", "lolvit"),
        ("lolvit_data", "data/lolvit_data"),
        ("lolvit_training", "training/lolvit_training"),
        ("lolvit_export", "export/lolvit_export"),
        ("lolvit_runtimes", "runtimes/lolvit_runtimes"),
        ("lolvit_benchmarks", "benchmarks/lolvit_benchmarks"),
    ],
)
def test_each_package_is_whole_data_and_type_marker_included(
    wheel: Path, package: str, folder: str
) -> None:
    tree = ROOT / folder
    files = {
        f"{package}/{path.relative_to(tree).as_posix()}"
        for path in tree.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    if package == "lolvit_benchmarks":  # its page has the npm package's modules
        files |= {f"{package}/{MODULES}/{path.name}" for path in (ROOT / "web" / "src").iterdir()}
    assert f"{package}/py.typed" in files
    assert files == {name for name in members(wheel) if name.startswith(f"{package}/")}


def test_the_licence_is_in_the_wheel(wheel: Path) -> None:
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in members(wheel))


def test_the_base_needs_neither_torch_nor_a_runtime(wheel: Path) -> None:
    requirements = [Requirement(line) for line in metadata(wheel).get_all("Requires-Dist", [])]
    base = {r.name for r in requirements if r.marker is None or r.marker.evaluate({"extra": ""})}
    assert base == {"click", "numpy", "pillow", "pydantic", "rich"}


@pytest.fixture(scope="module")
def built_elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `make wheel` writes in a copy of this tree, with other times and permissions."""
    copy = tmp_path_factory.mktemp("elsewhere") / "copy"
    folders = ("lolvit", "data", "training", "export", "runtimes", "benchmarks", "web/src")
    files = (
        "pyproject.toml",
        "README.md",
        "LICENSE",
        "Makefile",
        "requirements.lock",
        ".gitignore",
    )
    ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
    for name in folders:
        shutil.copytree(ROOT / name, copy / name, ignore=ignored, copy_function=shutil.copyfile)
    for name in files:
        shutil.copyfile(ROOT / name, copy / name)
    for path in copy.rglob("*.py"):
        path.chmod(0o600)
        os.utime(path, (1e9, 1e9))
    environment = os.environ | {"TZ": "Asia/Kathmandu", "PYTHONHASHSEED": "7"}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    command = ["make", "--old-file", "install", f"VENV={sys.prefix}", "wheel"]
    subprocess.run(
        command, cwd=copy, env=environment | {"PATH": path}, check=True, capture_output=True,
        umask=0o077,
    )  # fmt: skip
    return copy / "dist"


@pytest.mark.slow
def test_the_wheel_is_the_same_bit_by_bit_wherever_it_is_built(
    wheel: Path, built_elsewhere: Path
) -> None:
    assert (built_elsewhere / wheel.name).read_bytes() == wheel.read_bytes()


@pytest.mark.slow
def test_the_bill_of_materials_has_the_pinned_set_with_its_digests(built_elsewhere: Path) -> None:
    (path,) = built_elsewhere.glob("*.cdx.json")
    document = json.loads(path.read_text())
    assert document["bomFormat"] == "CycloneDX"
    own = document["metadata"]["component"]
    assert (own["name"], own["version"]) == ("lolvit", lolvit.__version__)
    lock = (ROOT / "requirements.lock").read_text()
    pinned = set(re.findall(r"^([a-z].*?)==([^ ;]+)", lock, re.MULTILINE))
    assert {(part["name"], part["version"]) for part in document["components"]} == pinned
    for part in document["components"]:
        assert part["externalReferences"][0]["hashes"], part["name"]
    assert str(built_elsewhere.parent) not in path.read_text()


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh environment with the wheel, its base and ONNX Runtime, at the pinned versions."""
    folder = tmp_path_factory.mktemp("fresh") / "venv"
    uv = [sys.executable, "-m", "uv", "--quiet"]
    subprocess.run([*uv, "venv", "--python", sys.executable, str(folder)], check=True)
    install = [*uv, "pip", "install", "--python", str(folder / "bin" / "python")]
    install += ["--constraints", str(ROOT / "requirements.lock"), f"{wheel}[ort]"]
    # What `make install` downloaded is in uv's cache; only a cleared cache needs the network.
    if subprocess.run([*install, "--offline"], capture_output=True).returncode:
        subprocess.run(install, check=True)
    return folder / "bin"


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small model, exported to ONNX by the full installation."""
    folder = tmp_path_factory.mktemp("export")
    command = [sys.executable, "-m", "lolvit", "export", "lolvit_xx", "--to", "onnx"]
    command += ["--precision", "fp32", "--size", "64", "--out", str(folder), "--json"]
    subprocess.run(command, check=True, capture_output=True)
    return folder / "lolvit_xx-64x64"


@pytest.fixture(scope="module")
def photo() -> Path:
    spec = find_spec("skimage")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / "data" / "coffee.png"


@pytest.mark.slow
def test_the_page_from_the_wheel_has_the_modules_that_it_imports(environment: Path) -> None:
    program = (
        "from pathlib import Path; import lolvit_benchmarks as b; "
        "page = Path(b.__file__).parent / 'backends/browser/page'; "
        "print((page / 'lolvit/index.js').is_file())"
    )
    command = [environment / "python", "-I", "-c", program]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.stdout.strip() == "True", done.stderr


def predict(program: list[str], artifacts: Path, photo: Path) -> dict[str, object]:
    command = [*program, "predict", str(artifacts), str(photo), "--json"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    document: dict[str, object] = json.loads(done.stdout)
    return document


@pytest.mark.slow
def test_help_runs_from_the_wheel(environment: Path) -> None:
    done = subprocess.run([environment / "lolvit", "--help"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "predict" in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("module", ["torch", "timm", "coremltools", "onnx"])
def test_the_base_with_one_runtime_brings_no_training_or_conversion(
    environment: Path, module: str
) -> None:
    program = f"import importlib.util as u, sys; sys.exit(u.find_spec({module!r}) is not None)"
    assert subprocess.run([environment / "python", "-c", program]).returncode == 0


@pytest.mark.slow
def test_predict_from_the_wheel_equals_predict_from_the_full_installation(
    environment: Path, artifacts: Path, photo: Path
) -> None:
    lean = predict([str(environment / "lolvit")], artifacts, photo)
    full = predict([sys.executable, "-m", "lolvit"], artifacts, photo)
    assert lean["predictions"] == full["predictions"]
    assert lean["predictions"]


@pytest.mark.slow
def test_a_command_whose_extra_is_missing_names_it(environment: Path, tmp_path: Path) -> None:
    command = [environment / "lolvit", "export", "lolvit_xx", "--to", "onnx", "--out", tmp_path]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].endswith("run: pip install 'lolvit[export]'")
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir())
