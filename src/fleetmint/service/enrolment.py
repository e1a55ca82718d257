"""The policy of enrolment, renewal and recovery: who gets a certificate, and what happens if the power goes meanwhile.

Strangers first meet the token, and only then the parser of requests; neither writes anything. Then one transaction
uses the grant and records what will be signed, the signature is made outside of any, a second one stores it, and what
it stored is answered.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from sqlalchemy.engine import Connection

from fleetmint.errors import StateError
from fleetmint.gateway.clock import refuse_wrong_clock
from fleetmint.ledger import approvals, grants, issuance, succession
from fleetmint.ledger.approvals import ApprovalPendingError
from fleetmint.ledger.devices import Certificate, find_certificate
from fleetmint.ledger.grants import (
    GraceGrant,
    Grant,
    GrantRefusedError,
    LiveGrant,
    SupersededError,
    Token,
    TokenGrant,
)
from fleetmint.ledger.group import GroupWriter, Read, Steps, Write
from fleetmint.ledger.issuance import KeyRefusedError
from fleetmint.service.body import Enrolment, Recovery
from fleetmint.service.renewal import PROFILE, Renewal, renewal_of
from fleetmint.x509 import compat, names
from fleetmint.x509.authority import Authority, new_serial
from fleetmint.x509.keys import spki_sha256
from fleetmint.x509.parsing import UnreadableError, parsing, touch
from fleetmint.x509.profiles import BACKDATE
from fleetmint.x509.request import Request, RequestRefusedError, read_request


@dataclass(frozen=True)
class Issuing:
    """What issues: the ledger, the device CA, the time, and how long a superseded certificate is good beside its heir.

    `clock` raises ClockError when the time is not to be signed by. `issued` is told the kind of what was stored.
    """

    ledger: GroupWriter
    authority: Authority
    clock: Callable[[], datetime]
    overlap: timedelta
    issued: Callable[[str], None] = lambda kind: None


@dataclass(frozen=True)
class Issued(Certificate):
    """A signed certificate as it is in the ledger, and when its device is to renew it."""

    renewal: Renewal = field(kw_only=True)


def enrol(issuing: Issuing, enrolment: Enrolment, *, source: str = "") -> Issued:
    """Return the certificate of this device, token and key: a new one, or the one that was issued before.

    `source` is the address that asks. Raises GrantRefusedError (say nothing to the stranger), ApprovalPendingError (the
    same request is to come again), PolicyRefusedError and RequestRefusedError (say their code), ClockError and
    LedgerError (nothing was acknowledged; try again). After any of them, and after a crash, a retry is safe.
    """
    return issuing.ledger.run(_enrol(issuing, enrolment, source))


def _enrol(issuing: Issuing, enrolment: Enrolment, source: str) -> Steps[Issued]:
    token: Token = yield Read(
        lambda connection: grants.find_token(connection, enrolment.device, enrolment.token_sha256)
    )
    request = read_request(enrolment.csr)
    _refuse_foreign(request, enrolment.device, issuing.authority)
    try:
        return (yield from _issue(issuing, TokenGrant(token.device, token.token_sha256, enrolment.mac), request))
    except ApprovalPendingError as error:
        if error.is_new:
            yield from _queue(issuing, token, request, source)
        raise


def renew(issuing: Issuing, shown: Certificate, csr: bytes, *, source: str) -> Issued:
    """Return a successor of the certificate that a device has connected with, from the address `source`.

    Raises as `enrol` does, and NewKeyNeededError. GrantRefusedError may be said to the device here; SupersededError,
    which is one, means that there are two of it, and an alarm has been recorded.
    """
    return issuing.ledger.run(_renew(issuing, shown, csr, source))


def _renew(issuing: Issuing, shown: Certificate, csr: bytes, source: str) -> Steps[Issued]:
    request = read_request(csr)
    _refuse_foreign(request, shown.device, issuing.authority)
    return (yield from _watched(issuing, LiveGrant(shown.serial), request, source))


def recover(issuing: Issuing, recovery: Recovery, *, grace: timedelta, source: str) -> Issued:
    """Return a successor of a certificate that has ended, or will, to whoever has its key; raise as `renew` does.

    The request is looked at first, so that what is said of it tells nothing about the certificate.
    """
    return issuing.ledger.run(_recover(issuing, recovery, grace, source))


def _recover(issuing: Issuing, recovery: Recovery, grace: timedelta, source: str) -> Steps[Issued]:
    request = read_request(recovery.csr)
    shown = yield from _shown(recovery.certificate, request)
    _refuse_foreign(request, shown.device, issuing.authority)
    return (yield from _watched(issuing, GraceGrant(shown.serial, grace), request, source))


def _shown(certificate: bytes, request: Request) -> Steps[Certificate]:
    """Return the row of a certificate that a stranger shows; raise GrantRefusedError unless it is one of ours."""
    try:
        with parsing():
            serial = touch(x509.load_der_x509_certificate(certificate)).serial_number
    except UnreadableError as error:
        raise GrantRefusedError("the certificate cannot be read") from error
    found: Certificate | None = yield Read(lambda connection: find_certificate(connection, serial))
    if found is None or found.der != certificate:
        raise GrantRefusedError("the certificate is not in the ledger")
    if found.spki_sha256 != request.spki_sha256.hex():
        raise GrantRefusedError("the request is for another key than the certificate")
    return found


def _watched(issuing: Issuing, grant: LiveGrant | GraceGrant, request: Request, source: str) -> Steps[Issued]:
    try:
        # without the lock of the writers: a copy of a device may ask as often as it likes
        yield Read(lambda connection: grants.check_certificate(connection, grant, issuing.clock()))
        return (yield from _issue(issuing, grant, request))
    except SupersededError as error:
        yield from _alarm(issuing, error.serial, source)
        raise


def _alarm(issuing: Issuing, serial: int, source: str) -> Steps[None]:
    def raise_alarm(connection: Connection) -> None:
        now = issuing.clock()
        refuse_wrong_clock(connection, issuing.authority, now)
        succession.raise_alarm(connection, serial, source=source, now=now)

    alarmed = yield Read(lambda connection: succession.is_alarmed(connection, serial))
    if not alarmed:
        yield Write(raise_alarm)


def _queue(issuing: Issuing, token: Token, request: Request, source: str) -> Steps[None]:
    def enter(connection: Connection) -> None:
        approvals.enter(connection, token, request.spki_sha256.hex(), source=source, now=issuing.clock())

    yield Write(enter)


def _issue(issuing: Issuing, grant: Grant, request: Request) -> Steps[Issued]:
    def reserve(connection: Connection) -> tuple[Certificate, datetime, Renewal | None]:
        # only now: a row that another worker has just written would be newer
        now = issuing.clock()
        refuse_wrong_clock(connection, issuing.authority, now)
        found = issuance.reserve(
            connection,
            grant,
            spki_sha256=request.spki_sha256.hex(),
            serial=new_serial(),
            overlap=issuing.overlap,
            now=now,
        )
        return found, now, None if found.der is None else renewal_of(connection, found, issuing.authority)

    try:
        reserved, now, renewal = yield Write(reserve)
    except KeyRefusedError as error:
        raise RequestRefusedError(error.code, str(error)) from error
    if renewal is not None:
        return Issued(**vars(reserved), renewal=renewal)
    try:
        signed = yield from _sign(issuing, reserved, request, now)
    except GrantRefusedError as error:
        if isinstance(grant, TokenGrant):
            raise
        # it was in order a moment ago: another request has taken its place, and asking again tells
        raise StateError(f"a certificate of {reserved.device} could not be stored: {error}") from error
    issuing.issued(issuance.KINDS[type(grant)])
    return signed


def _refuse_foreign(request: Request, device: str, authority: Authority) -> None:
    if request.subject not in ((), (device,), (authority.site, names.DEVICES_UNIT, device)):
        raise RequestRefusedError("bad_name", "the CN has to be the device's own id; leave the subject empty")
    if request.spki_sha256 == spki_sha256(authority.key.public_key()):
        raise RequestRefusedError("key_in_use", "this is the key of the CA: make a new key")


def _sign(issuing: Issuing, reserved: Certificate, request: Request, now: datetime) -> Steps[Issued]:
    authority = issuing.authority
    # Reserved before this CA was there, when another one has taken its place while the device was away.
    begin = max(reserved.reserved_at, compat.not_before(authority.certificate) + BACKDATE)
    signed = authority.issue(PROFILE, request.public_key, reserved.device, now=begin, serial=reserved.serial)
    if compat.not_after(signed) <= now:
        raise GrantRefusedError("the reservation is older than its certificate would live")
    der = signed.public_bytes(serialization.Encoding.DER)

    def store(connection: Connection) -> Issued:
        stored = issuance.store_signed(
            connection,
            reserved,
            der=der,
            not_before=compat.not_before(signed),
            not_after=compat.not_after(signed),
        )
        renewal = renewal_of(connection, stored, authority, ours=stored.der == der)
        return Issued(**vars(stored), renewal=renewal)

    issued: Issued = yield Write(store)
    return issued
