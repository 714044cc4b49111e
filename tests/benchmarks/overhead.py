"""Whether the harness changes what it measures:
`python -m tests.benchmarks.overhead MODEL OTHER`.

Times the artifact in the folder MODEL by a bare loop and by the harness (interleaved with the one
in OTHER, blocks, pinning and all), in turns, five times each, and compares the medians of the two
sets of medians: they should be within 1 %. Not a test of the suite: what else the machine does
would decide it.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from contextlib import closing, nullcontext
from functools import partial
from pathlib import Path

import click

from lolvit.errors import GateFailedError
from lolvit.manifest import read_manifest
from lolvit_benchmarks.analysis import quality
from lolvit_benchmarks.analysis import statistics as stats
from lolvit_benchmarks.harness.prepare import Prepared, open_photo, prepare_input
from lolvit_benchmarks.harness.schedule import PROFILES, Profile
from lolvit_benchmarks.harness.system_monitor import Machine, SystemMonitor, pinned
from lolvit_benchmarks.harness.timing import Recording, Runnable, measure
from lolvit_runtimes.session import Session, open_session
from lolvit_runtimes.table import RUNTIMES

LIMIT = 0.01
_PATH = click.Path(path_type=Path)


@click.command()
@click.argument("model", type=_PATH)
@click.argument("other", type=_PATH)
@click.option("--runtime", default="ort", show_default=True)
@click.option("--turns", default=5, show_default=True, type=click.IntRange(min=1))
@click.option("--profile", default="default", show_default=True, type=click.Choice([*PROFILES]))
def overhead(model: Path, other: Path, runtime: str, turns: int, profile: str) -> None:
    """Compare the harness's median of MODEL with a bare loop's."""
    with pinned(1, Machine()) as cores:
        (first, one), (second, another) = (_open(path, runtime) for path in (model, other))
        with closing(first), closing(second):
            monitor = SystemMonitor(Machine(), cores or [0])
            chosen = PROFILES[profile]
            pairs = [
                (_bare(one.run, chosen), _harness([one, another], chosen, monitor))
                for _ in range(turns)
            ]
    for bare, harness in pairs:
        print(f"bare loop {bare:.3f} ms, harness {harness:.3f} ms, {harness / bare - 1:+.2%}")
    bare, harness = (statistics.median(column) for column in zip(*pairs, strict=True))
    difference = harness / bare - 1
    print(f"medians: bare loop {bare:.3f} ms, harness {harness:.3f} ms, {difference:+.2%}")
    for finding in quality.findings([], monitor.conditions()):
        print(f"finding: {finding.text}")
    if abs(difference) > LIMIT:
        raise GateFailedError(f"they differ by {abs(difference):.2%}, limit {LIMIT:.0%}")


def _open(folder: Path, runtime: str) -> tuple[Session, Runnable]:
    prepared = Prepared(folder, read_manifest(folder))
    artifact = prepared.artifact(RUNTIMES[runtime].format, "fp32")
    session = open_session(runtime, folder / artifact.path, artifact, threads=1)
    image = prepare_input(open_photo(None), prepared.manifest.preprocessing, artifact)
    return session, Runnable(str(folder), partial(session.run, {artifact.image.name: image}))


def _bare(run: Callable[[], object], profile: Profile) -> float:
    """Return the median of a plain loop's later half, in milliseconds."""
    times = []
    for _ in range(2 * profile.runs):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return 1000 * statistics.median(times[len(times) // 2 :])


def _harness(runnables: list[Runnable], profile: Profile, monitor: SystemMonitor) -> float:
    recording = Recording()
    measure(lambda _: nullcontext(runnables), profile, recording, monitor)
    return stats.median(recording.samples(runnables[0].name).ms)


if __name__ == "__main__":
    try:
        overhead.main(standalone_mode=False)
    except GateFailedError as failure:
        sys.exit(failure.line())
