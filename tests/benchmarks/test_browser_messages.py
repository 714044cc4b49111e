"""Messages that no page of ours would send."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lolvit_benchmarks.backends.browser.exchange import Exchange
from lolvit_benchmarks.harness.schedule import PROFILES

CLIENT = "a" * 32
ABOUT = {"name": "", "cores": 1, "isolated": False, "software_gpu": None, "details": {}}


@given(st.binary(max_size=300))
def test_garbage_is_answered_and_changes_nothing(body: bytes) -> None:
    exchange = Exchange([], PROFILES["quick"])
    status, answer = exchange.answer(body)
    assert status == HTTPStatus.BAD_REQUEST and answer["error"]
    assert exchange.about is None and exchange.events.empty()


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=12,
)
_KINDS = st.sampled_from(["hello", "heartbeat", "ready", "block", "failed", "bye"])


@pytest.mark.parametrize("text", ["\x1b[2J", "a\x07", "\x9b1A", "\x00", "a\r"])
def test_control_characters_of_a_page_reach_no_terminal(text: str) -> None:
    exchange = Exchange([], PROFILES["quick"])
    for about in (ABOUT | {"name": text}, ABOUT | {"details": {"gpu": text}}):
        message = {"kind": "hello", "client": CLIENT, "about": about}
        status, _ = exchange.answer(json.dumps(message).encode())
        assert status == HTTPStatus.BAD_REQUEST and exchange.about is None


@given(_KINDS, st.dictionaries(st.sampled_from(["case", "block", "candidates", "rounds", "about",
       "done", "planned", "reason", "at_s", "clock_us", "runtime_version"]), _JSON))  # fmt: skip
def test_messages_with_garbage_inside_never_break_the_server(
    kind: str, content: dict[str, Any]
) -> None:
    exchange = Exchange([], PROFILES["quick"])
    exchange.answer(json.dumps({"kind": "hello", "client": CLIENT, "about": ABOUT}).encode())
    status, answer = exchange.answer(
        json.dumps({"kind": kind, "client": CLIENT} | content).encode()
    )
    assert isinstance(status, HTTPStatus)
    json.dumps(answer)
