"""A model that gives other outputs after it was timed makes its result INVALID."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lolvit_benchmarks.backends.benchmark_case import BenchmarkCase
from lolvit_benchmarks.harness import sessions
from lolvit_benchmarks.harness.candidates import Configuration
from lolvit_benchmarks.harness.prepare import open_folder, open_photo
from lolvit_benchmarks.harness.schedule import Profile
from lolvit_benchmarks.harness.sessions import change_of_outputs
from lolvit_benchmarks.harness.system_monitor import Machine

LOGITS = np.linspace(-1, 1, 10, dtype=np.float32)
SHORT = Profile("quick", blocks=3, rounds=1, burst=1, seconds=6.0, warm_up_runs=1, warm_up_s=0.0)


@pytest.mark.parametrize(
    ("after", "change"),
    [
        (LOGITS, None),
        (LOGITS * (1 + 1e-6), None),
        (LOGITS * np.float32(1.1), "logits agrees by 20 dB"),
        (LOGITS * np.float32(np.nan), "logits agrees by -300 dB"),
        (LOGITS[:5], "logits has shape (5,), not (10,)"),
    ],
)
def test_outputs_agree_but_for_the_last_bits(after: np.ndarray, change: str | None) -> None:
    found = change_of_outputs({"logits": LOGITS}, {"logits": after})
    assert found == change if change is None else str(found).startswith(change)


def test_outputs_of_zeros_agree_with_themselves() -> None:
    zeros = {"logits": np.zeros(10, np.float32)}
    assert change_of_outputs(zeros, zeros) is None


def test_a_session_whose_outputs_change_makes_the_result_invalid(
    fast: Path, slow: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = sessions.open_session

    def drifting(*arguments: Any, **options: Any) -> Any:
        session, number = opened(*arguments, **options), itertools.count(1)
        run = session.run
        session.run = lambda inputs: {k: v * next(number) for k, v in run(inputs).items()}
        return session

    monkeypatch.setattr(sessions, "open_session", drifting)
    case = BenchmarkCase(Configuration("ort", "fp32", 1))
    models = [(folder.name, open_folder(folder)) for folder in (fast, slow)]
    case.prepare(models, open_photo(None), lambda line: None)
    case.measure(SHORT, Machine(), lambda done, planned: None)
    (result,) = case.results()
    assert result.quality.state == "INVALID"
    assert {reason.code for reason in result.quality.reasons} == {"outputs-changed"}
    assert len(result.quality.reasons) == 2
