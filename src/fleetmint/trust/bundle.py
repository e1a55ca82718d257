"""Trust bundles: whom the devices of a site trust, in one small file that only the release key can make.

A bundle is read from front to back; numbers are big-endian, nothing follows the signature:

    magic "FMTB" | format u8 = 1 | length u8, site (ASCII)
    version u32 | created u32 (seconds since 2000-01-01 UTC)
    generation u16 | release key 64 | spare 64 | endorsement 64        as in release.py
    count u8, then for each anchor: length u16, server CA certificate (DER)
    signature 64: the release key's, ECDSA with SHA-256 over everything before it

docs/trust-bundle.md has it as a table, with what a device accepts.
"""

import struct
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from fleetmint import choices, files, passphrases
from fleetmint.errors import NameRefusedError, StateError
from fleetmint.plan import Plan
from fleetmint.trust import release_key
from fleetmint.x509 import names
from fleetmint.x509.authority import CERTIFICATE, load_certificate

FILE = "bundle.bin"
MAGIC = b"FMTB\x01"
# What a device takes: three server CAs of a site with the longest name. Its NVS holds two bundles while one is written.
MAX_BYTES = 3072
MAX_ANCHORS = 4
MAX_VERSION = choices.MAX_BUNDLE_VERSION

# Devices trust the server CA in use and the sealed one that would replace it; never the root, under which any client
# CA could mint a "server": mbedTLS does not look at the key usage of CAs.
ANCHORS = ("server", "server-next")
# The one before stays until no gateway stands under it any more.
OUTGOING_ANCHOR = "outgoing/server"

_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Bundle:
    """One trust bundle. `anchors` are DER certificates."""

    site: str
    version: int
    created: datetime
    keys: release_key.ReleaseKeys
    anchors: tuple[bytes, ...]
    signature: bytes = bytes(release_key.SIGNATURE_BYTES)

    @property
    def label(self) -> str:
        """What people and HTTP headers call it: the generation of its keys and its version, such as 0.3."""
        return f"{self.keys.generation}.{self.version}"

    @property
    def rank(self) -> tuple[int, int]:
        """By this a bundle is newer than another one."""
        return self.keys.generation, self.version

    def signed_part(self) -> bytes:
        """Return everything before the signature."""
        name = self.site.encode()
        parts = [MAGIC, bytes([len(name)]), name]
        parts.append(struct.pack(">II", self.version, int((self.created - _EPOCH).total_seconds())))
        parts += [self.keys.encode(), bytes([len(self.anchors)])]
        for anchor in self.anchors:
            parts += [struct.pack(">H", len(anchor)), anchor]
        return b"".join(parts)

    def encode(self) -> bytes:
        """Return the whole bundle."""
        return self.signed_part() + self.signature

    def is_signed(self) -> bool:
        """Whether the release key that the bundle names has signed it."""
        return release_key.verify(self.keys.release, self.signature, self.signed_part())


def decode(data: bytes, what: str) -> Bundle:
    """Return the bundle in `data`; raise StateError, naming `what`, when it is none. The signature is not checked."""
    if len(data) > MAX_BYTES:
        raise StateError(f"{what} has {len(data)} bytes; a trust bundle has at most {MAX_BYTES}")
    if not data.startswith(MAGIC):
        raise StateError(f"{what} is no trust bundle of a format that this version knows")
    reader = _Reader(data, len(MAGIC), what)
    try:
        site = names.site_name(reader.take(reader.number(1)).decode("ascii"))
    except (UnicodeDecodeError, NameRefusedError) as error:
        raise StateError(f"{what} names no site") from error
    version, created = reader.number(4), _EPOCH + timedelta(seconds=reader.number(4))
    keys = release_key.decode(reader.take(release_key.KEYS_BYTES), what)
    anchors = tuple(reader.take(reader.number(2)) for _ in range(reader.number(1)))
    bundle = Bundle(site, version, created, keys, anchors, reader.take(release_key.SIGNATURE_BYTES))
    if reader.left:
        raise StateError(f"{what} has {reader.left} bytes too many")
    _check(bundle, what)
    return bundle


def load(path: Path) -> Bundle:
    """Read a bundle whose signature is good; raise StateError naming the file otherwise."""
    bundle = decode(files.read(path, "trust bundle"), str(path))
    if not bundle.is_signed():
        raise StateError(f"{path} is not signed by the release key that it names: restore it from a backup")
    return bundle


def anchors(directory: Path) -> list[x509.Certificate]:
    """Return the server CAs that are there and that devices are to trust, the one in use first."""
    paths = [directory / name / CERTIFICATE for name in (*ANCHORS, OUTGOING_ANCHOR)]
    return [load_certificate(path) for path in paths if path.exists()]


def refusal(held: Bundle, offered: Bundle) -> str | None:
    """Why a device that holds one bundle refuses another one; None when it accepts it.

    The device follows the same rules (firmware/agent/trust.py) and then proves the anchors on a connection.
    """
    if offered.site != held.site:
        return f"it is of the site {offered.site}"
    if offered.rank <= held.rank:
        return f"{offered.label} is not newer than {held.label}"
    if offered.keys.generation == held.keys.generation:
        if offered.keys != held.keys:
            return "it names other release keys"
    elif not offered.keys.endorsed_by(held.keys.spare, held.site):
        return "its release keys are not named by the spare"
    return None if offered.is_signed() else "it is not signed by the release key"


def plan_bundle(
    directory: Path,
    site: str,
    source: passphrases.Source,
    now: datetime,
    *,
    force: bool = False,
    above: int = 0,
) -> Plan[None]:
    """Plan the trust bundle of the CA state in `directory`: a new version only when what it says has changed.

    `force` signs anyway; `above` is a version that the new one has to exceed, for a state that lost its bundle.
    Raises StateError when it would be too large for a device, and when applied without the CAs and release keys.
    """
    path = directory / FILE
    old = load(path) if path.exists() else None
    if old is not None and old.site != site:
        raise StateError(f"{path} belongs to the site {old.site!r}, not to {site!r}")
    needed = [directory / name / CERTIFICATE for name in ANCHORS] + [
        directory / release_key.DIRECTORY / release_key.KEYS
    ]
    if old is None or not all(part.exists() for part in needed):
        # what is missing is made before this one is applied, in a run that makes the CAs
        reason = f"sign the {'first' if old is None else 'next'} trust bundle"
        return Plan((reason,), lambda: _sign(directory, site, source, now, old, above))
    new = _content(directory, site, now, max(old.version, above))
    reasons = _differences(old, new)
    if not reasons and force:
        reasons.append("asked for")
    if not reasons:
        return Plan()
    return Plan(
        (f"sign the trust bundle {new.label}: {', '.join(reasons)}",),
        lambda: _sign(directory, site, source, now, old, above),
        before="\n".join(describe(old)) + "\n",
        after="\n".join(describe(new)) + "\n",
    )


def plan_key_replacement(
    directory: Path, site: str, source: passphrases.Source, now: datetime, spare: Path | None = None
) -> Plan[None]:
    """Plan a new release key on the word of the spare, and the bundle that tells devices.

    A run that was cut between the two is finished; it does not make yet another key.
    """
    if load(directory / FILE).keys != release_key.load(directory):
        return plan_bundle(directory, site, source, now)
    replacement = release_key.plan_replacement(directory, site, source, spare)

    def replace_key() -> None:
        replacement.apply()
        plan_bundle(directory, site, source, now).apply()

    return Plan((*replacement.reasons, "sign a trust bundle that says so"), replace_key)


def describe(bundle: Bundle) -> list[str]:
    """Return a bundle in plain lines for a person."""
    keys = bundle.keys
    lines = [
        f"site {bundle.site}, version {bundle.version}, release keys of generation {keys.generation}",
        f"signed on {bundle.created:%Y-%m-%d %H:%M} UTC",
        f"release key {release_key.fingerprint(keys.release)}, spare {release_key.fingerprint(keys.spare)}",
    ]
    for anchor in bundle.anchors:
        certificate = x509.load_der_x509_certificate(anchor)
        lines.append(f"trusts {names.common_name(certificate.subject)}, serial {certificate.serial_number:x}")
    return lines


def _sign(
    directory: Path, site: str, source: passphrases.Source, now: datetime, old: Bundle | None, above: int
) -> None:
    new = _content(directory, site, now, max(old.version if old else 0, above))
    signed = replace(new, signature=release_key.sign(release_key.signing_key(directory, source), new.signed_part()))
    files.write_atomically(directory / FILE, signed.encode(), files.PUBLIC_FILE)


def _content(directory: Path, site: str, now: datetime, last: int) -> Bundle:
    for name in ANCHORS:  # devices are told of both server CAs, or of none
        load_certificate(directory / name / CERTIFICATE)
    der = tuple(anchor.public_bytes(serialization.Encoding.DER) for anchor in anchors(directory))
    bundle = Bundle(site, last + 1, now.replace(microsecond=0), release_key.load(directory), der)
    _check(bundle, "the new trust bundle")
    size = len(bundle.encode())
    if size > MAX_BYTES:
        raise StateError(f"the new trust bundle would have {size} bytes, and devices take at most {MAX_BYTES}")
    return bundle


def _check(bundle: Bundle, what: str) -> None:
    if not 1 <= bundle.version <= MAX_VERSION:
        raise StateError(f"{what} has the version {bundle.version}: it has to be 1 to {MAX_VERSION}")
    if not 1 <= len(bundle.anchors) <= MAX_ANCHORS:
        raise StateError(f"{what} names {len(bundle.anchors)} server CAs: it has to be 1 to {MAX_ANCHORS}")
    for anchor in bundle.anchors:
        try:
            x509.load_der_x509_certificate(anchor)
        except ValueError as error:
            raise StateError(f"{what} holds a certificate that cannot be read") from error


def _differences(old: Bundle, new: Bundle) -> list[str]:
    reasons = []
    if old.anchors != new.anchors:
        reasons.append("the server CAs have changed")
    if old.keys != new.keys:
        reasons.append("the release key was replaced")
    return reasons


class _Reader:
    """Takes a file apart from front to back."""

    def __init__(self, data: bytes, at: int, what: str) -> None:
        self._data = data
        self._at = at
        self._what = what

    @property
    def left(self) -> int:
        return len(self._data) - self._at

    def take(self, size: int) -> bytes:
        if size > self.left:
            raise StateError(f"{self._what} ends early: restore it from a backup, or sign it again")
        self._at += size
        return self._data[self._at - size : self._at]

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size), "big")
