"""The PKI of a site, as far as a device meets it."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from fleetmint.pki.authority import Authority, pem, self_signed

DEVICE = "pump-0001"


@dataclass(frozen=True)
class Identity:
    """A certificate, its key, and the chain to show with it."""

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate
    chain: tuple[x509.Certificate, ...] = ()

    @property
    def key_der(self) -> bytes:
        return self.key.private_bytes(Encoding.DER, PrivateFormat.TraditionalOpenSSL, NoEncryption())

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(Encoding.DER)

    def files(self, directory: Path) -> tuple[Path, Path]:
        """Write chain and key as PEM, for a server of Python's."""
        directory.mkdir(exist_ok=True)
        chain, key = directory / "chain.pem", directory / "key.pem"
        chain.write_bytes(pem(self.certificate, *self.chain))
        key.write_bytes(self.key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()))
        return chain, key


@dataclass(frozen=True)
class Site:
    """A PKI as a site has it: a root, a CA for servers and one for devices."""

    root: Authority
    server_ca: Authority
    device_ca: Authority
    made: datetime

    def server(self, *sans: str, now: datetime | None = None) -> Identity:
        key = ec.generate_private_key(ec.SECP256R1())
        leaf = self.server_ca.issue("server", key.public_key(), sans[0], now=now or self.made, sans=sans)
        return Identity(key, leaf, (self.server_ca.certificate,))

    def device(self, name: str = DEVICE) -> Identity:
        key = ec.generate_private_key(ec.SECP256R1())
        return Identity(key, self.device_ca.issue("device", key.public_key(), name, now=self.made))

    @property
    def anchors(self) -> bytes:
        """The server CAs in DER, one after the other, the one in use second."""
        sealed = issuing(self.root, "server-ca", self.made)
        return b"".join(ca.certificate.public_bytes(Encoding.DER) for ca in (sealed, self.server_ca))


def issuing(root: Authority, profile: str, now: datetime) -> Authority:
    key = ec.generate_private_key(ec.SECP256R1())
    return Authority(root.issue(profile, key.public_key(), f"test {profile}", now=now), key)


def make_site(now: datetime) -> Site:
    root = self_signed("test", "test root", ec.generate_private_key(ec.SECP384R1()), now)
    return Site(root, issuing(root, "server-ca", now), issuing(root, "device-ca", now), now)
