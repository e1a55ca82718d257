"""A device that renews and recovers at a service whose clock a test sets."""

import base64
import json
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from flask.testing import FlaskClient
from sqlalchemy import select
from werkzeug.test import TestResponse

from fleetmint.ledger.schema import events
from fleetmint.service.app import create_app
from fleetmint.x509 import keys
from fleetmint.x509.authority import public_key_bytes
from tests.support.gateway_site import (
    GatewaySite,
    certificate_entry,
    der,
    environ,
    make_csr,
    new_key,
    registration,
)

LAMP = "lamp-000001"
YEAR = timedelta(days=365)


class Clock:
    def __init__(self, now: datetime) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock(now: datetime) -> Clock:
    return Clock(now)


@pytest.fixture
def http(site: GatewaySite, clock: Clock) -> Iterator[FlaskClient]:
    app = create_app(site.config, clock=clock)
    yield app.test_client()
    app.extensions["fleetmint"].close()


class Device:
    """What a device does, with a key and a certificate at a time."""

    def __init__(
        self, http: FlaskClient, name: str, key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate
    ) -> None:
        self.http = http
        self.name = name
        self.key = key
        self.certificate = certificate

    def post(self, route: str, shown: x509.Certificate | None = None, /, **body: str) -> TestResponse:
        return self.http.post(route, json=body, environ_overrides=environ("devices", shown))

    def get(self, route: str) -> TestResponse:
        return self.http.get(route, environ_overrides=environ("devices", self.certificate))

    def renew(self, key: ec.EllipticCurvePrivateKey | None = None) -> TestResponse:
        return self.post("/v1/renew", self.certificate, csr=b64(make_csr(key or self.key)))

    def recover(self, key: ec.EllipticCurvePrivateKey | None = None) -> TestResponse:
        return self.post("/v1/recover", certificate=b64(der(self.certificate)), csr=b64(make_csr(key or self.key)))

    def with_(self, answer: TestResponse, key: ec.EllipticCurvePrivateKey | None = None) -> "Device":
        assert answer.status_code == 200, answer.text
        certificate = x509.load_der_x509_certificate(base64.b64decode(said(answer)["certificate"]))
        wanted = key or self.key
        assert public_key_bytes(certificate) == keys.spki(wanted.public_key())
        assert int(said(answer)["serial"], 16) == certificate.serial_number
        return Device(self.http, self.name, wanted, certificate)

    def renewed(self, key: ec.EllipticCurvePrivateKey | None = None) -> "Device":
        return self.with_(self.renew(key), key)

    def used(self) -> "Device":
        assert self.get("/").status_code == 200
        return self


def said(answer: TestResponse) -> dict[str, str]:
    found: dict[str, str] = json.loads(answer.data)
    return found


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


@pytest.fixture
def enrolled(site: GatewaySite, http: FlaskClient, clock: Clock) -> Callable[..., Device]:
    """Return what enrols a device of this name, which has not used its certificate yet."""

    def run(name: str = LAMP) -> Device:
        token, key = site.register(clock.now, name)[name], new_key()
        body = {"device": name, "token": token, "csr": b64(make_csr(key))}
        answer = http.post("/v1/enrol", json=body, environ_overrides=environ("devices"))
        certificate = x509.load_der_x509_certificate(base64.b64decode(said(answer)["certificate"]))
        return Device(http, name, key, certificate)

    return run


@pytest.fixture
def lamp(enrolled: Callable[..., Device]) -> Device:
    return enrolled().used()


@pytest.fixture
def made(site: GatewaySite, http: FlaskClient, now: datetime) -> Device:
    """A device whose key the factory has made."""
    key = new_key()
    leaf = site.hierarchy.authority("factory").issue("factory-device", key.public_key(), "lamp-000009", now=now)
    site.import_(registration([certificate_entry("lamp-000009", leaf)]), now)
    return Device(http, "lamp-000009", key, leaf)


def chain(site: GatewaySite, kind: str) -> list[dict[str, object]]:
    with site.reading() as connection:
        rows = connection.execute(select(events.c.detail).where(events.c.kind == kind).order_by(events.c.seq))
        return [json.loads(row.detail) for row in rows]


def code(answer: TestResponse) -> tuple[int, str]:
    return answer.status_code, said(answer)["error"]


def text(time: datetime) -> str:
    return f"{time:%Y-%m-%dT%H:%M:%SZ}"
