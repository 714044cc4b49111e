"""Documents of schema version 1, turned into version 2: pure functions of JSON values.

What is not as expected is handed on as it is: the types of version 2 say what is wrong.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Json = dict[str, Any]


def upgrade_manifest(document: Mapping[str, Any]) -> Json:
    """Return a manifest of version 1, which was of a classifier, as one of version 2."""
    new = upgrade_artifacts_and_rewrites(
        _renamed(document, {"preprocess": "preprocessing", "rewrites": "rewritten"})
    )
    new["postprocessing"] = {"kind": "softmax"}
    classes, size = new.pop("num_classes", None), new.get("size")
    sides = list(size) if isinstance(size, (list, tuple)) else [size]
    image = {"name": "image", "shape": [1, 3, *sides], "layout": "NCHW", "meaning": "normalized"}
    logits = {"name": "logits", "shape": [1, classes], "layout": "NC", "meaning": "logits"}
    new["signature"] = {"inputs": [image], "outputs": [logits]}
    return new


def upgrade_artifacts_and_rewrites(document: Mapping[str, Any]) -> Json:
    """Return what a manifest and the document of a verification share, of version 2."""
    new = dict(document) | {"schema_version": 2, "task": "classification"}
    new["rewrites"] = _each(new.pop("passes", []), upgrade_rewrite)
    new["artifacts"] = _each(new.get("artifacts"), upgrade_artifact)
    return new


def upgrade_artifact(document: Any) -> Any:
    """Return an artifact of version 1 as one of version 2."""
    if not isinstance(document, Mapping):
        return document
    new = _renamed(document, {"measured": "measurements"})
    if isinstance(new.get("measurements"), Mapping):
        new["measurements"] = {
            str(key).replace(".times_fp32", ".speedup_vs_fp32"): value
            for key, value in new["measurements"].items()
        }
    for old in ("input", "output"):
        if old in new:
            new[f"{old}s"] = [_rename(new.pop(old), {"values": "meaning"})]
    if "gates" in new:
        new["gates"] = _each(new["gates"], lambda gate: _rename(gate, {"floor": "threshold"}))
    if new.get("quantization") is not None:
        new["quantization"] = _rename(new["quantization"], {"images": "calibration"})
    if new.get("format") == "qnn":
        new["container"] = "onnx"
    return new


def upgrade_rewrite(document: Any) -> Any:
    """Return the record of a pass of version 1 as that of a rewrite."""
    return _rename(document, {"fired": "applied", "skipped": "match_failures"})


def _each(values: Any, change: Any) -> Any:
    return [change(value) for value in values] if isinstance(values, (list, tuple)) else values


def _rename(document: Any, names: Mapping[str, str]) -> Any:
    return _renamed(document, names) if isinstance(document, Mapping) else document


def _renamed(document: Mapping[str, Any], names: Mapping[str, str]) -> Json:
    return {names.get(key, key): value for key, value in document.items()}
