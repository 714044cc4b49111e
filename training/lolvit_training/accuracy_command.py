"""`lolvit accuracy`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from lolvit.errors import UserError
from lolvit.output import console, print_json, print_table, results
from lolvit.sizes import parse_size

if TYPE_CHECKING:
    from lolvit_training.accuracy_table import AnyComparison


@click.command()
@click.argument("model")
@click.option("--against", required=True, help="Baselines, comma-separated.")
@click.option("--data", default="digits,crops", show_default=True, help="Data sets, as for train.")
@click.option(
    "--seeds",
    default=3,
    show_default=True,
    type=click.IntRange(1),
    help="Runs per model and data set.",
)
@click.option("--recipe", default="small", show_default=True, help="As for train.")
@click.option("--epochs", type=click.IntRange(1), help="Overrides the recipe.")
@click.option("--size", help="As for train.")
@click.option("--limit", type=click.IntRange(2), help="Train on about N images, as for train.")
@click.option("--weights-from", type=click.Path(exists=True, file_okay=False, path_type=Path),
              help="Folder of another lolvit accuracy: each run begins with the weights of that "
              "one's run of the same model and seed.")  # fmt: skip
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder for the runs.")
@click.option("--markdown", "markdown_file", type=click.Path(path_type=Path), help="Also write the "
              "table in Markdown to this file.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
def accuracy(
    model: str,
    against: str,
    data: str,
    seeds: int,
    recipe: str,
    epochs: int | None,
    size: str | None,
    limit: int | None,
    weights_from: Path | None,
    out: Path,
    markdown_file: Path | None,
    as_json: bool,
) -> None:
    """Compare the accuracy of MODEL and others, trained with the same recipe and seeds, from
    scratch or from other runs; intervals of their differences are paired by the test images.

    A recipe of detection compares AP50 and AP, one of segmentation mIoU.

    After an interruption, run the same command again: it resumes.
    """
    from lolvit.files import write_atomic
    from lolvit.models.names import resolve_name
    from lolvit_training.accuracy import Comparison, train_models
    from lolvit_training.accuracy_table import as_markdown
    from lolvit_training.recipe import read_recipe

    task = read_recipe(recipe, {}).task
    models = tuple(dict.fromkeys((model, *_names(against))))
    for name in models:
        resolve_name(name)
    options = ["--recipe", recipe]
    options += ["--epochs", str(epochs)] if epochs is not None else []
    if size is not None:
        parse_size(size)
        options += ["--size", size]
    options += ["--limit", str(limit)] if limit is not None else []
    comparison = Comparison(
        models, tuple(_names(data)), tuple(range(seeds)), tuple(options), out, weights_from
    )
    document: AnyComparison
    if task == "classification":
        document = train_models(comparison, console().print)
    else:
        from lolvit_training.dense_accuracy import train_dense_models

        document = train_dense_models(comparison, task, console().print)
    if markdown_file is not None:
        write_atomic(markdown_file, as_markdown(document))
    if as_json:
        print_json(document.model_dump(mode="json"))
    else:
        _show(document)


def _names(text: str) -> list[str]:
    names = [part.strip() for part in text.split(",") if part.strip()]
    if not names:
        raise UserError("an empty list", remedy="write names with commas between them")
    return names


def _show(document: AnyComparison) -> None:
    from rich.table import Table

    from lolvit_training.accuracy_table import cells, headings, is_of_words

    table = Table()
    for heading in headings(document):
        table.add_column(heading, justify="left" if is_of_words(heading) else "right")
    for row in cells(document):
        table.add_row(*row)
    out = results()
    print_table(table, out)
    for each in document.differences:
        out.print(each.line())
