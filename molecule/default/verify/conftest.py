"""A gateway that the play has set up, and certificates of every kind to knock with.

The judges are openssl, curl and mosquitto's own clients: nothing of ours decides whether a listener held.
"""

# ruff: noqa: S603, S607 - fixed programs, found on the PATH

import contextlib
import json
import os
import subprocess
from collections.abc import Callable, Iterator
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
from fleetmint.x509.authority import Authority, pem, self_signed

SITE = "demo"


@dataclass(frozen=True)
class Client:
    """A client's files: certificate with its issuer, and key. `name` is its common name."""

    name: str
    certificate: Path
    key: Path


# authority, profile, name, and the certificates above the authority that are to be shown
MakeClient = Callable[..., Client]


@dataclass(frozen=True)
class Gateway:
    """How the gateway is reached from outside, and from inside as root."""

    state: Path
    ports: dict[str, int]
    container: str
    # server CA and root: mosquitto's clients do not take a CA without its issuer for an anchor
    chain: Path

    @property
    def anchor(self) -> Path:
        return self.state / "ca/server/ca.crt"

    def inside(self, *command: str) -> str:
        done = subprocess.run(["podman", "exec", self.container, *command], capture_output=True, text=True, check=True)
        return done.stdout

    def curl(self, port: str, path: str = "/", client: Client | None = None, *options: str) -> tuple[int, str]:
        """Return HTTP status and body; status 0 when there was no answer."""
        identity = ["--cert", str(client.certificate), "--key", str(client.key)] if client else []
        return self._curl(f"https://localhost:{self.ports[port]}{path}", *identity, *options)

    def plain(self, path: str, *options: str) -> tuple[int, str]:
        """Return status and body of the port that speaks without TLS."""
        return self._curl(f"http://localhost:{self.ports['http']}{path}", *options)

    def _curl(self, url: str, *options: str) -> tuple[int, str]:
        command = ["curl", "-sS", "--cacert", str(self.anchor), "-w", "\n%{http_code}", *options, url]
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
        body, _, status = done.stdout.rpartition("\n")
        return int(status or 0), body

    def handshake(self, port: str, *options: str) -> subprocess.CompletedProcess[str]:
        where = f"localhost:{self.ports[port]}"
        command = ["openssl", "s_client", "-connect", where, "-CAfile", str(self.anchor), "-partial_chain", *options]
        return subprocess.run(
            [*command, "-verify_return_error"], input="Q\n", capture_output=True, text=True, timeout=20, check=False
        )

    def mqtt(self, program: str, port: str, client: Client, *options: str) -> list[str]:
        return [
            program, "-h", "localhost", "-p", str(self.ports[port]), "--cafile", str(self.chain),
            "--cert", str(client.certificate), "--key", str(client.key), "-V", "mqttv311", *options,
        ]  # fmt: skip

    @contextlib.contextmanager
    def listening(self, port: str, client: Client, *filters: str) -> Iterator[subprocess.Popen[str]]:
        """Give a mosquitto_sub that has subscribed to `filters` and prints each message as "topic text"."""
        options = [word for text in filters for word in ("-t", text)]
        command = ["stdbuf", "-oL", *self.mqtt("mosquitto_sub", port, client, "-d", "-v", "-q", "1", *options)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
            try:
                for line in process.stdout or ():
                    if line.startswith("Subscribed"):
                        break
                yield process
            finally:
                process.terminate()

    def publishes(self, port: str, client: Client, topic: str, text: str) -> subprocess.CompletedProcess[str]:
        command = self.mqtt("mosquitto_pub", port, client, "-t", topic, "-m", text, "-q", "1")
        return subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)


@pytest.fixture(scope="session")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Gateway:
    state = Path(os.environ["FLEETMINT_STATE"])
    ports = json.loads((state / "pi/ports.json").read_text())
    chain = tmp_path_factory.mktemp("trust") / "chain.pem"
    chain.write_bytes(b"".join((state / f"ca/{name}/ca.crt").read_bytes() for name in ("server", "root")))
    return Gateway(state, ports, (state / "pi/container").read_text().strip(), chain)


@pytest.fixture(scope="session")
def hierarchy(gateway: Gateway) -> Hierarchy:
    return Hierarchy(gateway.state / "ca", SITE, open_source(f"file:{gateway.state / 'passphrases'}"))


@pytest.fixture(scope="session")
def make_client(tmp_path_factory: pytest.TempPathFactory) -> MakeClient:
    directory = tmp_path_factory.mktemp("clients")

    def make(authority: Authority, profile: str, name: str, *chain: x509.Certificate) -> Client:
        key = keys.new_key()
        leaf = authority.issue(profile, key.public_key(), name, now=datetime.now(UTC))
        path = directory / f"{profile}-{name}-{leaf.serial_number:x}"
        client = Client(name, path.with_suffix(".crt"), path.with_suffix(".key"))
        client.certificate.write_bytes(pem(leaf, authority.certificate, *chain))
        client.key.write_bytes(keys.plain_pem(key))
        return client

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
    path = real.certificate.with_name("impostor.crt")
    path.write_bytes(pem(forged, authority.certificate))
    return Client("alice@demo", path, real.key)
