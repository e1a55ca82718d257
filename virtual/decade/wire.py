"""HTTPS and MQTT 3.1.1 as a device speaks them: TLS 1.2, the server CAs of its trust bundle, its leaf alone."""

import contextlib
import http.client
import json
import socket
import ssl
import struct
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, cast

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from fleetmint.x509 import keys

SECONDS = 20
# As long as the broker allows, since days pass in a second and it counts true ones.
_KEEP_ALIVE_SECONDS = 660
_QOS_1, _RETAIN = 2, 1
_CONNECT, _CONNACK, _PUBLISH, _PUBACK, _PINGREQ, _PINGRESP, _DISCONNECT = 0x10, 0x20, 0x30, 0x40, 0xC0, 0xD0, 0xE0


class NoWayError(Exception):
    """The gateway did not let the device in; `why` is `away`, `server`, `certificate` or an answer's status."""

    def __init__(self, why: str, detail: str) -> None:
        super().__init__(f"{why}: {detail}")
        self.why = why


@dataclass(frozen=True)
class Place:
    """Where the gateway is, as the batch says."""

    host: str
    https: int
    mqtt: int


@dataclass(frozen=True)
class Identity:
    """A key and its certificate (DER)."""

    key: keys.PrivateKey
    certificate: bytes


def context(anchors: Iterable[bytes], identity: Identity | None) -> ssl.SSLContext:
    """Return what a device connects with."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.maximum_version = ssl.TLSVersion.TLSv1_2
    made.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    made.load_verify_locations(cadata=b"".join(anchors))
    if identity is not None:
        # Python takes them from a file only
        with tempfile.NamedTemporaryFile(suffix=".pem") as file:
            file.write(keys.plain_pem(identity.key))
            file.write(ssl.DER_cert_to_PEM_cert(identity.certificate).encode())
            file.flush()
            made.load_cert_chain(file.name)
    return made


def request(
    tls: ssl.SSLContext, place: Place, method: str, path: str, body: dict[str, str] | None = None
) -> tuple[int, bytes]:
    """Return status and body of an answer; raise NoWayError where there is none."""
    connection = http.client.HTTPConnection(place.host)
    with _told(), contextlib.closing(connection):
        connection.sock = _connect(tls, place.host, place.https)
        headers = {} if body is None else {"Content-Type": "application/json"}
        connection.request(method, path, None if body is None else json.dumps(body), headers)
        answer = connection.getresponse()
        return answer.status, answer.read()


def ask(
    tls: ssl.SSLContext, place: Place, method: str, path: str, body: dict[str, str] | None = None
) -> dict[str, Any]:
    """Return the JSON of a 200; raise NoWayError for everything else."""
    status, content = request(tls, place, method, path, body)
    if status != http.client.OK:
        raise NoWayError(str(status), content[:200].decode(errors="replace").strip())
    return cast("dict[str, Any]", json.loads(content))


class Session:
    """One MQTT session with a last will, as the agent opens it."""

    def __init__(self, tls: ssl.SSLContext, place: Place, device: str) -> None:
        topic = f"devices/{device}/out/status"
        with _told():
            self._connection = _connect(tls, place.host, place.mqtt)
            try:
                flags = 0x02 | 0x04 | 0x08 | 0x20  # clean session; a will, QoS 1, retained
                head = _text("MQTT") + bytes([4, flags]) + struct.pack(">H", _KEEP_ALIVE_SECONDS)
                self._send(_CONNECT, head + _text(device) + _text(topic) + _text('{"online":false}'))
                kind, answer = self._receive()
                if kind != _CONNACK or answer[1]:
                    raise NoWayError("certificate", f"CONNACK {answer.hex()}")
                self._publish(topic, b'{"online":true}', _RETAIN)
            except BaseException:
                self._connection.close()
                raise

    def reading(self, device: str, text: str) -> None:
        """Publish a reading, acknowledged; raise NoWayError when the session has ended."""
        with _told():
            self._publish(f"devices/{device}/out/readings", text.encode(), 0)

    def close(self) -> None:
        """Leave in order."""
        with contextlib.suppress(OSError):
            self._send(_DISCONNECT, b"")
        self._connection.close()

    def cut(self) -> None:
        """Leave as a device without power does."""
        self._connection.close()

    def _publish(self, topic: str, payload: bytes, retain: int) -> None:
        self._send(_PUBLISH | _QOS_1 | retain, _text(topic) + struct.pack(">H", 1) + payload)
        kind, answer = self._receive()
        if kind != _PUBACK:
            raise NoWayError("certificate", f"packet {kind:#x} {answer.hex()} for a PUBACK")

    def _send(self, kind: int, body: bytes) -> None:
        length, left = bytearray(), len(body)
        while True:
            left, digit = divmod(left, 128)
            length.append(digit | (0x80 if left else 0))
            if not left:
                break
        self._connection.sendall(bytes([kind]) + length + body)

    def _receive(self) -> tuple[int, bytes]:
        # what the broker says to a device here is shorter than 128 bytes
        head = self._take(2)
        return head[0] & 0xF0, self._take(head[1])

    def _take(self, count: int) -> bytes:
        taken = b""
        while len(taken) < count:
            more = self._connection.recv(count - len(taken))
            if not more:
                raise NoWayError("certificate", "the broker hung up")
            taken += more
        return taken


def csr(key: keys.PrivateKey) -> bytes:
    """Return a request (DER) with an empty subject, as the agent writes it."""
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


def _connect(tls: ssl.SSLContext, host: str, port: int) -> ssl.SSLSocket:
    plain = socket.create_connection((host, port), timeout=SECONDS)
    try:
        return tls.wrap_socket(plain, server_hostname=host)
    except BaseException:
        plain.close()
        raise


@contextlib.contextmanager
def _told() -> Iterator[None]:
    """Say in one way what failed."""
    try:
        yield
    except ssl.SSLCertVerificationError as error:
        raise NoWayError("server", error.verify_message) from error
    except ssl.SSLError as error:
        raise NoWayError("certificate", str(error.reason or error)) from error
    except (ConnectionResetError, BrokenPipeError) as error:
        raise NoWayError("certificate", f"hung up ({error.strerror})") from error
    except (OSError, http.client.HTTPException) as error:
        raise NoWayError("away", str(error)) from error


def _text(value: str) -> bytes:
    encoded = value.encode()
    return struct.pack(">H", len(encoded)) + encoded
