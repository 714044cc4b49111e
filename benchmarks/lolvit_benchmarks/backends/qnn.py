"""Qualcomm's own estimate of what a model would take on one of its chips: nothing is run there."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING

from lolvit.errors import UserError
from lolvit_benchmarks.backends.registry import QNN_ESTIMATE, DeviceOptions, DeviceStatus
from lolvit_runtimes.qnn_socs import SOCS, Soc, find_socs
from lolvit_runtimes.table import require_runtime

if TYPE_CHECKING:
    from lolvit_benchmarks.backends.backend import Device

ALL = "all"
_REPORTS = ("the vendor's estimate of latency", "placement")
_NOT_REPORTED = ("measured latency", "memory", "load", "heat", "energy")


def list_devices() -> list[DeviceStatus]:
    """Return the chips that the vendor's compiler estimates times for."""
    ready = importlib.util.find_spec("onnxruntime_qnn") is not None
    missing = "onnxruntime-qnn is missing; run, on Linux x86_64: pip install 'lolvit[qnn]'"
    return [
        DeviceStatus(
            f"{QNN_ESTIMATE}:{soc.id}",
            "npu",
            ready,
            f"{soc.name}, estimated and not measured" if ready else missing,
            _REPORTS,
            _NOT_REPORTED,
        )
        for soc in _estimated()
    ]


def open_device(argument: str | None, options: DeviceOptions) -> Device:
    """Return the chips that `argument` names: `all`, or some, comma-separated.

    Raises:
        UserError: one is unknown, or the vendor's compiler gives no estimate for it.
    """
    socs = chosen_socs(argument or ALL)
    require_runtime("qnn")
    from lolvit_benchmarks.backends.qnn_estimates import QnnEstimate  # onnxruntime, pydantic

    return QnnEstimate(f"{QNN_ESTIMATE}:{argument}", socs)


def chosen_socs(text: str) -> tuple[Soc, ...]:
    """Return the chips of `all` or of a comma-separated list.

    Raises:
        UserError: one is unknown, or the vendor's compiler gives no estimate for it.
    """
    if text == ALL:
        return _estimated()
    found = find_socs(text)
    without = [soc for soc in found if not soc.estimates]
    if without or not found:
        what = f"estimates no times for {without[0].name}" if without else "needs a SoC"
        choices = ", ".join(soc.id for soc in _estimated())
        raise UserError(
            f"Qualcomm's compiler {what}",
            where=f"{QNN_ESTIMATE}:{text}",
            remedy=f"choose from: {choices}",
        )
    return found


def _estimated() -> tuple[Soc, ...]:
    return tuple(soc for soc in SOCS.values() if soc.estimates)
