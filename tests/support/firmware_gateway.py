"""A gateway that enrols, greets and brokers as the real one does, and keeps what it saw."""

import base64
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime

from cryptography.hazmat.primitives.serialization import Encoding

from fleetmint.nvs import keys
from fleetmint.trust.bundle import Bundle
from fleetmint.x509.request import read_request
from tests.support.firmware_site import DEVICE, Site
from tests.support.gateway_double import Request, reply
from tests.support.mqtt_broker import Broker

# Made up, and known to this gateway only.
TOKEN = "00112233445566778899aabbccddeeff"  # noqa: S105


@dataclass
class Gateway:
    """The listeners of one site: `answers` replaces ordinary replies."""

    site: Site
    enrolled: list[bytes]
    requests: list[Request]
    broker: Broker
    https_port: int = 0
    mqtt_port: int = 0
    # What the listeners say instead of an ordinary answer: path → reply.
    answers: dict[str, bytes] = field(default_factory=dict)
    issued: dict[bytes, bytes] = field(default_factory=dict)
    # The trust bundle that it delivers, and the label that it claims for it.
    bundle: bytes | None = None
    label: str | None = None

    def answer(self, request: Request) -> bytes:
        _, path, _ = request.line.split()
        if path in self.answers:
            return self.answers[path]
        if path == "/v1/enrol":
            return self._enrol(json.loads(request.body))
        if request.client is None:
            return reply("401 Unauthorized", b"<p>Hello, who are you?</p>")
        if path == "/v1/trust-bundle" and self.bundle is not None:
            return reply("200 OK", self.bundle)
        headers = [f"Fleetmint-Trust-Bundle: {self.label}"] if self.label else []
        return reply("200 OK", f"<html>\n<h1>Hello {request.client}</h1>\n</html>".encode(), *headers)

    def offer(self, bundle: Bundle, label: str | None = None) -> bytes:
        """Deliver this bundle from now on."""
        self.bundle, self.label = bundle.encode(), label or bundle.label
        return self.bundle

    def _enrol(self, body: dict[str, str]) -> bytes:
        if (body["device"], body["token"]) != (DEVICE, TOKEN):
            return reply("403 Forbidden", b'{"error": "refused"}')
        csr = read_request(base64.b64decode(body["csr"]))
        self.enrolled.append(csr.spki_sha256)
        if csr.spki_sha256 not in self.issued:
            leaf = self.site.device_ca.issue("device", csr.public_key, DEVICE, now=self.site.made)
            self.issued[csr.spki_sha256] = leaf.public_bytes(Encoding.DER)
        certificate = base64.b64encode(self.issued[csr.spki_sha256]).decode()
        return reply("200 OK", json.dumps({"certificate": certificate, "serial": "00", "not_after": "x"}).encode())

    def nvs(self, **changes: int | bytes | None) -> dict[str, int | bytes]:
        """The values of a device of this gateway that has a token; None takes one away."""
        floor = self.site.made - datetime(2000, 1, 1, tzinfo=UTC)
        values: dict[str, int | bytes | None] = {
            keys.DEVICE_ID: DEVICE.encode(),
            keys.TOKEN: TOKEN.encode(),
            keys.WIFI_SSID: b"fleet",
            keys.WIFI_PSK: b"correct horse",
            keys.GATEWAY: b"localhost",
            keys.HTTPS_PORT: self.https_port,
            keys.MQTT_PORT: self.mqtt_port,
            keys.BUNDLE: self.site.bundle().encode(),
            keys.CLOCK_FLOOR: int(floor.total_seconds()),
            **changes,
        }
        return {key: value for key, value in values.items() if value is not None}
