"""Messages of the adb protocol, as a device's daemon exchanges them over TCP.

A message is a header of six little-endian words (command, two arguments, length, checksum, the
command inverted) and its payload. Streams are flow-controlled: each WRTE waits for an OKAY.
"""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

VERSION = 0x01000001  # checksums are not looked at
LARGEST = 256 * 1024
_HEADER = struct.Struct("<6I")


class Gone(Exception):
    """The other side closed the stream, or the connection."""


@dataclass(frozen=True)
class Message:
    """One message; `name` is the command's four letters."""

    name: bytes
    first: int
    second: int
    payload: bytes = b""

    def encoded(self) -> bytes:
        """Return the message as it goes over the wire."""
        (command,) = struct.unpack("<I", self.name)
        check = sum(self.payload) & 0xFFFFFFFF
        words = (command, self.first, self.second, len(self.payload), check, command ^ 0xFFFFFFFF)
        return _HEADER.pack(*words) + self.payload


def receive(connection: socket.socket) -> Message:
    """Return the next message.

    Raises:
        Gone: the connection was closed.
    """
    command, first, second, length, _, _ = _HEADER.unpack(_exactly(connection, _HEADER.size))
    return Message(struct.pack("<I", command), first, second, _exactly(connection, length))


def _exactly(connection: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        try:
            part = connection.recv(count - len(data))
        except OSError as error:
            raise Gone from error
        if not part:
            raise Gone
        data += part
    return data


@dataclass
class Stream:
    """One service that the client opened: reads from it, writes, and waits for acknowledgements."""

    local: int
    remote: int
    send: Callable[[Message], None]
    closed: bool = False
    _incoming: bytes = b""
    _acknowledged: int = 0
    _changed: threading.Condition = field(default_factory=threading.Condition)

    def arrived(self, payload: bytes) -> None:
        """Take what the client wrote; called by the connection's reader."""
        with self._changed:
            self._incoming += payload
            self._changed.notify_all()
        self.send(Message(b"OKAY", self.local, self.remote))

    def acknowledged(self) -> None:
        """Take the client's OKAY to the last write."""
        with self._changed:
            self._acknowledged += 1
            self._changed.notify_all()

    def ended(self) -> None:
        """Take the end of the stream."""
        with self._changed:
            self.closed = True
            self._changed.notify_all()

    def read(self, count: int) -> bytes:
        """Return exactly `count` bytes of the client's.

        Raises:
            Gone: the stream ended before.
        """
        with self._changed:
            self._changed.wait_for(lambda: len(self._incoming) >= count or self.closed)
            if len(self._incoming) < count:
                raise Gone
            data, self._incoming = self._incoming[:count], self._incoming[count:]
            return data

    def write(self, data: bytes) -> None:
        """Send bytes to the client, each message after the acknowledgement of the one before.

        Raises:
            Gone: the stream ended before.
        """
        for start in range(0, len(data), LARGEST):
            with self._changed:
                before = self._acknowledged
            part = data[start : start + LARGEST]
            self.send(Message(b"WRTE", self.local, self.remote, part))
            with self._changed:
                self._changed.wait_for(lambda seen=before: self._acknowledged > seen or self.closed)
                if self.closed:
                    raise Gone

    def close(self) -> None:
        """End the stream from this side."""
        if not self.closed:
            self.ended()
            self.send(Message(b"CLSE", self.local, self.remote))
