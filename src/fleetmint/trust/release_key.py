"""The release keys: what signs trust bundles and updates. Bare P-256 keys, no certificates, known to every device.

    release/keys.bin        who they are: generation, release key, spare, and the spare's word for it
    release/release-0.key   the release key of that generation, opened by the passphrase of the issuing CAs
    release/spare.key       the spare, opened by a passphrase of its own; both belong somewhere else, with the root

The release key signs in daily life. The spare signs one thing only: who the release keys of a higher generation are.
So whoever steals the release key can neither shut the spare out nor outbid it.
"""

import hashlib
import struct
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, utils

from fleetmint import files, passphrases
from fleetmint.errors import StateError
from fleetmint.plan import Plan
from fleetmint.x509 import keys

DIRECTORY = "release"
KEYS = "keys.bin"
SPARE_KEY = "spare.key"
SPARE = "spare"

# A point is x || y, a signature r || s, each number in 32 bytes, big-endian.
POINT_BYTES = 64
SIGNATURE_BYTES = 64
# What the spare signs begins so, and a bundle otherwise: neither signature passes for the other.
MAGIC = b"FMTK\x01"
NO_ENDORSEMENT = bytes(SIGNATURE_BYTES)

_LAYOUT = struct.Struct(f">H{POINT_BYTES}s{POINT_BYTES}s{SIGNATURE_BYTES}s")


@dataclass(frozen=True)
class ReleaseKeys:
    """The release keys of one generation: two points and, from generation 1 on, a signature of the old spare."""

    generation: int
    release: bytes
    spare: bytes
    endorsement: bytes = NO_ENDORSEMENT

    def encode(self) -> bytes:
        """Return the 194 bytes that keys.bin and every trust bundle hold."""
        return _LAYOUT.pack(self.generation, self.release, self.spare, self.endorsement)

    def endorsed_by(self, spare: bytes, site: str) -> bool:
        """Whether the holder of the private key of `spare` named these keys."""
        return verify(spare, self.endorsement, self.statement(site))

    def statement(self, site: str) -> bytes:
        """Return what the spare signs: these are the keys of `site` in this generation."""
        name = site.encode()
        return MAGIC + bytes([len(name)]) + name + struct.pack(">H", self.generation) + self.release + self.spare


KEYS_BYTES = _LAYOUT.size


def decode(data: bytes, what: str) -> ReleaseKeys:
    """Return the keys in `data`; raise StateError, naming `what`, when these are none."""
    if len(data) != KEYS_BYTES:
        raise StateError(f"{what} has {len(data)} bytes instead of {KEYS_BYTES}: restore it from the backup of the CA")
    found = ReleaseKeys(*_LAYOUT.unpack(data))
    for point in (found.release, found.spare):
        try:
            public_key(point)
        except ValueError as error:
            raise StateError(f"{what} holds no P-256 keys: restore it from the backup of the CA") from error
    if (found.generation == 0) != (found.endorsement == NO_ENDORSEMENT):
        raise StateError(f"{what} contradicts itself: the first keys, and only those, carry no signature of a spare")
    return found


def load(directory: Path) -> ReleaseKeys:
    """Return the release keys of the CA state in `directory`."""
    path = directory / DIRECTORY / KEYS
    return decode(files.read(path, "release keys"), str(path))


def signing_key(directory: Path, source: passphrases.Source) -> ec.EllipticCurvePrivateKey:
    """Open the release key in use; raise StateError when it is not the one that devices know."""
    known = load(directory)
    path = _release_path(directory, known.generation)
    key = _opened(path, source.read(passphrases.ISSUING))
    if point(key.public_key()) != known.release:
        raise StateError(f"{path} is not the release key that devices know: restore both from one backup")
    return key


def plan_release(directory: Path, source: passphrases.Source) -> Plan[None]:
    """Plan the release key and its spare where there are none. What exists is never made again."""
    if not (directory / DIRECTORY / KEYS).exists():
        return Plan(("make the release key and its spare",), lambda: _make_first(directory, source))
    path = _release_path(directory, load(directory).generation)
    if not path.exists():
        raise StateError(f"the release key {path} is missing: restore it, or see docs/trust-bundle.md about the spare")
    return Plan()


def plan_replacement(
    directory: Path, site: str, source: passphrases.Source, spare_path: Path | None = None
) -> Plan[None]:
    """Plan a new release key, named by the spare, in place of one that is lost or in the wrong hands.

    `spare_path` is the spare's key file where it is not kept beside the release key.
    """
    old = load(directory)
    path = spare_path or directory / DIRECTORY / SPARE_KEY

    def replace() -> None:
        spare = _opened(path, source.read(SPARE))
        if point(spare.public_key()) != old.spare:
            raise StateError(f"{path} is not the spare that devices know: restore the one that is")
        made = _made(_release_path(directory, old.generation + 1), source.read(passphrases.ISSUING))
        new = ReleaseKeys(old.generation + 1, point(made.public_key()), old.spare)
        new = ReleaseKeys(new.generation, new.release, new.spare, sign(spare, new.statement(site)))
        files.write_atomically(directory / DIRECTORY / KEYS, new.encode(), files.PUBLIC_FILE)

    return Plan(
        (f"replace the release key {fingerprint(old.release)} by a new one, on the word of the spare",), replace
    )


def sign(key: ec.EllipticCurvePrivateKey, message: bytes) -> bytes:
    """Return the ECDSA signature r || s of SHA-256(`message`)."""
    r, s = utils.decode_dss_signature(key.sign(message, ec.ECDSA(hashes.SHA256())))
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def verify(point: bytes, signature: bytes, message: bytes) -> bool:
    """Whether `signature` is one of `message` by the key of `point`."""
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
    try:
        public_key(point).verify(utils.encode_dss_signature(r, s), message, ec.ECDSA(hashes.SHA256()))
    except (InvalidSignature, ValueError):
        return False
    return True


def point(key: ec.EllipticCurvePublicKey) -> bytes:
    """Return x || y of a public key."""
    return key.public_bytes(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)[1:]


def public_key(point: bytes) -> ec.EllipticCurvePublicKey:
    """Return the key of x || y; raise ValueError when that is no point of P-256."""
    return ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), b"\x04" + point)


def fingerprint(point: bytes) -> str:
    """Return 16 hexadecimal digits by which people tell release keys apart."""
    return hashlib.sha256(point).hexdigest()[:16]


def _make_first(directory: Path, source: passphrases.Source) -> None:
    place = directory / DIRECTORY
    files.make_private_dir(place)
    release = _made(_release_path(directory, 0), source.read(passphrases.ISSUING))
    if not (place / SPARE_KEY).exists() and not source.has(SPARE):
        source.make(SPARE)
    spare = _made(place / SPARE_KEY, source.read(SPARE))
    known = ReleaseKeys(0, point(release.public_key()), point(spare.public_key()))
    files.write_atomically(place / KEYS, known.encode(), files.PUBLIC_FILE)


def _made(path: Path, passphrase: bytes) -> ec.EllipticCurvePrivateKey:
    if path.exists():  # a run that was cut before keys.bin: the key counts
        return _opened(path, passphrase)
    key = keys.new_key()
    files.write_atomically(path, keys.sealed_pem(key, passphrase))
    return key


def _opened(path: Path, passphrase: bytes) -> ec.EllipticCurvePrivateKey:
    return keys.load_key(files.read_private(path, "the release key", refuse=True), passphrase, str(path))


def _release_path(directory: Path, generation: int) -> Path:
    return directory / DIRECTORY / f"release-{generation}.key"
