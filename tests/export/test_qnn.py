"""Qualcomm's HTP: lowered, quantized, compiled for an SoC, and run on the vendor's emulator."""

from __future__ import annotations

import shutil
from contextlib import closing
from pathlib import Path

import numpy as np
import onnx
import pytest

from lolvit.errors import DeviceError, GateFailedError, UserError
from lolvit.files import sha256_of, size_of
from lolvit.manifest import Artifact, Manifest, check_artifact, read_manifest, write_manifest
from lolvit_export.lowering.qnn_contexts import compile_for
from lolvit_export.quantization.onnx_graph import Graph
from lolvit_export.quantization.qnn_qdq import quantized_model, quantized_tensors
from lolvit_runtimes.qnn_provider import qnn_session
from lolvit_runtimes.qnn_socs import SOCS
from lolvit_runtimes.session import open_session
from lolvit_runtimes.snr import snr_db
from lolvit_runtimes.worker.isolated import IsolatedSession
from tests.conftest import Run
from tests.export.requests import export, request

pytest.importorskip("onnxruntime_qnn", reason="run, on Linux x86_64: pip install 'lolvit[qnn]'")
SIZE = (64, 96)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Manifest]:
    socs = (SOCS["sm8650"], SOCS["sm8750"])
    out = tmp_path_factory.mktemp("qnn")
    return export(request(out, targets=("qnn",), precisions=("fp16",), size=SIZE, socs=socs))


@pytest.fixture
def copied(exported: tuple[Path, Manifest], tmp_path: Path) -> tuple[Path, Manifest]:
    return Path(shutil.copytree(exported[0], tmp_path / "copy")), exported[1]


def with_file(folder: Path, artifact: Artifact) -> Artifact:
    """Return an artifact whose manifest agrees with what its file holds now."""
    path = folder / artifact.path
    return artifact.model_copy(update={"sha256": sha256_of(path), "bytes": size_of(path)})


def test_an_export_has_a_portable_model_and_one_per_soc(
    exported: tuple[Path, Manifest],
) -> None:
    folder, manifest = exported
    assert [a.path for a in manifest.artifacts] == [
        "model-fp16-htp.onnx", "model-fp16-sm8650.onnx", "model-fp16-sm8750.onnx",
    ]  # fmt: skip
    targets = [(a.htp.hexagon, a.htp.soc, a.htp.soc_model) for a in manifest.artifacts if a.htp]
    assert targets == [(73, None, None), (75, "sm8650", 57), (79, "sm8750", 69)]
    for artifact in manifest.artifacts:
        gates = {gate.name: gate for gate in artifact.gates}
        assert gates["qnn.snr_db"].value >= gates["qnn.snr_db"].threshold == 45
        assert gates["qnn.on_htp"].value == 1
        check_artifact(folder, artifact)
    (context,) = onnx.load(str(folder / "model-fp16-sm8650.onnx")).graph.node
    assert context.op_type == "EPContext"


def test_a_context_binary_counts_the_operations_that_were_compiled(
    exported: tuple[Path, Manifest],
) -> None:
    folder, manifest = exported
    places = []
    for artifact in manifest.artifacts[:2]:
        with closing(open_session("qnn", folder / artifact.path, artifact)) as session:
            places.append(session.placement())
            assert session.options()["emulated"] == "yes"
    assert places[0] == places[1] and places[0]["HTP"] > 100


def test_verify_on_the_emulator_passes_and_says_where(
    exported: tuple[Path, Manifest], run_lolvit: Run
) -> None:
    done = run_lolvit("verify", exported[0] / "model-fp16-sm8650.onnx", "--device", "qnn-emulator")
    assert done.returncode == 0, done.stderr
    assert "qnn.on_htp" in done.stdout


def test_a_truncated_context_binary_is_rejected_before_it_is_opened(
    copied: tuple[Path, Manifest],
) -> None:
    folder, manifest = copied
    path = folder / manifest.artifacts[1].path
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(UserError, match="its manifest has"):
        check_artifact(folder, manifest.artifacts[1])


@pytest.mark.parametrize("kept", [0.1, 0.5, 0.99])
def test_a_broken_binary_in_a_sound_wrapper_ends_in_one_line(
    copied: tuple[Path, Manifest], kept: float
) -> None:
    folder, manifest = copied
    path = folder / manifest.artifacts[1].path
    model = onnx.load(str(path))
    (binary,) = [a for a in model.graph.node[0].attribute if a.name == "ep_cache_context"]
    binary.s = binary.s[: int(len(binary.s) * kept)]
    onnx.save(model, str(path))
    with pytest.raises(DeviceError):
        session = IsolatedSession("qnn", path, with_file(folder, manifest.artifacts[1]))
        session.run(np.zeros((1, 3, *SIZE), np.float32))


def test_an_operation_that_htp_does_not_take_is_named(tmp_path: Path) -> None:
    image = onnx.helper.make_tensor_value_info("image", onnx.TensorProto.FLOAT, (1, 3, 8, 8))
    logits = onnx.helper.make_tensor_value_info("logits", onnx.TensorProto.FLOAT, (1, 3, 8, 8))
    nodes = [
        onnx.helper.make_node("Relu", ["image"], ["positive"], "first"),
        onnx.helper.make_node("Det", ["positive"], ["det"], "odd_one"),
        onnx.helper.make_node("Unsqueeze", ["det", "axes"], ["wide"], "widened"),
        onnx.helper.make_node("Mul", ["positive", "wide"], ["logits"], "last"),
    ]
    axes = onnx.numpy_helper.from_array(np.asarray([2, 3]), "axes")
    graph = onnx.helper.make_graph(nodes, "g", [image], [logits], [axes])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)])
    model.ir_version = 10
    onnx.save(model, str(tmp_path / "model-fp16-htp.onnx"))
    source = Artifact.model_construct(path="model-fp16-htp.onnx", format="qnn", precision="fp16")
    with pytest.raises(GateFailedError, match=r"HTP does not support odd_one \(Det\)"):
        compile_for(SOCS["sm8650"], tmp_path, source)
    assert [path.name for path in tmp_path.iterdir()] == ["model-fp16-htp.onnx"]


def test_a_manifest_records_the_requirements_of_a_soc(copied: tuple[Path, Manifest]) -> None:
    folder, manifest = copied
    write_manifest(folder, manifest)
    assert read_manifest(folder) == manifest


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--soc", "sm9999", "--precision", "fp16"], "unknown SoC 'sm9999'"),
        (["--soc", "sm8450", "--precision", "fp16"], "Hexagon v69, but fp16 needs v73"),
        (["--precision", "fp32"], "target qnn does not support precision fp32"),
        (["--soc", "sm8650", "--to", "onnx"], "--soc needs --to qnn"),
        (["--precision", "fp16", "--for-timing", "--weights", "x"], "to untrained weights only"),
    ],
)
def test_what_can_not_be_exported_is_one_line(
    run_lolvit: Run, arguments: list[str], line: str
) -> None:
    done = run_lolvit("export", "lolvit_xx", "--to", "qnn", *arguments)
    assert done.returncode == 2
    assert line in done.stderr and done.stderr.count("\n") == 1


@pytest.mark.parametrize("bits", [8, 16])
def test_everything_is_quantized(exported: tuple[Path, Manifest], bits: int) -> None:
    model = onnx.load(str(exported[0] / "model-fp16-htp.onnx"))
    graph = Graph(model)
    ranges = dict.fromkeys(quantized_tensors(graph), (-4.0, 4.0))
    quantized = quantized_model(graph, ranges, bits)
    onnx.checker.check_model(quantized)
    rounded = {n.output[0] for n in quantized.graph.node if n.op_type == "DequantizeLinear"}
    for node in quantized.graph.node:
        if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            continue
        integers = {i.name for i in quantized.graph.initializer if i.data_type == 7}
        assert set(node.input) <= rounded | integers, node.name
    assert all(node.op_type != "Relu" for node in quantized.graph.node)


def product() -> onnx.ModelProto:
    """A product of two activations, as attention's are."""
    image = onnx.helper.make_tensor_value_info("image", onnx.TensorProto.FLOAT, (1, 8, 8))
    logits = onnx.helper.make_tensor_value_info("logits", onnx.TensorProto.FLOAT, (1, 8, 8))
    nodes = [
        onnx.helper.make_node("Transpose", ["image"], ["turned"], "turn", perm=[0, 2, 1]),
        onnx.helper.make_node("MatMul", ["image", "turned"], ["logits"], "multiply"),
    ]
    graph = onnx.helper.make_graph(nodes, "g", [image], [logits])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)])
    model.ir_version = 10
    return model


def test_products_of_16_bits_are_multiplied_in_16_bits(tmp_path: Path) -> None:
    graph = Graph(product())
    values = np.random.default_rng(0).normal(size=(1, 8, 8)).astype(np.float32)
    exact = (values @ values.transpose(0, 2, 1)).astype(np.float64)
    most = float(np.abs(values).max()), float(np.abs(exact).max())
    ranges = {"image": (-most[0], most[0]), "logits": (-most[1], most[1])}
    decibels = {}
    for bits in (8, 16):
        onnx.save(quantized_model(graph, ranges, bits), str(tmp_path / "product.onnx"))
        session = qnn_session(tmp_path / "product.onnx")
        decibels[bits] = snr_db(exact, session.run(None, {"image": values})[0])
    assert 30 < decibels[8] < 45 and decibels[16] > 60


def test_lint_agrees_with_the_emulator_and_leaves_compiled_ones_alone(
    exported: tuple[Path, Manifest], run_lolvit: Run
) -> None:
    done = run_lolvit("lint", exported[0], "--target", "htp")
    assert done.returncode == 0, done.stderr
    assert "model-fp16-htp.onnx" in done.stdout and "sm8650" not in done.stdout
    compiled = run_lolvit("lint", exported[0] / "model-fp16-sm8650.onnx")
    assert (compiled.returncode, compiled.stderr.count("\n")) == (2, 1)
    assert "is compiled" in compiled.stderr
