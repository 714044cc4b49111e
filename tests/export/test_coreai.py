"""Core AI artifacts: equal to eager PyTorch and to Core ML's interpreter in Apple's own runtime."""

from __future__ import annotations

import copy
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import lolvit
from lolvit.errors import DeviceError, LolvitError, UserError
from lolvit.manifest import Artifact, TensorSpec
from lolvit_export.capture import capture
from lolvit_export.lowering.request import LoweringRequest
from lolvit_export.targets import find_lowering
from lolvit_runtimes import probe
from lolvit_runtimes.preprocessing import Pixels, normalize, to_input
from lolvit_runtimes.table import require_runtime
from lolvit_runtimes.worker.isolated import IsolatedSession, check_bare
from tests.export import small_net

pytest.importorskip("coreai", reason="Core AI's packages are not installed")


@pytest.fixture(scope="module")
def fp32(model: nn.Module, folder: Path) -> Artifact:
    return small_net.lower(model, "coreai", folder)


@pytest.fixture(scope="module")
def crops() -> tuple[Pixels, ...]:
    return small_net.digits(12, "test")[0]


def logits(path: Path, artifact: Artifact, crops: Sequence[Pixels]) -> list[np.ndarray]:
    inputs = [to_input(crop, small_net.PREPROCESS, artifact.image) for crop in crops]
    with closing(IsolatedSession("coreai", path, artifact)) as session:
        return [session.run({"image": image})["logits"] for image in inputs]


def eager(model: nn.Module, crops: Sequence[Pixels]) -> list[np.ndarray]:
    exact = copy.deepcopy(model).double()
    with torch.no_grad():
        images = [torch.from_numpy(normalize(crop, small_net.PREPROCESS)) for crop in crops]
        return [exact(image.double()).numpy() for image in images]


def test_the_artifact_equals_eager_and_core_ml(model, fp32, folder, crops) -> None:
    found = logits(folder / fp32.path, fp32, crops)
    assert small_net.snr_db(eager(model, crops), found) >= 110
    coreml = small_net.lower(model, "coreml", folder)
    same = small_net.logits("coreml-reference", folder / coreml.path, coreml, crops)
    assert small_net.snr_db(same, found) >= 100


def test_half_precision_keeps_its_input_and_outputs_in_float32(model, tmp_path, crops) -> None:
    request = LoweringRequest(
        tmp_path, "coreai", ("fp32", "fp16"), small_net.SIGNATURE, small_net.PREPROCESS
    )
    single, half = find_lowering("coreai")(capture(model, (32, 32)), request)
    assert half.inputs == single.inputs and half.outputs == single.outputs
    sizes = [(each.path / "main.mlirb").stat().st_size for each in (single, half)]
    assert sizes[1] < 0.75 * sizes[0]
    artifact = Artifact(
        path=half.path.name, format="coreai", precision="fp16", sha256="0" * 64, bytes=1,
        inputs=half.inputs, outputs=half.outputs,
    )  # fmt: skip
    snr = small_net.snr_db(eager(model, crops), logits(half.path, artifact, crops))
    assert 45 < snr < 90  # above, it would not be half precision


def test_no_path_of_a_source_file_is_stored(fp32, folder) -> None:
    program = (folder / fp32.path / "main.mlirb").read_bytes()
    assert b".py" not in program and Path(__file__).parts[1].encode() not in program


class Outputs(nn.Module):
    """Outputs of every type that Core AI narrows or keeps."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(3, 4, 3, 2, 1)

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        x = self.convolution(image)
        scaled = x * torch.arange(4, dtype=torch.float32).reshape(1, 4, 1, 1)  # names its type
        return {
            "classes": x.argmax(1), "mask": x > 0, "mean": scaled.mean((2, 3)),
            "wide": x.mean((2, 3)).double(),
        }  # fmt: skip


def test_outputs_of_64_bits_have_32(tmp_path) -> None:
    torch.manual_seed(0)
    model, targets = Outputs().eval(), ["coreai"]
    exported = lolvit.export(
        model, size=32, targets=targets, precision=["fp32", "fp16"], out=tmp_path
    )
    for artifact in exported.manifest.artifacts:
        types = {spec.name: spec.dtype for spec in artifact.outputs}
        assert types == {
            "classes": "int32", "mask": "bool", "mean": "float32", "wide": "float32"
        }  # fmt: skip
        passed = {gate.name for gate in artifact.gates if gate.passed}
        assert {name for name in passed if name.startswith("coreai.")} == {
            "coreai.classes.equal", "coreai.mask.equal", "coreai.mean.snr_db",
            "coreai.wide.snr_db",
        }  # fmt: skip
    assert exported.manifest.tools["coreai-core"] == "1.0.0b3"


class Named(nn.Module):
    def __init__(self, part: nn.Module) -> None:
        super().__init__()
        self.stem, self.part = nn.Conv2d(3, 8, 3, 2, 1), part

    def forward(self, image: Tensor) -> Tensor:
        return self.part(self.stem(image)).mean((2, 3))


class Gamma(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.lgamma(x.abs() + 1)


@pytest.mark.parametrize(
    ("part", "reason"),
    [
        (Gamma(), "at operation aten.lgamma.default in 'part': it has no conversion"),
        (
            nn.AvgPool2d(3, 2, 1, ceil_mode=True),
            "at operation aten.avg_pool2d.default in 'part': ",
        ),
    ],
)
def test_a_model_that_cannot_be_converted_names_the_operation(part, reason, tmp_path) -> None:
    with pytest.raises(LolvitError) as caught:
        lolvit.export(Named(part).eval(), size=32, targets="coreai", out=tmp_path)
    assert f"coreai: its converter cannot convert the model: {reason}" in str(caught.value)
    assert caught.value.exit_code == 2
    assert not list(tmp_path.iterdir())


def test_a_model_without_a_manifest_is_described_from_its_file(fp32, folder, crops) -> None:
    path = folder / fp32.path
    assert check_bare(path) == "coreai"
    with closing(IsolatedSession("coreai", path)) as session:
        assert (session.inputs, session.outputs) == (fp32.inputs, fp32.outputs)
        image = to_input(crops[0], small_net.PREPROCESS, fp32.image)
        found = session.run({"image": image})["logits"]
        assert session.options()["threads"] == "chosen by Core AI"
    np.testing.assert_array_equal(found, logits(path, fp32, crops[:1])[0])


def damaged(folder: Path, artifact: Artifact, out: Path, *, rehash: bool) -> Path:
    """Copy an artifact with half of its program; with `rehash`, its hash says that it is whole."""
    path = shutil.copytree(folder / artifact.path, out / artifact.path)
    program = path / "main.mlirb"
    program.write_bytes(program.read_bytes()[: program.stat().st_size // 2])
    if rehash:
        (path / "main.hash").write_bytes(hashlib.sha256(program.read_bytes()).digest())
    return path


def test_a_cut_program_is_rejected_before_native_code_reads_it(fp32, folder, tmp_path) -> None:
    path = damaged(folder, fp32, tmp_path, rehash=False)
    for refuse in (check_bare, lambda path: IsolatedSession("coreai", path, fp32)):
        with pytest.raises(DeviceError, match=r"does not match main\.hash: it was cut or changed"):
            refuse(path)


def test_a_program_that_crashes_the_runtime_is_one_line(fp32, folder, tmp_path) -> None:
    path = damaged(folder, fp32, tmp_path, rehash=True)
    with pytest.raises(DeviceError, match=r"the runtime crashed|Core AI cannot open it") as caught:
        IsolatedSession("coreai", path, fp32)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["main.mlirb", "main.hash"])
def test_an_incomplete_folder_is_rejected(name, fp32, folder, tmp_path) -> None:
    path = shutil.copytree(folder / fp32.path, tmp_path / fp32.path)
    (path / name).rename(tmp_path / name)
    with pytest.raises(DeviceError, match=rf"not a Core AI model: it has no {name}"):
        check_bare(path)
    (path / name).symlink_to(tmp_path / name)  # a link out of the folder is no part of it
    with pytest.raises(DeviceError, match=rf"it has no {name}"):
        check_bare(path)


def test_a_manifest_that_states_another_shape_is_rejected(fp32, folder) -> None:
    wrong = fp32.image.model_copy(update={"shape": (1, 3, 16, 16)})
    forged = fp32.model_copy(update={"inputs": (wrong,)})
    with pytest.raises(DeviceError, match=r"its manifest has float32 \(1, 3, 16, 16\)"):
        IsolatedSession("coreai", folder / fp32.path, forged)
    other = TensorSpec(name="scores", shape=(1, 10), layout="NC", meaning="logits")
    with pytest.raises(DeviceError, match="it has no output 'scores' but 'logits'"):
        IsolatedSession("coreai", folder / fp32.path, fp32.model_copy(update={"outputs": (other,)}))


RUN = """
import sys
from contextlib import closing
from pathlib import Path
import numpy as np
from lolvit_runtimes.worker.isolated import IsolatedSession
with closing(IsolatedSession("coreai", Path(sys.argv[1]))) as session:
    session.run({"image": np.zeros(session.inputs[0].shape, np.float32)})
"""


def test_nothing_is_left_in_the_home_or_temporary_folder(fp32, folder, tmp_path) -> None:
    homes = {name: tmp_path / name for name in ("HOME", "TMPDIR", "XDG_CACHE_HOME")}
    for home in homes.values():
        home.mkdir()
    environment = os.environ | {name: str(home) for name, home in homes.items()}
    command = [sys.executable, "-c", RUN, str(folder / fp32.path)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert {name: list(home.iterdir()) for name, home in homes.items()} == {
        name: [] for name in homes
    }


@pytest.mark.parametrize(
    ("system", "libc", "found"),
    [
        ("Linux", ("glibc", "2.31"), "this is glibc 2.31"),
        ("Linux", ("", ""), "this is another libc"),
        ("Windows", ("", ""), "this is Windows"),
    ],
)
def test_a_system_that_core_ai_does_not_support_is_named(system, libc, found, monkeypatch) -> None:
    monkeypatch.setattr("platform.system", lambda: system)
    monkeypatch.setattr("platform.libc_ver", lambda: libc)
    with pytest.raises(UserError, match=rf"needs Linux with glibc 2\.34, or macOS; {found}"):
        require_runtime("coreai")
    status = {status.id: status for status in probe.runtime_status()}["coreai"]
    assert not status.ready and found in status.reason


def test_the_packages_are_pinned_to_the_versions_that_were_tested() -> None:
    """They are betas: a later one may write another format."""
    text = (Path(__file__).parents[2] / "pyproject.toml").read_text()
    for name in ("coreai-core", "coreai-torch"):
        assert f'"{name}=={probe.installed(name)};' in text
