"""The reference interpreter gives eager PyTorch's numbers from the saved package alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
import torch.nn.functional as F
from torch import nn

from lolvit.errors import DeviceError
from lolvit_runtimes import coreml_reference
from lolvit_runtimes.coreml_reference import CoreMLReferenceSession
from lolvit_runtimes.coreml_tools import coremltools as ct
from lolvit_runtimes.mil_operations.program import prepare
from lolvit_runtimes.mil_package import read_package
from lolvit_runtimes.session import open_session
from tests.runtimes.coreml_packages import (
    Formula,
    capture,
    describe,
    operations,
    run,
    save,
    snr_db,
)
from tests.sessions import run_image

SIDE, CLASSES = 48, 10
SCALE, BIAS = 1 / (255 * 0.25), [-2.0, -1.8, -1.6]
FLOORS_DB = {"fp32": 90, "fp16": 45}


class Hybrid(nn.Module):
    """A light hybrid: convolutions, hard activations, ragged pooling, ReLU attention."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, 16, 3, 2, 1, bias=False), nn.BatchNorm2d(16), nn.Hardswish(),
            nn.Conv2d(16, 16, 3, 1, 1, groups=16), nn.ReLU6(),
        )  # fmt: skip
        self.qkv = nn.Conv2d(16, 48, 1)
        self.mix = nn.Sequential(nn.Conv2d(32, 24, 1), nn.Hardsigmoid(), nn.MaxPool2d(2))
        self.head = nn.Linear(24, CLASSES)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        x = self.stem(image)  # (1, 16, 24, 24)
        query, key, value = self.qkv(x).chunk(3, 1)
        key, value = (F.avg_pool2d(t, 5, 5, ceil_mode=True).flatten(2) for t in (key, value))
        scores = F.relu(query.flatten(2).transpose(1, 2) @ key / 4)  # (1, 576, 25)
        attention = scores / (scores.sum(-1, keepdim=True) + 1e-3)
        mixed = (attention @ value.transpose(1, 2)).transpose(1, 2).reshape(x.shape)
        return self.head(self.mix(torch.cat([x, mixed], 1)).mean((2, 3)))


def image_input(side: int, scale: float, bias: list[float]) -> dict[str, Any]:
    """Return the options that make the input an RGB image of pixels."""
    shape = (1, 3, side, side)
    layout = ct.colorlayout.RGB
    image = ct.ImageType(name="image", shape=shape, scale=scale, bias=bias, color_layout=layout)
    return {"inputs": [image], "outputs": [ct.TensorType(name="logits")]}


@pytest.fixture(scope="module")
def hybrid() -> nn.Module:
    torch.manual_seed(0)
    return Hybrid().eval()


@pytest.fixture(scope="module")
def hybrid_packages(hybrid, tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("hybrid")
    program = capture(hybrid, (1, 3, SIDE, SIDE))
    options = image_input(SIDE, SCALE, BIAS)
    return {p: save(program, p, folder / f"{p}.mlpackage", **options) for p in FLOORS_DB}


@pytest.fixture(scope="module")
def pixels() -> np.ndarray:
    generator = np.random.default_rng(0)
    return generator.integers(0, 256, (1, 3, SIDE, SIDE)).astype(np.float32)


def opened(path: Path, precision: str = "fp32", threads: int = 1) -> CoreMLReferenceSession:
    artifact = describe((1, 3, SIDE, SIDE), (1, CLASSES), precision, "pixels")
    return CoreMLReferenceSession(path, artifact, threads=threads)


def half_program(formula: Any, folder: Path, shape: tuple[int, ...], *parts: nn.Module) -> Path:
    return save(capture(Formula(formula, *parts), shape), "fp16", folder / "half.mlpackage")


@pytest.mark.parametrize("precision", FLOORS_DB)
def test_scale_and_bias_of_an_image_input_apply_to_raw_pixels(
    precision, hybrid, hybrid_packages, pixels
):
    bias = torch.tensor(BIAS).view(1, 3, 1, 1)
    with torch.no_grad():
        expected = hybrid(torch.from_numpy(pixels) * SCALE + bias).numpy()
    found = run_image(opened(hybrid_packages[precision], precision), pixels)
    assert found.dtype == np.float32
    assert snr_db(expected, found) >= FLOORS_DB[precision]


def test_fp16_rounds_the_result_of_every_operation(tmp_path):
    shape = (1, 4, 8, 8)
    path = half_program(lambda x: (x + x.mean(1, keepdim=True)) * 1.7 - x, tmp_path, shape)
    image = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    x = image.astype(np.float16)
    mean = x.astype(np.float32).mean(1, keepdims=True).astype(np.float16)
    expected = (x + mean) * np.float16(1.7) - x  # numpy rounds each step to float16
    np.testing.assert_array_equal(run(path, image, shape), expected.astype(np.float32))


def test_fp16_overflows_to_infinity_and_keeps_subnormals(tmp_path):
    shape = (1, 1, 1, 4)
    path = half_program(lambda x: x * x, tmp_path, shape)
    image = np.array([300, 255, 2e-3, 1e-5], np.float32).reshape(shape)
    found = run(path, image, shape).ravel()
    assert found[0] == np.inf
    np.testing.assert_array_equal(found[1:], [65024, np.float16(4e-6), 0])


def test_fp16_convolution_sums_in_float32_and_rounds_once(tmp_path):
    torch.manual_seed(0)
    convolution, shape = nn.Conv2d(64, 8, 3), (1, 64, 9, 9)
    path = half_program(lambda x, m: m(x), tmp_path, shape, convolution)
    image = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    weight, bias = (p.detach().half().float() for p in (convolution.weight, convolution.bias))
    exact = F.conv2d(torch.from_numpy(image).half().double(), weight.double(), bias.double())
    found = run(path, image, tuple(exact.shape))
    np.testing.assert_array_equal(found, found.astype(np.float16))
    unit = np.spacing(np.abs(exact.numpy()).astype(np.float16)).astype(np.float64)
    assert (np.abs(found - exact.numpy()) <= 0.501 * unit).all()


@pytest.mark.parametrize(
    "scheme", ["affine_dequantize", "blockwise_shift_scale", "lut_to_dense", "sparse_to_dense"]
)
def test_compressed_weights_are_expanded(scheme, hybrid, pixels, tmp_path):
    compress = ct.optimize.coreml
    configure = {
        "affine_dequantize": (compress.linear_quantize_weights, compress.OpLinearQuantizerConfig),
        "blockwise_shift_scale": (
            compress.linear_quantize_weights,
            compress.OpLinearQuantizerConfig,
        ),
        "lut_to_dense": (compress.palettize_weights, compress.OpPalettizerConfig),
        "sparse_to_dense": (compress.prune_weights, compress.OpThresholdPrunerConfig),
    }
    settings = {
        "affine_dequantize": {"weight_threshold": 0},
        "blockwise_shift_scale": {"weight_threshold": 0, "dtype": "int4"},
        "lut_to_dense": {"mode": "uniform", "nbits": 4, "weight_threshold": 0},
        "sparse_to_dense": {"threshold": 0.1, "weight_threshold": 0},
    }
    function, config = configure[scheme]
    options = image_input(SIDE, SCALE, BIAS)
    model = ct.convert(
        capture(hybrid, (1, 3, SIDE, SIDE)),
        minimum_deployment_target=ct.target.iOS18 if "blockwise" in scheme else ct.target.iOS16,
        skip_model_load=True,
        **options,
    )
    small = function(model, compress.OptimizationConfig(config(**settings[scheme])))
    plain = compress.decompress_weights(small)
    for name, saved in (("small", small), ("plain", plain)):
        saved.save(str(tmp_path / f"{name}.mlpackage"))
    assert operations(tmp_path / "small.mlpackage")[f"constexpr_{scheme}"] >= 3
    found = run_image(opened(tmp_path / "small.mlpackage"), pixels)
    np.testing.assert_array_equal(found, run_image(opened(tmp_path / "plain.mlpackage"), pixels))


def test_unknown_operations_are_named_when_opening(tmp_path):
    formula = Formula(lambda x: torch.where(x > 0, torch.rand_like(x), torch.randn_like(x)))
    path = save(capture(formula, (1, 3, 4, 4)), "fp32", tmp_path / "unknown.mlpackage")
    message = r"does not support: random_normal 'random_normal_0', random_uniform '.*_0'; "
    with pytest.raises(DeviceError, match=message) as caught:
        CoreMLReferenceSession(path, describe((1, 3, 4, 4), (1, 3, 4, 4)))
    assert str(path) in caught.value.line()


def test_failing_operation_is_named(hybrid_packages, pixels, monkeypatch):
    session = opened(hybrid_packages["fp32"])
    step = next(step for step in session._program.steps if step.title.startswith("max_pool"))
    object.__setattr__(step, "function", lambda **_: torch.zeros(1, 2))
    with pytest.raises(
        DeviceError, match=r"operation max_pool '.*' returned shapes \(\(1, 2\),\), the program has"
    ):
        run_image(session, pixels)


@pytest.mark.parametrize("wrong", [(1, 3, SIDE, SIDE + 1), (3, SIDE, SIDE), (2, 3, SIDE, SIDE)])
def test_input_of_another_shape_is_rejected(wrong, hybrid_packages):
    with pytest.raises(DeviceError, match="the artifact takes float32"):
        run_image(opened(hybrid_packages["fp32"]), np.zeros(wrong, np.float32))


def test_manifest_of_another_model_is_rejected(hybrid_packages):
    path, image = hybrid_packages["fp32"], (1, 3, SIDE, SIDE)
    with pytest.raises(DeviceError, match=r"inputs are .*\(1, 3, 48, 48\).*, the manifest has"):
        CoreMLReferenceSession(path, describe((1, 3, 64, 64), (1, CLASSES)))
    with pytest.raises(DeviceError, match=r"outputs are .*1, 10.*manifest has .*1, 11"):
        CoreMLReferenceSession(path, describe(image, (1, 11)))


@pytest.mark.parametrize("precision", FLOORS_DB)
def test_session_reports_its_options(precision, hybrid_packages):
    session = opened(hybrid_packages[precision], precision, threads=2)
    assert session.options() == {
        "precision": precision,
        "accumulation": "float32",
        "threads": "2",
    }
    counted = operations(hybrid_packages[precision]).total()
    assert session.placement() == {"interpreter": counted}
    assert (session.runtime, session.version) == ("coreml-reference", ct.__version__)


def test_session_is_found_by_its_name(hybrid_packages, pixels):
    artifact = describe((1, 3, SIDE, SIDE), (1, CLASSES), meaning="pixels")
    session = open_session("coreml-reference", hybrid_packages["fp32"], artifact)
    first = run_image(session, pixels)
    kept = first.copy()
    run_image(session, 255 - pixels)
    np.testing.assert_array_equal(first, kept)
    session.close()


def test_threads_of_the_process_are_put_back(hybrid_packages, pixels, monkeypatch):
    session, before, asked = opened(hybrid_packages["fp32"], threads=3), torch.get_num_threads(), []
    monkeypatch.setattr(coreml_reference.torch, "set_num_threads", asked.append)
    run_image(session, pixels)
    assert asked == [3, before]
    monkeypatch.undo()
    with pytest.raises(DeviceError, match="input 'image' is"):
        run_image(session, pixels[:, :1])
    assert torch.get_num_threads() == before


def test_values_are_let_go_after_their_last_use(hybrid_packages, pixels):
    program = prepare(read_package(hybrid_packages["fp32"]).load_main())
    slots = list(program.constants)
    ((image, _),) = program.inputs.values()
    slots[image] = torch.from_numpy(pixels)
    held = []
    for step in program.steps:
        step.run(slots)
        held.append(
            sum(s is not None for s in slots) - sum(c is not None for c in program.constants)
        )
    assert held[-1] == 1
    assert max(held) <= 5


@pytest.fixture(scope="module")
def mobilevit() -> nn.Module:
    torch.manual_seed(0)
    return timm.create_model("mobilevit_xxs").eval()


@pytest.mark.slow
@pytest.mark.parametrize("precision", FLOORS_DB)
def test_mobilevit_equals_eager_on_photos(precision, mobilevit, photos, tmp_path):
    program = capture(mobilevit, (1, 3, 256, 256))
    options = image_input(256, 1 / 255, [0.0, 0.0, 0.0])
    path = save(program, precision, tmp_path / "mobilevit.mlpackage", **options)
    artifact = describe((1, 3, 256, 256), (1, 1000), precision, "pixels")
    session = CoreMLReferenceSession(path, artifact)
    for name in ("astronaut", "coffee"):
        levels = np.asarray(photos[name].resize((256, 256)), np.float32)
        image = np.ascontiguousarray(levels.transpose(2, 0, 1)[np.newaxis])
        with torch.no_grad():
            expected = mobilevit(torch.from_numpy(image) / 255).numpy()
        assert snr_db(expected, run_image(session, image)) >= FLOORS_DB[precision]
