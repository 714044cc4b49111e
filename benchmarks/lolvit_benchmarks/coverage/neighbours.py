"""Processes that disturb a measurement on purpose."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Literal

from lolvit_benchmarks.harness.system_monitor import available_cores
from lolvit_benchmarks.harness.timing import Progress

Condition = Literal["quiet", "busy", "memory", "step", "slower"]

# The argument is the cores that it may use. It ends with its parent, whose pipe it reads.
_PROLOGUE = """
import os, sys, threading, time
threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
if hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, map(int, sys.argv[1].split(",")))
"""
# Computes for a tenth of a second to a second, as builds and browsers do, and pauses as long.
_BUSY = """
import random
while True:
    end = time.monotonic() + random.uniform(0.1, 1.0)
    while time.monotonic() < end:
        sum(range(1000))
    time.sleep(random.uniform(0.1, 1.0))
"""
_ALWAYS_BUSY = """
while True:
    sum(range(1000))
"""
# Copies 64 MB back and forth, more than most caches hold.
_STREAMING = """
import numpy
one, other = numpy.ones(1 << 23), numpy.ones(1 << 23)
while True:
    one[:] = other
    other[:] = one
"""


@contextmanager
def running(condition: Condition, used: Sequence[int]) -> Iterator[Progress]:
    """Run the neighbours of a condition beside a measurement on the cores `used`, until the block
    ends; the measurement reports its rounds to what this yields."""
    everywhere = available_cores()
    with ExitStack() as stack:

        def start(program: str, cores: Sequence[int]) -> None:
            stack.enter_context(_process(program, cores))

        def progress(done: int, planned: int) -> None:
            if condition == "step" and done == planned // 2:
                start(_ALWAYS_BUSY, used)

        if condition == "busy":
            for _ in everywhere:
                start(_BUSY, everywhere)
        elif condition == "memory":
            start(_STREAMING, [core for core in everywhere if core not in used] or everywhere)
        yield progress


@contextmanager
def _process(program: str, cores: Sequence[int]) -> Iterator[None]:
    process = subprocess.Popen(
        [sys.executable, "-c", _PROLOGUE + program, ",".join(map(str, cores))],
        stdin=subprocess.PIPE,
    )
    try:
        yield
    finally:
        process.kill()
        process.communicate()
