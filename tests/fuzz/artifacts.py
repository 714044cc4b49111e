"""Artifacts of a small model in each format, as seeds: exported once into the cache.

`python -m tests.fuzz.artifacts FORMAT FOLDER` exports one, in a process of its own.
"""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

import platformdirs

FORMATS = ("onnx", "tflite", "pte", "pt2", "mlpackage", "htp", "context")


def cache() -> Path:
    """Return the folder in which corpora, findings and seeds are kept between runs."""
    return Path(platformdirs.user_cache_dir("lolvit")) / "fuzz"


def path_of(format: str) -> Path:
    """Return the artifact of a format, exporting it if the cache has none."""
    folder = cache() / "artifacts" / format
    path = folder / ("model.onnx" if format in ("htp", "context") else f"model.{format}")
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "tests.fuzz.artifacts", format, str(path)]
        root = Path(__file__).parents[2]
        done = subprocess.run(command, cwd=root, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"no {format} artifact: {done.stderr[-2000:]}")
    return path


def _export(format: str, path: Path) -> None:
    if format in ("htp", "context"):
        _export_htp(format, path)
        return
    import torch

    if format == "mlpackage":
        from torch import nn

        packages = importlib.import_module("tests.runtimes.coreml_packages")
        module = packages.Formula(lambda x, m: m(x).relu(), nn.Conv2d(3, 4, 3, padding=1))
        packages.save(packages.capture(module, (1, 3, 8, 8)), "fp32", path)
        return
    if format in ("pte", "pt2"):
        importlib.import_module("tests.runtimes.torch_formats").main(path.parent)
        (path.parent / f"model-fp32.{format}").rename(path)
        return
    conftest = importlib.import_module("tests.runtimes.conftest")
    torch.manual_seed(0)
    export = conftest._export_onnx if format == "onnx" else conftest._export_tflite
    export(conftest.TinyNet().eval(), path)


def _export_htp(format: str, path: Path) -> None:
    """Write the portable model for Qualcomm's HTP, or the context binary of one SoC."""
    from lolvit_runtimes.qnn_socs import SOCS
    from tests.export.requests import export, request

    soc = SOCS["sm8650"]
    out = path.parent / "export"
    folder, manifest = export(
        request(out, targets=("qnn",), precisions=("fp16",), size=(64, 64), socs=(soc,))
    )
    wanted = next(
        a for a in manifest.artifacts if a.htp and (a.htp.soc is None) == (format == "htp")
    )
    (folder / wanted.path).rename(path)
    path.with_suffix(".json").write_text(wanted.model_dump_json())


if __name__ == "__main__":
    _export(sys.argv[1], Path(sys.argv[2]))
