"""Train LOLViT-X and each of its changes with one recipe, and print a table:

python -m lolvit_training.ablation --data fashion-mnist --recipe fashion-mnist --out OUT

After an interruption the same command goes on. Seeds are outermost.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lolvit.accuracy import Score
from lolvit.files import write_atomic
from lolvit.models import create_model, macs_of, parameters_of
from lolvit_training.ablation.changes import BASE, DESCRIPTIONS
from lolvit_training.distributed import process_group
from lolvit_training.loop import train
from lolvit_training.recipe import Recipe, read_recipe
from lolvit_training.run_files import LAST
from lolvit_training.setup import Job

_HEADINGS = (
    "model", "change", "parameters", "MMAC", "top-1", "test loss", "top-1 of each seed",
    "test loss of each seed",
)  # fmt: skip


@dataclass(frozen=True)
class _Listener:
    name: str

    def log(self, line: str) -> None:
        print(f"{self.name}: {line}", file=sys.stderr, flush=True)

    def progress(self, done: int, planned: int) -> None:
        """Epochs are logged, steps are not."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Train what is missing; print the table, and write it to ablation.md, after each seed."""
    options = _parse(arguments)
    names = [BASE, *(f"timm/{BASE}_{change}" for change in options.changes)]
    scores: dict[str, list[Score]] = {name: [] for name in names}
    for seed in range(options.seeds):
        for name in names:
            scores[name].append(_score(name, seed, options))
        table = _table(scores, read_recipe(options.recipe, {}))
        write_atomic(options.out / "ablation.md", table)
        print(table, end="", flush=True)


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True, help="as for lolvit train")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--recipe", default="small")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--limit", type=int, help="train on about N images")
    all_changes = [name.removeprefix(f"{BASE}_") for name in DESCRIPTIONS]
    parser.add_argument("--changes", nargs="+", choices=all_changes, default=all_changes)
    return parser.parse_args(arguments)


def _score(name: str, seed: int, options: argparse.Namespace) -> Score:
    """Return the score of a run, which is trained where it is not finished."""
    out = options.out / f"{name.removeprefix('timm/')}-{seed}"
    changes = {"seed": seed} | ({"epochs": options.epochs} if options.epochs else {})
    job = Job(
        model=name,
        data=options.data,
        recipe=read_recipe(options.recipe, changes),
        out=out,
        resume=(out / LAST).exists(),
        limit=options.limit,
    )
    with process_group() as processes:
        score = train(job, processes, _Listener(out.name)).score
    assert isinstance(score, Score)
    return score


def _table(scores: dict[str, list[Score]], recipe: Recipe) -> str:
    rows = [_HEADINGS, tuple("---" for _ in _HEADINGS)]
    rows += [_row(name, found, recipe) for name, found in scores.items()]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows) + "\n"


def _row(name: str, scores: Sequence[Score], recipe: Recipe) -> tuple[str, ...]:
    model = create_model(name)
    bare = name.removeprefix("timm/")
    return (
        bare,
        DESCRIPTIONS.get(bare, ""),
        f"{parameters_of(model) / 1e6:.2f} M",
        f"{macs_of(model, recipe.size) / 1e6:.0f}",
        f"{statistics.fmean(score.top1 for score in scores):.2%}",
        f"{statistics.fmean(score.loss for score in scores):.3f}",
        ", ".join(f"{100 * score.top1:.1f}" for score in scores),
        ", ".join(f"{score.loss:.3f}" for score in scores),
    )


if __name__ == "__main__":
    main()
