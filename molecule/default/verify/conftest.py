"""A gateway that the play has set up, and certificates of every kind to knock with."""

# ruff: noqa: S603, S607 - fixed programs, found on the PATH

import json
import os
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import NameOID

from fleetmint.ca.hierarchy import Hierarchy
from fleetmint.passphrases import open_source
from fleetmint.x509 import keys, names
from fleetmint.x509.authority import Authority, self_signed
from tests.support import clients
from tests.support.clients import Client

SITE = "demo"
# authority, profile, name, and the certificates above the authority that are to be shown
MakeClient = Callable[..., Client]


@dataclass(frozen=True)
class Gateway(clients.Gateway):
    """How the gateway is reached from outside, and from inside as root."""

    container: str

    def inside(self, *command: str) -> str:
        done = subprocess.run(["podman", "exec", self.container, *command], capture_output=True, text=True, check=True)
        return done.stdout


@pytest.fixture(scope="session")
def gateway() -> Gateway:
    state = Path(os.environ["FLEETMINT_STATE"])
    ports = json.loads((state / "pi/ports.json").read_text())
    return Gateway(state, ports, (state / "pi/container").read_text().strip())


@pytest.fixture(scope="session")
def hierarchy(gateway: Gateway) -> Hierarchy:
    return Hierarchy(gateway.state / "ca", SITE, open_source(f"file:{gateway.state / 'passphrases'}"))


@pytest.fixture(scope="session")
def make_client(tmp_path_factory: pytest.TempPathFactory) -> MakeClient:
    directory = tmp_path_factory.mktemp("clients")

    def make(authority: Authority, profile: str, name: str, *chain: x509.Certificate) -> Client:
        key = keys.new_key()
        leaf = authority.issue(profile, key.public_key(), name, now=datetime.now(UTC))
        file = f"{profile}-{name}-{leaf.serial_number:x}"
        return clients.save(directory, file, key, leaf, authority.certificate, *chain, name=name)

    return make


@pytest.fixture(scope="session")
def lamp(hierarchy: Hierarchy, make_client: MakeClient) -> Client:
    return make_client(hierarchy.authority("device-gateway"), "device", "lamp-one")


@pytest.fixture(scope="session")
def other_lamp(hierarchy: Hierarchy, make_client: MakeClient) -> Client:
    return make_client(hierarchy.authority("factory"), "factory-device", "lamp-two")


@pytest.fixture(scope="session")
def alice(hierarchy: Hierarchy, make_client: MakeClient) -> Client:
    return make_client(hierarchy.authority("operator"), "operator", "alice@demo")


@pytest.fixture(scope="session")
def stranger(make_client: MakeClient) -> Client:
    """A device of another fleet that happens to have the same names everywhere."""
    now = datetime.now(UTC)
    root = self_signed(SITE, "Root", keys.new_key("P-384"), now)
    key = keys.new_key()
    issuing = Authority(root.issue("device-ca", key.public_key(), "Device CA", now=now), key)
    return make_client(issuing, "device", "lamp-one", root.certificate)


@pytest.fixture(scope="session")
def impostor(hierarchy: Hierarchy, make_client: MakeClient) -> Client:
    """A device whose CA was talked into an operator's name."""
    authority = hierarchy.authority("device-gateway")
    real = make_client(authority, "device", "lamp-three")
    key = keys.load_key(real.key.read_bytes(), None, "key")
    leaf = x509.load_pem_x509_certificate(real.certificate.read_bytes())
    subject = names.subject(SITE, names.DEVICES_UNIT, "alice@demo")
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(leaf.issuer).public_key(key.public_key())
    builder = builder.serial_number(leaf.serial_number + 1)
    builder = builder.not_valid_before(leaf.not_valid_before_utc).not_valid_after(leaf.not_valid_after_utc)
    for extension in leaf.extensions:
        builder = builder.add_extension(extension.value, extension.critical)
    assert subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value == "alice@demo"
    algorithm = leaf.signature_hash_algorithm
    assert isinstance(algorithm, hashes.SHA256 | hashes.SHA384)
    forged = builder.sign(authority.key, algorithm)
    return clients.save(real.key.parent, "impostor", key, forged, authority.certificate, name="alice@demo")
