"""The PKI of a site, as far as a device meets it."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from fleetmint.nvs import keys
from fleetmint.trust import release_key
from fleetmint.trust.bundle import Bundle
from fleetmint.trust.release_key import ReleaseKeys
from fleetmint.x509.authority import Authority, pem, self_signed
from fleetmint.x509.keys import new_key

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
    release_key: ec.EllipticCurvePrivateKey
    spare: ec.EllipticCurvePrivateKey

    def server(self, *sans: str, now: datetime | None = None, lifetime: timedelta | None = None) -> Identity:
        key = ec.generate_private_key(ec.SECP256R1())
        begins = now or self.made
        leaf = self.server_ca.issue("server", key.public_key(), sans[0], now=begins, sans=sans, lifetime=lifetime)
        return Identity(key, leaf, (self.server_ca.certificate,))

    def device(self, name: str = DEVICE) -> Identity:
        key = ec.generate_private_key(ec.SECP256R1())
        return Identity(key, self.device_ca.issue("device", key.public_key(), name, now=self.made))

    @property
    def anchors(self) -> tuple[bytes, ...]:
        """The server CAs in DER, the one in use second."""
        sealed = issuing(self.root, "server-ca", self.made)
        return tuple(ca.certificate.public_bytes(Encoding.DER) for ca in (sealed, self.server_ca))

    def bundle(self, version: int = 1, **changes: Any) -> Bundle:
        """A trust bundle of this site; `key` signs instead of the release key, the rest replaces fields."""
        key = changes.pop("key", self.release_key)
        known = ReleaseKeys(
            0, release_key.point(self.release_key.public_key()), release_key.point(self.spare.public_key())
        )
        made = Bundle("test", version, self.made, known, self.anchors)
        made = dataclasses.replace(made, **changes)
        return dataclasses.replace(made, signature=release_key.sign(key, made.signed_part()))

    def nvs(
        self, token: str | None, https_port: int, mqtt_port: int, changes: Mapping[str, int | bytes | None]
    ) -> dict[str, int | bytes]:
        """The values of a device of a gateway on this machine; what `changes` says is None is taken away."""
        floor = self.made - datetime(2000, 1, 1, tzinfo=UTC)
        values: dict[str, int | bytes | None] = {
            keys.DEVICE_ID: DEVICE.encode(),
            keys.TOKEN: token.encode() if token else None,
            keys.WIFI_SSID: b"fleet",
            keys.WIFI_PSK: b"correct horse",
            keys.GATEWAY: b"localhost",
            keys.HTTPS_PORT: https_port,
            keys.MQTT_PORT: mqtt_port,
            keys.BUNDLE: self.bundle().encode(),
            keys.CLOCK_FLOOR: int(floor.total_seconds()),
            **changes,
        }
        return {key: value for key, value in values.items() if value is not None}

    def new_keys(self, key: ec.EllipticCurvePrivateKey, endorser: ec.EllipticCurvePrivateKey) -> ReleaseKeys:
        """The release keys of the next generation, on the word of `endorser`."""
        known = ReleaseKeys(1, release_key.point(key.public_key()), release_key.point(self.spare.public_key()))
        return dataclasses.replace(known, endorsement=release_key.sign(endorser, known.statement("test")))


def issuing(root: Authority, profile: str, now: datetime) -> Authority:
    key = ec.generate_private_key(ec.SECP256R1())
    return Authority(root.issue(profile, key.public_key(), f"test {profile}", now=now), key)


def make_site(now: datetime) -> Site:
    # Old enough for leaves that have ended: no CA signs before it began.
    then = now - timedelta(days=600)
    root = self_signed("test", "test root", ec.generate_private_key(ec.SECP384R1()), then)
    return Site(root, issuing(root, "server-ca", then), issuing(root, "device-ca", then), now, new_key(), new_key())
