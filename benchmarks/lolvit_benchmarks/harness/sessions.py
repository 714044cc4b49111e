"""The sessions of one block: opened anew, and their outputs compared before and after timing.

The same artifact, loaded again, is up to some percent faster or slower, by where its weights and
buffers lie in memory; the one that is loaded first is the slower one more often than not. While
they stay open this is the same in all rounds, so that no number of rounds shows it. Models are
therefore loaded anew for each block, in an order that rotates: what loading changes is then part of
what the blocks' ratios differ by, and of the interval.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from lolvit.manifest import Artifact
from lolvit_benchmarks.harness.candidates import Candidate
from lolvit_benchmarks.harness.timing import Runnable
from lolvit_runtimes.session import Array, open_session
from lolvit_runtimes.snr import snr_db

# Of a session's outputs before and after timing: the same session computes the same photo, and the
# order in which threads sum changes the last bits alone.
SAME_OUTPUTS_DB = 60.0


@dataclass(frozen=True)
class TimedArtifact:
    """An artifact's file, and the input that it is timed on, under the candidate's name."""

    name: str
    path: Path
    artifact: Artifact
    image: Array


def timed_artifact(one: Candidate) -> TimedArtifact:
    """Return what is timed of a candidate."""
    return TimedArtifact(one.name, one.prepared.folder / one.artifact.path, one.artifact, one.image)


@contextmanager
def opened(
    runtime: str,
    threads: int,
    artifacts: Sequence[TimedArtifact],
    outputs_changed: MutableMapping[str, str],
    block: int,
) -> Iterator[list[Runnable]]:
    """Open a session for each artifact, and close all in the end; yield what makes one inference of
    each, in the artifacts' order. The first one to be opened rotates with the block's number. In
    the end, `outputs_changed` says how the outputs of a candidate differ from those at first, if
    they do.

    Raises:
        LolvitError: an artifact is wrong, or the runtime failed to open it.
    """
    start = block % len(artifacts)
    with ExitStack() as stack:
        runs = {}
        for one in [*artifacts[start:], *artifacts[:start]]:
            session = open_session(runtime, one.path, one.artifact, threads=threads)
            stack.enter_context(closing(session))
            runs[one.name] = partial(session.run, {one.artifact.image.name: one.image})
        before = {name: _copied(run()) for name, run in runs.items()}
        yield [Runnable(one.name, runs[one.name]) for one in artifacts]
        for name, was in before.items():
            change = change_of_outputs(was, runs[name]())
            if change is not None:
                outputs_changed[name] = change


def _copied(outputs: Mapping[str, Array]) -> dict[str, Array]:
    """Return outputs that later runs of the session don't overwrite."""
    return {name: output.copy() for name, output in outputs.items()}


def change_of_outputs(before: Mapping[str, Array], after: Mapping[str, Array]) -> str | None:
    """Return how a session's outputs differ from those of an earlier run on the same input, or None
    where they agree."""
    for name, was in before.items():
        if after[name].shape != was.shape:
            return f"{name} has shape {after[name].shape}, not {was.shape}"
        found = snr_db(was.astype(np.float64), after[name].astype(np.float64))
        if found < SAME_OUTPUTS_DB and not np.array_equal(was, after[name]):
            return f"{name} agrees by {found:.0f} dB, less than {SAME_OUTPUTS_DB:g} dB"
    return None
