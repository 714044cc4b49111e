"""Result documents of schema version 1, converted on reading.

Version 1 called the two models of a result `a` and `b`, and had other names for some figures. The
values are the same in both versions.
"""

from __future__ import annotations

from typing import Any, Final

VERSION: Final = 1

# Of version 1: its name in version 2.
CODES = {"drift": "between-block-range"}  # of reasons
WINNERS = {"a": "candidate", "b": "baseline"}
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
    return made | {"schema_version": 2}


def _result(result: Any) -> Any:
    made = _renamed(result, _RESULT)
    for model in ("candidate", "baseline"):
        made = _inside(made, model, _model)
    made = _inside(made, "placement", lambda placement: _renamed(placement, _PAIR))
    return _inside(made, "quality", _quality)


def _estimate(estimate: Any) -> Any:
    return _renamed(estimate, _PAIR)


def _model(model: Any) -> Any:
    made = _renamed(model, _MODEL)
    return _inside(made, "operation_profile", lambda profile: _renamed(profile, _PROFILE))


def _quality(quality: Any) -> Any:
    made = _inside(quality, "winner", lambda winner: _of(WINNERS, winner))
    return _inside(made, "reasons", _reasons)


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
