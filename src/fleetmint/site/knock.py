"""Knocking at a gateway's listeners with one certificate or another, and what becomes of it: HTTP, MQTT 3.1.1, NTP.

By hand, since what refuses a client says so in different moments: with TLS 1.2 in the handshake, with TLS 1.3 behind
it, and an HTTP server by its status.
"""

import contextlib
import secrets
import socket
import ssl
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http.client import HTTPException, HTTPSConnection
from pathlib import Path
from types import TracebackType

from fleetmint import files, staging
from fleetmint.ca.hierarchy import Hierarchy
from fleetmint.ca.identifier import FACTORY
from fleetmint.errors import FleetmintError
from fleetmint.gateway.disconnect import connect_packet
from fleetmint.x509 import keys, names
from fleetmint.x509.authority import load_certificate, pem

_SECONDS = 10.0
_LIFETIME = timedelta(days=1)
_CONNACK, _PUBLISH, _PUBACK, _SUBACK = 0x20, 0x30, 0x40, 0x90
_QOS1 = 0x02
_DISCONNECT = bytes([0xE0, 0x00])
# RFC 5905, figure 8: version 4, a client; the era of its times begins in 1900.
_NTP_REQUEST = bytes([0x23]) + bytes(47)
_NTP_EPOCH = datetime(1900, 1, 1, tzinfo=UTC)
_SYNCHRONISED = range(1, 16)


@dataclass(frozen=True)
class Client:
    """Somebody who knocks: files of key and certificate; `known` unless no ledger can know the name."""

    name: str
    key: Path
    certificate: Path
    password: bytes | None = None
    known: bool = True


class RefusedError(FleetmintError):
    """The server does not take the client, and says so, by an alert, a closed connection or its protocol."""


@dataclass(frozen=True)
class Answer:
    """What a server answered over HTTPS."""

    status: int
    body: bytes


def given(directory: Path) -> Client:
    """Return the device whose device.key and device.crt are in a directory."""
    key, certificate = directory / "device.key", directory / "device.crt"
    files.read_private(key, "key of a device")
    leaf = load_certificate(certificate)
    return Client(names.common_name(leaf.subject) or "", key, certificate)


@contextmanager
def of_a_moment(hierarchy: Hierarchy, now: datetime) -> Iterator[Client]:
    """Give a device that no ledger knows, with a certificate of the factory CA."""
    key, name, password = keys.new_key(), f"verify-{secrets.token_hex(8)}", secrets.token_bytes(32).hex().encode()
    leaf = hierarchy.authority(FACTORY).issue("factory-device", key.public_key(), name, now=now, lifetime=_LIFETIME)
    with staging.workspace("verify") as directory:
        client = Client(name, directory / "device.key", directory / "device.crt", password, known=False)
        # OpenSSL reads files only
        files.write_atomically(client.key, keys.sealed_pem(key, password))
        files.write_atomically(client.certificate, pem(leaf))
        yield client


def https(host: str, port: int, context: ssl.SSLContext, path: str = "/") -> Answer:
    """Return the answer to a GET; raise RefusedError when the server refuses the client in TLS, OSError otherwise."""
    connection = HTTPSConnection(host, port, context=context, timeout=_SECONDS)
    try:
        connection.connect()
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return Answer(answer.status, answer.read())
        except (ssl.SSLError, ConnectionError, HTTPException) as error:
            raise RefusedError(str(error)) from error
    except ssl.SSLCertVerificationError:
        raise
    except ssl.SSLError as error:
        raise RefusedError(str(error)) from error
    finally:
        connection.close()


class Mqtt:
    """A session at a broker, for a `with` statement.

    Raises RefusedError when the broker does not take the client, and OSError when it cannot be reached or proven.
    """

    def __init__(self, host: str, port: int, context: ssl.SSLContext, client_id: str) -> None:
        raw = socket.create_connection((host, port), _SECONDS)
        try:
            self._socket = context.wrap_socket(raw, server_hostname=host)
        except ssl.SSLCertVerificationError:
            raw.close()
            raise
        except (ssl.SSLError, ConnectionError) as error:
            raw.close()
            raise RefusedError(str(error)) from error
        try:
            self._send(connect_packet(client_id))
            kind, body = self._next(_SECONDS)
        except TimeoutError:
            self._socket.close()
            raise
        except (OSError, RefusedError) as error:
            self._socket.close()
            raise RefusedError(str(error)) from error
        if kind & 0xF0 != _CONNACK or body[1] != 0:
            self._socket.close()
            raise RefusedError(f"the broker answers {body.hex()}")

    def __enter__(self) -> "Mqtt":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(OSError):
            self._send(_DISCONNECT)
        self._socket.close()

    def subscribe(self, topic: str) -> None:
        """Subscribe; a broker grants also what it then never delivers."""
        self._send(_packet(0x82, struct.pack(">H", 1) + _text(topic) + bytes([1])))
        while self._next(_SECONDS)[0] & 0xF0 != _SUBACK:
            pass

    def publish(self, topic: str, payload: bytes) -> None:
        """Publish with QoS 1, never retained; a broker acknowledges also what it then throws away, or hangs up."""
        self._send(_packet(_PUBLISH | _QOS1, _text(topic) + struct.pack(">H", 2) + payload))
        try:
            while self._next(_SECONDS)[0] & 0xF0 != _PUBACK:
                pass
        except RefusedError:
            pass

    def hears(self, topic: str, payload: bytes, seconds: float) -> bool:
        """Whether this message arrives within so many seconds."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            try:
                kind, body = self._next(left)
            except TimeoutError:
                return False
            if kind & 0xF0 == _PUBLISH and body[2:].startswith(topic.encode()) and body.endswith(payload):
                return True
        return False

    def _send(self, data: bytes) -> None:
        self._socket.sendall(data)

    def _next(self, seconds: float) -> tuple[int, bytes]:
        self._socket.settimeout(seconds)
        kind = self._exactly(1)[0]
        length = shift = 0
        while True:
            (byte,) = self._exactly(1)
            length |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return kind, self._exactly(length)

    def _exactly(self, count: int) -> bytes:
        found = b""
        while len(found) < count:
            try:
                part = self._socket.recv(count - len(found))
            except TimeoutError:
                raise
            except OSError as error:
                raise RefusedError(str(error)) from error
            if not part:
                raise RefusedError("the connection was closed")
            found += part
        return found


def ntp_offset(host: str, port: int, now: datetime) -> timedelta | None:
    """Return how far a server's clock is ahead of `now`; None when it says that its own is not set. Raises OSError."""
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
    with socket.socket(family, kind, protocol) as connection:
        connection.settimeout(_SECONDS / 2)
        connection.connect(address)
        connection.send(_NTP_REQUEST)
        answer = connection.recv(512)
    if len(answer) < 48 or answer[1] not in _SYNCHRONISED or answer[0] >> 6 == 3:
        return None
    seconds, fraction = struct.unpack(">II", answer[40:48])
    return _NTP_EPOCH + timedelta(seconds=seconds + fraction / (1 << 32)) - now


def _packet(kind: int, body: bytes) -> bytes:
    length, left = b"", len(body)
    while True:
        left, byte = divmod(left, 128)[0], left % 128
        length += bytes([byte | (0x80 if left else 0)])
        if not left:
            return bytes([kind]) + length + body


def _text(text: str) -> bytes:
    data = text.encode()
    return struct.pack(">H", len(data)) + data
