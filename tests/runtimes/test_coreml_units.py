"""Core ML's compute units and plan, by recordings of coremltools 9's calls: this is no Mac."""

from __future__ import annotations

import platform
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from lolvit_runtimes import coreml, coreml_units
from lolvit_runtimes.coreml_tools import coremltools as ct
from lolvit_runtimes.table import RUNTIMES
from tests.runtimes.coreml_packages import Formula, capture, describe, save

SHAPE, OUTPUTS = (1, 3, 6, 8), (1, 3)


class MLNeuralEngineComputeDevice:
    """Named as coremltools names it."""


class MLCPUComputeDevice:
    """Named as coremltools names it."""


class Model:
    made: list[Any]

    def __init__(self, path: str, *, compute_units: ct.ComputeUnit) -> None:
        self.made.append(compute_units)

    def predict(self, data: dict[str, Any]) -> dict[str, np.ndarray]:
        return {"logits": np.zeros(OUTPUTS)}

    def get_compiled_model_path(self) -> str:
        return "/compiled.mlmodelc"


class Plan:
    """Two operations on the Neural Engine, one on the CPU, one unknown, and a constant."""

    loaded: list[tuple[str, Any]]
    devices = (MLNeuralEngineComputeDevice(), MLNeuralEngineComputeDevice(), MLCPUComputeDevice())

    @classmethod
    def load_from_path(cls, path: str, compute_units: ct.ComputeUnit) -> Plan:
        cls.loaded.append((path, compute_units))
        return cls()

    @property
    def model_structure(self) -> Any:
        names = ("const", "conv", "relu", "linear", "cast")
        operations = [SimpleNamespace(operator_name=n, at=i - 1) for i, n in enumerate(names)]
        main = SimpleNamespace(block=SimpleNamespace(operations=operations))
        return SimpleNamespace(program=SimpleNamespace(functions={"main": main}))

    def get_compute_device_usage_for_mlprogram_operation(self, operation: Any) -> Any:
        if operation.at >= len(self.devices):
            return None
        return SimpleNamespace(preferred_compute_device=self.devices[operation.at])


@pytest.fixture
def mac(monkeypatch: pytest.MonkeyPatch) -> None:
    Model.made, Plan.loaded = [], []
    monkeypatch.setattr(platform, "system", lambda: "Darwin")
    monkeypatch.setattr(coreml.coremltools.models, "MLModel", Model)
    plan = SimpleNamespace(MLComputePlan=Plan)
    monkeypatch.setattr(coreml_units.coremltools.models, "compute_plan", plan, raising=False)


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    path = tmp_path_factory.mktemp("coreml") / "model.mlpackage"
    return save(capture(Formula(lambda x: x.mean((2, 3))), SHAPE), "fp32", path)


@pytest.mark.usefixtures("mac")
@pytest.mark.parametrize(
    ("runtime", "units"),
    [("coreml-cpu", "CPU_ONLY"), ("coreml-gpu", "CPU_AND_GPU"), ("coreml-ane", "CPU_AND_NE")],
)
def test_each_runtime_loads_and_plans_for_its_own_units(runtime, units, package) -> None:
    name = RUNTIMES[runtime].session.partition(":")[2]
    session = getattr(coreml_units, name)(package, describe(SHAPE, OUTPUTS))
    assert session.runtime == runtime
    assert Model.made == [ct.ComputeUnit[units]]
    assert session.placement() == {"ANE": 2, "CPU": 1, "unknown": 1}
    assert Plan.loaded == [("/compiled.mlmodelc", ct.ComputeUnit[units])]
    assert session.options()["compute_units"] == units


@pytest.mark.usefixtures("mac")
def test_a_macos_without_plans_describes_no_placement(package, monkeypatch) -> None:
    def fails(**_: Any) -> None:
        raise Exception("needs macOS 14.4")

    monkeypatch.setattr(Plan, "load_from_path", fails)
    session = coreml_units.CoreMLAneSession(package, describe(SHAPE, OUTPUTS))
    assert session.placement() == {}
