"""One target under Atheris, guided by coverage: `python -m tests.fuzz.worker TARGET SECONDS`.

Exceptions are recorded and fuzzing goes on; libFuzzer ends the process at a hang, at too much
memory and at a crash of native code, and writes the input. `run.py` starts it again.
"""

from __future__ import annotations

import hashlib
import os
import random
import resource
import sys
import tempfile
import time
from pathlib import Path

import atheris

from tests.fuzz.target import Target, finding
from tests.fuzz.worker_files import Counter, folder_of, keep

SECONDS_OF_AN_INPUT = 25  # of a machine that does other work too
MEMORY_MB = 3072
_OWN = ("lolvit", "lolvit_runtimes", "lolvit_data", "lolvit_export", "lolvit_training",
        "lolvit_benchmarks")  # fmt: skip


def _limit_memory() -> None:
    """Let an allocation fail that is far larger than any input justifies."""
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    limit = used + (MEMORY_MB << 20)
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def fuzz(target: Target, end: float, scratch: Path) -> None:
    """Fuzz one target until a moment of the monotonic clock; does not return."""
    home = folder_of(target.name)
    corpus, findings = home / "corpus", home / "findings"
    for folder in (corpus, findings):
        folder.mkdir(parents=True, exist_ok=True)
    with atheris.instrument_imports(include=[*_OWN, *target.instrumented]):
        seeds, parse = target.seeds(), target.opened(scratch)
        for seed in seeds:  # modules that are imported on use
            finding(target, parse, scratch, seed)
    for seed in seeds:
        (corpus / hashlib.sha256(seed).hexdigest()[:16]).write_bytes(seed)
    counter = Counter(home / "inputs")

    def test_one(data: bytes) -> None:
        counter.add()
        found = finding(target, parse, scratch, data)
        if found is not None:
            keep(findings, data, found)

    def mutate(data: bytes, largest: int, seed: int) -> bytes:
        generator = random.Random(seed)
        if generator.random() < 0.25:
            return atheris.Mutate(data, len(data) + 64)[:largest]
        return target.mutate(bytes(data), generator)[:largest]

    left = max(1, round(end - time.monotonic()))
    options = [
        f"-max_total_time={left}", f"-timeout={SECONDS_OF_AN_INPUT}",
        f"-rss_limit_mb={MEMORY_MB}", f"-max_len={max(target.largest, *map(len, seeds))}",
        f"-artifact_prefix={findings}/", "-print_final_stats=1", "-len_control=0",
    ]  # fmt: skip
    _limit_memory()
    atheris.Setup([sys.argv[0], *options, str(corpus)], test_one, custom_mutator=mutate)
    atheris.Fuzz()


def main() -> None:
    end = time.monotonic() + float(sys.argv[2])
    with atheris.instrument_imports(include=[*_OWN]):
        from tests.fuzz.targets import TARGETS

    shared = Path("/dev/shm") if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=shared) as name:
        fuzz(TARGETS[sys.argv[1]], end, Path(name))


if __name__ == "__main__":
    main()
