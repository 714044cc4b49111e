"""Every device in one table, where a measurement, an estimate and an emulation stay apart."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lolvit.manifest import Gate, Manifest, read_manifest
from lolvit.verification import RuntimeFailure, VerificationDocument
from lolvit_benchmarks.reporting import matrix
from lolvit_benchmarks.reporting.html import as_html
from lolvit_benchmarks.reporting.table import as_markdown
from lolvit_benchmarks.results.document import DeviceInfo, Estimate, Failure, ModelEstimate
from tests.benchmarks import documents
from tests.benchmarks.chromium_page import needs_chromium, opened_page
from tests.conftest import Run

BROWSER = DeviceInfo(id="browser", kind="browser", name="Chromium 140, SwiftShader", software=True)


@pytest.fixture
def manifest(fast: Path) -> Manifest:
    return read_manifest(fast)


def model_estimate(model: str, ms: float) -> ModelEstimate:
    return ModelEstimate(
        model=model, size=(256, 256), params=2_300_000, macs=155_000_000, trained=False,
        artifact="model-int8.qnn.onnx", artifact_sha256="2" * 64, ms=ms, placement={"HTP": 90},
    )  # fmt: skip


def estimate(**changes: object) -> Estimate:
    fields: dict[str, object] = {
        "device": DeviceInfo(id="qnn-estimate:57", kind="npu", name="a chip", software=False),
        "runtime": "qnn", "runtime_version": "2.7.0", "source": "the vendor's compiler",
        "precision": "int8", "candidate": model_estimate("lolvit_x", 0.5),
        "baseline": model_estimate("mobilevit_xs", 4.0), "ratio": 8.0,
    }  # fmt: skip
    return Estimate.model_validate(fields | changes)


def verified(manifest: Manifest, *gates: Gate, device: str = "arm64") -> VerificationDocument:
    artifact = manifest.artifacts[0].model_copy(update={"gates": gates})
    return VerificationDocument(
        device=device, folder="out", model="lolvit_x", task="classification",
        size=(256, 256), params=1, macs=1, trained=False, artifacts=(artifact,),
        failures=(RuntimeFailure(artifact="model-fp16.onnx", error="it crashed with SIGILL"),),
    )  # fmt: skip


def rows_of(grid: object) -> list[tuple[str, ...]]:
    assert isinstance(grid, matrix.Grid)
    return list(grid.rows)


def test_results_of_this_machine_alone_need_no_such_table() -> None:
    assert matrix.grid([documents.document()]) is None


def test_a_measurement_elsewhere_has_its_interval_and_says_that_the_gpu_is_software() -> None:
    there = documents.result(device="browser", device_info=BROWSER, runtime="ort-web-webgpu")
    (here, row) = rows_of(matrix.grid([documents.document(documents.result(), there)]))
    assert here[0] == "host: Some CPU"
    assert row[0] == "browser: Chromium 140, SwiftShader (in software)"
    assert row[4].startswith("8.0x (")
    assert row[5].startswith("measured, precise, ±")
    assert row[6] == "100% CPU"


def test_an_estimate_has_no_interval_and_is_called_one() -> None:
    document = documents.document().model_copy(
        update={"results": (), "estimates": (estimate(notes=("w8a8",)),)}
    )
    (row,) = rows_of(matrix.grid([document]))
    assert row[2:] == (
        "lolvit_x: 0.500 ms", "mobilevit_xs: 4.00 ms", "8.0x", "estimate", "100% HTP", "w8a8",
    )  # fmt: skip


def test_an_emulator_gives_decibels_and_no_time(manifest: Manifest) -> None:
    gates = (
        Gate(name="qnn.snr_db", value=52.4, threshold=45, passed=True),
        Gate(name="qnn.on_htp", value=0.5, threshold=1, passed=False),
    )
    row, refused = rows_of(matrix.grid([], [verified(manifest, *gates, device="qnn-emulator")]))
    assert row[2] == "lolvit_x: 52.4 dB"
    assert (row[3], row[4]) == ("–", "–")
    assert row[5] == "emulated: verified"
    assert row[6] == "50% HTP"
    assert "qnn.on_htp 0.5 < 1" in row[7]
    assert refused[-1] == "it crashed with SIGILL"


def test_an_empty_cell_has_its_reason() -> None:
    failure = Failure(device="adb:1234", what="the phone is at 41 °C")
    document = documents.document(failures=(failure,))
    assert rows_of(matrix.grid([document]))[-1][-1] == "the phone is at 41 °C"


def test_the_page_and_markdown_show_the_table(manifest: Manifest) -> None:
    document = documents.document().model_copy(update={"estimates": (estimate(),)})
    checks = [verified(manifest, Gate(name="ort.snr_db", value=119.0, threshold=100, passed=True))]
    for text in (as_html([document], [], [], checks), as_markdown([document], checks)):
        assert "Every device" in text
        assert "119.0 dB" in text
        assert "estimate" in text


def test_a_verification_alone_makes_a_page(
    run_lolvit: Run, manifest: Manifest, tmp_path: Path
) -> None:
    found = verified(manifest, Gate(name="ort.snr_db", value=119.0, threshold=100, passed=True))
    path, page = tmp_path / "arm64.json", tmp_path / "page.html"
    path.write_text(json.dumps(found.model_dump(mode="json")))
    done = run_lolvit("report", "--verified", path, "--out", page)
    assert done.returncode == 0, done.stderr
    assert "119.0 dB" in page.read_text()


def test_nothing_to_show_is_reported_in_one_line(run_lolvit: Run, tmp_path: Path) -> None:
    done = run_lolvit("report", "--out", tmp_path / "page.html")
    assert done.returncode == 2
    assert "nothing to show" in done.stderr


@needs_chromium
@pytest.mark.parametrize("width", [360, 1280])
def test_the_table_fits_its_page(width: int, manifest: Manifest, tmp_path: Path) -> None:
    gate = Gate(name="ort-arm64-a76.snr_db", value=120.0, threshold=100, passed=True)
    shown = documents.document(documents.result(), estimates=(estimate(),))
    path = tmp_path / "devices.html"
    path.write_text(as_html([shown], [], [], [verified(manifest, gate)]))
    with opened_page() as page:
        page.resize(width, 800)
        page.send("Page.navigate", url=path.as_uri())
        page.until("document.readyState === 'complete' && document.querySelector('table.matrix')")
        table, place, whole = page.evaluate(
            "[document.querySelector('table.matrix').scrollWidth,"
            " document.querySelector('.broad').clientWidth, document.documentElement.scrollWidth]"
        )
    assert table <= place < whole <= width
