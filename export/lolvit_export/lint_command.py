"""`lolvit lint`: name each operation that would leave an accelerator, and why."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from lolvit.errors import GateFailedError, UserError
from lolvit.output import print_json, print_table, results
from lolvit.registry import choose_many

if TYPE_CHECKING:
    from lolvit.manifest import Artifact, Format
    from lolvit_export.lint import Accelerator
    from lolvit_export.lint.report import LintResult


@click.command()
@click.argument("artifact", type=click.Path(path_type=Path))
@click.option(
    "--target",
    "targets",
    default="",
    metavar="LIST",
    help="ort-cpu, xnnpack, litert-gpu, htp, ane; default: all that take the artifact's format.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
def lint(artifact: Path, targets: str, as_json: bool) -> None:
    """Name each operation of ARTIFACT, or of every artifact of an export folder, that would leave
    an accelerator or is known to be wrong or slow there.

    Nothing is executed and no device is needed. Exit code 1: there are findings. Advice, which
    depends on values, devices or versions that a file does not tell, does not fail.
    """
    from lolvit_export.lint import ACCELERATORS  # keeps --help fast
    from lolvit_export.lint.report import as_document

    wanted = (
        [ACCELERATORS[name] for name in choose_many("target", targets, ACCELERATORS)]
        if targets
        else []
    )
    found = _artifacts(artifact)
    _require_formats(wanted, sorted({format for _, format in found}), artifact)
    linted = [_lint(path, format, wanted, artifact) for path, format in found]
    linted = [each for each in linted if each.targets]
    if not linted:
        formats = " and ".join(sorted({format for _, format in found}))
        raise UserError(
            f"no target takes {formats}",
            where=str(artifact),
            remedy="run: lolvit export MODEL --to onnx,tflite,coreml",
        )
    if as_json:
        print_json({"artifact": str(artifact)} | as_document(linted))
    else:
        _print(linted)
    _raise_on_findings(linted, artifact)


def _artifacts(path: Path) -> list[tuple[Path, Format]]:
    """Return the files to lint and their formats, each checked before anything reads it."""
    from lolvit.files import FOLDER_ARTIFACTS
    from lolvit.manifest import MANIFEST_NAME, check_artifact, read_manifest
    from lolvit_runtimes.bare import format_of

    if path.is_dir() and path.suffix not in FOLDER_ARTIFACTS:
        manifest = read_manifest(path)
        seen = [each for each in manifest.artifacts if not _is_compiled(each)]
        return [(check_artifact(path, each), each.format) for each in seen]
    format = format_of(path)
    if (path.parent / MANIFEST_NAME).is_file():
        for each in read_manifest(path.parent).artifacts:
            if each.path == path.name:
                if _is_compiled(each):
                    raise UserError(
                        "is compiled: its operations can't be seen any more",
                        where=str(path),
                        remedy="lint the model that it was compiled from",
                    )
                return [(check_artifact(path.parent, each), each.format)]
    _check_bare(path, format)
    return [(path, format)]


def _is_compiled(artifact: Artifact) -> bool:
    return artifact.htp is not None and artifact.htp.soc is not None


def _check_bare(path: Path, format: Format) -> None:
    """Check a file without a manifest. ONNX has a native checker, which runs in a child; the
    readers of the other formats check as they read, in Python."""
    from lolvit_runtimes.worker.isolated import check_bare

    if format == "onnx":
        check_bare(path)


def _require_formats(wanted: list[Accelerator], formats: list[Format], where: Path) -> None:
    for target in wanted:
        if not set(target.formats) & set(formats):
            raise UserError(
                f"target '{target.name}' takes {target.format}, this is {' and '.join(formats)}",
                where=str(where),
                remedy=f"run: lolvit export MODEL --to {target.format}",
            )


def _lint(path: Path, format: Format, wanted: list[Accelerator], given: Path) -> LintResult:
    from lolvit_export import lint as linter
    from lolvit_export.lint.report import LintResult

    chosen = [t for t in linter.accelerators_of(format) if not wanted or t in wanted]
    graph = linter.read(path, format) if chosen else None
    found = [each for t in chosen if graph for each in linter.lint(graph, t)]
    return LintResult(
        path=path.name if given.is_dir() and given != path else str(path),
        format=format,
        operations=len(graph.operations) if graph else 0,
        targets=tuple(target.name for target in chosen),
        found=tuple(found),
    )


def _print(linted: list[LintResult]) -> None:
    from lolvit_export.lint.report import sources, tables

    out = results()
    for each in linted:
        targets = ", ".join(each.targets)
        out.print(f"{each.path}: {each.operations} operations, for {targets}")
    for severity in ("advice", "finding"):
        for table in tables(linted, severity):
            print_table(table, out)
        for line in sources(linted, severity):
            out.print(line, style="dim")
    count = sum(len(each.of("advice")) for each in linted)
    if not any(each.of("finding") for each in linted):
        out.print(f"no finding{f'; advice at {count} places' if count else ''}", style="green")


def _raise_on_findings(linted: list[LintResult], where: Path) -> None:
    found = [finding for each in linted for finding in each.of("finding")]
    if found:
        kinds = ", ".join(sorted({f"{f.op} ({f.target})" for f in found}))
        raise GateFailedError(
            f"{len(found)} operations would leave the accelerator or be wrong there: {kinds}",
            where=str(where),
            remedy="export with the static rewrite, or see what to do for each",
        )
