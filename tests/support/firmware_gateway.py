"""A gateway that enrols, greets and brokers as the real one does, and keeps what it saw."""

import base64
import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.hazmat.primitives.serialization import Encoding

from fleetmint.trust.bundle import Bundle
from fleetmint.x509.authority import pem
from fleetmint.x509.request import read_request
from tests.support.firmware_site import DEVICE, Site
from tests.support.firmware_succession import Succession
from tests.support.gateway_double import Request, http, reply, server_context, serving
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
    # The answer to this request (1 is the first) gets lost, after the request has had its effect.
    loses: int = 0

    def __post_init__(self) -> None:
        self.succession = Succession(self.site)

    def answer(self, request: Request) -> bytes:
        _, path, _ = request.line.split()
        if path in self.answers:
            return self.answers[path]
        answer = self._answer(path, request)
        return b"" if len(self.requests) == self.loses else answer

    def _answer(self, path: str, request: Request) -> bytes:
        if path == "/v1/enrol":
            return self._enrol(json.loads(request.body))
        if path == "/v1/recover":
            return self.succession.recovery(json.loads(request.body))
        if path == "/v1/renew":
            return self.succession.renewal(request.certificate, json.loads(request.body))
        if path == "/v1/whoami":
            return self.succession.whoami(request.certificate, self.label)
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
        return self.site.nvs(TOKEN, self.https_port, self.mqtt_port, changes)


@contextlib.contextmanager
def gateway_of(site: Site, directory: Path) -> Iterator[Gateway]:
    """Serve a gateway of this site that knows nothing yet; its files are in `directory`."""
    made = Gateway(site, [], [], Broker())
    chain, key = site.server("localhost", "127.0.0.1").files(directory)
    trust = directory / "devices.pem"
    trust.write_bytes(pem(site.root.certificate, site.device_ca.certificate))
    https = serving(server_context(chain, key, trust, ask=True), http(made.answer, made.requests))
    mqtt = serving(server_context(chain, key, trust), made.broker.handle)
    with https as made.https_port, mqtt as made.mqtt_port:
        yield made
