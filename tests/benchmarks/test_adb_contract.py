"""The contract with the app: its published schemas, and the rejection of answers that break it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from lolvit.errors import DeviceError
from lolvit_benchmarks.backends.android import contract
from lolvit_benchmarks.backends.android.app import App, prepare_app
from lolvit_benchmarks.backends.android.client import CommandResult, OnLine
from lolvit_benchmarks.backends.android.contract import (
    DeviceFacts,
    DeviceRecording,
    DeviceRequest,
    RequestCandidate,
    RequestFile,
    RequestSlot,
    find_mismatch,
)
from lolvit_benchmarks.backends.android.restore import SHELL_FOLDER, Changes

DIGEST = "d" * 64
APP_FOLDER = "/storage/emulated/0/Android/data/org.lolvit.demo/files/bench"


def _request() -> DeviceRequest:
    file = RequestFile(name=f"{DIGEST}.onnx", sha256=DIGEST, bytes=1)
    candidate = RequestCandidate(name="a", artifact=file, format="onnx", input=file, shape=(1, 2),
                             dtype="float32")  # fmt: skip
    slot = RequestSlot(candidate="a", warm_up_runs=1, burst=2)
    return DeviceRequest(runtime="ort", threads=1, candidates=(candidate,), warm_up_runs=1,
                         warm_up_s=0, slots=(slot, slot))  # fmt: skip


def _answer(**changes: Any) -> DeviceRecording:
    candidate = {"name": "a", "artifact_sha256": DIGEST, "load_ms": 1, "first_ms": 1, "run_ms": 1,
               "logits": [0.5]}  # fmt: skip
    slot = {"candidate": "a", "durations_ns": [5, 6]}
    fields = {"schema_version": 2, "kind": "lolvit-device-recording", "request_sha256": DIGEST,
              "runtime_version": "1", "app_version": "1", "candidates": [candidate],
              "slots": [slot, slot]}  # fmt: skip
    return DeviceRecording.model_validate(fields | changes)


def test_the_published_schemas_are_those_of_the_types() -> None:
    for path, model in contract.PUBLISHED.items():
        assert path.read_text() == contract.schema_text(model), (
            "run: python -m lolvit_benchmarks.backends.android.contract"
        )


def test_the_answer_to_a_request_is_accepted() -> None:
    assert find_mismatch(_answer(), _request(), DIGEST) is None


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"request_sha256": "e" * 64}, "another request"),
        ({"candidates": []}, "other artifacts"),
        ({"slots": []}, "other runs"),
        ({"slots": [{"candidate": "a", "durations_ns": [5]}] * 2}, "other runs"),
        ({"slots": [{"candidate": "b", "durations_ns": [5, 6]}] * 2}, "other runs"),
    ],
)
def test_the_answer_to_another_request_is_rejected(changes: dict[str, Any], why: str) -> None:
    assert why in (find_mismatch(_answer(**changes), _request(), DIGEST) or "")


@pytest.mark.parametrize(
    "changes",
    [
        {"slots": [{"candidate": "a", "durations_ns": [0]}]},
        {"schema_version": 1},
        {"surprise": 1},
        {"candidates": [{"name": "a"}]},
    ],
)
def test_an_answer_of_another_form_is_rejected(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        _answer(**changes)


@pytest.mark.parametrize(
    "folder",
    ["/", "/sdcard", "/storage/emulated/0/Android/data/org.lolvit.demo/files",
     "/storage/../Android/data/org.lolvit.demo/files/bench", f"{APP_FOLDER}/..",
     "/storage/emulated/0/Android/data/com.other/files/bench", f"{APP_FOLDER}\n/sdcard"],
)  # fmt: skip
def test_a_folder_that_is_not_the_apps_own_is_neither_used_nor_removed(folder: str) -> None:
    facts = {"schema_version": 2, "kind": "lolvit-device-facts", "app_version": "1",
             "folder": folder, "runtimes": {}}  # fmt: skip
    with pytest.raises(ValidationError):
        DeviceFacts.model_validate(facts)
    with pytest.raises(ValidationError):
        Changes.model_validate({"folders": [folder]})


def test_the_folders_of_the_app_and_of_the_shell_are_removed() -> None:
    changes = Changes(folders=(APP_FOLDER, SHELL_FOLDER))
    assert Changes.model_validate(json.loads(changes.model_dump_json())) == changes


FACTS = {
    "schema_version": contract.VERSION, "kind": "lolvit-device-facts", "app_version": "0.1",
    "folder": APP_FOLDER, "runtimes": {"ort": "1.0"},
}  # fmt: skip


class Phone:
    """A connection to a phone whose app prints a text."""

    serial = "x"

    def __init__(self, facts: str) -> None:
        self.facts = facts

    def shell(self, words: list[str]) -> CommandResult:
        return CommandResult(0, "")

    def stream(self, words: list[str], on_line: OnLine, timeout_s: float) -> CommandResult:
        return CommandResult(
            0, f"INSTRUMENTATION_RESULT: facts={self.facts}\nINSTRUMENTATION_CODE: -1"
        )


class NoJournal:
    """Records nothing."""

    def record(self, **changes: object) -> None:
        assert "folders" not in changes, "an answer that is rejected leads to no folder"


@pytest.mark.parametrize(
    ("facts", "why"),
    [
        (json.dumps(FACTS | {"surprise": 1}), "field 'surprise'"),
        (json.dumps(FACTS | {"runtimes": {"ort": 1}}), "field 'runtimes.ort'"),
        (json.dumps(FACTS | {"runtimes": []}), "field 'runtimes'"),
        (json.dumps(FACTS | {"schema_version": "2"}), "field 'schema_version'"),
        (json.dumps(FACTS | {"folder": f"{APP_FOLDER}/../../../../.."}), "field 'folder'"),
        (json.dumps(FACTS | {"folder": f"/x/../{APP_FOLDER}"}), "field 'folder'"),
        (json.dumps(FACTS | {"folder": f"{APP_FOLDER}\n"}), "field 'folder'"),
        (json.dumps(FACTS | {"folder": f"{APP_FOLDER}\0"}), "field 'folder'"),
        (json.dumps(FACTS | {"folder": f"$(reboot){APP_FOLDER}"}), "field 'folder'"),
        (json.dumps(FACTS | {"folder": APP_FOLDER.replace("org.", "org-")}), "field 'folder'"),
        (json.dumps(FACTS)[:-1] + ', "folder": "/sdcard"}', "'folder' is repeated"),
        ("[" * 100_000, "nested too deeply"),
        ("", "not JSON"),
    ],
    ids=lambda text: text[-24:],
)  # fmt: skip
def test_facts_that_break_the_contract_are_one_line(facts: str, why: str) -> None:
    connection: Any = Phone(facts)
    journal: Any = NoJournal()
    with pytest.raises(DeviceError, match="the app's answer is invalid") as caught:
        prepare_app(connection, journal, {"ort"})
    assert why in caught.value.line()


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b" " * (32 << 20) + b"{", "a recording of 33554433 bytes"),
        (b'{"kind": NaN}', "not JSON"),
        (b"\x80\x04K\x01.", "not JSON"),
        (_answer().model_dump_json().replace("[5,6]", '["5",6]').encode(), "durations_ns"),
        (_answer().model_dump_json().replace("[0.5]", "[1e999]").encode(), "not JSON"),
        (_answer().model_dump_json().replace("[0.5]", "[true]").encode(), "logits"),
    ],
    ids=["size", "NaN", "pickle", "text for a number", "infinity", "bool for a number"],
)
def test_a_recording_that_breaks_the_contract_is_one_line(
    content: bytes, why: str, tmp_path: Path
) -> None:
    path = tmp_path / "recording.json"
    path.write_bytes(content)
    connection: Any = Phone("")
    app = App(connection, DeviceFacts.model_validate(FACTS))
    with pytest.raises(DeviceError, match="the app's answer is invalid") as caught:
        app._recording(path)
    assert why in caught.value.line()
