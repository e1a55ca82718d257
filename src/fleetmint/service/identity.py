"""Who is at a listener: taken from what nginx always sets, and checked again.

nginx has verified the chain, the dates and the CRLs. Here it is checked that the certificate comes from a CA of this
very listener and, for a device, that the ledger knows it, bit for bit, as active. HTTP headers say nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.x509.oid import NameOID
from sqlalchemy.engine import Connection

from fleetmint.errors import FleetmintError, NameRefusedError
from fleetmint.ledger.devices import Certificate, find_certificate
from fleetmint.ledger.schema import ACTIVE
from fleetmint.x509 import names
from fleetmint.x509.chain import issued_by
from fleetmint.x509.listeners import LISTENERS, OPERATORS, ListenerPolicy
from fleetmint.x509.parsing import UnreadableError, parsing, touch

LISTENER, VERIFY, CERTIFICATE = "FLEETMINT_LISTENER", "FLEETMINT_VERIFY", "FLEETMINT_CERT"
# nginx of the version before says it by this name, until the play that brought this one reloads it
_LISTENER_BEFORE = "FLEETMINT_DOOR"


class NoCertificateError(FleetmintError):
    """The client showed no certificate, or none that nginx accepted: 401."""


class IdentityRefusedError(FleetmintError):
    """The client's certificate is good for nothing at this listener: 403."""


class UnknownCertificateError(IdentityRefusedError):
    """The ledger has no certificate with that serial number."""


@dataclass(frozen=True)
class Peer:
    """An authenticated client: its name and its certificate."""

    name: str
    certificate: x509.Certificate


def listener(environ: Mapping[str, object]) -> str | None:
    """Return the listener through which a request came, None when nginx did not say a known one."""
    found = str(environ.get(LISTENER) or environ.get(_LISTENER_BEFORE) or "")
    return found if found in LISTENERS else None


def peer(environ: Mapping[str, object], policy: ListenerPolicy, issuers: Sequence[x509.Certificate]) -> Peer:
    """Return the client of a request at a listener, whose certificate comes from one of `issuers`, the CAs of that.

    Raises NoCertificateError or IdentityRefusedError with a reason that may be shown.
    """
    verify = str(environ.get(VERIFY, ""))
    if verify != "SUCCESS":
        raise NoCertificateError(
            "the certificate was refused" if verify.startswith("FAILED") else "a client certificate is needed here"
        )
    try:
        with parsing():
            certificate = touch(x509.load_pem_x509_certificate(unquote_to_bytes(str(environ.get(CERTIFICATE, "")))))
    except UnreadableError as error:
        raise IdentityRefusedError("the certificate cannot be read") from error
    name = names.common_name(certificate.subject)
    units = certificate.subject.get_attributes_for_oid(NameOID.ORGANIZATIONAL_UNIT_NAME)
    if not any(issued_by(certificate, issuer) for issuer in issuers):
        raise IdentityRefusedError("the certificate was issued for another listener")
    if name is None or [attribute.value for attribute in units] != [policy.unit] or _is_ca(certificate):
        raise IdentityRefusedError("the certificate is of another kind")
    return Peer(name, certificate)


def _is_ca(certificate: x509.Certificate) -> bool:
    """Whether a certificate calls itself a CA, which OpenSSL takes from a client nevertheless."""
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return False


def known_certificate(connection: Connection, found: Peer) -> Certificate:
    """Return the ledger's row of a device's certificate; raise IdentityRefusedError unless that is active.

    One that was superseded is returned, too: what that means differs by what is asked.
    """
    row = find_certificate(connection, found.certificate.serial_number)
    if row is None:
        raise UnknownCertificateError("the certificate is not in this gateway's ledger")
    if row.der != found.certificate.public_bytes(serialization.Encoding.DER):
        raise IdentityRefusedError("the certificate is not in this gateway's ledger")
    if row.status != ACTIVE and row.superseded_at is None:
        raise IdentityRefusedError(f"the certificate is {row.status}")
    if row.device != found.name:
        raise IdentityRefusedError("the certificate has another name than its device")
    return row


def operator(found: Peer) -> str:
    """Return the name of the operator; raise IdentityRefusedError when it is none."""
    try:
        return LISTENERS[OPERATORS].check_name(found.name)
    except NameRefusedError as error:
        raise IdentityRefusedError("the certificate does not name an operator") from error
