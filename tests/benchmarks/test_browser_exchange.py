"""What the page is told, and what is believed of what it says."""

from __future__ import annotations

import json
import re
from http import HTTPStatus
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lolvit_benchmarks.backends.browser.cases import device_info, page_settings, results_of
from lolvit_benchmarks.backends.browser.exchange import (
    LOST_S,
    Ended,
    Exchange,
    Joined,
    Left,
    PageCell,
    Started,
)
from lolvit_benchmarks.backends.browser.gates import FLOORS
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
    """A page that says what it is asked to say."""

    def __init__(self, exchange: Exchange, client: str = FIRST) -> None:
        self.exchange, self.client = exchange, client

    def say(self, kind: str, **content: Any) -> tuple[HTTPStatus, dict[str, Any]]:
        message = {"kind": kind, "client": self.client} | content
        return self.exchange.answer(json.dumps(message).encode())

    def hello(self) -> tuple[HTTPStatus, dict[str, Any]]:
        return self.say("hello", about=ABOUT)

    def ready(self, cell: int = 0, **changes: Any) -> tuple[HTTPStatus, dict[str, Any]]:
        sides = [side(name) | changes for name in NAMES]
        return self.say("ready", cell=cell, runtime_version="1.30.0", clock_us=5.0, sides=sides)

    def block(self, plan: dict[str, Any], index: int, cell: int = 0, **changes: Any) -> Any:
        first, burst = index * plan["rounds"], plan["burst"]
        rounds = [
            {"slots": [[name, [ms_of(name)] * burst] for name in order_of(NAMES, number)],
             "probes": [500.0]}
            for number in range(first, first + plan["rounds"])
        ]  # fmt: skip
        content = {"cell": cell, "block": index, "at_s": 1.0 + index, "rounds": rounds}
        return self.say("block", **content | changes)


def side(name: str) -> dict[str, Any]:
    return {"name": name, "load_ms": 20.0, "first_ms": 5.0, "preprocess_ms": 3.0, "run_ms": 10.0,
            "logits": LOGITS[0].tolist(), "options": {"threads": "1"}, "placement": {}}  # fmt: skip


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
    """Two cells of the same two models."""
    seen = Inspection(runtime_version="1", load_ms=1, first_ms=1, peak_memory_bytes=None,
                     placement={}, options={}, denormal_share=0.0)  # fmt: skip
    image = np.zeros((1, 3, tiny.SIDE, tiny.SIDE), np.float32)
    entrants = [
        InspectedCandidate(name, name, one, one.manifest.artifacts[0], image, 1.0, seen)
        for name, one in zip(NAMES, prepared, strict=True)
    ]
    runtimes = ("ort-web-wasm", "ort-web-webgpu")
    cells = [
        PageCell(Configuration(runtime, "fp32", 1), entrants, dict.fromkeys(NAMES, LOGITS))
        for runtime in runtimes
    ]
    return Exchange(cells, PROFILES["quick"], clock)


def happenings(exchange: Exchange) -> list[Any]:
    found = []
    while not exchange.happened.empty():
        found.append(exchange.happened.get())
    return found


def test_a_page_is_led_through_all_cells_and_its_blocks_become_a_result(exchange: Exchange) -> None:
    page = Page(exchange)
    assert page.hello() == (HTTPStatus.OK, {"next": 0})
    for cell in (0, 1):
        plan = page.ready(cell)[1]["plan"]
        assert plan["orders"] == [
            ["fast", "slow", "slow", "fast"],
            ["slow", "fast", "fast", "slow"],
        ]
        for block in range(plan["blocks"]):
            status, answer = page.block(plan, block, cell)
            assert status == HTTPStatus.OK
        assert answer == {"next": 1 if cell == 0 else None}
    assert exchange.done
    seen = happenings(exchange)
    assert isinstance(seen[0], Joined) and isinstance(seen[1], Started)
    assert [one for one in seen if isinstance(one, Ended)] == [Ended(0), Ended(1)]
    (first,), (second,) = (results_of(cell, exchange.about) for cell in exchange.cells)
    assert (first.device, first.runtime_version) == ("browser", "1.30.0")
    assert first.speedup.ratio == pytest.approx(7)
    assert first.quality.state == "STABLE"
    assert first.candidate.peak_memory_bytes is None and first.conditions.others_cores is None
    assert first.candidate.load_ms == 20.0 and first.candidate.preprocess_ms == 3.0
    assert first.device_info is not None and not first.device_info.software
    assert second.device_info is not None and second.device_info.software
    assert any("software GPU" in note for note in second.notes)
    assert not any("software GPU" in note for note in first.notes)


def test_a_cell_that_was_cut_short_is_kept_and_marked(exchange: Exchange) -> None:
    page = Page(exchange)
    page.hello()
    plan = page.ready()[1]["plan"]
    page.block(plan, 0)
    (found,) = results_of(exchange.cells[0], exchange.about)
    assert found.conditions.interrupted
    assert "interrupted" in [reason.code for reason in found.quality.reasons]
    assert len(found.candidate.samples) == plan["rounds"] * plan["burst"] * 2


def test_nothing_is_made_of_a_cell_without_a_block(exchange: Exchange) -> None:
    assert results_of(exchange.cells[0], exchange.about) == []
    Page(exchange).hello()
    Page(exchange).ready()
    assert results_of(exchange.cells[0], exchange.about) == []


@pytest.mark.parametrize(
    ("logits", "why"),
    [
        ((LOGITS[0] + 0.01).tolist(), r"are at \d\d\.\d dB of this machine's, below 100 dB"),
        ([0.0] * tiny.CLASSES, "below 100 dB"),
        (LOGITS[0].tolist()[:-1], "gave 9 logits, not 10"),
        ([], "gave 0 logits"),
    ],
)
def test_an_artifact_with_other_logits_is_not_timed(
    exchange: Exchange, logits: list[float], why: str
) -> None:
    page = Page(exchange)
    page.hello()
    status, answer = page.ready(logits=logits)
    assert (status, answer) == (HTTPStatus.OK, {"next": 1})
    (ended,) = [one for one in happenings(exchange) if isinstance(one, Ended)]
    assert ended.why is not None
    assert re.search(why, ended.why)


def test_every_runtime_of_the_browser_has_a_floor_for_every_precision(exchange: Exchange) -> None:
    from lolvit_benchmarks.backends.browser.site import RUNTIMES

    assert set(FLOORS) == set(RUNTIMES)
    assert {tuple(sorted(floors)) for floors in FLOORS.values()} == {
        ("fp16", "fp32", "int8", "w4", "w8a16")
    }


def test_a_second_page_is_refused_while_the_first_is_there(
    exchange: Exchange, clock: Clock
) -> None:
    first, second = Page(exchange), Page(exchange, SECOND)
    first.hello()
    assert second.hello()[0] == HTTPStatus.CONFLICT
    assert second.ready()[0] == HTTPStatus.CONFLICT
    assert second.say("bye")[0] == HTTPStatus.CONFLICT  # which ends nothing of the first one's
    assert first.ready()[0] == HTTPStatus.OK
    clock.now += LOST_S - 1
    assert second.hello()[0] == HTTPStatus.CONFLICT


def test_a_page_that_disappears_can_be_followed_by_another_from_its_cell_on(
    exchange: Exchange, clock: Clock
) -> None:
    first, second = Page(exchange), Page(exchange, SECOND)
    first.hello()
    plan = first.ready()[1]["plan"]
    first.block(plan, 0)
    clock.now += LOST_S + 1
    assert exchange.silent_s() > LOST_S
    assert second.hello() == (HTTPStatus.OK, {"next": 0})
    assert exchange.silent_s() == 0
    assert first.block(plan, 1)[0] == HTTPStatus.CONFLICT
    plan = second.ready()[1]["plan"]
    for block in range(plan["blocks"]):
        assert second.block(plan, block)[0] == HTTPStatus.OK
    (found,) = results_of(exchange.cells[0], exchange.about)
    assert len(found.candidate.samples) == plan["blocks"] * plan["rounds"] * plan["burst"] * 2


def test_a_page_that_says_goodbye_is_not_waited_for(exchange: Exchange) -> None:
    first, second = Page(exchange), Page(exchange, SECOND)
    first.hello()
    first.say("bye")
    assert [type(one) for one in happenings(exchange)] == [Joined, Left]
    assert exchange.silent_s() == 0
    assert second.hello()[0] == HTTPStatus.OK


def test_a_run_that_is_over_says_so(exchange: Exchange) -> None:
    page = Page(exchange)
    page.hello()
    exchange.close()
    assert page.ready()[0] == HTTPStatus.GONE
    assert page.hello()[0] == HTTPStatus.GONE


def test_a_cell_that_fails_in_the_browser_is_passed_over(exchange: Exchange) -> None:
    page = Page(exchange)
    page.hello()
    assert page.say("failed", cell=0, what="no WebGPU") == (HTTPStatus.OK, {"next": 1})
    assert Ended(0, "no WebGPU") in happenings(exchange)
    assert page.say("failed", cell=0, what="again")[0] == HTTPStatus.CONFLICT


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
        {"cell": 1},
        {"extra": 1},
    ],
)
def test_blocks_that_are_not_as_planned_are_refused_whole(
    exchange: Exchange, changes: dict[str, Any]
) -> None:
    page = Page(exchange)
    page.hello()
    plan = page.ready()[1]["plan"]
    assert page.block(plan, 0, **changes)[0] in (HTTPStatus.BAD_REQUEST, HTTPStatus.CONFLICT)
    assert exchange.cells[0].recording.rounds == []
    assert page.block(plan, 0)[0] == HTTPStatus.OK


def test_a_block_before_its_plan_is_refused(exchange: Exchange) -> None:
    page = Page(exchange)
    page.hello()
    assert page.block({"burst": 1, "rounds": 1}, 0)[0] == HTTPStatus.BAD_REQUEST


def test_a_gpu_is_measured_once_however_many_threads_are_asked_for() -> None:
    asked = [Configuration(runtime, "fp32", threads) for runtime in FLOORS for threads in (1, 2)]
    made = page_settings(asked)
    assert [s.threads for s in made if s.runtime.endswith("webgpu")] == [1, 1]
    assert [s.threads for s in made if s.runtime.endswith("wasm")] == [1, 2, 1, 2]


def test_a_tick_that_is_long_for_the_model_is_noted(exchange: Exchange) -> None:
    page = Page(exchange)
    page.hello()
    sides = [side(name) for name in NAMES]
    plan = page.say("ready", cell=0, runtime_version="1", clock_us=1000.0, sides=sides)[1]["plan"]
    page.block(plan, 0)
    (found,) = results_of(exchange.cells[0], exchange.about)
    assert any("clock ticks every 1000 µs, 10% of an inference" in note for note in found.notes)


def test_what_a_browser_does_not_report_of_its_gpu_is_no_software_gpu(exchange: Exchange) -> None:
    page = Page(exchange)
    page.say("hello", about=ABOUT | {"software_gpu": None})
    assert exchange.about is not None
    assert not device_info(exchange.about, Configuration("ort-web-webgpu", "fp32", 1)).software
