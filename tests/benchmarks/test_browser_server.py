"""What the server of the page answers, and to whom."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from lolvit.errors import UserError
from lolvit_benchmarks.backends.browser.server import LARGEST_BODY, Address, Site, serving

Reply = tuple[int, dict[str, str], bytes]


class Client:
    """Requests to one server, with any path and any headers."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self.host, self.port = str(parts.hostname), int(parts.port or 0)
        self.token = parts.path.strip("/")

    def ask(
        self, method: str, path: str, body: bytes | None = None, **headers: str | None
    ) -> Reply:
        connection = http.client.HTTPConnection(self.host, self.port, timeout=10)
        connection.putrequest(method, path, skip_host=True)
        own = {"Host": f"{self.host}:{self.port}", "Origin": f"http://{self.host}:{self.port}"}
        if body is not None:
            own["Content-Length"] = str(len(body))
        for name, value in (own | {k.replace("_", "-"): v for k, v in headers.items()}).items():
            if value is not None:
                connection.putheader(name, value)
        connection.endheaders(body)
        answer = connection.getresponse()
        content = answer.status, dict(answer.getheaders()), answer.read()
        connection.close()
        return content

    def get(self, path: str, **headers: str | None) -> Reply:
        return self.ask("GET", f"/{self.token}/{path}", **headers)

    def post(self, body: bytes, **headers: str | None) -> Reply:
        return self.ask("POST", f"/{self.token}/api", body, **headers)


@pytest.fixture(scope="module")
def secret(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file beside one that is served."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "served.js").write_text("1")
    (folder / "secret.txt").write_text("secret")
    return folder / "secret.txt"


@pytest.fixture(scope="module")
def client(secret: Path) -> Iterator[Client]:
    files = {"index.html": b"page", "served.js": secret.with_name("served.js")}
    site = Site(files, lambda body: (HTTPStatus.OK, {"bytes": len(body)}))
    with serving(site, Address()) as url:
        yield Client(url)


def test_the_page_is_served_with_what_threads_need(client: Client) -> None:
    status, headers, body = client.get("")
    assert (status, body) == (200, b"page")
    assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert headers["Cross-Origin-Embedder-Policy"] == "require-corp"
    assert headers["Content-Type"].startswith("text/html")
    assert client.get("served.js")[1]["Content-Type"].startswith("text/javascript")


@pytest.mark.parametrize("token", ["", "x", "wrong-token-of-24-letters", "t%C3%B6k"])
def test_nothing_is_there_without_the_token(client: Client, token: str) -> None:
    path = f"/{token}/"
    status, _, body = client.ask("GET", path)
    assert (status, body) == (404, b"nothing here")
    assert client.ask("POST", f"{path}api", b"{}")[0] == 404


def test_the_token_is_another_one_for_each_run() -> None:
    tokens = {Site({}, lambda body: (HTTPStatus.OK, {})).token for _ in range(100)}
    assert len(tokens) == 100
    assert min(map(len, tokens)) >= 24


@pytest.mark.parametrize(
    "path",
    ["secret.txt", "../secret.txt", "..%2fsecret.txt", "./served.js", "%2e%2e/secret.txt",
     "served.js/../secret.txt", "served.js%00", "/etc/passwd", "\\secret.txt"],
)  # fmt: skip
def test_a_path_that_is_not_in_the_table_leads_nowhere(client: Client, path: str) -> None:
    status, _, body = client.get(path)
    assert (status, body) == (404, b"nothing here")


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1", "127.0.0.1:1", "", None])
def test_a_request_by_another_name_is_refused(client: Client, host: str | None) -> None:
    assert client.get("", Host=host)[0] == HTTPStatus.MISDIRECTED_REQUEST


def test_localhost_is_a_name_of_this_machine(client: Client) -> None:
    assert client.get("", Host=f"localhost:{client.port}")[0] == 200


@pytest.mark.parametrize("origin", ["http://evil.example", "null", None])
def test_a_message_from_another_page_is_refused(client: Client, origin: str | None) -> None:
    assert client.post(b"{}", Origin=origin)[0] == HTTPStatus.FORBIDDEN


def test_a_body_may_be_one_megabyte_and_no_more(client: Client) -> None:
    assert json.loads(client.post(b"x" * LARGEST_BODY)[2]) == {"bytes": LARGEST_BODY}
    # Refused by its announced length, before any of it is read.
    status = client.ask("POST", f"/{client.token}/api", None,
                        **{"Content-Length": str(LARGEST_BODY + 1)})[0]  # fmt: skip
    assert status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    huge = client.ask("POST", f"/{client.token}/api", None, **{"Content-Length": "9" * 500})[0]
    assert huge == HTTPStatus.REQUEST_ENTITY_TOO_LARGE


@pytest.mark.parametrize("length", ["-1", "1e3", "", "٣"])
def test_a_length_that_is_no_number_is_refused(client: Client, length: str) -> None:
    name = length.encode().decode("latin-1")
    status = client.ask("POST", f"/{client.token}/api", None, **{"Content-Length": name})[0]
    assert status == HTTPStatus.LENGTH_REQUIRED


def test_other_methods_are_not_known(client: Client) -> None:
    for method in ("PUT", "DELETE", "OPTIONS", "TRACE"):
        assert client.ask(method, f"/{client.token}/")[0] == HTTPStatus.NOT_IMPLEMENTED


def test_silent_connections_hold_up_nobody(client: Client) -> None:
    silent = [socket.create_connection((client.host, client.port)) for _ in range(20)]
    try:
        assert client.get("")[0] == 200
    finally:
        for connection in silent:
            connection.close()


def test_connections_beyond_the_limit_are_closed_and_the_server_goes_on(client: Client) -> None:
    many = [socket.create_connection((client.host, client.port)) for _ in range(80)]
    time.sleep(0.3)
    for connection in many:
        connection.close()
    for _ in range(50):  # until the closed ones have been noticed
        try:
            assert client.get("")[0] == 200
            return
        except (http.client.HTTPException, OSError):
            time.sleep(0.1)
    pytest.fail("the server did not recover")


def test_a_port_that_is_taken_is_reported_in_one_line(client: Client) -> None:
    site = Site({}, lambda body: (HTTPStatus.OK, {}))
    with (
        pytest.raises(UserError, match=r"cannot listen on 127\.0\.0\.1.*choose another --port"),
        serving(site, Address(port=client.port)),
    ):
        pass


def test_the_port_is_free_again_afterwards() -> None:
    site = Site({}, lambda body: (HTTPStatus.OK, {}))
    with serving(site, Address()) as url:
        port = Client(url).port
    with serving(site, Address(port=port)) as again:
        assert Client(again).port == port
    assert threading.active_count() < 50


def test_connections_that_clients_keep_open_end_with_the_server() -> None:
    before = threading.active_count()
    site = Site({"index.html": b"page"}, lambda body: (HTTPStatus.OK, {}))
    kept = []
    with serving(site, Address()) as url:
        parts = urlsplit(url)
        for _ in range(3):
            connection = http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=10)
            connection.request("GET", parts.path)
            assert connection.getresponse().read() == b"page"
            kept.append(connection)
        assert threading.active_count() > before + len(kept)
    deadline = time.monotonic() + 10
    while threading.active_count() > before and time.monotonic() < deadline:
        time.sleep(0.02)
    assert threading.active_count() <= before
    for connection in kept:
        connection.close()


def test_https_serves_with_the_given_certificate(tmp_path: Path) -> None:
    both = tmp_path / "both.pem"
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
         "-nodes", "-keyout", key, "-out", certificate, "-days", "1", "-subj", "/CN=localhost",
         "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"],
        check=True, capture_output=True,
    )  # fmt: skip
    both.write_bytes(certificate.read_bytes() + key.read_bytes())
    site = Site({"index.html": b"page"}, lambda body: (HTTPStatus.OK, {}))
    with serving(site, Address(certificate=both)) as url:
        parts = urlsplit(url)
        context = ssl.create_default_context(cafile=str(certificate))
        connection = http.client.HTTPSConnection(
            str(parts.hostname), parts.port, context=context, timeout=10
        )
        connection.request("GET", parts.path)
        assert connection.getresponse().read() == b"page"
        connection.close()


def test_a_file_that_is_no_certificate_is_reported_in_one_line(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.pem"
    wrong.write_text("no certificate")
    site = Site({}, lambda body: (HTTPStatus.OK, {}))
    with (
        pytest.raises(UserError, match=r"wrong\.pem: no certificate with its key"),
        serving(site, Address(certificate=wrong)),
    ):
        pass
