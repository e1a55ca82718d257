"""The certificates of a device are one line: each knows its predecessor, and at most one has not been used yet.

    reserved ── signed ──> unconfirmed ── seen in use ──> confirmed ── successor confirmed, some hours ──> superseded

The predecessor of an unconfirmed certificate stays good, so a device that lost what it was given asks again: with the
same key it gets the same certificate, with another one the unconfirmed one is revoked for it. Once a certificate is
confirmed its predecessor has a few hours more. Whoever asks with that one then is a second line, which is never begun.
"""

from datetime import datetime, timedelta

from sqlalchemy import select, update
from sqlalchemy.engine import Connection
from sqlalchemy.sql.elements import ColumnElement

from fleetmint.documents.times import time_text
from fleetmint.ledger import events
from fleetmint.ledger.devices import Certificate, certificate_of, find_certificate, serial_text
from fleetmint.ledger.schema import ACTIVE, REVOKED, certificates

SUPERSEDED = "superseded"
CLONE_ALARM = "clone-alarm"


def is_good(certificate: Certificate, now: datetime) -> bool:
    """Whether a certificate is neither reserved nor revoked nor superseded; its dates are for listeners to check."""
    superseded = certificate.superseded_at
    return certificate.status == ACTIVE and (superseded is None or now < superseded)


def find_current(connection: Connection, device: str) -> Certificate | None:
    """Return the certificate that the device uses and nothing supersedes, None when it has used none yet."""
    row = connection.execute(
        select(certificates).where(
            certificates.c.device == device,
            certificates.c.status == ACTIVE,
            certificates.c.confirmed_at.is_not(None),
            certificates.c.superseded_at.is_(None),
        )
    ).first()
    return None if row is None else certificate_of(row)


def find_unconfirmed(connection: Connection, device: str) -> Certificate | None:
    """Return the certificate of a device that it has not used yet, None when there is none."""
    row = connection.execute(
        select(certificates).where(
            certificates.c.device == device, certificates.c.status != REVOKED, certificates.c.confirmed_at.is_(None)
        )
    ).first()
    return None if row is None else certificate_of(row)


def confirm(connection: Connection, serial: int, *, overlap: timedelta, now: datetime) -> bool:
    """Record that a certificate is in use: its predecessor ends in `overlap`. Return whether that is news.

    The connection has to be one of `writing`.
    """
    found = find_certificate(connection, serial)
    if found is None or found.status != ACTIVE or found.confirmed_at is not None:
        return False
    before = find_current(connection, found.device)
    detail: dict[str, object] = {"serial": serial_text(serial)}
    if before is not None:
        _set(connection, before.serial, superseded_at=now + overlap)
        detail |= {"supersedes": serial_text(before.serial), "from": time_text(now + overlap)}
    _set(connection, serial, confirmed_at=now)
    events.append(connection, at=now, actor=found.device, kind="confirm", subject=found.device, detail=detail)
    return True


def make_room(connection: Connection, device: str, now: datetime) -> list[str]:
    """Revoke what the device has not used and what is being superseded; return the serials: a successor comes."""
    ending = (
        certificates.c.device == device,
        certificates.c.status != REVOKED,
        certificates.c.confirmed_at.is_(None) | certificates.c.superseded_at.is_not(None),
    )
    serials = sorted(connection.execute(select(certificates.c.serial).where(*ending)).scalars())
    connection.execute(
        update(certificates).where(*ending).values(status=REVOKED, revoked_at=now, revoke_reason=SUPERSEDED)
    )
    return serials


def is_due(now: datetime) -> ColumnElement[bool]:
    """Return the condition that the hours of a certificate beside its successor are over, and it is not revoked."""
    return (certificates.c.status == ACTIVE) & (certificates.c.superseded_at <= now)


def supersede_due(connection: Connection, now: datetime) -> None:
    """Revoke the certificates that are due; the connection has to be one of `writing`."""
    values = {"status": REVOKED, "revoked_at": certificates.c.superseded_at, "revoke_reason": SUPERSEDED}
    connection.execute(update(certificates).where(is_due(now)).values(**values))


def is_alarmed(connection: Connection, serial: int) -> bool:
    """Whether the alarm for this certificate has been raised already."""
    mine = certificates.c.serial == serial_text(serial)
    return connection.execute(select(certificates.c.cloned_at).where(mine)).scalar() is not None


def raise_alarm(connection: Connection, serial: int, *, source: str, now: datetime) -> bool:
    """Record, once, that somebody asked with a certificate whose successor is in use; return whether that is news.

    The connection has to be one of `writing`. `source` is the address that asked.
    """
    row = connection.execute(select(certificates).where(certificates.c.serial == serial_text(serial))).first()
    if row is None or row.cloned_at is not None:
        return False
    successor = connection.execute(
        select(certificates.c.serial).where(
            certificates.c.predecessor == row.serial, certificates.c.confirmed_at.is_not(None)
        )
    ).scalar()
    _set(connection, serial, cloned_at=now)
    detail = {"serial": row.serial, "successor": successor, "source": source}
    events.append(connection, at=now, actor=row.device, kind=CLONE_ALARM, subject=row.device, detail=detail)
    return True


def _set(connection: Connection, serial: int, **values: object) -> None:
    connection.execute(update(certificates).where(certificates.c.serial == serial_text(serial)).values(**values))
