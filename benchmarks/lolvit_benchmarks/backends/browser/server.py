"""The server of the page: a fixed table of files, and one endpoint for messages.

Every path begins with a random token of the run. Paths are looked up in the table, never on disk:
no request can leave it. Requests need this server's `Host` header, against DNS rebinding, and
messages its `Origin`. Connections are limited in number and in time: a client without the token
has a few seconds, one with it half a minute for each request, however slowly it sends.
"""

from __future__ import annotations

import io
import json
import secrets
import socket
import ssl
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from lolvit.errors import UserError

LARGEST_BODY = 1 << 20
_MAX_CONNECTIONS = 128  # a browser opens six, workers some more
_STRANGER_S = 5.0  # for a connection's first request, until its token is known
_IDLE_S = 30.0  # between requests
_REQUEST_S = 30.0  # for the headers and the body of one, and for its response

Answer = Callable[[bytes], tuple[HTTPStatus, dict[str, Any]]]

_TYPES = {
    ".html": "text/html; charset=utf-8", ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8", ".mjs": "text/javascript; charset=utf-8",
    ".json": "application/json", ".wasm": "application/wasm", ".png": "image/png",
}  # fmt: skip

_HEADERS = {
    # These two make the page cross-origin isolated: threads and a fine clock.
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Resource-Policy": "same-origin",
    # The runtimes compile WASM, and start threads from blobs.
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self' 'wasm-unsafe-eval' blob:; worker-src 'self' blob:; "
        "connect-src 'self' blob:; img-src 'self' blob: data:; media-src 'self' blob:; "
        "style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",  # it would contain the token
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}


@dataclass(frozen=True)
class Site:
    """The served files by their paths after the token, on disk or in memory, and the function that
    answers messages."""

    files: Mapping[str, Path | bytes]
    answer: Answer
    token: str = field(default_factory=lambda: secrets.token_urlsafe(18))


@dataclass(frozen=True)
class Address:
    """The address to listen on; port 0 is any free one. `certificate` is a PEM file with
    certificate and key, for https."""

    host: str = "127.0.0.1"
    port: int = 0
    certificate: Path | None = None


@contextmanager
def serving(site: Site, address: Address) -> Iterator[str]:
    """Serve a site while the block runs; yield the URL of its page, with the token.

    Raises:
        UserError: the address or port is not available, or the certificate can't be read.
    """
    try:
        server = _Server((address.host, address.port), _Handler)
    except OSError as error:
        raise UserError(
            f"cannot listen on {address.host}:{address.port}: {error.strerror or error}",
            remedy="choose another --port",
        ) from error
    with server:
        _encrypt(server, address.certificate)
        port = server.server_address[1]
        server.site = site
        names = {address.host} | ({"localhost"} if address.host == "127.0.0.1" else set())
        server.hosts = frozenset(f"{name}:{port}" for name in names)
        server.scheme = "https" if address.certificate else "http"
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield f"{server.scheme}://{address.host}:{port}/{site.token}/"
        finally:
            server.shutdown()
            thread.join()
            server.end_idle_connections()


def lan_address() -> str:
    """Return this machine's address in its local network.

    Raises:
        UserError: it has none.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(
                ("192.0.2.1", 9)
            )  # reserved for documentation; connecting a datagram socket sends nothing
            found = str(probe.getsockname()[0])
        except OSError as error:
            raise UserError(
                "this machine is in no network", remedy="connect it, or remove --lan"
            ) from error
    return found


def _encrypt(server: _Server, certificate: Path | None) -> None:
    if certificate is None:
        return
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(certificate)
    except (OSError, ssl.SSLError) as error:
        raise UserError(
            f"no certificate with its key: {error}",
            where=str(certificate),
            remedy="give one PEM file with both",
        ) from error
    # The handshake is done by the connection's thread, so that a silent client blocks no other.
    server.socket = context.wrap_socket(
        server.socket, server_side=True, do_handshake_on_connect=False
    )


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = (
        2 * _MAX_CONNECTIONS
    )  # beyond it connections are dropped, and clients wait for seconds
    block_on_close = False
    site: Site
    hosts: frozenset[str]
    scheme: str

    def __init__(self, *arguments: Any) -> None:
        self._slots = threading.BoundedSemaphore(_MAX_CONNECTIONS)
        self._open: set[socket.socket] = set()
        super().__init__(*arguments)

    def end_idle_connections(self) -> None:
        """End the threads of connections that browsers keep open; answers under way are sent."""
        for request in list(self._open):
            with suppress(OSError):
                # Not the method of SSLSocket, which would also end the encryption.
                socket.socket.shutdown(request, socket.SHUT_RD)

    def process_request(self, request: Any, client_address: Any) -> None:
        if not self._slots.acquire(blocking=False):
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        self._open.add(request)
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._open.discard(request)
            self._slots.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore broken connections; print the traceback of any other error, a bug of ours."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


class _UntilDeadline(io.RawIOBase):
    """Reads a connection until a moment of the monotonic clock, in seconds: a timeout of each read
    would let a client send one byte at a time for ever."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection, self.deadline = connection, 0.0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("the client is too slow")
        self._connection.settimeout(left)
        return self._connection.recv_into(buffer)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "lolvit", ""
    server: _Server

    def setup(self) -> None:
        super().setup()
        self._known = False  # whether a request had the token
        self._incoming = _UntilDeadline(self.connection)
        self.rfile.close()
        self.rfile = io.BufferedReader(self._incoming)

    def handle_one_request(self) -> None:
        self._incoming.deadline = time.monotonic() + (_IDLE_S if self._known else _STRANGER_S)
        super().handle_one_request()

    def parse_request(self) -> bool:
        if self._known:
            self._incoming.deadline = time.monotonic() + _REQUEST_S
        return super().parse_request()

    def do_GET(self) -> None:
        path = self._path()
        if path is None:
            return
        if "Content-Length" in self.headers or "Transfer-Encoding" in self.headers:
            # Its body would be taken for the next request.
            self._reject(HTTPStatus.BAD_REQUEST, "a GET has no body")
            return
        content = self.server.site.files.get(path or "index.html")
        if content is None:
            self._reject(HTTPStatus.NOT_FOUND, "nothing here")
            return
        data = content if isinstance(content, bytes) else content.read_bytes()
        suffix = Path(path or "index.html").suffix
        self._send(HTTPStatus.OK, data, _TYPES.get(suffix, "application/octet-stream"))

    def do_POST(self) -> None:
        path = self._path()
        if path is None:
            return
        if path != "api":
            self._reject(HTTPStatus.NOT_FOUND, "nothing here")
        elif self.headers.get("Origin") != f"{self.server.scheme}://{self.headers['Host']}":
            self._reject(HTTPStatus.FORBIDDEN, "from another page")
        elif (body := self._body()) is not None:
            status, answer = self.server.site.answer(body)
            self._send(status, json.dumps(answer).encode(), "application/json")

    def _path(self) -> str | None:
        """Return the path after the token; None, after an error response, if it is missing."""
        hosts = self.headers.get_all("Host", [])
        if len(hosts) != 1 or hosts[0].lower() not in self.server.hosts:
            self._reject(HTTPStatus.MISDIRECTED_REQUEST, "not this server's name")
            return None
        token, slash, path = self.path.partition("?")[0].removeprefix("/").partition("/")
        own = self.server.site.token
        if not slash or not secrets.compare_digest(token.encode(), own.encode()):
            self._reject(HTTPStatus.NOT_FOUND, "nothing here")
            return None
        self._known = True
        self._incoming.deadline = time.monotonic() + _REQUEST_S
        return path

    def _body(self) -> bytes | None:
        length, *more = self.headers.get_all("Content-Length", [""])
        if more or not length.isdecimal() or "Transfer-Encoding" in self.headers:
            self._reject(HTTPStatus.LENGTH_REQUIRED, "give a Content-Length")
            return None
        if len(length) > len(str(LARGEST_BODY)) or int(length) > LARGEST_BODY:
            self._reject(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "too much")
            return None
        return self.rfile.read(int(length))

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Answer what the base class rejects, without its page, which quotes the request."""
        self._reject(HTTPStatus(code), "rejected")

    def _reject(self, status: HTTPStatus, reason: str) -> None:
        self.close_connection = True  # the rest of the request is not read
        self._send(status, reason.encode(), "text/plain; charset=utf-8")

    def _send(self, status: HTTPStatus, data: bytes, type: str) -> None:
        self.connection.settimeout(_REQUEST_S)
        self.send_response(status)
        for name, value in _HEADERS.items():
            self.send_header(name, value)
        self.send_header("Content-Type", type)
        self.send_header("Content-Length", str(len(data)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *arguments: Any) -> None:
        """No log: it would contain the token."""
