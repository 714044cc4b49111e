"""`lolvit.benchmark`: a model measured against another, from Python."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from lolvit.errors import DeviceError, UserError
from lolvit.registry import choose
from lolvit.variants import HEAD_TASKS
from lolvit_benchmarks.backends.registry import choose_devices
from lolvit_benchmarks.harness.prepare import artifact_formats, default_cache
from lolvit_benchmarks.results.document import Document, Result, Speedup
from lolvit_benchmarks.results.files import new_path
from lolvit_benchmarks.runner import Request, baseline_of, parse_precisions, run


@dataclass(frozen=True)
class Benchmark:
    """What was measured: the result document, and the file that holds it."""

    document: Document
    path: Path

    @property
    def results(self) -> tuple[Result, ...]:
        """A result for each runtime, precision and number of threads."""
        return self.document.results

    @property
    def speedup(self) -> Speedup:
        """The speedup of the only result: ratio, and low and high of its 95 % interval.

        Raises:
            UserError: there are several results; `results` has them.
        """
        if len(self.results) != 1:
            names = ", ".join(f"{r.runtime} {r.precision} {r.threads}" for r in self.results)
            raise UserError(f"has {len(self.results)} speedups: {names}", remedy="use results")
        return self.results[0].speedup


class _Listener:
    def __init__(self, progress: Callable[[str], None] | None) -> None:
        self._progress = progress

    def say(self, line: str) -> None:
        if self._progress is not None:
            self._progress(line)

    def progress(self, done: int, planned: int) -> None:
        """Rounds are not reported: reporting takes time from the runs."""


def benchmark(
    model: Any,
    *,
    against: Any = None,
    runtimes: Iterable[str] | str = ("ort",),
    precision: Iterable[str] | str = ("fp32",),
    threads: int = 1,
    size: tuple[int, int] | None = None,
    weights: str | os.PathLike[str] | None = None,
    task: str | None = None,
    profile: Literal["quick", "default", "reference"] = "default",
    out: str | os.PathLike[str] = "bench-results",
    progress: Callable[[str], None] | None = None,
) -> Benchmark:
    """Measure a model's latency on this machine's processor, interleaved with a baseline's.

    Examples:
        >>> exported = lolvit.export("lolvit_x", targets=["onnx"])  # doctest: +SKIP
        >>> lolvit.benchmark(exported, against="mobilevit_xs", runtimes=["ort"]).speedup
        Speedup(ratio=7.3, low=7.1, high=7.4, over='rounds')

    Args:
        model: what `lolvit.export` returned, an export folder or an artifact in one, or the name of
            a model, which is exported first and cached.
        against: the baseline, of the same kinds; by default the MobileViT with as many parameters
            as the variant.
        runtimes: some of ort, litert, openvino, executorch and others of `lolvit devices`.
        precision: fp32, fp16, int8 or others that the folders hold, or best.
        threads: of each runtime.
        size: height and width in pixels, of models given by name.
        weights: a checkpoint for `model`, where it is a name.
        task: detection or segmentation, of models given by name, which get the same head; by
            default they are classifiers.
        profile: how long to measure.
        out: the folder of the result file.
        progress: called with each step as it begins.

    Raises:
        UserError: a model, a runtime's package or an artifact is missing or wrong.
        DeviceError: a runtime failed.
    """
    first = _reference(model)
    models = (first, _reference(against) if against is not None else baseline_of(first))
    joined = runtimes if isinstance(runtimes, str) else ",".join(runtimes)
    precisions = precision if isinstance(precision, str) else ",".join(precision)
    request = Request(
        models=models,
        devices=choose_devices("host", joined, artifact_formats(models)),
        precisions=parse_precisions(precisions),
        threads=(threads,),
        sizes=(size,),
        profile=profile,
        cache=default_cache(),
        weights=Path(weights) if weights is not None else None,
        task=choose("task", task, HEAD_TASKS) if task is not None else None,
    )
    path = new_path(Path(out))
    document = run(request, path, _Listener(progress))
    if document.failures:
        raise DeviceError("; ".join(failure.what for failure in document.failures))
    return Benchmark(document, path)


def _reference(model: Any) -> str:
    """Return a model as the command line names it: a folder, an artifact or a name.

    Raises:
        UserError: it is a module, which has no artifacts yet.
    """
    folder = getattr(model, "folder", None)
    if isinstance(folder, Path):
        return str(folder)
    if isinstance(model, (str, os.PathLike)):
        return os.fspath(model)
    raise UserError(
        f"cannot measure {type(model).__name__}",
        remedy="export it first: lolvit.benchmark(lolvit.export(model, size=224))",
    )
