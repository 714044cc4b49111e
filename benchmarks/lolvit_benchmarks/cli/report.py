"""`lolvit report`."""

from __future__ import annotations

from pathlib import Path

import click

from lolvit import output
from lolvit.errors import UserError

_PATH = click.Path(path_type=Path)


@click.command()
@click.argument("results", type=_PATH, nargs=-1)
@click.option("--out", type=_PATH, help="Write an HTML report to this file; it needs no network.")
@click.option("--markdown", type=_PATH, help="Write a Markdown report to this file.")
@click.option("--manifest", "folders", type=_PATH, multiple=True,
              help="An export folder, whose verification gates the HTML report shows; may be "
              "repeated.")  # fmt: skip
@click.option("--accuracy", "evaluated", type=_PATH, multiple=True,
              help="A file with the output of lolvit evaluate --json, or accuracy.json of lolvit "
              "accuracy, for a plot of accuracy over latency; may be repeated.")  # fmt: skip
@click.option("--verified", type=_PATH, multiple=True,
              help="A file with the output of lolvit verify --json, for devices that can't be "
              "timed; may be repeated.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
def report(
    results: tuple[Path, ...],
    out: Path | None,
    markdown: Path | None,
    folders: tuple[Path, ...],
    evaluated: tuple[Path, ...],
    verified: tuple[Path, ...],
    as_json: bool,
) -> None:
    """Print result files of lolvit bench (RESULTS) as tables, and write HTML or Markdown reports.

    Files of several devices, and those of --verified, are combined into one table of devices.
    """
    from lolvit.accuracy import AccuracyDocument, ComparisonDocument, read_accuracy
    from lolvit.files import write_atomic
    from lolvit.manifest import read_manifest
    from lolvit.verification import read_verification
    from lolvit_benchmarks.reporting.table import as_markdown, show
    from lolvit_benchmarks.results.files import read_result

    if not results and not verified:
        raise click.UsageError("nothing to show: give a result of lolvit bench, or --verified FILE")
    documents = [read_result(path) for path in results]
    manifests = [read_manifest(folder) for folder in folders]
    accuracies = [read_accuracy(path) for path in evaluated]
    of_artifacts = [each for each in accuracies if isinstance(each, AccuracyDocument)]
    of_models = [each for each in accuracies if isinstance(each, ComparisonDocument)]
    checks = [read_verification(path) for path in verified]
    if {path.resolve() for path in (out, markdown) if path} & {p.resolve() for p in results}:
        raise UserError("would overwrite a result file", remedy="choose another --out")
    for document in documents:
        show(document, output.results())
    written = []
    if out is not None:
        from lolvit_benchmarks.reporting.html import as_html  # loads matplotlib

        write_atomic(out, as_html(documents, manifests, of_artifacts, checks, of_models))
        written.append(out)
    if markdown is not None:
        write_atomic(markdown, as_markdown(documents, checks, of_models, of_artifacts))
        written.append(markdown)
    for path in written:
        output.console().print(f"written to {path}")
    if as_json:
        output.print_json({"written": [str(path) for path in written], "results": len(documents)})
