"""The server's answers to the page, and its validation of the page's messages."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from http import HTTPStatus
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lolvit.manifest import TensorSpec
from lolvit_benchmarks.backends.browser.agreement import (
    SNR_THRESHOLDS_DB,
    Selected,
    agreement,
    step_of,
)
from lolvit_benchmarks.backends.browser.exchange import (
    SILENCE_LIMIT_S,
    Ended,
    Exchange,
    Joined,
    Left,
    PageCase,
    Started,
)
from lolvit_benchmarks.backends.browser.page_session import (
    device_info,
    page_configurations,
    results_of,
)
from lolvit_benchmarks.harness.candidates import Configuration, InspectedCandidate
from lolvit_benchmarks.harness.inspection import Inspection
from lolvit_benchmarks.harness.prepare import Prepared, open_folder
from lolvit_benchmarks.harness.schedule import PROFILES, order_of
from tests.benchmarks import tiny

FIRST, SECOND = "a" * 32, "b" * 32
LOGITS = np.linspace(-1, 1, tiny.CLASSES, dtype=np.float32)[np.newaxis]
ABOUT = {"name": "Some Browser 1.0", "cores": 4, "isolated": True, "software_gpu": True,
         "details": {"gpu": "some"}}  # fmt: skip
NAMES = ("fast", "slow")


class Page:
    """A page whose messages the test chooses."""

    def __init__(self, exchange: Exchange, client: str = FIRST) -> None:
        self.exchange, self.client = exchange, client

    def send(self, kind: str, **content: Any) -> tuple[HTTPStatus, dict[str, Any]]:
        message = {"kind": kind, "client": self.client} | content
        return self.exchange.answer(json.dumps(message).encode())

    def hello(self) -> tuple[HTTPStatus, dict[str, Any]]:
        return self.send("hello", about=ABOUT)

    def ready(
        self, case: int = 0, names: tuple[str, ...] = NAMES, **changes: Any
    ) -> tuple[HTTPStatus, dict[str, Any]]:
        candidates = [loaded(name) | changes for name in names]
        return self.send(
            "ready", case=case, runtime_version="1.30.0", clock_us=5.0, candidates=candidates
        )

    def block(
        self,
        plan: dict[str, Any],
        index: int,
        case: int = 0,
        names: tuple[str, ...] = NAMES,
        **changes: Any,
    ) -> Any:
        first, burst = index * plan["rounds"], plan["burst"]
        rounds = [
            {"slots": [[name, [ms_of(name)] * burst] for name in order_of(names, number)],
             "probes": [500.0]}
            for number in range(first, first + plan["rounds"])
        ]  # fmt: skip
        content = {"case": case, "block": index, "at_s": 1.0 + index, "rounds": rounds}
        return self.send("block", **content | changes)


def loaded(name: str) -> dict[str, Any]:
    return {"name": name, "load_ms": 20.0, "first_ms": 5.0, "preprocess_ms": 3.0, "run_ms": 10.0,
            "outputs": outputs_of(LOGITS[0].tolist()), "options": {"threads": "1"},
            "placement": {}}  # fmt: skip


def outputs_of(logits: list[float]) -> dict[str, Any]:
    return {"logits": {"size": len(logits), "values": logits}}


def ms_of(name: str) -> float:
    return 10.0 if name == "fast" else 70.0


@pytest.fixture
def prepared(fast: Path, slow: Path) -> list[Prepared]:
    return [open_folder(fast), open_folder(slow)]


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def exchange(prepared: list[Prepared], clock: Clock) -> Exchange:
    """Two cases of the same two models."""
    inspection = Inspection(runtime_version="1", load_ms=1, first_ms=1, peak_memory_bytes=None,
                     placement={}, options={}, denormal_share=0.0)  # fmt: skip
    image = np.zeros((1, 3, tiny.SIDE, tiny.SIDE), np.float32)
    candidates = [
        InspectedCandidate(name, name, one, one.manifest.artifacts[0], image, 1.0, inspection)
        for name, one in zip(NAMES, prepared, strict=True)
    ]
    runtimes = ("ort-web-wasm", "ort-web-webgpu")
    cases = [
        PageCase(
            Configuration(runtime, "fp32", 1),
            candidates,
            {name: {"logits": LOGITS} for name in NAMES},
        )
        for runtime in runtimes
    ]
    return Exchange(cases, PROFILES["quick"], clock)


def page_events(exchange: Exchange) -> list[Any]:
    found = []
    while not exchange.events.empty():
        found.append(exchange.events.get())
    return found


def test_of_several_precisions_the_fastest_is_measured_again_and_alone_reported(
    exchange: Exchange,
) -> None:
    fast, slow = exchange.cases[0].candidates
    several = [
        replace(fast, name="fast", model="one"), replace(slow, name="slow", model="one"),
        replace(slow, name="other", model="two"),
    ]  # fmt: skip
    names = ("fast", "slow", "other")
    configuration = Configuration("ort-web-wasm", "best", 1)
    case = PageCase(configuration, several, {name: {"logits": LOGITS} for name in names})
    exchange = Exchange([case], PROFILES["default"])
    page = Page(exchange)
    page.hello()
    plan = page.ready(names=names)[1]["plan"]
    assert plan["blocks"] == PROFILES["quick"].blocks
    for block in range(plan["blocks"]):
        answer = page.block(plan, block, names=names)[1]
    assert answer == {"next": 0, "candidates": ["fast", "other"]}
    assert results_of(exchange.cases[0], exchange.about) == []
    assert page.hello()[1] == answer  # a page that was opened again measures the same
    names = ("fast", "other")
    plan = page.ready(names=names)[1]["plan"]
    assert plan["blocks"] == PROFILES["default"].blocks
    for block in range(plan["blocks"]):
        answer = page.block(plan, block, names=names)[1]
    assert answer == {"next": None}
    (result,) = results_of(exchange.cases[0], exchange.about)
    assert (result.candidate.model, result.baseline.model) == ("one", "two")
    assert result.candidate.slower_precisions_ms == {"fp32": 70.0}
    assert len(result.candidate.samples) == len(result.baseline.samples)


def test_a_page_is_led_through_all_cases_and_its_blocks_become_a_result(exchange: Exchange) -> None:
    page = Page(exchange)
    assert page.hello() == (HTTPStatus.OK, {"next": 0})
    for case in (0, 1):
        plan = page.ready(case)[1]["plan"]
        assert plan["orders"] == [
            ["fast", "slow", "slow", "fast"],
            ["slow", "fast", "fast", "slow"],
        ]
        for block in range(plan["blocks"]):
            status, answer = page.block(plan, block, case)
            assert status == HTTPStatus.OK
        assert answer == {"next": 1 if case == 0 else None}
    assert exchange.done
    seen = page_events(exchange)
    assert isinstance(seen[0], Joined) and isinstance(seen[1], Started)
    assert [one for one in seen if isinstance(one, Ended)] == [Ended(0), Ended(1)]
    (first,), (second,) = (results_of(case, exchange.about) for case in exchange.cases)
    assert (first.device, first.runtime_version) == ("browser", "1.30.0")
    assert first.speedup.ratio == pytest.approx(7)
    assert first.quality.state == "precise"
    assert first.candidate.peak_memory_bytes is None and first.conditions.others_cores is None
    assert first.candidate.load_ms == 20.0 and first.candidate.preprocess_ms == 3.0
    assert first.device_info is not None and not first.device_info.software
    assert second.device_info is not None and second.device_info.software
    assert any("software GPU" in note for note in second.notes)
    assert not any("software GPU" in note for note in first.notes)


def test_an_interrupted_case_is_kept_and_marked(exchange: Exchange) -> None:
    page = Page(exchange)
    page.hello()
    plan = page.ready()[1]["plan"]
    page.block(plan, 0)
    (found,) = results_of(exchange.cases[0], exchange.about)
    assert found.conditions.interrupted
    assert "interrupted" in [reason.code for reason in found.quality.reasons]
    assert len(found.candidate.samples) == plan["rounds"] * plan["burst"] * 2


def test_a_case_without_a_block_has_no_result(exchange: Exchange) -> None:
    assert results_of(exchange.cases[0], exchange.about) == []
    Page(exchange).hello()
    Page(exchange).ready()
    assert results_of(exchange.cases[0], exchange.about) == []


@pytest.mark.parametrize(
    ("logits", "reason"),
    [
        (
            (LOGITS[0] + 0.01).tolist(),
            r"SNR of its logits is \d\d\.\d dB, below the threshold of 100 dB",
        ),
        ([0.0] * tiny.CLASSES, "below the threshold of 100 dB"),
        (LOGITS[0].tolist()[:-1], "gave 9 logits, not 10"),
        ([], "gave 0 logits"),
        ([1e308] * tiny.CLASSES, r"SNR of its logits is -300\.0 dB"),
    ],
)
def test_an_artifact_with_other_logits_is_not_timed(
    exchange: Exchange, logits: list[float], reason: str
) -> None:
    page = Page(exchange)
    page.hello()
    status, answer = page.ready(outputs=outputs_of(logits))
    assert (status, answer) == (HTTPStatus.OK, {"next": 1})
    (ended,) = [one for one in page_events(exchange) if isinstance(one, Ended)]
    assert ended.reason is not None
    assert re.search(reason, ended.reason)


def dense(meaning: str, shape: tuple[int, ...], layout: str | None) -> TensorSpec:
    return TensorSpec.model_validate(
        {"name": meaning, "shape": shape, "layout": layout, "meaning": meaning}
    )


@pytest.mark.parametrize("layout", ["NCL", "NLC"])
def test_a_dead_class_of_a_detector_is_found_among_the_selected_values(
    prepared: list[Prepared], layout: str
) -> None:
    shape = (1, 80, 2100) if layout == "NCL" else (1, 2100, 80)
    scores = dense("scores", shape, layout)
    artifact = prepared[0].manifest.artifacts[0].model_copy(update={"outputs": (scores,)})
    expected = np.random.default_rng(0).random(shape, np.float32)
    step = step_of(scores)
    assert len(expected.ravel()[::step]) <= 5000

    def problem(found: np.ndarray) -> str | None:
        given = {"scores": Selected(found.size, found.ravel()[::step].astype(float))}
        return agreement("ort-web-wasm", artifact, {"scores": expected}, given).problem

    assert problem(expected + np.float32(1e-7)) is None
    for label in range(80):
        dead = expected.copy()
        dead[(0, label) if layout == "NCL" else (0, slice(None), label)] = 0
        assert "SNR of its scores" in (problem(dead) or "")


def test_maps_of_classes_agree_by_their_pixels(prepared: list[Prepared]) -> None:
    spec = dense("classes", (1, 50, 80), None)
    artifact = prepared[0].manifest.artifacts[0].model_copy(update={"outputs": (spec,)})
    classes = np.arange(4000, dtype=np.int32).reshape(1, 50, 80) % 7
    for wrong, fails in ((3, False), (40, True)):
        found = classes.ravel().astype(float)
        found[:wrong] += 1
        given = {"classes": Selected(4000, found)}
        result = agreement("ort-web-wasm", artifact, {"classes": classes}, given)
        assert (result.problem is not None, result.snr_db) == (fails, None)


def test_every_runtime_has_a_threshold_for_every_precision(
    exchange: Exchange,
) -> None:
    from lolvit_benchmarks.backends.browser.site import RUNTIMES

    assert set(SNR_THRESHOLDS_DB) == set(RUNTIMES)
    assert {tuple(sorted(thresholds)) for thresholds in SNR_THRESHOLDS_DB.values()} == {
        ("fp16", "fp32", "int8", "w4", "w8a16")
    }


def test_a_second_page_is_rejected_while_the_first_is_there(
    exchange: Exchange, clock: Clock
) -> None:
    first, second = Page(exchange), Page(exchange, SECOND)
    first.hello()
    assert second.hello()[0] == HTTPStatus.CONFLICT
    assert second.ready()[0] == HTTPStatus.CONFLICT
    assert second.send("bye")[0] == HTTPStatus.CONFLICT  # which ends nothing of the first one's
    assert first.ready()[0] == HTTPStatus.OK
    clock.now += SILENCE_LIMIT_S - 1
    assert second.hello()[0] == HTTPStatus.CONFLICT


def test_a_lost_page_can_be_replaced_from_the_start_of_its_case(
    exchange: Exchange, clock: Clock
) -> None:
    first, second = Page(exchange), Page(exchange, SECOND)
    first.hello()
    plan = first.ready()[1]["plan"]
    first.block(plan, 0)
    clock.now += SILENCE_LIMIT_S + 1
    assert exchange.silent_s() > SILENCE_LIMIT_S
    assert second.hello() == (HTTPStatus.OK, {"next": 0})
    assert exchange.silent_s() == 0
    assert first.block(plan, 1)[0] == HTTPStatus.CONFLICT
    plan = second.ready()[1]["plan"]
    for block in range(plan["blocks"]):
        assert second.block(plan, block)[0] == HTTPStatus.OK
    (found,) = results_of(exchange.cases[0], exchange.about)
    assert len(found.candidate.samples) == plan["blocks"] * plan["rounds"] * plan["burst"] * 2


def test_a_closed_page_is_not_waited_for(exchange: Exchange) -> None:
    first, second = Page(exchange), Page(exchange, SECOND)
    first.hello()
    first.send("bye")
    assert [type(one) for one in page_events(exchange)] == [Joined, Left]
    assert exchange.silent_s() == 0
    assert second.hello()[0] == HTTPStatus.OK


def test_messages_after_the_end_of_the_run_are_rejected(exchange: Exchange) -> None:
    page = Page(exchange)
    page.hello()
    exchange.close()
    assert page.ready()[0] == HTTPStatus.GONE
    assert page.hello()[0] == HTTPStatus.GONE


def test_a_case_that_fails_is_skipped(exchange: Exchange) -> None:
    page = Page(exchange)
    page.hello()
    assert page.send("failed", case=0, reason="no WebGPU") == (HTTPStatus.OK, {"next": 1})
    assert Ended(0, "no WebGPU") in page_events(exchange)
    assert page.send("failed", case=0, reason="again")[0] == HTTPStatus.CONFLICT


@pytest.mark.parametrize(
    "changes",
    [
        {"block": 1},
        {"block": -1},
        {"rounds": []},
        {"rounds": [{"slots": [["fast", [1.0]]], "probes": []}]},
        {"rounds": [{"slots": [["fast", [0.0]]], "probes": []}]},
        {"rounds": [{"slots": [["fast", [float("nan")]]], "probes": []}]},
        {"rounds": [{"slots": [["fast", [1e300]]], "probes": []}]},
        {"rounds": [{"slots": [["nobody", [1.0]]], "probes": []}]},
        {"rounds": "garbage"},
        {"at_s": -1.0},
        {"case": 1},
        {"extra": 1},
    ],
)
def test_blocks_that_are_not_as_planned_are_rejected_as_a_whole(
    exchange: Exchange, changes: dict[str, Any]
) -> None:
    page = Page(exchange)
    page.hello()
    plan = page.ready()[1]["plan"]
    assert page.block(plan, 0, **changes)[0] in (HTTPStatus.BAD_REQUEST, HTTPStatus.CONFLICT)
    assert exchange.cases[0].recording.rounds == []
    assert page.block(plan, 0)[0] == HTTPStatus.OK


@pytest.mark.parametrize("ms", [1e-320, 4e-7, 0.0, -1.0, 1e8])
def test_a_time_that_no_nanoseconds_can_hold_is_rejected(exchange: Exchange, ms: float) -> None:
    page = Page(exchange)
    page.hello()
    plan = page.ready()[1]["plan"]
    slots = [[name, [ms] * plan["burst"]] for name in order_of(NAMES, 0)]
    status, _ = page.block(plan, 0, rounds=[{"slots": slots, "probes": []}] * plan["rounds"])
    assert status == HTTPStatus.BAD_REQUEST
    assert exchange.cases[0].recording.rounds == []


def test_a_block_before_its_plan_is_rejected(exchange: Exchange) -> None:
    page = Page(exchange)
    page.hello()
    assert page.block({"burst": 1, "rounds": 1}, 0)[0] == HTTPStatus.BAD_REQUEST


def test_a_gpu_is_measured_once_however_many_threads_are_asked_for() -> None:
    asked = [
        Configuration(runtime, "fp32", threads)
        for runtime in SNR_THRESHOLDS_DB
        for threads in (1, 2)
    ]
    made = page_configurations(asked)
    assert [s.threads for s in made if s.runtime.endswith("webgpu")] == [1, 1]
    assert [s.threads for s in made if s.runtime.endswith("wasm")] == [1, 2, 1, 2]


def test_a_coarse_clock_is_noted(exchange: Exchange) -> None:
    page = Page(exchange)
    page.hello()
    candidates = [loaded(name) for name in NAMES]
    plan = page.send("ready", case=0, runtime_version="1", clock_us=1000.0, candidates=candidates)[
        1
    ]["plan"]
    page.block(plan, 0)
    (found,) = results_of(exchange.cases[0], exchange.about)
    assert any(
        "resolution of the browser's clock is 1000 µs, 10% of an inference" in note
        for note in found.notes
    )


def test_an_unknown_gpu_is_not_a_software_gpu(exchange: Exchange) -> None:
    page = Page(exchange)
    page.send("hello", about=ABOUT | {"software_gpu": None})
    assert exchange.about is not None
    assert not device_info(exchange.about, Configuration("ort-web-webgpu", "fp32", 1)).software
