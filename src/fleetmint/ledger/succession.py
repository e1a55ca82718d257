"""The certificates of a device are one line: each knows its predecessor, and at most one has not been used yet.

    reserved ── signed ──> unconfirmed ── seen in use ──> confirmed ── successor confirmed, some hours ──> superseded

The predecessor of an unconfirmed certificate stays good, so a device that lost what it was given asks again: with the
same key it gets the same certificate, with another one the unconfirmed one is revoked for it. Once a certificate is
confirmed its predecessor has a few hours more. Whoever asks with that one then is a second line, which is never begun.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import bindparam, select, update
from sqlalchemy.engine import Connection
from sqlalchemy.sql.elements import ColumnElement

from fleetmint.documents.times import time_text
from fleetmint.ledger import events
from fleetmint.ledger.devices import Certificate, certificate_of, find_certificate, serial_text
from fleetmint.ledger.schema import ACTIVE, REVOKED, certificates
from fleetmint.ledger.statement import Statement

SUPERSEDED = "superseded"
CLONE_ALARM = "clone-alarm"

_OF_DEVICE = (certificates.c.device == bindparam("of"), certificates.c.status != REVOKED)
_NOT_USED = certificates.c.confirmed_at.is_(None) | certificates.c.superseded_at.is_not(None)
_LIVE = Statement(select(certificates).where(*_OF_DEVICE))
_ENDING = Statement(select(certificates.c.serial).where(*_OF_DEVICE, _NOT_USED))
_END = Statement(
    update(certificates)
    .where(*_OF_DEVICE, _NOT_USED)
    .values(status=REVOKED, revoked_at=bindparam("now"), revoke_reason=SUPERSEDED)
)


def is_good(certificate: Certificate, now: datetime) -> bool:
    """Whether a certificate is neither reserved nor revoked nor superseded; its dates are for listeners to check."""
    superseded = certificate.superseded_at
    return certificate.status == ACTIVE and (superseded is None or now < superseded)


@dataclass(frozen=True)
class Line:
    """What a device has that is not revoked.

    `current` is what it uses and nothing supersedes, `unconfirmed` what it has not used yet; `superseded` is whether
    there is something that ends soon beside them.
    """

    current: Certificate | None
    unconfirmed: Certificate | None
    superseded: bool


def line_of(connection: Connection, device: str) -> Line:
    """Return what a device has."""
    rows = [certificate_of(row) for row in _LIVE.all(connection, of=device)]
    used = [row for row in rows if row.confirmed_at is not None]
    current = [row for row in used if row.superseded_at is None]
    unconfirmed = [row for row in rows if row.confirmed_at is None]
    return Line(_first(current), _first(unconfirmed), len(used) > len(current))


def _first(rows: list[Certificate]) -> Certificate | None:
    return rows[0] if rows else None


def confirm(connection: Connection, serial: int, *, overlap: timedelta, now: datetime) -> bool:
    """Record that a certificate is in use: its predecessor ends in `overlap`. Return whether that is news.

    The connection has to be one of `writing`.
    """
    found = find_certificate(connection, serial)
    if found is None or found.status != ACTIVE or found.confirmed_at is not None:
        return False
    before = line_of(connection, found.device).current
    detail: dict[str, object] = {"serial": serial_text(serial)}
    if before is not None:
        _set(connection, before.serial, superseded_at=now + overlap)
        detail |= {"supersedes": serial_text(before.serial), "from": time_text(now + overlap)}
    _set(connection, serial, confirmed_at=now)
    events.append(connection, at=now, actor=found.device, kind="confirm", subject=found.device, detail=detail)
    return True


def make_room(connection: Connection, device: str, now: datetime) -> list[str]:
    """Revoke what the device has not used and what is being superseded; return the serials: a successor comes."""
    serials = sorted(row.serial for row in _ENDING.all(connection, of=device))
    _END.execute(connection, of=device, now=now)
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
