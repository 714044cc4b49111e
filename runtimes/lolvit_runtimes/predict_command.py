"""`lolvit predict`: the most likely classes of photos, from an artifact and its manifest alone."""

from __future__ import annotations

from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lolvit.errors import EXIT_USER_ERROR, UserError
from lolvit.output import console, print_json, results

if TYPE_CHECKING:
    from lolvit_runtimes.predict import Classifier, Ranked

UNTRAINED = "weights are untrained: the scores mean nothing"


class Triple(click.ParamType[tuple[float, ...]]):
    """Three numbers for red, green and blue, such as 0.485,0.456,0.406."""

    name = "R,G,B"

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple[float, ...]:
        """Return the three numbers."""
        try:
            numbers = tuple(float(part) for part in str(value).split(","))
        except ValueError:
            numbers = ()
        if len(numbers) != 3:
            self.fail(f"'{value}' is not three numbers such as 0.485,0.456,0.406", param, ctx)
        return numbers


@click.command()
@click.argument("artifact", type=click.Path(path_type=Path))
@click.argument("images", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--runtime", help="ort, litert, coreml, ...; by default the first that can open it.")
@click.option("--precision", help="fp32 or fp16; by default fp32 where there is one.")
@click.option("--top", default=5, show_default=True, type=click.IntRange(min=1), help="Classes.")
@click.option("--threads", default=1, show_default=True, type=click.IntRange(min=1))
@click.option("--mean", type=Triple(), help="For a file without a manifest; of 0 to 1.")
@click.option("--std", type=Triple(), help="The same.")
@click.option("--crop-pct", type=click.FloatRange(0.01, 1), help="The same; by default 0.875.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
def predict(
    artifact: Path, images: tuple[Path, ...], top: int, threads: int, as_json: bool, **wishes: Any
) -> None:
    """Classify IMAGES with ARTIFACT: an export folder, an artifact in it, or a bare file.

    A photo that can't be read is told, the others are classified, and the exit code is 2.
    """
    from lolvit_runtimes.predict import Wish, open_classifier

    classifier = open_classifier(artifact, Wish(**wishes), threads)
    with closing(classifier.session):
        ranked, errors = _rank_all(classifier, images, top)
    if as_json:
        print_json(_document(classifier, ranked, errors))
    else:
        _show(classifier, ranked)
    if errors:
        click.get_current_context().exit(EXIT_USER_ERROR)


Rankings = list[tuple[Path, "list[Ranked]"]]
Errors = list[tuple[Path, UserError]]


def _rank_all(
    classifier: Classifier, images: tuple[Path, ...], top: int
) -> tuple[Rankings, Errors]:
    ranked: Rankings = []
    errors: Errors = []
    for image in images:
        try:
            ranked.append((image, classifier.rank(image, top)))
        except UserError as error:
            named = UserError(error.what, where=error.where or str(image), remedy=error.remedy)
            console().print(f"lolvit: {named.line()}", markup=False)
            errors.append((image, named))
    return ranked, errors


def _document(classifier: Classifier, ranked: Rankings, errors: Errors) -> dict[str, Any]:
    manifest = classifier.manifest
    return {
        "predictions": [
            {"image": str(image), "top": [asdict(entry) for entry in top]} for image, top in ranked
        ],
        "errors": [{"image": str(image), "error": error.line()} for image, error in errors],
        "runtime": classifier.session.runtime,
        "artifact": str(classifier.path),
        "model": manifest.model if manifest else None,
        "trained": manifest.weights.trained if manifest else None,
        "preprocess": classifier.preprocess.model_dump(mode="json"),
        "note": _note(classifier),
    }


def _note(classifier: Classifier) -> str | None:
    if classifier.manifest is None:
        used = classifier.preprocess
        normalised = f"mean {used.mean}, std {used.std}, " * (classifier.input.values != "pixels")
        return (
            f"no manifest: photos were preprocessed with {normalised}crop_pct {used.crop_pct} and "
            f"{used.interpolation}, as stated or by default; "
            "whether the weights are trained is not known"
        )
    return None if classifier.manifest.weights.trained else UNTRAINED


def _show(classifier: Classifier, ranked: Rankings) -> None:
    from rich.markup import escape
    from rich.table import Table

    out = results()
    table = Table("image", "class", "label", "score")
    for image, top in ranked:
        for place, entry in enumerate(top):
            table.add_row(
                escape(str(image)) if place == 0 else "",
                str(entry.index),
                escape(entry.label or "-"),
                f"{entry.score:.4f}",
            )
    session = classifier.session
    out.print(f"{classifier.path} in {session.runtime} {session.version}", markup=False)
    if ranked:
        out.print(table)
    if note := _note(classifier):
        out.print(note, style="yellow")
