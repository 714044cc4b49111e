"""Fuzzing targets: messages of other programs: phones, the browser's page, child processes."""

from __future__ import annotations

import hashlib
import io
import json
import socket
import struct
import tempfile
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

from tests.fuzz.json_mutations import mutate_json
from tests.fuzz.target import Parse, Target
from tests.runtimes.mutations import damaged

CLIENT = "a" * 32
TOKEN = "token-of-the-run-24-long"


def _phone(folder: Path) -> Parse:
    """Every parser of what programs on a phone print."""
    from lolvit.errors import DeviceError
    from lolvit_benchmarks.backends.android import client, phone
    from lolvit_benchmarks.backends.android.program import OUTPUT_PARSERS, find_parser

    parsers = (
        phone.parse_properties, phone.parse_battery, phone.parse_thermal, phone.parse_awake,
        phone.parse_cores, phone.parse_files, client.parse_free_bytes, client.parse_digests,
        client.split_exit_code, lambda text: phone.highest_mhz(text.split()),
    )  # fmt: skip
    programs = [*OUTPUT_PARSERS.values(), find_parser("json:us:times.runs", "x"),
                find_parser(r"regex:ms:took ([\d.]+)", "x")]  # fmt: skip

    def parse(data: bytes) -> None:
        text = data.decode(errors="replace")
        for one in parsers:
            one(text)
        for program in programs:
            try:
                assert all(ms > 0 for ms in program.parse(text).samples)
            except DeviceError as error:
                assert "\n" not in error.line()

    return parse


def _app(folder: Path) -> Parse:
    """The app's instrumentation, its facts and a recording, as a phone's connection gives them."""
    from lolvit_benchmarks.backends.android import app, contract
    from lolvit_benchmarks.backends.android.client import CommandResult

    request = contract.DeviceRequest.model_validate(_request())
    digest = hashlib.sha256(request.model_dump_json(indent=1).encode()).hexdigest()

    class Connection:
        serial = "x"

        def stream(self, words: Any, on_line: Any, timeout_s: float) -> CommandResult:
            for line in self.text.splitlines():
                on_line(line)
            return CommandResult(0, self.text)

        text = ""

    connection: Any = Connection()

    def parse(data: bytes) -> None:
        if data[:1] == b"{":
            (folder / "recording.json").write_bytes(data)
            found = app.App(connection, None)._recording(folder / "recording.json")  # type: ignore[arg-type]
            contract.find_mismatch(found, request, digest)
            app._block(found)
            return
        connection.text = data.decode(errors="replace")
        answer = app._run_instrumentation(
            connection,
            {"action": "prepare"},
            1,
            app._slot_progress(int),  # type: ignore[arg-type]
        )
        app._parse(answer.get("facts", "").encode(), contract.DeviceFacts, "facts")

    return parse


def _request() -> dict[str, Any]:
    file = {"name": "0" * 64, "sha256": "0" * 64, "bytes": 4}
    candidate = {"name": "fast", "artifact": file, "format": "onnx", "input": file,
                 "shape": [1, 3, 2, 2], "dtype": "float32"}  # fmt: skip
    return {
        "runtime": "ort", "threads": 1, "candidates": [candidate],
        "warm_up_runs": 1, "warm_up_s": 0,
        "slots": [{"candidate": "fast", "warm_up_runs": 1, "burst": 2}],
    }  # fmt: skip


def _app_answers() -> list[bytes]:
    from lolvit_benchmarks.backends.android import contract

    request = contract.DeviceRequest.model_validate(_request())
    digest = hashlib.sha256(request.model_dump_json(indent=1).encode()).hexdigest()
    recording = {
        "schema_version": contract.VERSION, "kind": "lolvit-device-recording",
        "request_sha256": digest,
        "runtime_version": "1.0", "app_version": "0.1", "cpuset": "/top-app",
        "candidates": [{"name": "fast", "artifact_sha256": "0" * 64, "load_ms": 1, "first_ms": 1,
                      "run_ms": 1, "logits": [0.5], "placement": {"CPU": 3}, "options": {}}],
        "slots": [{"candidate": "fast", "durations_ns": [1000, 2000]}],
    }  # fmt: skip
    facts = {
        "schema_version": contract.VERSION, "kind": "lolvit-device-facts", "app_version": "0.1",
        "folder": "/storage/emulated/0/Android/data/org.lolvit.demo/files/bench",
        "runtimes": {"ort": "1.0"},
    }  # fmt: skip
    printed = (
        "INSTRUMENTATION_STATUS: slots=3\nINSTRUMENTATION_STATUS_CODE: 0\n"
        f"INSTRUMENTATION_RESULT: facts={json.dumps(facts)}\nINSTRUMENTATION_CODE: -1\n"
    )
    return [json.dumps(recording).encode(), printed.encode()]


def _mutate_app(data: bytes, random: Random) -> bytes:
    """Change a recording, or the facts within what is printed, as JSON."""
    if data[:1] == b"{":
        return mutate_json(data, random)
    before, mark, rest = data.partition(b"facts=")
    facts, newline, after = rest.partition(b"\n")
    if not mark or random.random() < 0.3:
        return damaged(data, random)
    return before + mark + mutate_json(facts, random) + newline + after


@cache
def _candidates() -> Any:
    """Two small models with what the exchange needs of them; made once a process."""
    import numpy as np

    from lolvit_benchmarks.harness.candidates import InspectedCandidate
    from lolvit_benchmarks.harness.inspection import Inspection
    from lolvit_benchmarks.harness.prepare import open_folder
    from tests.benchmarks import tiny

    with tempfile.TemporaryDirectory() as name:
        prepared = open_folder(tiny.make_folder(Path(name) / "tiny"))
    inspection = Inspection(
        runtime_version="1", load_ms=1, first_ms=1, peak_memory_bytes=None, placement={},
        options={}, denormal_share=0.0,
    )  # fmt: skip
    image = np.zeros((1, 3, tiny.SIDE, tiny.SIDE), np.float32)
    artifact = prepared.manifest.artifacts[0]
    return [
        InspectedCandidate(name, name, prepared, artifact, image, 1.0, inspection)
        for name in ("fast", "slow")
    ]


def _exchange() -> Any:
    import numpy as np

    from lolvit_benchmarks.backends.browser.exchange import Exchange, PageCase
    from lolvit_benchmarks.harness.candidates import Configuration
    from lolvit_benchmarks.harness.schedule import PROFILES

    logits = np.linspace(-1, 1, 10, dtype=np.float32)[np.newaxis]
    cases = [
        PageCase(Configuration(runtime, "fp32", 1), _candidates(),
                 {name: {"logits": logits} for name in ("fast", "slow")})
        for runtime in ("ort-web-wasm", "ort-web-webgpu")
    ]  # fmt: skip
    return Exchange(cases, PROFILES["quick"])


def _page(folder: Path) -> Parse:
    """A conversation: one message of the page a line."""
    from http import HTTPStatus

    from lolvit_benchmarks.backends.browser.page_session import results_of

    _exchange()

    def parse(data: bytes) -> None:
        exchange = _exchange()
        for line in data.splitlines()[:40]:
            status, answer = exchange.answer(line)
            assert isinstance(status, HTTPStatus)
            json.dumps(answer, allow_nan=False)
        for case in exchange.cases:
            if exchange.about is not None:
                results_of(case, exchange.about)

    return parse


def _conversations() -> list[bytes]:
    """Return a measurement of both cases, and one that fails."""
    import numpy as np

    from lolvit_benchmarks.harness.schedule import order_of

    exchange, lines = _exchange(), []
    about = {"name": "B", "cores": 4, "isolated": True, "software_gpu": True, "details": {"a": "b"}}

    def say(kind: str, **content: Any) -> Any:
        message = {"kind": kind, "client": CLIENT} | content
        lines.append(json.dumps(message).encode())
        return exchange.answer(lines[-1])[1]

    say("hello", about=about)
    logits = [round(float(v), 6) for v in np.linspace(-1, 1, 10)]
    loaded = [
        {"name": name, "load_ms": 20.0, "first_ms": 5.0, "preprocess_ms": 3.0, "run_ms": 900.0,
         "outputs": {"logits": {"size": len(logits), "values": logits}}, "options": {},
         "placement": {}} for name in ("fast", "slow")
    ]  # fmt: skip
    for case in (0, 1):
        plan = say("ready", case=case, runtime_version="1", clock_us=5.0, candidates=loaded)["plan"]
        for block in range(plan["blocks"]):
            rounds = [
                {"slots": [[name, [10.0] * plan["burst"]] for name in
                           order_of(("fast", "slow"), block * plan["rounds"] + number)],
                 "probes": [500.0]}
                for number in range(plan["rounds"])
            ]  # fmt: skip
            say("block", case=case, block=block, at_s=1.0, rounds=rounds)
    whole = b"\n".join(lines)
    failing = {"kind": "failed", "client": CLIENT, "case": 0, "reason": "no WebGPU"}
    others = [{"kind": "heartbeat", "client": CLIENT, "done": 1, "planned": 2},
              {"kind": "bye", "client": CLIENT}]  # fmt: skip
    return [whole, b"\n".join([lines[0], *(json.dumps(m).encode() for m in (failing, *others))])]


def _mutate_page(data: bytes, random: Random) -> bytes:
    """Change, drop, repeat or swap messages."""
    lines = data.split(b"\n")
    place = random.randrange(len(lines))
    match random.randrange(8):
        case 0:
            del lines[place]
        case 1:
            lines.insert(place, random.choice(lines))
        case 2:
            random.shuffle(lines)
        case _:
            lines[place] = mutate_json(lines[place], random).replace(b"\n", b" ")
    return b"\n".join(lines)


def _http(folder: Path) -> Parse:
    """One connection to the page's server, with anything at all sent through it."""
    from http import HTTPStatus

    from lolvit_benchmarks.backends.browser import server

    (folder / "served.js").write_bytes(b"// from disk")
    (folder / "secret.txt").write_bytes(b"SECRET")
    files = {"index.html": b"PAGE", "served.js": folder / "served.js"}

    class Stub:
        site = server.Site(files, lambda body: (HTTPStatus.OK, {"bytes": len(body)}), TOKEN)
        hosts, scheme = frozenset({"127.0.0.1:80"}), "http"

    def parse(data: bytes) -> None:
        ours, theirs = socket.socketpair()
        with ours, theirs:
            ours.settimeout(5)
            ours.sendall(data[: 1 << 16])
            ours.shutdown(socket.SHUT_WR)
            try:
                server._Handler(theirs, ("127.0.0.1", 1), Stub())  # type: ignore[arg-type]
            except OSError:
                return
            theirs.shutdown(socket.SHUT_WR)
            answer = ours.makefile("rb").read()
        assert b"SECRET" not in answer
        if TOKEN.encode() not in data:
            assert b"PAGE" not in answer and b"200 OK" not in answer

    return parse


def _requests() -> list[bytes]:
    host = "Host: 127.0.0.1:80\r\n"
    post = f"POST /{TOKEN}/api HTTP/1.1\r\n{host}Origin: http://127.0.0.1:80\r\n"
    return [
        f"GET /{TOKEN}/ HTTP/1.1\r\n{host}\r\n".encode(),
        f"GET /{TOKEN}/served.js?x=1 HTTP/1.1\r\n{host}Connection: close\r\n\r\n".encode(),
        f"{post}Content-Length: 2\r\n\r\n{{}}GET /{TOKEN}/ HTTP/1.1\r\n{host}\r\n".encode(),
        f"{post}Transfer-Encoding: chunked\r\n\r\n2\r\n{{}}\r\n0\r\n\r\n".encode(),
        f"{post}Expect: 100-continue\r\nContent-Length: 2\r\n\r\n{{}}".encode(),
        b"GET /x/../../etc/passwd HTTP/1.0\r\n\r\n", b"GET /\r\n",
    ]  # fmt: skip


_WORDS = (
    b"\r\n", b"\n", b" ", b"..", b"%2e%2e/", b"%00", b"\\", b"//", b"secret.txt", b"HTTP/0.9",
    b"HTTP/2.0", b"HTTP/1.1\r\n", b"Content-Length: 99999999\r\n", b"Content-Length: -1\r\n",
    b"Content-Length: 5\r\n", b"Host: evil\r\n", b"Origin: null\r\n", b":", b"\0", b"\xff",
    b"A: " + b"b" * 70_000 + b"\r\n", b"X: y\r\n" * 110, b"TRACE", b"OPTIONS", b"?", b"#", b"http://",
)  # fmt: skip


def _mutate_http(data: bytes, random: Random) -> bytes:
    if random.random() < 0.4:
        return damaged(data, random)
    at = random.randrange(len(data) + 1)
    return data[:at] + random.choice(_WORDS) + data[at + random.choice((0, 0, 1, 3)) :]


def _wire(folder: Path) -> Parse:
    from lolvit_runtimes.worker.wire import receive

    def parse(data: bytes) -> None:
        message, _ = receive(io.BytesIO(data))
        assert isinstance(message, dict)

    return parse


def _wire_messages() -> list[bytes]:
    import numpy as np

    from lolvit_runtimes.worker.wire import send

    stream = io.BytesIO()
    send(stream, {"do": "run"}, {"image": np.zeros((1, 3, 2, 2), np.float32)})
    return [stream.getvalue()]


def _mutate_wire(data: bytes, random: Random) -> bytes:
    if len(data) < 8 or random.random() < 0.3:
        return damaged(data, random)
    length, _ = struct.unpack_from("<II", data)
    text, payload = mutate_json(data[8 : 8 + length], random), data[8 + length :]
    return struct.pack("<II", len(text), len(payload)) + text + payload


def _printed_by_phones() -> list[bytes]:
    from tests.benchmarks import test_adb_parsers, test_adb_program

    texts = (
        test_adb_parsers.BATTERY, test_adb_parsers.THERMAL, test_adb_program.BENCHMARK_MODEL,
        test_adb_program.PERF_TEST,
        "[ro.a]: [Pixel 8 [x]]\r\n[ro.b]: []\n", "cpu0\ncpu10\n/sys/a:schedutil\n",
        "Filesystem 1K-blocks Used Available Use% Mounted on\n/dev/fuse 100 40 60 40% /storage\n",
        f"{'a' * 64}  /data/a b\nlolvit-exit:0\n", '{"times": {"runs": [1500, 2000]}}\ntook 0.5\n',
    )  # fmt: skip
    return [text.encode() for text in texts]


def _wire_refusals() -> tuple[type[Exception], ...]:
    from lolvit_runtimes.worker.wire import WireError

    return (EOFError, WireError)


MESSAGES = (
    Target("adb-output", _phone, _printed_by_phones),
    Target("app-answers", _app, _app_answers, _mutate_app),
    Target("page-messages", _page, _conversations, _mutate_page),
    Target("http-server", _http, _requests, _mutate_http, instrumented=("http",)),
    Target("child-messages", _wire, _wire_messages, _mutate_wire, refusals=_wire_refusals()),
)
