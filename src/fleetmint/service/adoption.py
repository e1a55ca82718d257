"""Whose certificate a device shows: the ledger knows, or has forgotten it with a restore and learns of it again."""

import logging
from collections.abc import Callable
from datetime import datetime

from cryptography.hazmat.primitives import serialization
from sqlalchemy.engine import Connection

from fleetmint.gateway.clock import kept, refuse_wrong_clock
from fleetmint.gateway.crl_files import read_lists
from fleetmint.ledger import adoption, reading
from fleetmint.ledger.adoption import Shown
from fleetmint.ledger.devices import Certificate, serial_text
from fleetmint.ledger.grants import GrantRefusedError
from fleetmint.ledger.issuance import KeyRefusedError
from fleetmint.service import identity
from fleetmint.service.identity import IdentityRefusedError, Peer, UnknownCertificateError
from fleetmint.service.journal import event
from fleetmint.service.resources import Resources
from fleetmint.x509 import compat, keys
from fleetmint.x509.chain import issued_by
from fleetmint.x509.profiles import BACKDATE

_log = logging.getLogger(__name__)


def known_certificate(resources: Resources, clock: Callable[[], datetime], found: Peer) -> Certificate:
    """Return the ledger's row of a device's certificate, as identity.known_certificate does.

    One that was issued by this gateway in the time between a backup and its restore is adopted first.
    """
    try:
        with reading(resources.engine) as connection:
            return identity.known_certificate(connection, found)
    except UnknownCertificateError:
        shown = _shown(found)
        with reading(resources.engine) as connection:
            if not adoption.is_forgotten(connection, shown.issued_at):
                raise
        _refuse_others(resources, found)
    overlap = resources.config.overlap

    def adopt(connection: Connection) -> None:
        now = kept(resources.config, clock)
        refuse_wrong_clock(connection, resources.authority, now)
        adoption.adopt(connection, shown, overlap=overlap, now=now)

    try:
        resources.ledger.write(adopt)
    except (GrantRefusedError, KeyRefusedError) as error:
        raise IdentityRefusedError(str(error)) from error
    said = event("adopted", device=shown.device, serial=serial_text(shown.serial))
    _log.warning("%s shows a certificate that the restore had forgotten: it is adopted", shown.device, extra=said)
    with reading(resources.engine) as connection:
        return identity.known_certificate(connection, found)


def _shown(found: Peer) -> Shown:
    certificate = found.certificate
    begin = compat.not_before(certificate)
    return Shown(
        certificate.serial_number,
        found.name,
        keys.spki_sha256(certificate.public_key()).hex(),  # type: ignore[arg-type]
        certificate.public_bytes(serialization.Encoding.DER),
        begin + BACKDATE,
        begin,
        compat.not_after(certificate),
    )


def _refuse_others(resources: Resources, found: Peer) -> None:
    """Raise IdentityRefusedError for what no device CA of this gateway has issued, and for what its list revokes."""
    if not any(issued_by(found.certificate, authority) for authority in resources.chain):
        raise IdentityRefusedError("the certificate is not in this gateway's ledger")
    listed = {entry.serial_number for crl in read_lists(resources.config.device_crl, "CRL") for entry in crl}
    if found.certificate.serial_number in listed:
        raise IdentityRefusedError("the certificate is revoked")
