"""An MQTT broker of a hundred lines."""

import socket
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.support.gateway_double import common_name


@dataclass
class Broker:
    """Speaks enough MQTT 3.1.1 for one client at a time, and keeps what it was told."""

    messages: list[tuple[str, bytes]] = field(default_factory=list)
    sessions: list[tuple[str, str | None]] = field(default_factory=list)
    # What devices left with the broker, in order, and what they asked it to say when they are gone.
    retained: list[tuple[str, bytes]] = field(default_factory=list)
    wills: list[tuple[str, bytes]] = field(default_factory=list)
    farewells: int = 0
    pings: int = 0
    return_code: int = 0
    # Sent to every client that subscribes, in one piece: topic, payload, QoS, and whether the broker has kept it.
    greeting: list[tuple[str, bytes, int] | tuple[str, bytes, int, bool]] = field(default_factory=list)
    # The greeting may come before the reply to the subscription.
    greets_first: bool = False
    acknowledged: int = 0
    # The broker stops answering after so many messages.
    silent_after: int | None = None
    # The broker closes the connection instead of acknowledging this message (counted from 1).
    drop_at: int | None = None
    arrived: threading.Condition = field(default_factory=threading.Condition)

    def handle(self, connection: socket.socket) -> None:
        while True:
            kind, body = _packet(connection)
            if kind >> 4 == 1:
                client, rest = _string(body[10:])
                self.sessions.append((client.decode(), common_name(connection)))
                if body[7] & 4:
                    topic, rest = _string(rest)
                    self.wills.append((topic.decode(), _string(rest)[0]))
                connection.sendall(bytes((0x20, 2, 0, self.return_code)))
            elif kind >> 4 == 8:
                reply = [b"\x90\x03" + body[:2] + b"\x01"]
                greeting = [_publish(*message) for message in self.greeting]
                connection.sendall(b"".join(greeting + reply if self.greets_first else reply + greeting))
            elif kind >> 4 == 3:
                if not self._message(connection, body, retained=bool(kind & 1)):
                    return
            elif kind >> 4 == 4:
                self.acknowledged += 1
            elif kind >> 4 == 12:
                self.pings += 1
                connection.sendall(b"\xd0\x00")
            elif kind >> 4 == 14:
                self.farewells += 1
                return
            with self.arrived:
                self.arrived.notify_all()

    def wait(self, enough: Callable[[], bool], timeout: float = 15) -> None:
        """Wait until `enough` is true; fail the test if it does not come true."""
        with self.arrived:
            assert self.arrived.wait_for(enough, timeout), f"the broker got {self.sessions} {self.messages}"

    def _message(self, connection: socket.socket, body: bytes, *, retained: bool) -> bool:
        length = struct.unpack(">H", body[:2])[0]
        message = body[2 : 2 + length].decode(), body[4 + length :]
        if retained:
            self.retained.append(message)
            connection.sendall(b"\x40\x02" + body[2 + length : 4 + length])
            return True
        self.messages.append(message)
        if self.drop_at == len(self.messages):
            return False
        if self.silent_after is None or len(self.messages) <= self.silent_after:
            connection.sendall(b"\x40\x02" + body[2 + length : 4 + length])
        return True


def _publish(topic: str, payload: bytes, qos: int, retained: bool = False) -> bytes:
    body = struct.pack(">H", len(topic)) + topic.encode() + (b"\x00\x07" if qos else b"") + payload
    size = len(body)
    head = bytes((0x30 | qos << 1 | retained,))
    while size > 127:
        head += bytes((size & 127 | 128,))
        size >>= 7
    return head + bytes((size,)) + body


def _string(data: bytes) -> tuple[bytes, bytes]:
    length = struct.unpack(">H", data[:2])[0]
    return data[2 : 2 + length], data[2 + length :]


def _packet(connection: socket.socket) -> tuple[int, bytes]:
    kind = _exactly(connection, 1)[0]
    size = shift = 0
    while True:
        digit = _exactly(connection, 1)[0]
        size |= (digit & 127) << shift
        shift += 7
        if not digit & 128:
            return kind, _exactly(connection, size)


def _exactly(connection: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        more = connection.recv(size - len(data))
        if not more:
            raise ValueError("the client has gone")
        data += more
    return data
