"""`lolvit predict`: run inference on photos with an artifact."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lolvit.errors import EXIT_USER_ERROR, UserError
from lolvit.output import console, print_json, print_table, results
from lolvit.text import one_line

if TYPE_CHECKING:
    from lolvit.tasks import Prediction
    from lolvit_runtimes.predict import Predictor, PreparedPhoto

UNTRAINED = "weights are untrained: the predictions are meaningless"


class Channels(click.ParamType[tuple[float, ...]]):
    """One number per channel, such as 0.485,0.456,0.406."""

    name = "R,G,B"

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple[float, ...]:
        """Return the numbers."""
        try:
            numbers = tuple(float(part) for part in str(value).split(","))
        except ValueError:
            numbers = ()
        if len(numbers) not in (1, 3, 4):
            self.fail(
                f"'{value}' is not one number per channel, such as 0.485,0.456,0.406", param, ctx
            )
        return numbers


@click.command()
@click.argument("artifact", type=click.Path(path_type=Path))
@click.argument("images", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--runtime", help="ort, litert, coreml, ...; default: the first that opens it.")
@click.option("--precision", help="fp32, fp16, int8, ...; default: fp32 if exported.")
@click.option("--top", default=5, show_default=True, type=click.IntRange(min=1), help="Classes.")
@click.option("--score-threshold", type=click.FloatRange(0, 1),
              help="Of a detector, instead of the manifest's.")  # fmt: skip
@click.option("--iou-threshold", type=click.FloatRange(0, 1), help="The same.")
@click.option("--max-detections", type=click.IntRange(1), help="The same.")
@click.option("--out", type=click.Path(path_type=Path), default=Path("predictions"),
              show_default=True, help="Folder of photos with boxes or masks drawn.")  # fmt: skip
@click.option("--threads", default=1, show_default=True, type=click.IntRange(min=1))
@click.option("--mean", type=Channels(), help="For a file without a manifest, in the range 0 to 1.")
@click.option("--std", type=Channels(), help="The same.")
@click.option("--crop-pct", type=click.FloatRange(0.01, 2), help="The same; default: 0.875.")
@click.option("--batch", type=click.IntRange(min=1), help="The same, if its batch is free.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
def predict(
    artifact: Path,
    images: tuple[Path, ...],
    threads: int,
    out: Path,
    as_json: bool,
    top: int,
    score_threshold: float | None,
    iou_threshold: float | None,
    max_detections: int | None,
    **given: Any,
) -> None:
    """Run ARTIFACT (an export folder, an artifact in it, or a bare file) on IMAGES: photos, or
    folders of photos.

    Prints the most likely classes of each image, its objects, the share of each class of its
    pixels, or the outputs of a model of another kind. Boxes and masks are drawn on copies of the
    photos in --out. A photo that can't be read is reported, the others are processed, and the exit
    code is 2.
    """
    from lolvit_runtimes.predict import Options, open_predictor

    options = {
        "top": top,
        "score_threshold": score_threshold,
        "iou_threshold": iou_threshold,
        "max_detections": max_detections,
    }
    with open_predictor(artifact, Options(**given), threads) as predictor:
        predictions, errors = _predict_all(predictor, images, options)
        drawn = _draw(predictor, predictions, out)
        if as_json:
            print_json(_document(predictor, predictions, errors, drawn))
        else:
            _show(predictor, predictions, drawn)
    if errors:
        click.get_current_context().exit(EXIT_USER_ERROR)


Predictions = list[tuple[Path, "Prediction"]]
Errors = list[tuple[Path, UserError]]


def _predict_all(
    predictor: Predictor, images: tuple[Path, ...], options: Mapping[str, Any]
) -> tuple[Predictions, Errors]:
    """Predict all images that can be read, in batches of the artifact's batch size."""
    predictions: Predictions = []
    errors: Errors = []
    waiting: list[tuple[Path, PreparedPhoto]] = []

    def run() -> None:
        found = predictor.predict_inputs([photo for _, photo in waiting], **options)
        predictions.extend(zip([image for image, _ in waiting], found, strict=True))
        waiting.clear()

    def refuse(image: Path, error: UserError) -> None:
        named = UserError(error.what, where=error.where or str(image), remedy=error.remedy)
        console().print(f"lolvit: {named.line()}")
        errors.append((image, named))

    for image in _files(images, refuse):
        try:
            waiting.append((image, predictor.prepare(image)))
        except UserError as error:
            refuse(image, error)
        if len(waiting) == predictor.input.batch:
            run()
    run()
    return predictions, errors


def _files(images: tuple[Path, ...], refuse: Callable[[Path, UserError], None]) -> Iterator[Path]:
    """Yield the images, and those in folders; `refuse` is called with a folder that has none."""
    from lolvit_runtimes.photo_files import list_photos

    for image in images:
        if not image.is_dir():
            yield image
            continue
        found = list_photos(image)
        if (note := found.note()) is not None:
            console().print(note)
        if not found.photos:
            refuse(image, UserError("has no photos", where=str(image)))
        yield from found.photos


def _draw(predictor: Predictor, predictions: Predictions, folder: Path) -> list[Path | None]:
    """Write a PNG file for each prediction that can be drawn, named as its photo.

    Raises:
        UserError: it can't be written.
    """
    import io

    from lolvit.drawing import Drawable
    from lolvit.files import write_atomic

    drawn: list[Path | None] = []
    for image, prediction in predictions:
        if not isinstance(prediction, Drawable):
            drawn.append(None)
            continue
        copies = sum(path is not None and path.stem.split("~")[0] == image.stem for path in drawn)
        path = folder / f"{image.stem}{f'~{copies}' if copies else ''}.png"
        buffer = io.BytesIO()
        prediction.draw(predictor.decode(image)).save(buffer, "PNG")
        write_atomic(path, buffer.getvalue())
        drawn.append(path)
    return drawn


def _document(
    predictor: Predictor, predictions: Predictions, errors: Errors, drawn: list[Path | None]
) -> dict[str, Any]:
    manifest = predictor.manifest
    return {
        "task": predictor.task.name,
        "predictions": [
            {
                "image": str(image),
                **prediction.as_document(),
                **({"drawn": str(path)} if path is not None else {}),
            }
            for (image, prediction), path in zip(predictions, drawn, strict=True)
        ],
        "errors": [{"image": str(image), "error": error.line()} for image, error in errors],
        "runtime": predictor.session.runtime,
        "artifact": str(predictor.path),
        "model": manifest.model if manifest else None,
        "trained": manifest.weights.trained if manifest else None,
        "preprocessing": predictor.preprocessing.model_dump(mode="json"),
        "note": _note(predictor),
    }


def _note(predictor: Predictor) -> str | None:
    if predictor.manifest is None:
        used = predictor.preprocessing
        normalized = f"mean {used.mean}, std {used.std}, " * (predictor.input.meaning != "pixels")
        return (
            f"no manifest: photos were preprocessed with {normalized}crop_pct {used.crop_pct} and "
            f"{used.interpolation}, as given or by default; "
            "whether the weights are trained is unknown"
        )
    return None if predictor.manifest.weights.trained else UNTRAINED


def _show(predictor: Predictor, predictions: Predictions, drawn: list[Path | None]) -> None:
    from rich.table import Table

    out = results()
    table = Table("image", *predictor.task.columns)
    for image, prediction in predictions:
        nothing = [("nothing", *[""] * (len(predictor.task.columns) - 1))]
        for index, row in enumerate(prediction.rows() or nothing):
            table.add_row(one_line(str(image)) if index == 0 else "", *map(one_line, row))
    session = predictor.session
    out.print(f"{predictor.path} in {session.runtime} {session.version}")
    if predictions:
        print_table(table, out)
    for path in drawn:
        if path is not None:
            out.print(f"drawn: {one_line(str(path))}")
    if note := _note(predictor):
        out.print(note, style="yellow")
