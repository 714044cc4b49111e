"""`lolvit verify --device arm64`: without its set-up one line, with it right numbers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lolvit.cli import main
from lolvit.errors import UserError
from lolvit.manifest import Manifest
from lolvit_export.targets import devices, find_target, runtimes_for
from lolvit_export.verification.verification import max_images
from lolvit_runtimes import arm64_parts

ON_ARM64 = [name for names in devices()["arm64"].values() for name in names]


def is_ready() -> bool:
    try:
        arm64_parts.read_inventory()
    except UserError:
        return False
    return True


needs_setup = pytest.mark.skipif(
    not is_ready(),
    reason="no emulated phone: run apt-get install qemu-user-static && lolvit setup arm64",
)


@pytest.mark.parametrize("name", devices()["arm64"])
def test_thresholds_on_a_phone_are_those_of_the_same_runtime_here(name: str) -> None:
    target = find_target(name)
    for runtime in target.runtimes["arm64"]:
        host = runtime.partition("-")[0]
        for precision in target.precisions:
            assert target.threshold(precision, runtime) == target.threshold(precision, host)


@pytest.mark.parametrize("format", devices()["arm64"])
def test_quantized_artifacts_are_verified_on_at_most_sixteen_images(format: str) -> None:
    assert max_images(runtimes_for(format, "arm64")) == 16


def test_a_missing_setup_is_reported_before_anything_runs(
    exported: tuple[Path, Manifest],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(arm64_parts, "emulator", lambda: "/usr/bin/qemu-aarch64-static")
    assert main(["verify", str(exported[0]), "--device", "arm64"]) == 2
    output = capfd.readouterr().err
    assert output.splitlines()[-1].endswith("are not installed; run: lolvit setup arm64")
    assert "eager" not in output


@needs_setup
@pytest.mark.slow
def test_both_runtimes_are_right_on_both_cores(
    exported: tuple[Path, Manifest], capfd: pytest.CaptureFixture[str]
) -> None:
    gates = {}
    for name in ("model-fp32.onnx", "model-fp32.tflite"):
        assert main(["verify", str(exported[0] / name), "--device", "arm64", "--json"]) == 0
        (artifact,) = json.loads(capfd.readouterr().out)["artifacts"]
        gates |= {gate["name"]: gate["passed"] for gate in artifact["gates"]}
    assert set(gates) == {f"{name}.{what}" for name in ON_ARM64 for what in ("snr_db", "top1")}
    assert all(gates.values())
