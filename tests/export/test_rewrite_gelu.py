"""GELU by tanh as its formula, which Core ML's converter knows again."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import lolvit
from lolvit_export.rewrites.decompose_gelu_tanh import DecomposeGeluTanh
from lolvit_runtimes.coreml_tools import coremltools as ct
from tests.export.rewriting import Model, match_failures, operations, rewritten


def test_the_approximation_is_its_formula() -> None:
    model = Model(lambda m, x: F.gelu(4 * x, approximate="tanh"))
    graph, record = rewritten(DecomposeGeluTanh(), model)
    assert record.applied == 1
    assert "gelu" not in operations(graph) and operations(graph).count("tanh") == 1


def test_the_exact_one_stays() -> None:
    model = Model(lambda m, x: F.gelu(x))
    assert match_failures(DecomposeGeluTanh(), model) == ["it is the exact one"]


class Activations(nn.Module):
    """What coremltools 9 converts wrongly (GELU by tanh) or not at all, as it comes from torch."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Conv2d(3 if i == 0 else 4, 4, 3) for i in range(4)])

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        first, second, third, fourth = self.layers
        x = F.gelu(first(image), approximate="tanh")
        x = F.celu(second(x), 0.7)
        x = F.hardshrink(third(x), 0.05)
        return F.rms_norm(fourth(x).permute(0, 2, 3, 1), (4,)).permute(0, 3, 1, 2)


@pytest.mark.slow
def test_core_ml_gets_what_its_converter_knows(tmp_path: Path) -> None:
    torch.manual_seed(0)
    exported = lolvit.export(
        Activations().eval(), size=32, targets=["coreml"], precision=["fp32"], out=tmp_path
    )
    (artifact,) = exported.manifest.artifacts
    assert all(gate.passed for gate in artifact.gates)  # with the exact GELU 72 of 90 dB
    program = ct.models.MLModel(str(exported.folder / artifact.path), skip_model_load=True)
    (function,) = program.get_spec().mlProgram.functions.values()
    (block,) = function.block_specializations.values()
    assert "gelu" in [operation.type for operation in block.operations]
