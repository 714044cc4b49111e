"""Run every command that prints a table in terminals, locales and pipes of all kinds, in forks of
one process, and print what came as JSON; run as a program by test_every_command."""

from __future__ import annotations

import json
import os
import pty
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tests.processes import read_to_end

TABLES = (
    "models", "devices", "doctor", "predict", "lint", "report", "compare", "gates", "accuracies",
    "classes", "export",
)  # fmt: skip
VARIANTS = ("dumb", "no colour", "80 columns", "Latin-1", "closed pipe")
_ENVIRONMENTS = {
    "dumb": {"TERM": "dumb", "COLUMNS": "40"},
    "no colour": {"TERM": "xterm-256color", "NO_COLOR": "1", "COLUMNS": "40"},
    "80 columns": {"TERM": "xterm", "NO_COLOR": "1", "COLUMNS": "80"},
    "Latin-1": {"TERM": "xterm", "COLUMNS": "80"},
    "closed pipe": {},
}
CLASS = "cell [cd4] \u4e2d"


@dataclass(frozen=True)
class Case:
    """A command line, or a function that prints a command's table; and a word of its output."""

    run: list[str] | Callable[[], None]
    has: str


def _cases(folder: Path) -> dict[str, Case]:
    from lolvit_benchmarks.results.files import as_text
    from tests.benchmarks import documents
    from tests.benchmarks.tiny import make_folder

    model = make_folder(folder / "model")
    from PIL import Image

    Image.effect_noise((40, 40), 90).convert("RGB").save(folder / "photo.png")
    (folder / "result.json").write_text(as_text(documents.document(documents.result())))
    result = str(folder / "result.json")
    return {
        "models": Case(["models"], "lolvit_xx"),
        "devices": Case(["devices"], "browser"),
        "doctor": Case(["doctor"], "openvino"),
        "predict": Case(["predict", str(model), str(folder / "photo.png")], "image"),
        "lint": Case(["lint", str(model / "model-fp32.onnx"), "--target", "ort-cpu"], "ort-cpu"),
        "report": Case(["report", result], "lolvit_x"),
        "compare": Case(["compare", result, result], "latency"),
        "gates": Case(_gates, "snr_db"),
        "export": Case(_export, "model-fp32.onnx"),
        "accuracies": Case(lambda: _accuracies(per_class=False), "top-1"),
        "classes": Case(lambda: _accuracies(per_class=True), "cell [cd4]"),
    }


def _gates() -> None:
    """Print the table of `lolvit export` and `lolvit verify`."""
    from lolvit.manifest import Gate, read_manifest
    from lolvit.output import print_table, results
    from lolvit_export.outcome import gate_table

    (artifact,) = read_manifest(Path("model")).artifacts
    gates = (Gate(name="ort.snr_db", value=120.0, threshold=100.0, passed=True),)
    print_table(gate_table((artifact.model_copy(update={"gates": gates}),)), results())


def _export() -> None:
    """Print what `lolvit export` prints of an artifact that passed and one that was withheld."""
    from lolvit.manifest import read_manifest
    from lolvit_export.outcome import show
    from lolvit_export.request import ExportResult
    from tests.export.gates import ALL

    manifest = read_manifest(Path("model"))
    (artifact,) = manifest.artifacts
    failed = [gate.model_copy(update={"passed": False}) for gate in ALL]
    changes = {"path": "model-fp16.onnx", "precision": "fp16", "gates": tuple(failed)}
    manifest = manifest.model_copy(
        update={"artifacts": (artifact.model_copy(update={"gates": tuple(ALL)}),)}
    )
    show(ExportResult(Path("out/model-64x64"), manifest, (artifact.model_copy(update=changes),)))


def _accuracies(*, per_class: bool) -> None:
    """Print the table of `lolvit evaluate`."""
    from lolvit.accuracy import AccuracyDocument
    from lolvit_training.evaluate_command import _show_document
    from tests.fuzz.documents import ACCURACY

    text = json.dumps(ACCURACY).replace('"name": "0"', json.dumps({"name": CLASS})[1:-1])
    _show_document(AccuracyDocument.model_validate(json.loads(text)), per_class)


def _run(case: Case) -> int:
    from lolvit.cli import main

    if callable(case.run):
        return main_of(case.run)
    return main(case.run)


def main_of(show: Callable[[], None]) -> int:
    """Print a table as a command would, with the exit code that the command line gives."""
    import click

    from lolvit import cli
    from lolvit.commands import SECTIONS, CommandEntry

    name = "tests.lolvit.table_commands"
    sys.modules[name].shown = click.Command("shown", callback=show)  # type: ignore[attr-defined]
    SECTIONS["Test"] = {"shown": CommandEntry(f"{name}:shown", "")}
    return cli.main(["shown"])


def _forked(case: Case, variant: str) -> tuple[int, str]:
    """Run a case in a fork with its output in a terminal or a pipe; return exit code and text."""
    terminal = variant in ("dumb", "no colour", "80 columns")
    reading, writing = pty.openpty() if terminal else os.pipe()
    if variant == "closed pipe":
        os.close(reading)
    pid = os.fork()
    if pid == 0:
        code = 99
        try:
            os.environ.pop("NO_COLOR", None)
            os.environ.update(_ENVIRONMENTS[variant])
            os.dup2(writing, 1)
            os.dup2(writing, 2)
            encoding = "latin-1" if variant == "Latin-1" else "utf-8"
            sys.stdout = os.fdopen(1, "w", encoding=encoding, closefd=False)
            sys.stderr = os.fdopen(2, "w", encoding=encoding, closefd=False)
            code = _run(case)
            sys.stdout.flush()
        finally:
            os._exit(code)
    os.close(writing)
    text = b"" if variant == "closed pipe" else read_to_end(reading)
    _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status), text.decode("latin-1" if not terminal else "utf-8")


def _print_all() -> None:
    """Print a JSON object: exit code, text and what the text has to hold, by table and variant."""
    import timm  # noqa: F401 - once, for all forks
    import torch

    import lolvit.models  # noqa: F401
    import lolvit_runtimes.ort  # noqa: F401
    import lolvit_training.evaluate_command  # noqa: F401
    from lolvit import models_command

    torch.set_num_threads(1)
    models_command._row = cache(models_command._row)  # counted once, for all forks
    for name in models_command.VARIANTS:
        models_command._row(name)
    sys.modules.setdefault("tests.lolvit.table_commands", sys.modules["__main__"])
    with tempfile.TemporaryDirectory() as name:
        os.chdir(name)
        found = {}
        for table, case in _cases(Path(name)).items():
            for variant in VARIANTS:
                code, text = _forked(case, variant)
                found[f"{table}, {variant}"] = {
                    "code": code, "text": text, "has": case.has,
                }  # fmt: skip
        os.chdir("/")
    print(json.dumps(found))


if __name__ == "__main__":
    _print_all()
