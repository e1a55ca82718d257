"""What a device that is a Linux machine asks of its gateway over HTTPS: always verified, against its own anchors."""

import base64
import json
import re
import socket
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from http.client import HTTPException, HTTPSConnection
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from fleetmint.device.directory import Identity
from fleetmint.documents.reach import Reach
from fleetmint.errors import FleetmintError
from fleetmint.printable import printable, shortened
from fleetmint.x509 import keys
from fleetmint.x509.authority import public_key_bytes

_SECONDS = 20
_LARGEST = 65536
_WAITING = 202
# What a gateway may ask for while somebody decides, in seconds.
_SHORTEST_WAIT, _LONGEST_WAIT = 1, 3600
# OpenSSL, x509_vfy.h.
_NOT_YET_VALID, _EXPIRED, _HOST, _ADDRESS = 9, 10, 62, 64


class UnreachableError(FleetmintError):
    """The gateway was not heard, or is not who it should be: nothing was said about the device."""


class WaitingError(UnreachableError):
    """The gateway has the request, and somebody has to approve it: the same one is to come again in `seconds`."""

    def __init__(self, message: str, seconds: int) -> None:
        super().__init__(message)
        self.seconds = seconds


class DeniedError(FleetmintError):
    """The gateway answers, and says no. `status` is that of HTTP, `code` its reason for a machine."""

    def __init__(self, message: str, status: int, code: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


@dataclass(frozen=True)
class Standing:
    """What the gateway says of a certificate; times are as 2027-11-22T00:00:00Z. `bundle` is (generation, version)."""

    serial: str
    not_after: str
    renew_at: str
    renew: bool
    new_key: bool
    bundle: tuple[int, int] | None


class Gateway:
    """The devices' listener of one gateway."""

    def __init__(self, reach: Reach, anchors: Sequence[bytes]) -> None:
        """`anchors` are the server CAs to trust, DER."""
        self._reach = reach
        self._anchors = tuple(anchors)

    def trusting(self, anchors: Sequence[bytes]) -> "Gateway":
        """Return the same gateway for somebody who trusts other server CAs."""
        return Gateway(self._reach, anchors)

    def whoami(self, identity: Identity, device: str) -> Standing:
        """Return how a certificate stands, shown on a connection; raise DeniedError when it is not wanted."""
        said = self._json("GET", "/v1/whoami", identity=identity)
        try:
            if said["device"] != device:
                raise ValueError(f"it takes this device for {said['device']}")
            told = said.get("trust_bundle")
            rank = None if told is None else tuple(map(int, str(told).split(".")))
            bundle = None if rank is None else (rank[0], rank[1])
            return Standing(
                str(said["serial"]), str(said["not_after"]), str(said["renew_at"]), bool(said["renew"]),
                bool(said["new_key"]), bundle,
            )  # fmt: skip
        except (ValueError, KeyError, TypeError, IndexError) as error:
            raise self._odd(error) from error

    def enrol(self, device: str, token: str, key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
        """Return the certificate for a key and a one-time token; the same again when it is asked again."""
        return self._certificate("/v1/enrol", {"device": device, "token": token}, key, None)

    def renew(self, identity: Identity, key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
        """Return the certificate that follows that of `identity`, for its key or a new one."""
        return self._certificate("/v1/renew", {}, key, identity)

    def recover(self, identity: Identity, key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
        """Return the certificate that follows one that may have ended, for its key."""
        shown = identity.certificate.public_bytes(serialization.Encoding.DER)
        return self._certificate("/v1/recover", {"certificate": base64.b64encode(shown).decode()}, key, None)

    def trust_bundle(self, identity: Identity) -> bytes:
        """Return the trust bundle that the gateway has."""
        return self._ask("GET", "/v1/trust-bundle", identity=identity)

    def _certificate(
        self, path: str, body: dict[str, str], key: ec.EllipticCurvePrivateKey, identity: Identity | None
    ) -> x509.Certificate:
        request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, hashes.SHA256())
        csr = base64.b64encode(request.public_bytes(serialization.Encoding.DER)).decode()
        said = self._json("POST", path, json.dumps({**body, "csr": csr}).encode(), identity)
        try:
            made = x509.load_der_x509_certificate(base64.b64decode(said["certificate"], validate=True))
            if public_key_bytes(made) != keys.spki(key.public_key()):
                raise ValueError("its certificate is for another key")
        except (ValueError, KeyError, TypeError) as error:
            raise self._odd(error) from error
        return made

    def _json(self, method: str, path: str, body: bytes | None = None, identity: Identity | None = None) -> Any:
        answer = self._ask(method, path, body, identity)
        try:
            return json.loads(answer)
        except ValueError as error:
            raise self._odd(error) from error

    def _ask(self, method: str, path: str, body: bytes | None = None, identity: Identity | None = None) -> bytes:
        context = self._context(identity)
        headers = {"Connection": "close"} | ({"Content-Type": "application/json"} if body else {})
        host, port = self._reach.gateway, self._reach.https_port
        connection = HTTPSConnection(host, port, timeout=_SECONDS, context=context)
        try:
            connection.request(method, path, body, headers)
            with connection.getresponse() as answer:
                content, status = answer.read(_LARGEST + 1), answer.status
        except (OSError, HTTPException) as error:
            raise UnreachableError(_why(error, host, port)) from error
        finally:
            connection.close()
        if len(content) > _LARGEST:
            raise self._odd("its answer is too long")
        if status != 200:
            raise self._denied(status, content, answer.headers.get("Retry-After"))
        return content

    def _context(self, identity: Identity | None) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        # the server CAs are the anchors: another CA under that root could not pass for one
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN | ssl.VERIFY_X509_STRICT
        for anchor in self._anchors:
            context.load_verify_locations(cadata=anchor)
        if identity is not None:
            context.load_cert_chain(identity.certificate_path, identity.key_path)
        return context

    def _denied(self, status: int, content: bytes, retry_after: str | None) -> FleetmintError:
        code = message = ""
        try:
            said = json.loads(content)
            code, message = str(said["error"]), str(said.get("message", ""))
        except (ValueError, KeyError, TypeError, AttributeError):
            pass
        reason = shortened(printable(message or code), 300)
        text = f"{self._reach.gateway} answers {status}" + (f": {reason}" if reason else "")
        if status == _WAITING:
            asked = int(retry_after) if retry_after and re.fullmatch("[0-9]{1,4}", retry_after) else 0
            return WaitingError(text, min(max(asked, _SHORTEST_WAIT), _LONGEST_WAIT))
        if status in (408, 429) or status >= 500:
            wait = f" in {printable(retry_after)} s" if retry_after else " later"
            return UnreachableError(f"{text}; try again{wait}")
        return DeniedError(text, status, code)

    def _odd(self, error: object) -> UnreachableError:
        return UnreachableError(
            f"what answers at {self._reach.gateway}:{self._reach.https_port} is no gateway of this version:"
            f" {printable(str(error))}"
        )


def _why(error: Exception, host: str, port: int) -> str:
    where = f"{host}:{port}"
    if isinstance(error, ssl.SSLCertVerificationError):
        if error.verify_code in (_NOT_YET_VALID, _EXPIRED):
            return f"the certificate of {where} is not valid at this time: is the clock of this machine right?"
        if error.verify_code in (_HOST, _ADDRESS):
            return f"the certificate of {where} is for other names than {host}: call the gateway as its site does"
        return (
            f"the certificate of {where} does not come from a server CA that this device trusts"
            f" ({error.verify_message}): is it the gateway of this site?"
        )
    if isinstance(error, ssl.SSLError):
        return f"TLS with {where} fails: {printable(str(error.reason or error))}"
    if isinstance(error, socket.gaierror):
        return f"this machine does not know the name {host} ({error.strerror}): `getent hosts {host}` tells"
    if isinstance(error, TimeoutError):
        return f"nothing answers at {where} (timed out): is the gateway up?"
    if isinstance(error, OSError):
        return f"{where} cannot be reached: {printable(str(error.strerror or error))}"
    return f"what answers at {where} does not speak HTTP as a gateway does"
