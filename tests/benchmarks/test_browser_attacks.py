"""What the page's server withstands, after OWASP's lists for web servers: paths out of the site,
foreign names and origins, requests that are slow, huge, malformed or many."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from pathlib import Path

import pytest

from lolvit_benchmarks.backends.browser import server
from lolvit_benchmarks.backends.browser.server import LARGEST_BODY, Address, Site, serving
from tests.benchmarks.test_browser_server import Client

ANSWERED = (HTTPStatus.OK, {"answered": True})


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """A site with a file in memory and one on disk, beside a secret and a link to it."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "served.js").write_text("served")
    (folder / "secret.txt").write_text("secret")
    os.symlink(folder / "secret.txt", folder / "link.js")
    files = {"index.html": b"page", "a/served.js": folder / "served.js"}
    with serving(Site(files, lambda body: ANSWERED), Address()) as url:
        yield Client(url)


def exchange(client: Client, request: bytes, timeout: float = 10) -> bytes:
    """Send bytes and return all that comes back until the server closes the connection."""
    with socket.create_connection((client.host, client.port), timeout=timeout) as connection:
        connection.sendall(request)
        connection.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: connection.recv(1 << 16), b""))


def get(client: Client, path: str, *headers: str, version: str = "HTTP/1.1") -> bytes:
    host = f"Host: {client.host}:{client.port}"
    lines = [f"GET {path} {version}", host, *headers, "Connection: close", "", ""]
    return exchange(client, "\r\n".join(lines).encode("latin-1"))


def statuses(answer: bytes) -> list[int]:
    """Return the status of each response."""
    return [int(part[:3]) for part in answer.split(b"HTTP/1.1 ")[1:]]


@pytest.mark.parametrize("name", ["secret.txt", "link.js"])
@pytest.mark.parametrize(
    "way",
    ["{0}", "../{0}", "a/../{0}", "..%2f{0}", "%2e%2e/{0}", "%2e%2e%2f{0}", "%252e%252e%252f{0}",
     "..%c0%af{0}", "..%c1%9c{0}", "..\\{0}", "..%5c{0}", "....//{0}", "..;/{0}", "/{0}", "//{0}",
     "a/served.js/../{0}", "a/served.js%00.{0}", "{0}%00.js", "a//../{0}", "file:///{0}",
     "{0}/.", "{0}::$DATA", "a/%2e%2e/{0}", "%85{0}", "{0}?/../a/served.js", "{0}#a"],
)  # fmt: skip
def test_no_spelling_of_a_path_leads_out_of_the_site(client: Client, way: str, name: str) -> None:
    answer = get(client, f"/{client.token}/{way.format(name)}")
    assert statuses(answer) == [HTTPStatus.NOT_FOUND]
    assert b"secret" not in answer


@pytest.mark.parametrize(
    "path",
    ["/", "//", "/{token}", "/{upper}/", "/{cut}/", "/{token}x/", "/%00{token}/", "/./{token}/",
     "/x/../{token}/", "http://evil.example/{token}/", "//evil.example/{token}/", "*",
     "/?/{token}/", "/{token}%2f"],
)  # fmt: skip
def test_only_the_whole_token_in_its_place_opens_the_site(client: Client, path: str) -> None:
    token = client.token
    text = path.format(token=token, upper=token.swapcase(), cut=token[:-1])
    answer = get(client, text)
    assert statuses(answer) == [HTTPStatus.NOT_FOUND]
    assert b"page" not in answer


@pytest.mark.parametrize(
    "headers",
    [["Host: evil.example"], ["X: y\r\nHost: 127.0.0.1:1"], ["Host:"]],
    ids=["foreign", "port", "empty"],
)
def test_a_second_host_is_refused(client: Client, headers: list[str]) -> None:
    answer = get(client, f"/{client.token}/", *headers)
    assert statuses(answer) == [HTTPStatus.MISDIRECTED_REQUEST]


@pytest.mark.parametrize(
    "host",
    ["evil.example:{port}", "127.0.0.1.evil.example:{port}", "127.0.0.1:{port}@evil.example",
     "evil.example#127.0.0.1:{port}", "0.0.0.0:{port}", "[::1]:{port}", "127.1:{port}",
     "127.0.0.1:{port}/", "127.0.0.1:0{port}"],
)  # fmt: skip
def test_names_that_could_be_rebound_to_this_machine_are_refused(client: Client, host: str) -> None:
    name = host.format(port=client.port)
    assert client.get("", Host=name)[0] == HTTPStatus.MISDIRECTED_REQUEST
    assert client.post(b"{}", Host=name, Origin=f"http://{name}")[0] == 421


@pytest.mark.parametrize(
    "origin",
    ["http://evil.example", "https://127.0.0.1:{port}", "http://127.0.0.1", "null", "",
     "http://127.0.0.1:{port}.evil.example", "http://localhost:{port}",
     "http://127.0.0.1:{port}, http://evil.example"],
)  # fmt: skip
def test_messages_of_other_origins_are_refused(client: Client, origin: str) -> None:
    status, headers, _ = client.post(b"{}", Origin=origin.format(port=client.port))
    assert status == HTTPStatus.FORBIDDEN
    assert not [name for name in headers if name.startswith("Access-Control")]


def test_a_preflight_request_grants_nothing(client: Client) -> None:
    status, headers, _ = client.ask(
        "OPTIONS", f"/{client.token}/api", Access_Control_Request_Method="POST"
    )
    assert status == HTTPStatus.NOT_IMPLEMENTED
    assert not [name for name in headers if name.startswith("Access-Control")]


@pytest.mark.parametrize(
    "request_text",
    [
        "GET", "GET /", "\0", "\r\n\r\n", "GET / HTTP/9.9", "GET / HTTP/1.1 x", "GET / HTTP/a.b",
        "<script> / HTTP/1.1", "BREW /{token}/ HTTP/1.1", "CONNECT evil.example:443 HTTP/1.1",
        "TRACE /{token}/ HTTP/1.1", "HEAD /{token}/ HTTP/1.1", "get /{token}/ HTTP/1.1",
        "PRI * HTTP/2.0", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "GET /" + "a" * 70_000,
        "GET /{token}/ HTTP/1.1\r\n" + "X: y\r\n" * 200,
        "GET /{token}/ HTTP/1.1\r\nX: " + "y" * 70_000,
        "GET /{token}/ HTTP/1.1\r\nno colon\r\n",
    ],
    ids=lambda text: ascii(text[:30]),
)  # fmt: skip
def test_a_malformed_request_is_rejected_without_quoting_it(
    client: Client, request_text: str
) -> None:
    answer = exchange(client, f"{request_text.format(token=client.token)}\r\n\r\n".encode())
    assert b"200 OK" not in answer and b"page" not in answer
    assert client.token.encode() not in answer and b"<" not in answer
    if b"HTTP/1.1" in answer:
        assert b"Content-Security-Policy: default-src 'none'" in answer
        assert b"X-Content-Type-Options: nosniff" in answer
    assert client.get("")[0] == 200


def test_a_body_of_a_get_is_not_the_next_request(client: Client) -> None:
    host = f"Host: {client.host}:{client.port}\r\n"
    hidden = f"GET /{client.token}/a/served.js HTTP/1.1\r\n{host}\r\n"
    request = (
        f"GET /{client.token}/ HTTP/1.1\r\n{host}Content-Length: {len(hidden)}\r\n\r\n{hidden}"
    )
    assert statuses(exchange(client, request.encode())) == [HTTPStatus.BAD_REQUEST]


def test_two_lengths_are_refused(client: Client) -> None:
    own = f"{client.host}:{client.port}"
    request = (
        f"POST /{client.token}/api HTTP/1.1\r\nHost: {own}\r\nOrigin: http://{own}\r\n"
        "Content-Length: 2\r\nContent-Length: 5\r\n\r\n{}   "
    )
    assert statuses(exchange(client, request.encode())) == [HTTPStatus.LENGTH_REQUIRED]


def test_nothing_behind_a_rejected_request_is_answered(client: Client) -> None:
    good = f"GET /{client.token}/ HTTP/1.1\r\nHost: {client.host}:{client.port}\r\n\r\n"
    answer = exchange(client, b"GET /wrong/ HTTP/1.1\r\n\r\n" + good.encode() * 3)
    assert len(statuses(answer)) == 1 and b"page" not in answer


def test_requests_that_follow_one_another_are_all_answered(client: Client) -> None:
    good = f"GET /{client.token}/ HTTP/1.1\r\nHost: {client.host}:{client.port}\r\n\r\n"
    assert statuses(exchange(client, good.encode() * 50)) == [200] * 50


def test_a_hundred_clients_at_once_are_all_answered(client: Client) -> None:
    held = [socket.create_connection((client.host, client.port), timeout=10) for _ in range(100)]
    request = f"GET /{client.token}/ HTTP/1.1\r\nHost: {client.host}:{client.port}\r\n\r\n"

    def ask(connection: socket.socket) -> bytes:
        connection.sendall(request.encode())
        return connection.recv(1 << 16)

    with ThreadPoolExecutor(100) as pool:
        answers = list(pool.map(ask, held))
    for connection in held:
        connection.close()
    assert all(answer.startswith(b"HTTP/1.1 200 ") for answer in answers)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch, client: Client) -> Client:
    """The server with its limits of time shortened to a second."""
    for name in ("_STRANGER_S", "_IDLE_S", "_REQUEST_S"):
        monkeypatch.setattr(server, name, 1.0)
    return client


def drip(client: Client, start: bytes, piece: bytes) -> float:
    """Send a piece every fifth of a second until the server ends the connection; return the
    seconds that took."""
    started = time.monotonic()
    with socket.create_connection((client.host, client.port), timeout=0.2) as connection:
        connection.sendall(start)
        while time.monotonic() - started < 20:
            try:
                if not connection.recv(1 << 16):
                    break
            except TimeoutError:
                try:
                    connection.sendall(piece)
                except OSError:
                    break
            except OSError:
                break
    return time.monotonic() - started


@pytest.mark.parametrize("part", ["request line", "headers", "body", "nothing"])
def test_a_client_that_sends_slowly_is_cut_off(impatient: Client, part: str) -> None:
    own = f"{impatient.host}:{impatient.port}"
    head = f"POST /{impatient.token}/api HTTP/1.1\r\nHost: {own}\r\nOrigin: http://{own}\r\n"
    start, piece = {
        "request line": ("GET /", b"a"),
        "headers": (head, b"X: y\r\n"),
        "body": (f"{head}Content-Length: {LARGEST_BODY}\r\n\r\n", b" "),
        "nothing": ("", b""),
    }[part]
    assert drip(impatient, start.encode(), piece) < 10


def test_slow_clients_without_the_token_keep_no_one_out(impatient: Client) -> None:
    slow = [socket.create_connection((impatient.host, impatient.port)) for _ in range(200)]
    for connection in slow:
        try:
            connection.sendall(b"GET /")
        except OSError:  # beyond the limit of connections
            continue
    deadline, status = time.monotonic() + 15, 0
    while status != 200 and time.monotonic() < deadline:
        try:
            status = impatient.get("")[0]
        except OSError:
            time.sleep(0.1)
    for connection in slow:
        connection.close()
    assert status == 200


def test_a_client_that_does_not_read_is_cut_off(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(server, "_REQUEST_S", 1.0)
    before = set(os.listdir("/proc/self/task"))
    with serving(Site({"big": bytes(64 << 20)}, lambda body: ANSWERED), Address()) as url:
        client = Client(url)
        with socket.create_connection((client.host, client.port)) as connection:
            host = f"Host: {client.host}:{client.port}"
            connection.sendall(f"GET /{client.token}/big HTTP/1.1\r\n{host}\r\n\r\n".encode())
            deadline = time.monotonic() + 15
            while len(set(os.listdir("/proc/self/task")) - before) > 1:
                assert time.monotonic() < deadline, "the connection's thread does not end"
                time.sleep(0.1)


def test_a_bug_of_ours_is_printed_and_the_server_goes_on(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail(body: bytes) -> tuple[HTTPStatus, dict[str, object]]:
        raise KeyError("a bug")

    with serving(Site({"index.html": b"page"}, fail), Address()) as url:
        client = Client(url)
        with pytest.raises(OSError, match=r".*"):
            client.post(b"{}")
        assert client.get("")[0] == 200
    assert "KeyError: 'a bug'" in capsys.readouterr().err


def test_the_server_listens_on_this_machine_alone_unless_asked() -> None:
    assert Address().host == "127.0.0.1"
    with serving(Site({}, lambda body: ANSWERED), Address()) as url:
        port = Client(url).port
        listening = Path("/proc/net/tcp").read_text() + Path("/proc/net/tcp6").read_text()
    own = [line.split()[1] for line in listening.splitlines() if f":{port:04X} " in line]
    assert own and all(address.startswith("0100007F:") for address in own)
