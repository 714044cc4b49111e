"""The output of benchmark programs, parsed to milliseconds."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lolvit.errors import DeviceError, UserError
from lolvit_benchmarks.backends.android.program import (
    OUTPUT_PARSERS,
    ParsedOutput,
    find_parser,
    open_program,
)

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
    parser = find_parser(None, "android_aarch64_benchmark_model_plus_flex")
    assert parser.is_mean
    assert parser.parse(BENCHMARK_MODEL) == ParsedOutput(
        (pytest.approx(14.5752),), pytest.approx(5.685), pytest.approx(18.535)
    )


def test_onnxruntime_perf_test_is_read() -> None:
    parsed = find_parser("onnxruntime_perf_test", "anything").parse(PERF_TEST)
    assert parsed == ParsedOutput(
        (pytest.approx(25.0062),), pytest.approx(21.3741), pytest.approx(31)
    )


def test_a_regex_gives_every_match() -> None:
    parser = find_parser(r"regex:s:took ([\d.]+)", "own")
    assert parser.parse("took 0.5\ntook 0.25\n").samples == (500, 250)
    assert not parser.is_mean


def test_json_keys_are_looked_up_in_the_last_object() -> None:
    parser = find_parser("json:us:times.runs", "own")
    text = 'log {\n{"times": {"runs": [1]}}\n{"times": {"runs": [1500, 2000]}}\nbye\n'
    assert parser.parse(text).samples == (1.5, 2.0)


@pytest.mark.parametrize("how", ["regex:ms:a(b", "regex:ms:ab", "regex:h:(a)", "json:ms:", "json"])
def test_an_invalid_output_format_is_a_user_error(how: str) -> None:
    with pytest.raises(UserError):
        find_parser(how, "own")


def test_an_unknown_program_is_rejected_with_the_known_ones() -> None:
    with pytest.raises(UserError, match="benchmark_model, onnxruntime_perf_test, regex"):
        find_parser(None, "own")


@given(st.text(max_size=200))
def test_garbage_is_a_device_error(text: str) -> None:
    parsers = [
        *OUTPUT_PARSERS.values(),
        find_parser("regex:ms:=(.*)", ""),
        find_parser("json:ms:a.b", ""),
    ]
    for parser in parsers:
        with pytest.raises(DeviceError):
            parser.parse(f"{text}= nan")


@pytest.mark.parametrize("value", ["0", "-1", "nan", "1e999", "true", '"x"', "null", "{}", "[]"])
def test_invalid_times_are_rejected(value: str) -> None:
    with pytest.raises(DeviceError):
        find_parser("json:ms:t", "").parse(f'{{"t": {value}}}')


def _file(tmp_path: Path, content: bytes) -> Path:
    path = tmp_path / "benchmark_model"
    path.write_bytes(content)
    return path


def test_a_program_for_another_abi_is_rejected(tmp_path: Path) -> None:
    arm = b"\x7fELF" + bytes(14) + (183).to_bytes(2, "little")
    program = open_program(_file(tmp_path, arm), None, None)
    program.require_abi(["arm64-v8a"], "X")
    with pytest.raises(UserError, match="is built for arm64-v8a, but the phone runs x86_64"):
        program.require_abi(["x86_64"], "X")


@pytest.mark.parametrize("content", [b"", b"MZ", b"\x7fELF"])
def test_a_file_that_is_not_a_program_is_rejected(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(UserError, match="not a program"):
        open_program(_file(tmp_path, content), None, None)


@pytest.mark.parametrize("arguments", ["--x={model}", "{artifact", "'{artifact}", "{}", "{0}", "x",
                                       "{artifact.x}"])  # fmt: skip
def test_an_invalid_template_is_a_user_error(tmp_path: Path, arguments: str) -> None:
    with pytest.raises(UserError, match="--binary-args"):
        open_program(_file(tmp_path, b"#!/system/bin/sh\n"), arguments, None)
