"""An adb daemon for tests: real `adb` clients connect to it over TCP and find a simulated phone. It
needs no authorization, and supports the shell (version 2) and file transfer (version 1).
"""

from __future__ import annotations

import contextlib
import itertools
import socket
import struct
import threading
from types import TracebackType

from tests.benchmarks.adb_daemon import sync
from tests.benchmarks.adb_daemon.phone import Phone
from tests.benchmarks.adb_daemon.wire import LARGEST, VERSION, Gone, Message, Stream, receive

FEATURES = "shell_v2,cmd"
_STDOUT, _STDERR, _EXIT = 1, 2, 3


class Daemon:
    """Listens on a free port of the loopback until its block ends; `serial` is the phone's for the
    client."""

    def __init__(self, phone: Phone) -> None:
        self.phone = phone
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.serial = f"127.0.0.1:{self._listening.getsockname()[1]}"
        self._connections: list[socket.socket] = []
        phone.cut_cable = self.cut_cable

    def __enter__(self) -> Daemon:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        self._listening.close()
        self.cut_cable()

    def cut_cable(self, *, for_good: bool = False) -> None:
        """End every connection; `for_good`: accept no other."""
        if for_good:
            _shut(self._listening)
        for connection in self._connections:
            _shut(connection)
        self._connections.clear()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # 40 ms a message
            self._connections.append(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        streams: dict[int, Stream] = {}
        try:
            _Connection(connection, self.phone, streams).serve()
        except Gone:
            pass
        finally:
            for stream in list(streams.values()):
                stream.ended()
            _shut(connection)


class _Connection:
    """One client, and its streams by our number."""

    def __init__(self, connection: socket.socket, phone: Phone, streams: dict[int, Stream]) -> None:
        self._connection, self._phone, self._streams = connection, phone, streams
        self._sending = threading.Lock()
        self._numbers = itertools.count(1)

    def serve(self) -> None:
        """Answer the client until the connection ends, which raises Gone."""
        while True:
            message = receive(self._connection)
            stream = self._streams.get(message.second)
            match message.name:
                case b"CNXN":
                    self._send(Message(b"CNXN", VERSION, LARGEST, self._banner()))
                case b"OPEN":
                    self._open(message)
                case b"WRTE" if stream:
                    stream.arrived(message.payload)
                case b"OKAY" if stream:
                    stream.acknowledged()
                case b"CLSE" if stream:
                    stream.ended()

    def _banner(self) -> bytes:
        model = self._phone.properties["ro.product.model"].replace(" ", "_")
        return f"device::ro.product.name=test;ro.product.model={model};ro.product.device=test;features={FEATURES}".encode()  # noqa: E501

    def _send(self, message: Message) -> None:
        try:
            with self._sending:
                self._connection.sendall(message.encoded())
        except OSError as error:
            raise Gone from error

    def _open(self, message: Message) -> None:
        service = message.payload.rstrip(b"\0").decode(errors="replace")
        stream = Stream(next(self._numbers), message.first, self._send)
        self._streams[stream.local] = stream
        self._send(Message(b"OKAY", stream.local, stream.remote))
        threading.Thread(target=self._run, args=(service, stream), daemon=True).start()

    def _run(self, service: str, stream: Stream) -> None:
        try:
            if service.startswith("shell,"):
                _shell(service.partition(":")[2], stream, self._phone)
            elif service == "sync:":
                sync.serve(stream, self._phone)
            stream.close()
        except Gone:
            pass


def _shell(command: str, stream: Stream, phone: Phone) -> None:
    """Run a command of the phone, with its output as it comes."""

    def say(text: str | bytes, where: int = _STDOUT) -> None:
        data = text.encode() if isinstance(text, str) else text
        stream.write(struct.pack("<BI", where, len(data)) + data)

    code = phone.run(command, say, lambda text: say(text, _STDERR))
    stream.write(struct.pack("<BIB", _EXIT, 1, code))


def _shut(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()
