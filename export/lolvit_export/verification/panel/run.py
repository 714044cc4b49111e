"""Run the panel: lower, quantize and verify good and faulty artifacts of each network."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from torch import nn

from lolvit.errors import DeviceError
from lolvit.files import sha256_of
from lolvit.manifest import Artifact, Signature, TensorSpec
from lolvit.models.reparam import reparameterize
from lolvit.tasks import Task
from lolvit_export.capture import INPUT_NAME, capture, described_outputs
from lolvit_export.export_job import task_of
from lolvit_export.lowering.request import LoweringRequest, as_artifact, is_base
from lolvit_export.prepared import Prepared
from lolvit_export.quantization.images import open_images
from lolvit_export.quantization.job import QuantizationJob
from lolvit_export.quantization.plan import Plan
from lolvit_export.quiet import quiet
from lolvit_export.rewrites import STATIC_REWRITE, apply_all
from lolvit_export.targets import find_lowering, find_target
from lolvit_export.verification.images import verification_images
from lolvit_export.verification.manifest_check import differences
from lolvit_export.verification.panel.faults import MODEL_FAULTS, ModelFault
from lolvit_export.verification.panel.manifest_faults import MANIFEST_FAULTS
from lolvit_export.verification.panel.networks import Network
from lolvit_export.verification.panel.quant_faults import QUANT_FAULTS, READERS
from lolvit_export.verification.reference import Reference, ReferenceData
from lolvit_export.verification.verifiers import Verifiers

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Row:
    """One verified artifact: `fault` is None for a good one. `gates` are lines such as
    `ort.snr_db 113.4 >= 100`; `failed` those that it missed. `hidden`: in half precision the fault
    costs less than what the gates leave to eager's own rounding, and in fp32 it was caught; or a
    quantization is coarser than it should be, and that costs less than a decibel."""

    network: str
    target: str
    precision: str
    fault: str | None
    gates: tuple[str, ...]
    failed: tuple[str, ...]
    seconds: float
    measurements: Mapping[str, float] = field(default_factory=dict)
    hidden: bool = False

    @property
    def as_expected(self) -> bool:
        """Whether a good one passed, or a faulty one was caught, or is hidden."""
        return self.hidden or bool(self.failed) == (self.fault is not None)

    @property
    def verdict(self) -> str:
        """Return `passed`, `REFUSED`, `caught`, `hidden` or `MISSED`."""
        if self.fault is None:
            return "REFUSED" if self.failed else "passed"
        return "caught" if self.failed else "hidden" if self.hidden else "MISSED"


@dataclass(frozen=True)
class Selection:
    """What to run: targets and precisions of good artifacts, and the targets of faulty models.
    `plans` replace the search of quantization."""

    targets: tuple[str, ...] = ("onnx", "tflite", "coreml")
    precisions: tuple[str, ...] = ("fp32", "fp16", "int8")
    faulty_targets: tuple[str, ...] = ("onnx",)
    faults: Sequence[ModelFault] = MODEL_FAULTS
    plans: tuple[Plan, ...] = ()


def run_network(
    network: Network, selection: Selection, cache: Path, say: Progress
) -> Iterator[Row]:
    """Yield a row for each artifact of a network, good ones first.

    Raises:
        UserError: its weights can't be had.
    """
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        verifiers = stack.enter_context(Verifiers(own=True))
        say(f"{network.name}: model")
        bench = _Bench(network, network.prepare(cache), folder, verifiers, selection)
        for target in selection.targets:
            yield from bench.good(target, say)
        for target in selection.faulty_targets:
            yield from bench.faulty_models(target, say)
        for target in sorted(set(READERS) & set(selection.targets)):
            yield from bench.faulty_quantization(target, say)
        yield from bench.faulty_manifests()


class _Bench:
    """One network with its reference, and the artifacts that have been made of it."""

    def __init__(
        self,
        network: Network,
        prepared: Prepared,
        folder: Path,
        verifiers: Verifiers,
        selection: Selection,
    ) -> None:
        self._network, self._prepared = network, prepared
        self._folder, self._verifiers, self._selection = folder, verifiers, selection
        self._graph = self._captured(prepared.model)
        task, outputs = task_of(
            prepared.task,
            described_outputs(self._graph_before),
            prepared.preprocessing.size,
            prepared.labels,
        )
        preprocessing = prepared.preprocessing
        shape = (1, preprocessing.channels, *preprocessing.size)
        image = TensorSpec(name=INPUT_NAME, shape=shape, layout="NCHW", meaning="normalized")
        self._task: Task = task
        self._signature = Signature(inputs=(image,), outputs=outputs)
        self._reference = Reference(prepared.model, self._signature)
        images = verification_images(preprocessing, task.name, prepared.data).pixels
        self._data = ReferenceData(self._reference, images, preprocessing)
        self._quantized: dict[str, tuple[Artifact, QuantizationJob]] = {}

    def _captured(self, model: nn.Module) -> Any:
        preprocessing = self._prepared.preprocessing
        captured = capture(reparameterize(model), preprocessing.size, preprocessing.channels, 1)
        self._graph_before = captured
        return apply_all(STATIC_REWRITE, captured)[0]

    def good(self, target: str, say: Progress) -> Iterator[Row]:
        """Yield the artifacts of one target, as an export writes them."""
        say(f"{self._network.name}: {target}")
        spec = find_target(target)
        precisions = tuple(p for p in self._selection.precisions if p in spec.precisions)
        began = time.monotonic()
        lowered = self._lowered(
            self._graph, target, spec.to_lower(precisions), self._folder,
            bases=tuple({spec.precisions[p].base for p in precisions if p in spec.quantized}),
        )  # fmt: skip
        floats = {each.precision: each for each in lowered if not is_base(each)}
        bases = floats | {each.precision: each for each in lowered if is_base(each)}
        for artifact in floats.values():
            if artifact.precision in precisions:
                yield self._verified(self._folder, artifact, None, began, self._data)
                began = time.monotonic()
        for precision in precisions:
            if precision in spec.quantized:
                base = spec.precisions[precision].base
                yield self._quantized_row(bases[base], floats[base], precision, say)

    def _lowered(
        self,
        graph: Any,
        target: str,
        precisions: tuple[str, ...],
        folder: Path,
        bases: tuple[str, ...] = (),
    ) -> list[Artifact]:
        """Return artifacts as an export lowers them, with those that are quantized from alone."""
        request = LoweringRequest(
            folder=folder,
            target=target,
            precisions=precisions,
            signature=self._signature,
            preprocessing=self._prepared.preprocessing,
            bases=bases,
        )
        with quiet():
            lowered = find_lowering(target)(graph, request)
        return [as_artifact(each, target) for each in lowered]

    def _verified(
        self,
        folder: Path,
        artifact: Artifact,
        fault: str | None,
        began: float,
        data: ReferenceData,
    ) -> Row:
        try:
            found = self._verifiers.verify(
                folder / artifact.path, artifact, self._signature, self._task, data
            )
        except DeviceError as error:  # a runtime that refuses an artifact withholds it too
            return replace(self._row(artifact, fault, began), failed=(error.what,))
        return self._row(found, fault, began)

    def _row(self, artifact: Artifact, fault: str | None, began: float) -> Row:
        lines = {
            gate.name: f"{gate.name} {gate.value:.4g} {'>=' if gate.passed else '<'}"
            f" {gate.threshold:.4g}"
            for gate in artifact.gates
        }
        return Row(
            network=self._network.name,
            target=artifact.format,
            precision=artifact.precision,
            fault=fault,
            gates=tuple(lines.values()),
            failed=tuple(lines[gate.name] for gate in artifact.gates if not gate.passed),
            seconds=time.monotonic() - began,
            measurements=artifact.measurements,
        )

    def _quantized_row(self, base: Artifact, whole: Artifact, precision: str, say: Progress) -> Row:
        began = time.monotonic()
        job = self._job()
        artifact = job.quantize(
            base, precision, lambda step: say(f"{self._network.name}: {step}"), compared=whole
        )
        self._quantized[base.format] = artifact, job
        return self._row(artifact, None, began)

    def _job(self) -> QuantizationJob:
        if self._quantized:
            return next(iter(self._quantized.values()))[1]
        prepared, preprocessing = self._prepared, self._prepared.preprocessing
        images = open_images(
            self._network.calibrate, preprocessing, prepared.labels, task=self._task.name
        )
        return QuantizationJob(
            folder=self._folder,
            signature=self._signature,
            task=self._task,
            images=images,
            preprocessing=preprocessing,
            tuning=ReferenceData(
                self._reference, images.tuning, preprocessing, truth=images.tuning_truth
            ),
            held_out=ReferenceData(
                self._reference, images.held_out, preprocessing, truth=images.truth
            ),
            plans=self._selection.plans,
            verifiers=self._verifiers,
        )

    def faulty_models(self, target: str, say: Progress) -> Iterator[Row]:
        """Yield the artifacts of a target that are lowered from a faulty model."""
        lowered = find_target(target).lowered
        for number, fault in enumerate(self._selection.faults):
            model = fault.apply(self._prepared.model, self._prepared.preprocessing)
            if model is None:
                continue
            say(f"{self._network.name}: {target}, {fault.name}")
            wanted = tuple(
                p for p in self._selection.precisions if p in lowered and p in fault.precisions
            )
            if not wanted:
                continue
            folder = self._folder / f"fault-{target}-{number}"
            folder.mkdir()
            began = time.monotonic()
            data = self._data
            if fault.of_the_network:
                reference = Reference(model, self._signature)
                data = ReferenceData(reference, data.photos, data.preprocessing)
            lowered_models = self._lowered(self._captured(model), target, wanted, folder)
            found = {each.precision: each for each in lowered_models}
            caught = set()
            for precision in sorted(found, reverse=True):  # fp32 before fp16
                row = self._verified(folder, found[precision], fault.name, began, data)
                hidden = precision == "fp16" and not row.failed and "fp32" in caught
                yield replace(row, hidden=hidden)
                caught |= {precision} if row.failed else set()
                began = time.monotonic()

    def faulty_quantization(self, target: str, say: Progress) -> Iterator[Row]:
        """Yield the faulty copies of a target's int8 artifact, as `lolvit verify` finds them."""
        if target not in self._quantized:
            return
        artifact, job = self._quantized[target]
        for fault in QUANT_FAULTS:
            say(f"{self._network.name}: {target}, {fault.name}")
            began = time.monotonic()
            file = READERS[target](self._folder / artifact.path)
            if not fault.inject(file):
                continue
            path = self._folder / f"faulty-{artifact.path}"
            file.save(path)
            changed = {"path": path.name, "sha256": sha256_of(path), "measurements": {}}
            faulty = artifact.model_copy(update=changed)
            row = self._verified(self._folder, faulty, fault.name, began, job.held_out)
            yield replace(row, hidden=fault.consistent and not row.failed)

    def faulty_manifests(self) -> Iterator[Row]:
        """Yield what `lolvit verify` finds of faulty manifests."""
        prepared = self._prepared
        preprocessing, labels = prepared.preprocessing, prepared.labels
        config = {"preprocessing": preprocessing.model_dump(), "labels": labels}
        for fault in MANIFEST_FAULTS:
            changed = fault.inject(preprocessing, labels)
            if changed == (preprocessing, labels):  # no labels to shift
                continue
            found = tuple(differences(*changed, config))
            yield Row(self._network.name, "manifest", "", fault.name, found, found, 0.0)
