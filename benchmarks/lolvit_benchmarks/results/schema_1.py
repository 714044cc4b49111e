"""Result documents of schema version 1, converted on reading.

Version 1 called the two models of a result `a` and `b`, and had other names for some figures, whose
values are kept. Its speedup is the ratio of the medians with a bootstrap interval: these stay as
they were, and the quality of the result follows from the interval's half width. Of its reasons, an
interruption still makes a result INVALID, and the others are findings.
"""

from __future__ import annotations

import math
from typing import Any, Final

from lolvit_benchmarks.analysis import quality
from lolvit_benchmarks.analysis.statistics import SAMPLES_FOR_P99

VERSION: Final = 1

# Of version 1: its name in version 2.
CODES = {"drift": "between-block-range"}  # of reasons
WINNERS = {"a": "candidate", "b": "baseline"}
INVALID_CODES = frozenset({"interrupted"})
RULE = (
    "Converted from schema version 1, whose speedup is the ratio of the medians with a bootstrap "
    "interval; of the following rule, the limits of the interval and the interruption were applied "
    "to it. "
)
_DOCUMENT = {"rule": "quality_rule"}
_RESULT = {"a": "candidate", "b": "baseline", "verdict": "quality", "roof": "roofline"}
_PAIR = {"a": "candidate", "b": "baseline"}
_MODEL = {"drift": "between_block_range", "profile": "operation_profile"}
_PROFILE = {"roof_share": "roofline_share"}


def upgrade(document: dict[str, Any]) -> dict[str, Any]:
    """Return a document of version 1 as one of version 2. What is missing, or has another type than
    it should, stays as it is: the caller validates the returned document."""
    made = {_DOCUMENT.get(key, key): value for key, value in document.items()}
    for key, change in (("results", _result), ("estimates", _estimate)):
        if isinstance(made.get(key), list):
            made[key] = [change(item) for item in made[key]]
    if "quality_rule" in made:
        made["quality_rule"] = RULE + quality.rule()
    return made | {"schema_version": 2}


def _result(result: Any) -> Any:
    made = _renamed(result, _RESULT)
    for model in ("candidate", "baseline"):
        made = _inside(made, model, _model)
    made = _inside(made, "placement", lambda placement: _renamed(placement, _PAIR))
    half_width = _half_width(made.get("speedup")) if isinstance(made, dict) else None
    return _inside(made, "quality", lambda found: _quality(found, half_width))


def _estimate(estimate: Any) -> Any:
    return _renamed(estimate, _PAIR)


def _model(model: Any) -> Any:
    made = _renamed(model, _MODEL)
    if isinstance(made, dict) and isinstance(made.get("samples"), list):
        p99 = made.get("p99_ms") if len(made["samples"]) >= SAMPLES_FOR_P99 else None
        made = made | {"p99_ms": p99}
    return _inside(made, "operation_profile", lambda profile: _renamed(profile, _PROFILE))


def _half_width(speedup: Any) -> float | None:
    if not isinstance(speedup, dict):
        return None
    low, high = speedup.get("low"), speedup.get("high")
    if not (isinstance(low, int | float) and isinstance(high, int | float) and 0 < low <= high):
        return None
    return math.log(high / low) / 2


def _quality(found: Any, half_width: float | None) -> Any:
    made = _inside(found, "winner", lambda winner: _of(WINNERS, winner))
    made = _inside(made, "reasons", _reasons)
    reasons = made.get("reasons") if isinstance(made, dict) else None
    if half_width is None or not isinstance(reasons, list):
        return made
    invalid = [reason for reason in reasons if _code(reason) in INVALID_CODES]
    return made | {
        "state": "INVALID" if invalid else quality.grade(half_width),
        "winner": None if invalid else made.get("winner"),
        "half_width": half_width,
        "reasons": invalid,
        "findings": [reason for reason in reasons if _code(reason) not in INVALID_CODES],
    }


def _code(reason: Any) -> Any:
    code = reason.get("code") if isinstance(reason, dict) else None
    return code if isinstance(code, str) else None


def _reasons(reasons: Any) -> Any:
    if not isinstance(reasons, list):
        return reasons
    return [_inside(reason, "code", lambda code: _of(CODES, code)) for reason in reasons]


def _of(names: dict[str, str], value: Any) -> Any:
    return names.get(value, value) if isinstance(value, str) else value


def _renamed(value: Any, names: dict[str, str]) -> Any:
    if not isinstance(value, dict):
        return value
    return {names.get(key, key): inner for key, inner in value.items()}


def _inside(value: Any, key: str, change: Any) -> Any:
    if not isinstance(value, dict) or key not in value:
        return value
    return value | {key: change(value[key])}
