"""What benchmark programs print, read as milliseconds."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lolvit.errors import DeviceError, UserError
from lolvit_benchmarks.backends.android.output import READERS, Timed, reader_for
from lolvit_benchmarks.backends.android.program import open_program

BENCHMARK_MODEL = """STARTING!
Log parameter values verbosely: [0]
INFO: Initialized TensorFlow Lite runtime.
The input model file size (MB): 9.31
Initialized session in 5.685ms.
count=4 first=18535 curr=14471 min=14321 max=18535 avg=15462.3 std=1780
count=50 first=14507 curr=14538 min=14409 max=15171 avg=14575.2 std=148
Inference timings in us: Init: 5685, First inference: 18535, Warmup (avg): 15462.3, \
Inference (avg): 14575.2
"""
PERF_TEST = """Configuration intra_op_num_threads to 1
Session creation time cost: 0.0213741 s
First inference time cost: 31 ms
Total inference time cost: 1.25031 s
Total inference requests: 50
Average inference time cost: 25.0062 ms
P90 Latency: 0.0261 s
"""


def test_benchmark_model_is_read_in_microseconds() -> None:
    reader = reader_for(None, "android_aarch64_benchmark_model_plus_flex")
    assert reader.means
    assert reader.read(BENCHMARK_MODEL) == Timed(
        (pytest.approx(14.5752),), pytest.approx(5.685), pytest.approx(18.535)
    )


def test_onnxruntime_perf_test_is_read() -> None:
    read = reader_for("onnxruntime_perf_test", "anything").read(PERF_TEST)
    assert read == Timed((pytest.approx(25.0062),), pytest.approx(21.3741), pytest.approx(31))


def test_a_pattern_of_the_users_gives_every_time_that_it_finds() -> None:
    reader = reader_for(r"regex:s:took ([\d.]+)", "own")
    assert reader.read("took 0.5\ntook 0.25\n").samples == (500, 250)
    assert not reader.means


def test_keys_of_the_users_are_followed_into_the_last_object() -> None:
    reader = reader_for("json:us:times.runs", "own")
    text = 'log {\n{"times": {"runs": [1]}}\n{"times": {"runs": [1500, 2000]}}\nbye\n'
    assert reader.read(text).samples == (1.5, 2.0)


@pytest.mark.parametrize("how", ["regex:ms:a(b", "regex:ms:ab", "regex:h:(a)", "json:ms:", "json"])
def test_a_wrong_way_to_read_is_the_users(how: str) -> None:
    with pytest.raises(UserError):
        reader_for(how, "own")


def test_an_unknown_program_is_refused_with_what_is_known() -> None:
    with pytest.raises(UserError, match="benchmark_model, onnxruntime_perf_test, regex"):
        reader_for(None, "own")


@given(st.text(max_size=200))
def test_garbage_is_a_device_that_failed(text: str) -> None:
    readers = [*READERS.values(), reader_for("regex:ms:=(.*)", ""), reader_for("json:ms:a.b", "")]
    for reader in readers:
        with pytest.raises(DeviceError):
            reader.read(f"{text}= nan")


@pytest.mark.parametrize("value", ["0", "-1", "nan", "1e999", "true", '"x"', "null", "{}", "[]"])
def test_what_is_no_time_is_not_taken_for_one(value: str) -> None:
    with pytest.raises(DeviceError):
        reader_for("json:ms:t", "").read(f'{{"t": {value}}}')


def _file(tmp_path: Path, content: bytes) -> Path:
    path = tmp_path / "benchmark_model"
    path.write_bytes(content)
    return path


def test_a_program_is_reported_by_its_processor(tmp_path: Path) -> None:
    arm = b"\x7fELF" + bytes(14) + (183).to_bytes(2, "little")
    program = open_program(_file(tmp_path, arm), None, None)
    program.require_abi(["arm64-v8a"], "X")
    with pytest.raises(UserError, match="is built for arm64-v8a, the phone runs x86_64"):
        program.require_abi(["x86_64"], "X")


@pytest.mark.parametrize("content", [b"", b"MZ", b"\x7fELF"])
def test_what_is_no_program_is_refused(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(UserError, match="no program"):
        open_program(_file(tmp_path, content), None, None)


@pytest.mark.parametrize("arguments", ["--x={model}", "{artifact", "'{artifact}", "{}", "{0}", "x",
                                       "{artifact.x}"])  # fmt: skip
def test_a_wrong_template_is_the_users(tmp_path: Path, arguments: str) -> None:
    with pytest.raises(UserError, match="--binary-args"):
        open_program(_file(tmp_path, b"#!/system/bin/sh\n"), arguments, None)
