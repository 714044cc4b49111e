"""Which cores a measurement runs on, so that the scheduler does not move it meanwhile."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from lolvit_benchmarks.harness.sysfs import Machine


def available_cores() -> list[int]:
    """Return the cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def pick_cores(threads: int, available: list[int], machine: Machine) -> list[int]:
    """Return the cores for `threads` threads: the fastest, of different physical cores first, those
    of high number before core 0, which serves most interrupts."""
    ranked = sorted(available, key=lambda core: (-machine.capacity(core), -core))
    seen: set[str] = set()
    first: list[int] = []
    for core in ranked:
        if machine.physical_core(core) not in seen:
            seen.add(machine.physical_core(core))
            first.append(core)
    second = [core for core in ranked if core not in first]
    return sorted((first + second)[:threads])


@contextmanager
def pinned(threads: int, machine: Machine) -> Iterator[list[int] | None]:
    """Keep this thread, and those that it starts inside the block, on as many cores as threads;
    give the cores, or None where the system has no such call."""
    if not hasattr(os, "sched_setaffinity"):
        yield None
        return
    before = os.sched_getaffinity(0)
    cores = pick_cores(threads, sorted(before), machine)
    os.sched_setaffinity(0, cores)
    try:
        yield cores
    finally:
        os.sched_setaffinity(0, before)
