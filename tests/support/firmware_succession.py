"""The identities of one device at a gateway double: who follows whom, and what the gateway says to each."""

import base64
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from fleetmint.x509.request import read_request
from tests.support.firmware_site import DEVICE, Site
from tests.support.gateway_double import reply


@dataclass
class Succession:
    """Certificates by DER. A certificate is confirmed when it is first seen; what came before it is superseded then."""

    site: Site
    # predecessor -> the successor that was issued last
    successors: dict[bytes, bytes] = field(default_factory=dict)
    superseded: set[bytes] = field(default_factory=set)
    confirmed: set[bytes] = field(default_factory=set)
    # What nginx turns away: it has ended, or is on the list.
    refused: set[bytes] = field(default_factory=set)
    # Whether the gateway wants those renewed that have no successor yet, and with a new key.
    renew: set[bytes] = field(default_factory=set)
    new_key: bool = False
    recoverable: bool = True
    # When a device is to renew, from now on.
    renew_in: timedelta = timedelta(days=240)

    def whoami(self, der: bytes | None, label: str | None) -> bytes:
        """The answer to a client with this certificate."""
        refusal = self._refusal(der)
        if refusal or der is None:
            return refusal
        self.confirmed.add(der)
        self.superseded |= {old for old, new in self.successors.items() if new == der}
        certificate = x509.load_der_x509_certificate(der)
        ends = certificate.not_valid_after_utc
        told = {
            "device": DEVICE,
            "status": "active",
            "serial": f"{certificate.serial_number:x}",
            "not_after": f"{ends:%Y-%m-%dT%H:%M:%SZ}",
            "renew_at": f"{datetime.now(UTC) + self.renew_in:%Y-%m-%dT%H:%M:%SZ}",
            "renew": der in self.renew,
            "new_key": self.new_key and der in self.renew,
            "trust_bundle": label,
        }
        return reply("200 OK", json.dumps(told).encode())

    def renewal(self, der: bytes | None, body: dict[str, str]) -> bytes:
        """The answer to POST /v1/renew."""
        refusal = self._refusal(der)
        if refusal or der is None:
            return refusal
        csr = read_request(base64.b64decode(body["csr"]))
        own = x509.load_der_x509_certificate(der).public_key()
        if self.new_key and csr.public_key == own:
            return reply("409 Conflict", b'{"error": "new_key_needed"}')
        return self._succeed(der, body["csr"])

    def recovery(self, body: dict[str, str]) -> bytes:
        """The answer to POST /v1/recover: only to who holds the key of the certificate."""
        der = base64.b64decode(body["certificate"])
        csr = read_request(base64.b64decode(body["csr"]))
        own = x509.load_der_x509_certificate(der).public_key()
        if not self.recoverable or der in self.superseded or csr.public_key != own:
            return reply("403 Forbidden", b'{"error": "refused"}')
        return self._succeed(der, body["csr"])

    def _refusal(self, der: bytes | None) -> bytes:
        if der is None or der in self.refused:
            return reply("401 Unauthorized", b"<p>Hello, who are you?</p>")
        if der in self.superseded:
            return reply("403 Forbidden", b'{"error": "superseded"}')
        return b""

    def _succeed(self, der: bytes, encoded: str) -> bytes:
        csr = read_request(base64.b64decode(encoded))
        pending = self.successors.get(der)
        if pending is None or x509.load_der_x509_certificate(pending).public_key() != csr.public_key:
            leaf = self.site.device_ca.issue("device", csr.public_key, DEVICE, now=self.site.made)
            pending = self.successors[der] = leaf.public_bytes(Encoding.DER)
        certificate = base64.b64encode(pending).decode()
        return reply("200 OK", json.dumps({"certificate": certificate}).encode())
