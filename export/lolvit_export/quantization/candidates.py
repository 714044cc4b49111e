"""Evaluate one way to quantize: quantize as a plan says, into a scratch file, and measure it."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lolvit.manifest import Artifact, Precision
from lolvit_export.quantization.evaluator import Evaluator, Score
from lolvit_export.quantization.plan import Candidate, Method, Plan
from lolvit_export.quantization.quantizer import Layer, Quantizer
from lolvit_export.quiet import quiet
from lolvit_export.targets import Target


@dataclass(frozen=True)
class Candidates:
    """Candidates of one quantized artifact; `path` is what the result will be named."""

    quantizer: Quantizer
    evaluator: Evaluator
    target: Target
    precision: Precision
    path: Path

    @property
    def format(self) -> str:
        """The target's name."""
        return self.target.name

    def layers(self, operations: Sequence[str]) -> list[Layer]:
        """Return the layers of these kinds, in the order of execution."""
        return [layer for layer in self.quantizer.layers() if layer.operation in operations]

    def score(self, plan: Plan, count: int | None = None) -> Score:
        """Evaluate what a plan gives on the first `count` tuning images, or on all."""
        with tempfile.TemporaryDirectory() as scratch:
            path, artifact = self._quantized(plan, Path(scratch))
            return self.evaluator.score(path, artifact, count)

    def evaluate(
        self,
        name: str,
        operations: Sequence[str],
        method: Method = "minmax",
        float_layers: Sequence[str] = (),
        *,
        gemm_layers: Sequence[str] = (),
        timed: bool = True,
        bias_correction: bool = False,
        gptq: bool = False,
    ) -> Candidate:
        """Quantize one way, and return its accuracy and, if `timed`, its speed."""
        plan = self.plan(
            operations,
            method,
            float_layers,
            gemm_layers=gemm_layers,
            bias_correction=bias_correction,
            gptq=gptq,
        )
        with tempfile.TemporaryDirectory() as scratch:
            path, artifact = self._quantized(plan, Path(scratch))
            score = self.evaluator.score(path, artifact)
            speed = self.evaluator.speed(path, artifact) if timed and self._speed_counts() else None
        return Candidate(
            name=name,
            operations=tuple(operations),
            method=method,
            float_layers=tuple(float_layers),
            gemm_layers=tuple(gemm_layers),
            bias_correction=bias_correction,
            gptq=gptq,
            snr_db=score.snr_db,
            top1_agreement=score.top1_agreement,
            accuracy_change=score.accuracy_change,
            failed=score.failed,
            speedup_vs_fp32=speed,
        )

    def _speed_counts(self) -> bool:
        """Whether speed on this machine may decide: 16-bit activations are for accelerators, and
        no processor has kernels for them; 4-bit weights are for small files."""
        return self.target.precisions[self.precision].timed

    def plan(
        self,
        operations: Sequence[str],
        method: Method,
        float_layers: Sequence[str],
        *,
        gemm_layers: Sequence[str] = (),
        bias_correction: bool = False,
        gptq: bool = False,
    ) -> Plan:
        """Return a plan without a history."""
        return Plan(
            format=self.format,
            precision=self.precision,
            method=method,
            operations=tuple(operations),
            float_layers=tuple(float_layers),
            gemm_layers=tuple(gemm_layers),
            bias_correction=bias_correction,
            gptq=gptq,
        )

    def write(self, plan: Plan, path: Path) -> Artifact:
        """Write the artifact that a plan describes to its own place."""
        with quiet():
            return self.quantizer.quantize(plan, path)

    def _quantized(self, plan: Plan, scratch: Path) -> tuple[Path, Artifact]:
        path = scratch / self.path.name
        return path, self.write(plan, path)
