"""Small ONNX models in folders with a manifest, made without torch in milliseconds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from lolvit.files import sha256_of, size_of
from lolvit.manifest import (
    Artifact,
    Manifest,
    Precision,
    Preprocessing,
    Signature,
    TensorSpec,
    Weights,
    read_manifest,
    write_manifest,
)
from lolvit.tasks import find_task

SIDE, CLASSES = 32, 10
DENSE = (64, 96)  # the input's height and width of detection and segmentation


def make_folder(
    folder: Path,
    name: str = "tiny",
    *,
    layers: int = 2,
    width: int = 16,
    scale: float = 1.0,
    trained: bool = False,
) -> Path:
    """Write a folder with one ONNX artifact: `layers` convolutions of `width` channels at 32x32,
    each with weights times `scale`, then the mean and a linear layer. Operations are named by
    part, as an export names them: `stem`, `stages.0` and so on, `head`."""
    image = TensorSpec(name="image", shape=(1, 3, SIDE, SIDE), layout="NCHW", meaning="normalized")
    logits = TensorSpec(name="logits", shape=(1, CLASSES), layout="NC", meaning="logits")
    preprocessing = Preprocessing(
        size=(SIDE, SIDE), crop_pct=0.9, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5)
    )
    return _write(
        folder, _model(layers, width, scale), (image,), (logits,), trained=trained,
        model=name, task="classification", params=1_000_000, macs=2_000_000 * layers,
        size=(SIDE, SIDE), preprocessing=preprocessing,
    )  # fmt: skip


def _write(
    folder: Path,
    graph: onnx.ModelProto,
    inputs: tuple[TensorSpec, ...],
    outputs: tuple[TensorSpec, ...],
    *,
    trained: bool,
    **fields: Any,
) -> Path:
    """Write a folder with one artifact in ONNX, and a manifest with other `fields` as given."""
    folder.mkdir(parents=True)
    path, weights = folder / "model-fp32.onnx", folder / "weights.safetensors"
    onnx.save(graph, path)
    weights.write_bytes(b"not read by benchmarks")
    artifact = Artifact(
        path=path.name, format="onnx", precision="fp32", sha256=sha256_of(path),
        bytes=size_of(path), inputs=inputs, outputs=outputs,
    )  # fmt: skip
    manifest = Manifest(
        weights=Weights(sha256=sha256_of(weights), trained=trained, source="random"),
        signature=Signature(inputs=inputs, outputs=outputs),
        artifacts=(artifact,),
        tools={"onnx": onnx.__version__},
        created="2026-01-01T00:00:00Z",
        **fields,
    )
    write_manifest(folder, manifest)
    return folder


def make_dense_folder(folder: Path, task: str, labels: tuple[str, ...]) -> Path:
    """Write a folder with one ONNX artifact for `detection` or `segmentation` of photos of 64x96
    pixels, stretched: linear functions of the mean colours of cells."""
    outputs, nodes, weights = _dense_parts(task, len(labels))
    values = [helper.make_tensor_value_info(o.name, TensorProto.FLOAT, o.shape) for o in outputs]
    image = TensorSpec(name="image", shape=(1, 3, *DENSE), layout="NCHW", meaning="normalized")
    inputs = [helper.make_tensor_value_info("image", TensorProto.FLOAT, image.shape)]
    graph = helper.make_graph(nodes, "tiny", inputs, values, weights)
    opsets = [helper.make_opsetid("", 18)]
    preprocessing = Preprocessing(
        size=DENSE, resize="stretch", crop_pct=1, mean=(0.5,) * 3, std=(0.5,) * 3
    )
    return _write(
        folder, helper.make_model(graph, opset_imports=opsets, ir_version=10), (image,), outputs,
        trained=True, model=f"tiny-{task}", task=task, params=100, macs=1000, size=DENSE,
        preprocessing=preprocessing, postprocessing=find_task(task).postprocessing(),
        labels=labels,
    )  # fmt: skip


def _dense_parts(
    task: str, classes: int
) -> tuple[tuple[TensorSpec, ...], list[onnx.NodeProto], list[onnx.TensorProto]]:
    """Return outputs, nodes and weights: cells of 8, and for detection of 16 and 32 pixels too."""
    generator = np.random.default_rng(3)
    nodes: list[onnx.NodeProto] = []
    weights: list[onnx.TensorProto] = []

    def cells(stride: int, channels: int, name: str) -> str:
        kernel = generator.standard_normal((channels, 3, 1, 1)).astype(np.float32) * 2
        weights.append(numpy_helper.from_array(kernel, f"{name}-weight"))
        nodes.append(helper.make_node("AveragePool", ["image"], [f"{name}-mean"],
                                      kernel_shape=[stride] * 2, strides=[stride] * 2))  # fmt: skip
        nodes.append(helper.make_node("Conv", [f"{name}-mean", f"{name}-weight"], [name]))
        return name

    if task == "segmentation":
        shape = (1, classes, DENSE[0] // 8, DENSE[1] // 8)
        cells(8, classes, "logits")
        return (
            (TensorSpec(name="logits", shape=shape, layout="NCHW", meaning="logits"),),
            nodes,
            weights,
        )
    outputs = []
    for output, channels, last in (("boxes", 4, "Relu"), ("scores", classes, "Sigmoid")):
        weights.append(numpy_helper.from_array(np.array([1, channels, -1]), f"{output}-shape"))
        flat = []
        for stride in (8, 16, 32):
            found = cells(stride, channels, f"{output}-{stride}")
            flat.append(f"{found}-flat")
            nodes.append(helper.make_node("Reshape", [found, f"{output}-shape"], flat[-1:]))
        nodes.append(helper.make_node("Concat", flat, [f"{output}-all"], axis=2))
        nodes.append(helper.make_node(last, [f"{output}-all"], [output]))
        meaning = "distances" if output == "boxes" else "scores"
        points = sum((DENSE[0] // s) * (DENSE[1] // s) for s in (8, 16, 32))
        spec = {"name": output, "shape": (1, channels, points), "layout": "NCL", "meaning": meaning}
        outputs.append(TensorSpec.model_validate(spec))
    return tuple(outputs), nodes, weights


def artifact_of(folder: Path) -> Artifact:
    """Return the one artifact of a folder."""
    return read_manifest(folder).artifacts[0]


def add_artifact(folder: Path, precision: Precision, content: bytes) -> None:
    """Put ONNX content of a precision into a folder, and into its manifest, in the place of what
    was there of that precision."""
    manifest = read_manifest(folder)
    path = folder / f"model-{precision}.onnx"
    path.write_bytes(content)
    made = manifest.artifacts[0].model_copy(
        update={
            "path": path.name,
            "precision": precision,
            "sha256": sha256_of(path),
            "bytes": size_of(path),
        }
    )
    others = tuple(a for a in manifest.artifacts if a.precision != precision)
    write_manifest(folder, manifest.model_copy(update={"artifacts": (*others, made)}))


def with_unknown_operation(content: bytes) -> bytes:
    """Return an ONNX model with an operation that no runtime has."""
    model = onnx.load_from_string(content)
    model.graph.node.append(helper.make_node("NoSuchOperation", ["image"], ["other"]))
    return bytes(model.SerializeToString())


def _model(layers: int, width: int, scale: float) -> onnx.ModelProto:
    generator = np.random.default_rng(0)
    nodes, weights, below, channels = [], [], "image", 3
    for number in range(layers):
        values = generator.standard_normal((width, channels, 3, 3)) * scale / np.sqrt(9 * channels)
        weights.append(numpy_helper.from_array(values.astype(np.float32), f"w{number}"))
        part = f"stages.{number - 1}.0" if number else "stem"
        nodes.append(helper.make_node("Conv", [below, f"w{number}"], [f"c{number}"],
                                      name=f"{part}.conv/conv", pads=[1, 1, 1, 1]))  # fmt: skip
        nodes.append(helper.make_node("Relu", [f"c{number}"], [f"r{number}"], name=f"{part}/relu"))
        below, channels = f"r{number}", width
    head = generator.standard_normal((width, CLASSES)).astype(np.float32)
    weights.append(numpy_helper.from_array(head, "head"))
    nodes.append(helper.make_node("GlobalAveragePool", [below], ["mean"], name="pool"))
    nodes.append(helper.make_node("Flatten", ["mean"], ["flat"], name="head/flat"))
    nodes.append(helper.make_node("MatMul", ["flat", "head"], ["logits"], name="head/fc"))
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, (1, 3, SIDE, SIDE))],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, (1, CLASSES))],
        weights,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
