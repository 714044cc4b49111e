"""An artifact tells which release of its runtime it needs, and a broken one tells nothing."""

from __future__ import annotations

import re
import time
from pathlib import Path

import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper

from lolvit_runtimes.oldest_runtime import oldest_runtime


def identity(opset: int, ir_version: int) -> onnx.ModelProto:
    value = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in "xy"]
    node = helper.make_node("Identity", ["x"], ["y"])
    others = [helper.make_opsetid("com.example", 30), helper.make_opsetid("", opset)]
    graph = helper.make_graph([node], "g", value[:1], value[1:])
    return helper.make_model(graph, opset_imports=others, ir_version=ir_version)


@pytest.mark.parametrize(
    ("opset", "ir_version", "oldest"),
    [
        (18, 10, "ONNX Runtime 1.18"),
        (18, 8, "ONNX Runtime 1.14"),
        (17, 9, "ONNX Runtime 1.16"),
        (21, 9, "ONNX Runtime 1.18"),
        (27, 13, None),
    ],
)
def test_newer_of_opset_and_ir_version_decides(tmp_path, opset, ir_version, oldest):
    path = tmp_path / "model.onnx"
    path.write_bytes(identity(opset, ir_version).SerializeToString())
    assert oldest_runtime(path, "onnx") == oldest


def test_tflite_reports_the_version_of_its_converter(exported: Path):
    found = oldest_runtime(exported / "model-fp32.tflite", "tflite")
    assert re.fullmatch(r"TensorFlow Lite 2\.\d+\.\d+", str(found))


@given(st.binary(max_size=200), st.sampled_from(["onnx", "tflite"]))
def test_any_bytes_end_in_an_answer(tmp_path_factory, data, format):
    path = tmp_path_factory.getbasetemp() / "any"
    path.write_bytes(data)
    assert isinstance(oldest_runtime(path, format), str | None)


def test_a_number_without_an_end_takes_no_time(tmp_path):
    """Shifted together byte by byte, a megabyte of it would take minutes."""
    path = tmp_path / "model.onnx"
    path.write_bytes(b"\xff" * 1_000_000)
    started = time.perf_counter()
    assert oldest_runtime(path, "onnx") is None
    assert time.perf_counter() - started < 10


@given(cut=st.integers(0, 200))
def test_cut_onnx_files_end_in_an_answer(tmp_path_factory, cut):
    path = tmp_path_factory.getbasetemp() / "cut"
    path.write_bytes(identity(18, 10).SerializeToString()[:cut])
    assert isinstance(oldest_runtime(path, "onnx"), str | None)
