"""Checks a result document that an app wrote: its figures are those of its samples."""

from __future__ import annotations

from dataclasses import astuple
from pathlib import Path

import numpy as np

from lolvit.errors import GateFailedError
from lolvit_benchmarks.analysis.quality import Series, speedup_of
from lolvit_benchmarks.results.document import Result
from lolvit_benchmarks.results.files import read_result

_TOLERANCE = 1e-9  # relative


def read_checked_result(path: Path) -> Result:
    """Read a document of one comparison, and compute its speedup again from its samples.

    Raises:
        UserError: it is no result document.
        GateFailedError: it has several results, or a speedup that is not that of its samples.
    """
    results = read_result(path).results
    if len(results) != 1:
        raise GateFailedError(f"{len(results)} results instead of one", where=str(path))
    (result,) = results
    expected = speedup_of(
        *(
            Series(one.model, one.samples, one.sample_block, one.sample_round)
            for one in result.models
        )
    )
    found = (result.speedup.ratio, result.speedup.low, result.speedup.high)
    same = np.allclose(found, astuple(expected.interval), rtol=_TOLERANCE)
    if result.speedup.over != expected.over or not same:
        raise GateFailedError(f"its speedup {found} is not Python's {expected}", where=str(path))
    return result
