"""Ask Qualcomm's HTP compiler and emulator about a model: `python lint_htp_probe.py FILE` prints a
line of JSON: does HTP take all of it, and how many dB is its result from the CPU's?

A program of its own, because the emulator may end the process. It needs onnxruntime-qnn.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import numpy as np
import onnxruntime as ort
import onnxruntime_qnn as qnn  # type: ignore[import-not-found, unused-ignore]

PROVIDER = "QNNExecutionProvider"
SOC = "57"


def on_htp(path: str) -> tuple[Any, bool]:
    """Return a session, and whether HTP takes every operation."""
    options = ort.SessionOptions()
    options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    devices = [device for device in ort.get_ep_devices() if device.ep_name == PROVIDER]
    settings = {"backend_path": qnn.get_qnn_htp_path(), "soc_model": SOC}
    options.add_provider_for_devices(devices[:1], settings)
    session = ort.InferenceSession(path, options)
    places = {part.ep_name for part in session.get_provider_graph_assignment_info()}
    return session, places == {PROVIDER}


def decibels(session: Any, path: str) -> float:
    """Return the worst signal-to-noise ratio of an output."""
    reference = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
    generator = np.random.default_rng(1)
    feed = {
        each.name: generator.standard_normal(each.shape).astype(np.float32)
        for each in session.get_inputs()
    }
    ratios = []
    for right, result in zip(reference.run(None, feed), session.run(None, feed), strict=True):
        noise = float(((right.astype(float) - result) ** 2).sum())
        ratios.append(10 * np.log10(float((right.astype(float) ** 2).sum()) / (noise + 1e-30)))
    return min(ratios)


def answer(path: str) -> dict[str, object]:
    try:
        session, taken = on_htp(path)
        return {"path": path, "taken": taken, "db": decibels(session, path) if taken else None}
    except Exception as error:  # noqa: BLE001 - whatever it is refused with
        return {"path": path, "taken": False, "db": None, "error": str(error)[:200]}


if __name__ == "__main__":
    ort.register_execution_provider_library(PROVIDER, qnn.get_library_path())
    print(json.dumps(answer(sys.argv[1])), flush=True)
