"""Reference values for the app's statistics, schedule and verdict.

The app has the method of result documents of schema version 1, which it writes: the ratio of the
medians with a bootstrap interval, and limits by which a result is STABLE or UNSTABLE. The values
were computed by the harness when it had that method, and are kept in `benchmark_vectors.json`.
"""

from __future__ import annotations

import shutil
from pathlib import Path

VECTORS = Path(__file__).with_suffix(".json")


def write_benchmark_vectors(path: Path) -> None:
    """Write made-up samples, curves and plans with the figures that follow from them, as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(VECTORS, path)
