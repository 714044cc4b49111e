"""Core ML on a Mac's CPU, GPU and Neural Engine, with the placement of its compute plan.

Untested on hardware: its tests replace coremltools' classes by recordings of the calls that
coremltools 9 documents.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from lolvit_runtimes.coreml import CoreMLSession
from lolvit_runtimes.coreml_tools import coremltools

# Device names in results, by coremltools' classes of a plan's devices.
_DEVICE_NAMES = {
    "MLCPUComputeDevice": "CPU",
    "MLGPUComputeDevice": "GPU",
    "MLNeuralEngineComputeDevice": "ANE",
}
UNKNOWN = "unknown"


class PlannedSession(CoreMLSession):
    """A Core ML artifact, with the placement that Core ML plans for its compute units."""

    def placement(self) -> dict[str, int]:
        """Return the number of operations by preferred device, without constants; empty if this
        macOS has no compute plans (before 14.4)."""
        try:
            plan = coremltools.models.compute_plan.MLComputePlan.load_from_path(
                path=self._model.get_compiled_model_path(),
                compute_units=coremltools.ComputeUnit[self.compute_units],
            )
        except Exception:  # noqa: BLE001 - Core ML's own errors arrive as plain Exception
            return {}
        return dict(Counter(_preferred_device(plan, operation) for operation in _operations(plan)))


class CoreMLCpuSession(PlannedSession):
    """Core ML on the CPU alone."""

    runtime, compute_units = "coreml-cpu", "CPU_ONLY"


class CoreMLGpuSession(PlannedSession):
    """Core ML on the GPU, with the CPU as fallback."""

    runtime, compute_units = "coreml-gpu", "CPU_AND_GPU"


class CoreMLAneSession(PlannedSession):
    """Core ML on the Neural Engine, with the CPU as fallback."""

    runtime, compute_units = "coreml-ane", "CPU_AND_NE"


def _operations(plan: Any) -> Iterator[Any]:
    for function in plan.model_structure.program.functions.values():
        yield from (op for op in function.block.operations if op.operator_name != "const")


def _preferred_device(plan: Any, operation: Any) -> str:
    usage = plan.get_compute_device_usage_for_mlprogram_operation(operation)
    if usage is None:
        return UNKNOWN
    name = type(usage.preferred_compute_device).__name__
    return _DEVICE_NAMES.get(name, name)
