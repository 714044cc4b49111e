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
from lolvit_runtimes.native import native_path
from lolvit_runtimes.qnn_socs import DEFAULT_SOC, SOCS, Soc

PROVIDER = "QNNExecutionProvider"
HTP = "HTP"
VERSION = onnxruntime_qnn.__version__
# Metadata key of a context binary's wrapper: the number of operations compiled into it.
COMPILED = "lolvit.operations"
_CONTEXT = "EPContext"
_FATAL_ONLY = 4


@functools.cache
def _devices() -> Sequence[Any]:
    """Register the provider's library with ONNX Runtime, once a process, and return its devices.

    Raises:
        DeviceError: the emulator does not support this machine.
    """
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        raise DeviceError(
            f"Qualcomm's compiler and emulator run on Linux x86_64, not on {platform.system()} "
            f"{platform.machine()}",
            remedy="use a Linux x86_64 machine",
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
    every operation runs on HTP, including quantization of inputs and outputs.

    Args:
        config: entries of the session's configuration.
        options: options of the provider.
        fallback: run operations that HTP does not support on the CPU, instead of failing.

    Raises:
        DeviceError: the emulator does not support this machine.
        RUNTIME_ERRORS of `lolvit_runtimes.ort`: the model can't be compiled or opened.
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
    return onnxruntime.InferenceSession(native_path(path), settings)


def placement_of(session: onnxruntime.InferenceSession) -> dict[str, int]:
    """Return the number of operations by device, such as `HTP`; a context binary counts as the
    operations that were compiled into it."""
    counts: Counter[str] = Counter()
    compiled = int(session.get_modelmeta().custom_metadata_map.get(COMPILED, 1))
    for part in session.get_provider_graph_assignment_info():
        device = HTP if part.ep_name == PROVIDER else part.ep_name
        for node in part.get_nodes():
            counts[device] += compiled if node.op_type == _CONTEXT else 1
    return dict(counts)


def fallback_operations(session: onnxruntime.InferenceSession) -> list[str]:
    """Return the operations that HTP does not support, as `name (op_type)`."""
    return [
        f"{node.name} ({node.op_type})"
        for part in session.get_provider_graph_assignment_info()
        if part.ep_name != PROVIDER
        for node in part.get_nodes()
    ]
