"""Qualcomm's execution provider for ONNX Runtime, with the HTP compiler and emulator."""

from __future__ import annotations

import functools
import platform
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import onnxruntime
import onnxruntime_qnn

from lolvit.errors import DeviceError
from lolvit_runtimes.qnn_socs import DEFAULT_SOC, SOCS, Soc

PROVIDER = "QNNExecutionProvider"
HTP = "HTP"
VERSION = onnxruntime_qnn.__version__
# In the metadata of a wrapper around a context binary: how many operations were compiled into it.
COMPILED = "lolvit.operations"
_CONTEXT = "EPContext"
_FATAL_ONLY = 4


@functools.cache
def _devices() -> Sequence[Any]:
    """Register the provider's library with ONNX Runtime, once a process, and return its devices.

    Raises:
        DeviceError: this machine is none that the emulator runs on.
    """
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        raise DeviceError(
            f"Qualcomm's compiler and emulator run on Linux x86_64, not on {platform.system()} "
            f"{platform.machine()}",
            remedy="use such a machine",
        )
    onnxruntime.register_execution_provider_library(PROVIDER, onnxruntime_qnn.get_library_path())
    found = [each for each in onnxruntime.get_ep_devices() if each.ep_name == PROVIDER]
    if not found:
        raise DeviceError("onnxruntime-qnn offers no device here", remedy="run: lolvit doctor")
    return found


def qnn_session(
    path: Path,
    soc: Soc | None = None,
    *,
    config: Mapping[str, str] | None = None,
    options: Mapping[str, str] | None = None,
    fallback: bool = False,
) -> onnxruntime.InferenceSession:
    """Return a session of a float or quantized ONNX model, or of a context binary's wrapper, whose
    every operation is on HTP, input and output's rounding included.

    Args:
        config: entries of the session's configuration; options: the provider's.
        fallback: leave to the processor what HTP does not take, instead of failing.
    """
    settings = onnxruntime.SessionOptions()
    settings.log_severity_level = _FATAL_ONLY
    settings.intra_op_num_threads = 1
    settings.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    if not fallback:
        settings.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
    for key, value in (config or {}).items():
        settings.add_session_config_entry(key, value)
    given = {
        "backend_path": onnxruntime_qnn.get_qnn_htp_path(),
        "soc_model": str((soc or SOCS[DEFAULT_SOC]).model),
        "offload_graph_io_quantization": "0",
        **(options or {}),
    }
    settings.add_provider_for_devices(_devices()[:1], given)
    return onnxruntime.InferenceSession(str(path), settings)


def placement_of(session: onnxruntime.InferenceSession) -> dict[str, int]:
    """Return how many operations run where, `HTP` among it; those of a context binary count as the
    operations that were compiled into it."""
    counts: Counter[str] = Counter()
    compiled = int(session.get_modelmeta().custom_metadata_map.get(COMPILED, 1))
    for part in session.get_provider_graph_assignment_info():
        place = HTP if part.ep_name == PROVIDER else part.ep_name
        for node in part.get_nodes():
            counts[place] += compiled if node.op_type == _CONTEXT else 1
    return dict(counts)


def fallback_operations(session: onnxruntime.InferenceSession) -> list[str]:
    """Return the operations that HTP did not take, as `name (kind)`."""
    return [
        f"{node.name} ({node.op_type})"
        for part in session.get_provider_graph_assignment_info()
        if part.ep_name != PROVIDER
        for node in part.get_nodes()
    ]
