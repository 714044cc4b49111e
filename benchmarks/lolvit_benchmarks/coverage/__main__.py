"""`python -m lolvit_benchmarks.coverage`: how often the 95 % interval of a speedup holds the true
one, and how wide it is.

`record` measures an artifact against itself on this machine, undisturbed and disturbed on purpose,
`evaluate` prints a table of the recorded runs, `simulate` one of simulated machines, and `split`
one of result files, where each model's own slots are split into two candidates. All estimators are
evaluated on the same samples.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

import click
import numpy as np

from lolvit.errors import LolvitError
from lolvit_benchmarks.analysis import quality
from lolvit_benchmarks.coverage.estimators import ESTIMATORS, Pair, coverage
from lolvit_benchmarks.coverage.neighbours import Condition
from lolvit_benchmarks.coverage.recording import Setup, read_runs
from lolvit_benchmarks.coverage.recording import record as record_runs
from lolvit_benchmarks.coverage.simulation import (
    DISTURBED_MACHINE,
    QUIET_MACHINE,
    simulated,
    splits,
)
from lolvit_benchmarks.harness.prepare import ExportRequest, default_cache, prepare
from lolvit_benchmarks.harness.schedule import PROFILES, Name
from lolvit_runtimes.table import RUNTIMES, require_runtime

CONDITIONS: tuple[Condition, ...] = get_args(Condition)
UNDISTURBED = quality.Conditions(cores=2)
SIZE = (64, 64)  # of the default model: a measurement takes two seconds


@click.group(help=__doc__)
def cli() -> None:
    """Route to the commands."""


@cli.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--runs", default=200, show_default=True, help="Of each condition, in the end.")
@click.option(
    "--condition",
    "conditions",
    multiple=True,
    type=click.Choice(CONDITIONS),
    help="May be given again. By default all.",
)
@click.option(
    "--model",
    default="lolvit_xx",
    show_default="lolvit_xx at 64x64",
    help="A name, an export folder, or an artifact in one.",
)
@click.option("--runtime", default="ort", show_default=True)
@click.option("--profile", default="default", show_default=True, type=click.Choice(list(PROFILES)))
@click.option(
    "--processes/--one-process",
    default=None,
    help="Each block in a process of its own. By default as the profile has it.",
)
def record(
    file: Path,
    runs: int,
    conditions: tuple[Condition, ...],
    model: str,
    runtime: str,
    profile: Name,
    processes: bool | None,
) -> None:
    """Measure an artifact against itself, and add each run to FILE as it is made.

    quiet: nothing else is started. busy: as many processes as cores, busy half of the time.
    memory: another core copies memory without a pause. step: halfway, a busy process begins on the
    measured core. slower: undisturbed, the candidate 3 % slower.

    The same command, run again, resumes.
    """
    require_runtime(runtime)
    size = None if Path(model).exists() else SIZE
    wanted = ExportRequest(model, (RUNTIMES[runtime].format,), ("fp32",), (), size)
    prepared = prepare(wanted, cache=default_cache(), fresh=False, say=_say)
    artifact = prepared.artifact(RUNTIMES[runtime].format, "fp32")
    if processes is None:
        processes = PROFILES[profile].processes
    setup = Setup(
        artifact_sha256=artifact.sha256, runtime=runtime, profile=profile, processes=processes
    )
    record_runs(prepared, setup, file, conditions or CONDITIONS, runs, _say)


@cli.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True))
def evaluate(files: tuple[Path, ...]) -> None:
    """Print a table of recorded runs."""
    runs = [run for file in files for run in read_runs(file)]
    _print_heading()
    for condition in CONDITIONS:
        of_it = [run for run in runs if run.condition == condition]
        if of_it:
            states = [run.state for run in of_it]
            _print_rows(condition, [run.pair for run in of_it], states, truth=of_it[0].truth)


@cli.command()
@click.option("--runs", default=200, show_default=True, help="Of each kind.")
def simulate(runs: int) -> None:
    """Print a table of simulated measurements, by machine and profile."""
    generator = np.random.default_rng(0)
    _print_heading()
    for name, machine in (("quiet", QUIET_MACHINE), ("disturbed", DISTURBED_MACHINE)):
        for profile in PROFILES:
            pairs = [simulated(generator, machine, profile=PROFILES[profile]) for _ in range(runs)]
            _print_rows(f"simulated, {name}, {profile}", pairs, _states(pairs))
        truth = 1 / 1.03
        pairs = [simulated(generator, machine, ratio=truth) for _ in range(runs)]
        _print_rows(f"simulated, {name}, 3 % slower", pairs, _states(pairs), truth=truth)


@cli.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True))
@click.option("--runs", default=200, show_default=True, help="Pairs to draw.")
def split(files: tuple[Path, ...], runs: int) -> None:
    """Print a table of the models in result files, each split into two candidates."""
    pairs = splits(files, runs)
    _print_heading()
    _print_rows("one model split", pairs, _states(pairs))


def _states(pairs: Sequence[Pair]) -> list[quality.State]:
    return [quality.evaluate(*pair.series(), UNDISTURBED).state for pair in pairs]


def _print_heading() -> None:
    print("| runs | estimator | holds the true ratio | excludes 1 | half width: mean | median |"
          " INVALID |\n|---|---|---:|---:|---:|---:|---:|")  # fmt: skip


def _print_rows(
    name: str, pairs: Sequence[Pair], states: Sequence[quality.State], truth: float = 1.0
) -> None:
    invalid = states.count("INVALID") / len(states)
    for estimator, estimate in ESTIMATORS.items():
        found = coverage(pairs, estimate, truth)
        print(
            f"| {name} ({len(pairs)}) | {estimator} | {found.covered:.1%} | {found.differs:.1%} "
            f"| {found.mean_half_width:.2%} | {found.median_half_width:.2%} | {invalid:.1%} |",
            flush=True,
        )


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def main() -> int:
    """Run the command line and return its exit code; a failure is printed as one line."""
    try:
        cli.main(standalone_mode=False)
    except LolvitError as failure:
        print(f"coverage: {failure.line()}", file=sys.stderr)
        return failure.exit_code
    except click.ClickException as failure:
        failure.show()
        return failure.exit_code
    except click.Abort:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
