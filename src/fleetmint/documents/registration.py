"""What the factory tells a gateway about a batch before it burns it: ids with token hashes, or with certificates.

The document is JSON, format `fleetmint-registration-1`:

    {"format": …, "site": S, "gateway": G, "batch": B, "devices": [
      {"device": ID, "token_sha256": hex, "token_expires": "2027-11-22T00:00:00Z"},
      {"device": ID, "certificate": base64 DER of a leaf of the factory CA}]}

What the maker of the batch wants beside that makes it `fleetmint-registration-2`, which an older gateway refuses rather
than to do without; each of the two may be missing:

    {"format": …, …, "approval": "manual", "token_binding": "mac", "devices": […]}

It can be imported any number of times: a used token is not revived, nor a revoked device.
"""

import base64
import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from fleetmint.choices import APPROVALS, AUTO, TOKEN_BINDINGS, UNBOUND
from fleetmint.documents.document import check_addressee, read_object
from fleetmint.errors import NameRefusedError, RegistrationRefusedError
from fleetmint.x509 import compat, keys, names
from fleetmint.x509.chain import issued_by
from fleetmint.x509.parsing import UnreadableError, parsing, touch

FORMAT = "fleetmint-registration-1"
FORMAT_WITH_POLICY = "fleetmint-registration-2"
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Policy:
    """What has to be true before a token of the batch is good: one of APPROVALS and one of TOKEN_BINDINGS."""

    approval: str = AUTO
    token_binding: str = UNBOUND


@dataclass(frozen=True)
class TokenEntry:
    """A device that will enrol with a token: its hash, lower-case hex, and when it expires."""

    device: str
    token_sha256: str
    expires_at: datetime


@dataclass(frozen=True)
class CertificateEntry:
    """A device whose key and certificate the factory made."""

    device: str
    serial: int
    spki_sha256: str
    not_before: datetime
    not_after: datetime
    der: bytes


@dataclass(frozen=True)
class Registration:
    """A checked document; `sha256` is the hash of its bytes, for the record."""

    batch: str
    entries: tuple[TokenEntry | CertificateEntry, ...]
    sha256: str
    policy: Policy = Policy()


def token_row(device: str, token: str, expires: str) -> Mapping[str, str]:
    """Return the entry of a device that will enrol with `token`, of which the document has the hash."""
    digest = hashlib.sha256(token.encode()).hexdigest()
    return {"device": device, "token_sha256": digest, "token_expires": expires}


def certificate_row(device: str, der: bytes) -> Mapping[str, str]:
    """Return the entry of a device whose certificate the factory made."""
    return {"device": device, "certificate": base64.b64encode(der).decode()}


def write_registration(
    site: str, gateway: str, batch: str, rows: Iterable[Mapping[str, str]], policy: Policy = Policy()
) -> Iterator[bytes]:
    """Yield the document, a device at a time: it can be a large one."""
    head = {"format": FORMAT, "site": site, "gateway": gateway, "batch": batch}
    if policy != Policy():
        head |= {"format": FORMAT_WITH_POLICY, **asdict(policy)}
    yield json.dumps(head, indent=1).removesuffix("\n}").encode() + b',\n "devices": ['
    separator = b"\n"
    for row in rows:
        yield separator + b"  " + json.dumps(row).encode()
        separator = b",\n"
    yield b"\n ]\n}\n"


def read_registration(data: bytes, *, site: str, gateway: str, factory_cas: Sequence[x509.Certificate]) -> Registration:
    """Check a document for `gateway` of `site` and return it; raise RegistrationRefusedError naming the entry.

    `factory_cas` are several while one takes the place of another. Without any an entry with a certificate is refused.
    """
    document = read_object(data)
    with_policy = document.get("format") == FORMAT_WITH_POLICY
    batch, listed = check_addressee(document, FORMAT_WITH_POLICY if with_policy else FORMAT, site, gateway)
    policy = _policy(document) if with_policy else Policy()
    entries = tuple(_entry(number, entry, site, factory_cas) for number, entry in enumerate(listed, 1))
    for what in (
        [entry.device for entry in entries],
        [entry.token_sha256 for entry in entries if isinstance(entry, TokenEntry)],
        [entry.spki_sha256 for entry in entries if isinstance(entry, CertificateEntry)],
        [f"serial {entry.serial:x}" for entry in entries if isinstance(entry, CertificateEntry)],
    ):
        if len(set(what)) != len(what):
            twice = next(value for value in what if what.count(value) > 1)
            raise RegistrationRefusedError(f"{twice} is in the document twice: make the batch again")
    return Registration(batch, entries, hashlib.sha256(data).hexdigest(), policy)


def _policy(document: Mapping[str, Any]) -> Policy:
    found = Policy(document.get("approval", AUTO), document.get("token_binding", UNBOUND))
    for name, choices in (("approval", APPROVALS), ("token_binding", TOKEN_BINDINGS)):
        if getattr(found, name) not in choices:
            raise RegistrationRefusedError(f"the document's {name} has to be one of {', '.join(choices)}")
    return found


def _entry(
    number: int, entry: Any, site: str, factory_cas: Sequence[x509.Certificate]
) -> TokenEntry | CertificateEntry:
    if not isinstance(entry, dict):
        raise RegistrationRefusedError(f"device {number} of the document is no JSON object")
    try:
        device = names.device_id(str(entry.get("device")))
    except NameRefusedError as error:
        raise RegistrationRefusedError(f"device {number} of the document: {error}") from error
    if set(entry) == {"device", "token_sha256", "token_expires"}:
        return _token_entry(device, entry["token_sha256"], entry["token_expires"])
    if set(entry) == {"device", "certificate"}:
        return _certificate_entry(device, entry["certificate"], site, factory_cas)
    raise RegistrationRefusedError(f"{device} has to have either token_sha256 and token_expires, or certificate")


def _token_entry(device: str, token_sha256: Any, expires: Any) -> TokenEntry:
    if not isinstance(token_sha256, str) or not _SHA256.fullmatch(token_sha256):
        raise RegistrationRefusedError(f"{device}: token_sha256 has to be 64 lower-case hex digits")
    try:
        expires_at = datetime.strptime(str(expires), "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    except ValueError as error:
        raise RegistrationRefusedError(
            f"{device}: token_expires has to be a UTC time such as 2027-11-22T00:00:00Z"
        ) from error
    return TokenEntry(device, token_sha256, expires_at)


def _certificate_entry(device: str, text: Any, site: str, factory_cas: Sequence[x509.Certificate]) -> CertificateEntry:
    if not factory_cas:
        raise RegistrationRefusedError(f"{device} has a certificate, but this gateway knows no factory CA")
    try:
        with parsing():
            der = base64.b64decode(str(text), validate=True)
            certificate = touch(x509.load_der_x509_certificate(der))
            key, subject = certificate.public_key(), certificate.subject
            whole = certificate.public_bytes(serialization.Encoding.DER) == der
    except UnreadableError as error:
        raise RegistrationRefusedError(f"{device}: the certificate cannot be read") from error
    if not whole or not isinstance(key, ec.EllipticCurvePublicKey) or key.curve.name != ec.SECP256R1.name:
        raise RegistrationRefusedError(f"{device}: the certificate has to be one DER certificate of a P-256 key")
    if subject != names.subject(site, names.DEVICES_UNIT, device):
        raise RegistrationRefusedError(
            f"{device}: the certificate is for {subject.rfc4514_string()!r}, not for this device"
        )
    if not any(issued_by(certificate, ca) for ca in factory_cas):
        raise RegistrationRefusedError(f"{device}: the certificate was not issued by this site's factory CA")
    return CertificateEntry(
        device,
        certificate.serial_number,
        keys.spki_sha256(key).hex(),
        compat.not_before(certificate),
        compat.not_after(certificate),
        der,
    )
