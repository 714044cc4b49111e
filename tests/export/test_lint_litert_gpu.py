"""The GPU accelerator's rules, and the same question asked of it on SwiftShader where that is
installed: what does it take, and is the result right?"""

from __future__ import annotations

import ctypes.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from lolvit_export.lint import ACCELERATORS, lint, read
from tests.export import lint_gpu_probe
from tests.export.lint_tflite import (
    MAP,
    RELU,
    SIGN_BIT,
    Op,
    Value,
    binary,
    concatenation,
    const,
    conv,
    depthwise,
    gather,
    half_precision_conv,
    matmul,
    pad,
    pool,
    reduce,
    reshape,
    split,
    strided_slice,
    tflite,
    transpose,
    unary,
    weight,
)

SWIFTSHADER = Path("/usr/lib/chromium/vk_swiftshader_icd.json")
ADD = ("AddOptions", {})
NONE: tuple[tuple[int, int], ...] = ((0, 0),) * 4
# name: (file, the rule that it breaks, or None)
REFUSED: dict[str, tuple[bytes, str | None]] = {
    "relu": (unary("RELU"), None),
    "relu_rank_5": (unary("RELU", (1, 2, 4, 8, 16)), "rank"),
    "relu_of_a_batch": (unary("RELU", (4, 8, 8, 16)), None),
    "gelu": (unary("GELU", options=("GeluOptions", {"approximate": False})), None),
    "log_softmax": (unary("LOG_SOFTMAX"), "operator"),
    "broadcast_to": (
        tflite(Op("BROADCAST_TO", [Value((1, 8, 1, 16)), const(MAP)], [Value(MAP)],
                  ("BroadcastToOptions", {}), version=2)),
        "operator",
    ),
    "gather_nd": (
        tflite(Op("GATHER_ND", [Value(MAP), const([[0, 1], [0, 3]])], [Value((2, 8, 16))],
                  ("GatherNdOptions", {}))),
        "operator",
    ),
    "head_split_of_rank_5": (reshape(MAP, (1, 8, 8, 2, 8)), "rank"),
    "transpose": (transpose(MAP, (0, 3, 1, 2)), None),
    "transpose_of_rank_5": (transpose((1, 2, 4, 8, 16), (0, 2, 1, 3, 4)), "rank"),
    "add_of_int64": (
        binary("ADD", Value(MAP, "int64"), Value(MAP, "int64"), options=ADD), "element-type",
    ),
    "mean_of_int32": (reduce("MEAN", dtype="int32"), "integers"),
    "mean": (reduce("MEAN"), None),
    "sum_of_columns": (reduce("SUM", (1, 2, 16, 64), 2), None),
    "mean_over_computed_axes": (reduce("MEAN", computed=True), "computed-parameter"),
    "matmul": (matmul(Value((1, 4, 16, 8)), Value((1, 4, 8, 12)), (1, 4, 16, 12)), None),
    "matmul_of_a_constant": (
        matmul(weight(1, 4, 16, 8), Value((1, 4, 8, 12)), (1, 4, 16, 12)), "constant-first",
    ),
    "gather": (gather([0, 3, 5]), None),
    "gather_one": (gather(3), "gather"),
    "slice_with_step_2": (
        strided_slice((0,) * 4, (1, 8, 8, 16), (1, 2, 2, 1), (1, 4, 4, 16)), None,
    ),
    "slice_backwards": (
        strided_slice((0, 7, 0, 0), (1, -9, 8, 16), (1, -1, 1, 1), MAP), "strided-slice",
    ),
    "slice_that_drops_an_axis": (
        strided_slice((0,) * 4, (1, 8, 8, 16), (1,) * 4, (8, 8, 16), shrinkAxisMask=1),
        "strided-slice",
    ),
    "pad": (pad(MAP, ((0, 0), (0, 1), (0, 1), (0, 0))), None),
    "pad_of_rank_2": (pad((64, 16), ((0, 4), (0, 0))), "pad"),
    "pad_symmetrically": (
        pad(MAP, ((0, 0), (1, 1), (1, 1), (0, 0)), "MIRROR_PAD", ("MirrorPadOptions", {"mode": 1})),
        "pad",
    ),
    "concatenation": (concatenation(9), None),
    "concatenation_then_relu": (concatenation(2, fused=RELU), "fused-activation"),
    "add_then_sign": (
        binary("ADD", Value(MAP), Value(MAP),
               options=("AddOptions", {"fusedActivationFunction": SIGN_BIT})), "fused-activation",
    ),
    "softmax": (unary("SOFTMAX", options=("SoftmaxOptions", {"beta": 1.0})), None),
    "softmax_with_beta": (
        unary("SOFTMAX", options=("SoftmaxOptions", {"beta": 2.0})), "softmax-beta",
    ),
    "split": (split(8), None),
    "pool": (pool("AVERAGE_POOL_2D", 4, 4), None),
    "half_precision_weights": (half_precision_conv(), None),
}  # fmt: skip
# Taken, and computed wrong where a rule is named.
WRONG: dict[str, tuple[bytes, str | None]] = {
    "matmul_with_adjoint_constant": (
        matmul(Value((1, 2, 16, 8)), weight(12, 8), (1, 2, 16, 12), adjY=True), "adjoint",
    ),
    "matmul_with_constant": (
        matmul(Value((1, 2, 16, 8)), weight(8, 12), (1, 2, 16, 12)), None,
    ),
    "matmul_of_two_batches": (
        matmul(Value((1, 4, 16, 8)), Value((1, 1, 8, 12)), (1, 4, 16, 12)), "broadcast-batch",
    ),
    "pad_batch": (pad(MAP, ((0, 1), *NONE[:3])), "batch-padding"),
    "pad_rank_3_of_a_batch": (pad((2, 6, 16), ((0, 0), (0, 2), (0, 0))), "batch-padding"),
    "pad_rank_3": (pad((1, 6, 16), ((0, 0), (0, 2), (0, 0))), None),
    "power_of_a_constant": (
        binary("POW", const(2.0, "float32"), Value(MAP)), "constant-base",
    ),
    "power": (binary("POW", Value(MAP), const(2.0, "float32")), None),
    "narrow_groups": (conv(channels=12, made=12, groups=4), "narrow-groups"),
    "wide_groups": (conv(channels=16, made=16, groups=4), None),
    "one_channel_each": (conv(channels=16, made=16, groups=16), None),
    "depthwise": (depthwise(weight(16)), None),
}  # fmt: skip


def write(content: bytes, folder: Path, name: str = "model") -> Path:
    path = folder / f"{name}.tflite"
    path.write_bytes(content)
    return path


def rules_of(content: bytes, folder: Path, severity: str = "finding") -> set[str]:
    found = lint(read(write(content, folder), "tflite"), ACCELERATORS["litert-gpu"])
    return {finding.rule for finding in found if finding.severity == severity}


BOTH = REFUSED | WRONG


@pytest.mark.parametrize(("content", "rule"), BOTH.values(), ids=list(BOTH))
def test_each_rule_finds_its_case_and_no_other(
    content: bytes, rule: str | None, tmp_path: Path
) -> None:
    assert rules_of(content, tmp_path) == ({rule} if rule else set())


def test_an_adjoint_beside_a_computed_operand_is_a_finding_too(tmp_path: Path) -> None:
    content = matmul(Value((1, 2, 16, 8)), Value((1, 2, 12, 8)), (1, 2, 16, 12), adjY=True)
    assert rules_of(content, tmp_path) == {"adjoint"}


def test_a_size_chosen_at_run_time_is_a_finding(tmp_path: Path) -> None:
    signature = (-1, 8, 8, 16)
    op = Op("RELU", [Value(MAP, signature=signature)], [Value(MAP, signature=signature)])
    assert rules_of(tflite(op), tmp_path) == {"dynamic-shape"}


def test_an_unknown_composite_is_a_finding(tmp_path: Path) -> None:
    content = tflite(Op("STABLEHLO_COMPOSITE", [Value(MAP)], [Value(MAP)]))
    assert rules_of(content, tmp_path) == {"composite"}


def test_what_depends_on_values_or_on_the_backend_is_advice(tmp_path: Path) -> None:
    total = reduce("SUM", (1, 2, 16, 64), 2)
    heads = matmul(Value((4, 16, 8)), Value((4, 8, 12)), (4, 16, 12))
    assert rules_of(total, tmp_path, "advice") == {"half-precision-sum"}
    assert rules_of(heads, tmp_path, "advice") == {"batch"}
    assert rules_of(heads, tmp_path) == set()


def test_every_rule_has_a_case() -> None:
    covered = {rule for _, rule in BOTH.values() if rule}
    elsewhere = {"composite", "dynamic-shape", "half-precision-sum", "batch"}
    assert covered | elsewhere == {rule.id for rule in ACCELERATORS["litert-gpu"].rules}


@pytest.fixture(scope="module")
def gpu(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, object]]:
    """What the accelerator says of each case: {name: {taken, error}}."""
    if not SWIFTSHADER.exists() or ctypes.util.find_library("vulkan") is None:
        pytest.skip("needs SwiftShader: apt-get install chromium libvulkan1")
    folder = tmp_path_factory.mktemp("gpu")
    paths = [write(content, folder, name) for name, (content, _) in BOTH.items()]
    done = subprocess.run(
        [sys.executable, lint_gpu_probe.__file__, *map(str, paths)],
        capture_output=True,
        text=True,
        env=os.environ | {"VK_ICD_FILENAMES": str(SWIFTSHADER)},
        check=True,
    )
    answers = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    return {Path(answer["path"]).stem: answer for answer in answers}


@pytest.mark.parametrize("name", REFUSED)
def test_the_accelerator_takes_what_has_no_finding_and_refuses_the_rest(
    name: str, gpu: dict[str, dict[str, object]]
) -> None:
    assert gpu[name]["taken"] == (REFUSED[name][1] is None)


@pytest.mark.parametrize("name", WRONG)
def test_the_accelerator_computes_right_what_has_no_finding_and_the_rest_wrong(
    name: str, gpu: dict[str, dict[str, object]]
) -> None:
    error = gpu[name]["error"]
    assert isinstance(error, float)
    assert (error > 0.1) == (WRONG[name][1] is not None)
    assert error > 0.1 or error < 1e-4
