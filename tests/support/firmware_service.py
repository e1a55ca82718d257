"""The real service and its ledger behind TLS, for devices under MicroPython; only nginx and the broker are doubles."""

import base64
import contextlib
import json
import ssl
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from flask.testing import FlaskClient
from sqlalchemy import select

from fleetmint.ledger.schema import events
from fleetmint.service.app import create_app
from fleetmint.x509.authority import pem
from tests.support.firmware_site import DEVICE, Site
from tests.support.gateway_double import Request, http, reply, server_context, serving
from tests.support.gateway_site import GatewaySite, certificate_entry, environ, make_gateway_site, registration
from tests.support.mqtt_broker import Broker

# X509_V_FLAG_NO_CHECK_TIME of OpenSSL, which Python has no name for.
NO_CHECK_TIME = ssl.VerifyFlags(0x200000)


@dataclass
class RealGateway:
    """What a device meets at the devices' listener: the Flask application, at a time of the test's choosing."""

    site: Site
    gateway: GatewaySite
    broker: Broker
    requests: list[Request] = field(default_factory=list)
    # How far the gateway's clock is ahead of now.
    later: timedelta = timedelta()
    # The answer to this request (1 is the first) gets lost, after the request has had its effect.
    loses: int = 0
    https_port: int = 0
    mqtt_port: int = 0
    token: str | None = None
    _client: FlaskClient | None = None

    def now(self) -> datetime:
        return datetime.now(UTC).replace(microsecond=0) + self.later

    def answer(self, request: Request) -> bytes:
        method, path, _ = request.line.split()
        shown = x509.load_der_x509_certificate(request.certificate) if request.certificate else None
        date = f"Date: {format_datetime(self.now(), usegmt=True)}"
        if shown and shown.not_valid_after_utc <= self.now():
            # nginx lets nobody in whose certificate has ended
            return reply("401 Unauthorized", b"<p>Hello, the client certificate was refused.</p>", date, own_date=True)
        assert self._client is not None
        done = self._client.open(
            path,
            method=method,
            data=request.body or None,
            content_type="application/json" if request.body else None,
            environ_overrides=environ("devices", shown),
        )
        headers = [f"{name}: {value}" for name, value in done.headers if name.lower() == "retry-after"]
        answer = reply(done.status, done.data, date, *headers, own_date=True)
        return b"" if len(self.requests) == self.loses else answer

    def nvs(self, **changes: int | bytes | None) -> dict[str, int | bytes]:
        """The values of a device that the gateway has a token of; None takes one away."""
        return self.site.nvs(self.token, self.https_port, self.mqtt_port, changes)

    def register(self) -> None:
        """Make the device known, with a one-time token."""
        self.token = self.gateway.register(self.now(), DEVICE)[DEVICE]

    def made_by_factory(self) -> dict[str, int | bytes | None]:
        """Make the device known with a key of the factory; return what the factory writes into its NVS."""
        identity = self.site.device()
        leaf = self.gateway.hierarchy.authority("factory").issue(
            "factory-device", identity.key.public_key(), DEVICE, now=self.now()
        )
        self.gateway.import_(registration([certificate_entry(DEVICE, leaf)]), self.now())
        return {"token": None, "slot": 0, "key0": identity.key_der, "cert0": leaf.public_bytes(Encoding.DER)}

    def events(self, kind: str) -> list[dict[str, object]]:
        """The details of the events of a kind, the first one first."""
        with self.gateway.reading() as connection:
            rows = connection.execute(select(events.c.detail).where(events.c.kind == kind).order_by(events.c.seq))
            return [json.loads(row.detail) for row in rows]

    def csrs(self) -> list[bytes]:
        """The requests for certificates that came, in DER."""
        return [base64.b64decode(json.loads(each.body)["csr"]) for each in self.requests if each.body]


@contextlib.contextmanager
def service_of(site: Site, directory: Path, template: Path) -> Iterator[RealGateway]:
    """Serve a gateway that knows nothing yet; its files are in `directory`, `template` is what it is copied from."""
    made = RealGateway(site, make_gateway_site(directory, template), Broker())
    app = create_app(made.gateway.config, clock=made.now)
    made._client = app.test_client()
    chain, key = site.server("localhost", "127.0.0.1").files(directory / "server")
    trust = directory / "server" / "devices.pem"
    factory = made.gateway.hierarchy.authority("factory").certificate
    trust.write_bytes(pem(made.gateway.device_ca.certificate, factory))
    secured = [server_context(chain, key, trust, ask=True), server_context(chain, key, trust)]
    for context in secured:
        # its clock is the test's, and `answer` looks at the dates
        context.verify_flags |= NO_CHECK_TIME
    https = serving(secured[0], http(lambda request: made.answer(request), made.requests))
    mqtt = serving(secured[1], made.broker.handle)
    try:
        with https as made.https_port, mqtt as made.mqtt_port:
            yield made
    finally:
        app.extensions["fleetmint"].close()
