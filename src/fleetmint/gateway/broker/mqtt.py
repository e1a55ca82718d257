"""As much of MQTT 5 as watching the broker takes: subscribe and publish on its Unix socket, and read what comes.

https://docs.oasis-open.org/mqtt/mqtt/v5.0/mqtt-v5.0.html, chapter 3. QoS 0 only, without properties.
By hand, since the paho-mqtt of Debian 12 (1.6) connects to no Unix socket.
"""

import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from fleetmint.errors import FleetmintError

# No device's name has a slash, so none can take this session over.
CLIENT_ID = "fleetmint/watch"
KEEP_ALIVE_SECONDS = 60
_TIMEOUT_SECONDS = 10.0
_CONNECT, _CONNACK, _PUBLISH, _SUBSCRIBE, _UNSUBSCRIBE, _PINGREQ = 0x10, 0x20, 0x30, 0x82, 0xA2, 0xC0
_CLEAN_START = 0x02
_RETAIN = 0x01
# Messages keep the flag that they were published with: otherwise what is retained and what is not look alike.
_RETAIN_AS_PUBLISHED = 0x08
_ENOUGH = 65536


class BrokerError(FleetmintError):
    """The broker cannot be reached, or says something unexpected."""


@dataclass(frozen=True)
class Message:
    """What somebody published, and whether it was published to be retained."""

    topic: str
    payload: bytes
    retained: bool


class Connection:
    """A session at the broker that listens on the Unix socket `path`. Raises BrokerError when it ends."""

    def __init__(self, path: Path) -> None:
        self._received = bytearray()
        self._packet_id = 0
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._socket.settimeout(_TIMEOUT_SECONDS)
            self._socket.connect(str(path))
            self._send(_CONNECT, b"\x00\x04MQTT\x05" + struct.pack(">BHB", _CLEAN_START, KEEP_ALIVE_SECONDS, 0)
                       + _text(CLIENT_ID))  # fmt: skip
            kind, body = self._next()
        except (OSError, BrokerError) as error:
            self.close()
            raise BrokerError(f"the broker does not answer on {path} ({error})") from error
        if kind != _CONNACK or body[1] != 0:
            self.close()
            raise BrokerError(f"the broker refuses a session on {path} ({body.hex()})")

    def broker_pid(self) -> int:
        """Return the process that listens on the other side."""
        credentials = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        return int(struct.unpack("3i", credentials)[0])

    def fileno(self) -> int:
        """Return the descriptor, to wait for messages with."""
        return self._socket.fileno()

    def close(self) -> None:
        """End the session."""
        self._socket.close()

    def subscribe(self, topics: str) -> None:
        """Ask for what is published to `topics`, and for what is retained there now."""
        self._packet_id = self._packet_id % 65535 + 1
        body = struct.pack(">HB", self._packet_id, 0) + _text(topics) + bytes([_RETAIN_AS_PUBLISHED])
        self._send(_SUBSCRIBE, body)

    def unsubscribe(self, topics: str) -> None:
        """Ask for no more of `topics`."""
        self._packet_id = self._packet_id % 65535 + 1
        self._send(_UNSUBSCRIBE, struct.pack(">HB", self._packet_id, 0) + _text(topics))

    def retain(self, topic: str, payload: bytes) -> None:
        """Have a message kept at `topic`, in place of the one that is there; without payload none is."""
        self._send(_PUBLISH | _RETAIN, _text(topic) + b"\x00" + payload)

    def forget(self, topic: str) -> None:
        """Remove what is retained at `topic`, which an empty retained message does."""
        self.retain(topic, b"")

    def ping(self) -> None:
        """Keep the session alive."""
        self._send(_PINGREQ, b"")

    def receive(self) -> Iterator[Message]:
        """Yield the messages that have come; waits for bytes when there are none."""
        self._read()
        while (packet := self._take()) is not None:
            kind, body = packet
            if kind & 0xF0 == _PUBLISH:
                yield _message(kind, body)

    def _send(self, kind: int, body: bytes) -> None:
        try:
            self._socket.sendall(bytes([kind]) + _length(len(body)) + body)
        except OSError as error:
            raise BrokerError(f"the broker takes nothing more ({error})") from error

    def _read(self) -> None:
        try:
            chunk = self._socket.recv(_ENOUGH)
        except OSError as error:
            raise BrokerError(f"the broker is silent ({error})") from error
        if not chunk:
            raise BrokerError("the broker has ended the session")
        self._received += chunk

    def _next(self) -> tuple[int, bytes]:
        while (packet := self._take()) is None:
            self._read()
        return packet

    def _take(self) -> tuple[int, bytes] | None:
        """Return the first packet that is there as a whole, and drop it from what was received."""
        length, at = 0, 1
        while True:
            if len(self._received) <= at:
                return None
            byte = self._received[at]
            length |= (byte & 0x7F) << (7 * (at - 1))
            at += 1
            if byte < 0x80:
                break
        if len(self._received) < at + length:
            return None
        kind, body = self._received[0], bytes(self._received[at : at + length])
        del self._received[: at + length]
        return kind, body


def _message(kind: int, body: bytes) -> Message:
    end = 2 + int.from_bytes(body[:2], "big")
    topic = body[2:end].decode(errors="replace")
    if kind & 0x06:  # a packet id, with QoS 1 and 2
        end += 2
    properties, shift = 0, 0
    while True:
        byte = body[end]
        properties |= (byte & 0x7F) << shift
        end, shift = end + 1, shift + 7
        if byte < 0x80:
            break
    return Message(topic, body[end + properties :], bool(kind & _RETAIN))


def _text(value: str) -> bytes:
    data = value.encode()
    return len(data).to_bytes(2, "big") + data


def _length(value: int) -> bytes:
    """Return a variable byte integer, section 1.5.5."""
    found = bytearray()
    while True:
        value, low = value >> 7, value & 0x7F
        found.append(low | 0x80 if value else low)
        if not value:
            return bytes(found)
