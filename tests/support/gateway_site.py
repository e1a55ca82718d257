"""A gateway without servers: its files under a temporary directory, as the play would have put them."""

import base64
import contextlib
import hashlib
import json
import secrets
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from sqlalchemy.engine import Connection, Engine

from fleetmint.ca.create import plan_hierarchy
from fleetmint.ca.hierarchy import Hierarchy
from fleetmint.documents.handover import FORMAT as HANDOVER
from fleetmint.documents.registration import FORMAT, FORMAT_WITH_POLICY, read_registration
from fleetmint.documents.times import time_text
from fleetmint.gateway.config import Config, load_config
from fleetmint.ledger import audit, create_schema, imports, open_ledger, reading, writing
from fleetmint.ledger.group import GroupWriter
from fleetmint.passphrases import open_source
from fleetmint.service.body import Enrolment
from fleetmint.service.enrolment import Issuing
from fleetmint.x509 import keys
from fleetmint.x509.authority import Authority


@dataclass(frozen=True)
class GatewaySite:
    root: Path
    hierarchy: Hierarchy
    config: Config
    config_path: Path

    @property
    def device_ca(self) -> Authority:
        return self.hierarchy.authority("device-gateway")

    @contextlib.contextmanager
    def reading(self) -> Iterator[Connection]:
        engine = open_ledger(self.config.ledger)
        try:
            with reading(engine) as connection:
                yield connection
        finally:
            engine.dispose()

    @contextlib.contextmanager
    def writing(self) -> Iterator[Connection]:
        engine = open_ledger(self.config.ledger)
        try:
            with writing(engine) as connection:
                yield connection
        finally:
            engine.dispose()

    def findings(self) -> tuple[str, ...]:
        with self.reading() as connection:
            return tuple(map(str, audit.findings(connection)))

    def register(self, now: datetime, *devices: str, **document: Any) -> dict[str, str]:
        """Register devices and return their tokens."""
        tokens = {device: secrets.token_hex(16) for device in devices}
        expires = now + timedelta(days=365)
        data = registration([token_entry(device, token, expires) for device, token in tokens.items()], **document)
        self.import_(data, now)
        return tokens

    def import_(self, data: bytes, now: datetime) -> imports.Decision:
        factory = self.hierarchy.authority("factory").certificate
        document = read_registration(data, site="test", gateway="gateway", factory_cas=[factory])
        with self.writing() as connection:
            return imports.import_registration(connection, document, actor="test", now=now)


def make_gateway_site(root: Path, template: Path) -> GatewaySite:
    """Return a fresh site under `root`: a copy of the one in `template`, which is made first when it is missing."""
    if not template.exists():
        _make_template(template)
    shutil.copytree(template, root)
    values = {
        "site": "test",
        "gateway": "gateway",
        "ledger": f"sqlite:///{root / 'ledger.sqlite'}",
        "attested_clock": str(root / "clock.json"),
        "device_ca": str(root / "device-ca"),
        "trust": str(root / "trust"),
        "crls": str(root / "crls"),
        "device_crl": str(root / "crl" / "device.pem"),
        "nginx": str(root / "nginx"),
        "mosquitto": str(root / "mosquitto"),
        "disconnect_socket": str(root / "kick.sock"),
        "publish_socket": str(root / "publish.sock"),
        "watch_socket": str(root / "watch.sock"),
        "broker_alarms": str(root / "alarms.json"),
        "alerts": str(root / "alerts"),
        "alert": str(root / "alert.json"),
        "alert_socket": str(root / "alert.sock"),
        "published": str(root / "published.json"),
        "public": str(root / "public"),
        "service_socket": str(root / "uwsgi.sock"),
        "counters": str(root / "counters"),
        "program_systemctl": str(root / "systemctl"),
        "program_nginx": str(root / "nginx-program"),
        "stations": "bench@test",
    }
    config_path = root / "gateway.toml"
    config_path.write_text("".join(f'{key} = "{value}"\n' for key, value in values.items()))
    return GatewaySite(root, _hierarchy(root), load_config(config_path), config_path)


def _hierarchy(root: Path) -> Hierarchy:
    return Hierarchy(root / "controller" / "ca", "test", open_source(f"file:{root / 'controller' / 'passphrases'}"))


def _make_template(root: Path) -> None:
    root.mkdir()
    hierarchy = _hierarchy(root)
    plan_hierarchy(hierarchy, ["gateway"], datetime.now(UTC).replace(microsecond=0)).apply()
    for directory in ("device-ca", "trust", "crls", "nginx", "mosquitto", "public", "alerts"):
        (root / directory).mkdir()
    ca = hierarchy.directory
    for name in ("root", "server", "operator", "factory"):
        shutil.copy(ca / name / "ca.crt", root / "trust" / f"{name}.crt")
    shutil.copy(ca / "device-gateway" / "ca.crt", root / "trust" / "device.crt")
    shutil.copy(ca / "device-gateway" / "ca.crt", root / "device-ca" / "ca.crt")
    key = root / "device-ca" / "ca.key"
    key.touch(mode=0o600)
    key.write_bytes(keys.plain_pem(hierarchy.authority("device-gateway").key))
    for name in ("root", "operator", "factory"):
        shutil.copy(ca / name / "crl.pem", root / "crls" / f"{name}.pem")
    engine = open_ledger(f"sqlite:///{root / 'ledger.sqlite'}", create=True)
    create_schema(engine, site="test", owner="gateway")
    engine.dispose()


def enrolment(device: str, token: str, key: keys.PrivateKey) -> Enrolment:
    """Return what the service makes of a device's request."""
    return Enrolment(device, hashlib.sha256(token.encode()).hexdigest(), make_csr(key))


def issuing(engine: Engine, authority: Authority, now: datetime) -> Issuing:
    """Return what issues at `now`."""
    return Issuing(GroupWriter(engine), authority, lambda: now, timedelta(hours=24))


def token_entry(device: str, token: str, expires: datetime) -> dict[str, str]:
    return {
        "device": device,
        "token_sha256": hashlib.sha256(token.encode()).hexdigest(),
        "token_expires": f"{expires:%Y-%m-%dT%H:%M:%SZ}",
    }


def certificate_entry(device: str, certificate: x509.Certificate) -> dict[str, str]:
    return {"device": device, "certificate": base64.b64encode(der(certificate)).decode()}


def registration(
    entries: Sequence[object],
    *,
    batch: str = "lamps-1",
    site: str = "test",
    gateway: str = "gateway",
    policy: Mapping[str, str] | None = None,
) -> bytes:
    head = {"format": FORMAT_WITH_POLICY if policy else FORMAT, "site": site, "gateway": gateway, "batch": batch}
    return json.dumps({**head, **(policy or {}), "devices": entries}).encode()


def board(device: str, mac: str, at: datetime, result: str = "burned") -> dict[str, str]:
    return {"device": device, "result": result, "mac": mac, "at": time_text(at)}


def handover(
    entries: Sequence[Mapping[str, object]], *, batch: str = "lamps-1", site: str = "test", gateway: str = "gateway"
) -> bytes:
    document = {"format": HANDOVER, "site": site, "gateway": gateway, "batch": batch, "devices": entries}
    return json.dumps(document).encode()


def der(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.DER)


def make_csr(
    key: keys.PrivateKey, common_name: str | None = None, extensions: Sequence[x509.ExtensionType] = ()
) -> bytes:
    subject = [] if common_name is None else [x509.NameAttribute(NameOID.COMMON_NAME, common_name)]
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name(subject))
    for extension in extensions:
        builder = builder.add_extension(extension, critical=False)
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


def new_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def environ(listener: str, certificate: x509.Certificate | None = None, address: str = "192.0.2.1") -> dict[str, str]:
    """What nginx sets for a request."""
    if certificate is None:
        return {
            "FLEETMINT_LISTENER": listener,
            "FLEETMINT_VERIFY": "NONE",
            "FLEETMINT_CERT": "",
            "REMOTE_ADDR": address,
        }
    pem = certificate.public_bytes(serialization.Encoding.PEM).decode()
    return {
        "FLEETMINT_LISTENER": listener,
        "FLEETMINT_VERIFY": "SUCCESS",
        "FLEETMINT_CERT": quote(pem, safe=""),
        "REMOTE_ADDR": address,
    }


@pytest.fixture
def site(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> GatewaySite:
    """A gateway of its own for a test."""
    return make_gateway_site(tmp_path / "gateway", tmp_path_factory.getbasetemp() / "gateway-template")


@pytest.fixture
def engine(site: GatewaySite) -> Iterator[Engine]:
    """Its ledger, as the service has it open."""
    engine = open_ledger(site.config.ledger)
    yield engine
    engine.dispose()
