"""The gateway's devices and their certificates, as they are read."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, select
from sqlalchemy.engine import Connection

from fleetmint.ledger.schema import ACTIVE, UNUSED, certificates, devices, tokens
from fleetmint.ledger.statement import Statement

_CERTIFICATE = Statement(select(certificates).where(certificates.c.serial == bindparam("of")))


@dataclass(frozen=True)
class Device:
    """One row of `devices`, with the certificate that it uses, or has been given; the next three are None without one.

    `serial` is an integer, `issuer` is `device` or `factory`, `not_after` is aware UTC. `mac` and `result` (burned,
    quarantined or returned) are None until the factory has handed them over. `token_expires` is the end of a token that
    the device has not used.
    """

    device: str
    batch: str
    status: str
    serial: int | None
    not_after: datetime | None
    issuer: str | None
    mac: str | None = None
    result: str | None = None
    not_before: datetime | None = None
    token_expires: datetime | None = None


@dataclass(frozen=True)
class Certificate:
    """One row of `certificates`.

    `der` and the dates are None while it is reserved and not yet signed. `confirmed_at` is when it was first seen in
    use, `superseded_at` from when on its successor is good alone; None: not yet.
    """

    serial: int
    issuer: str
    device: str
    spki_sha256: str
    status: str
    reserved_at: datetime
    not_after: datetime | None
    der: bytes | None
    not_before: datetime | None = None
    confirmed_at: datetime | None = None
    superseded_at: datetime | None = None


def serial_text(serial: int) -> str:
    """Return a serial number as it is stored and shown: lower-case hex, an even number of digits."""
    digits = f"{serial:x}"
    return digits.zfill(len(digits) + len(digits) % 2)


def certificate_of(row: Any) -> Certificate:
    """Return a row of `certificates` as a Certificate."""
    return Certificate(
        serial=int(row.serial, 16),
        issuer=row.issuer,
        device=row.device,
        spki_sha256=row.spki_sha256,
        status=row.status,
        reserved_at=row.reserved_at,
        not_after=row.not_after,
        der=None if row.der is None else bytes(row.der),
        not_before=row.not_before,
        confirmed_at=row.confirmed_at,
        superseded_at=row.superseded_at,
    )


def list_devices(connection: Connection, *conditions: Any, limit: int | None = None) -> tuple[Device, ...]:
    """Return every device, or the first `limit` of which these conditions on `devices` hold, by name."""
    rows = connection.execute(select(devices).where(*conditions).order_by(devices.c.device).limit(limit)).all()
    if not rows:
        return ()
    part = bool(conditions) or limit is not None
    shown = _shown(connection, (rows[0].device, rows[-1].device) if part else None)
    ends = _unused_tokens(connection, (rows[0].device, rows[-1].device) if part else None)
    found = []
    for row in rows:
        own = shown.get(row.device)
        found.append(
            Device(
                row.device,
                row.batch,
                row.status,
                int(own.serial, 16) if own else None,
                own.not_after if own else None,
                own.issuer if own else None,
                row.mac,
                row.result,
                own.not_before if own else None,
                ends.get(row.device),
            )
        )
    return tuple(found)


# The certificate of a device that is shown is the last of these: what has been superseded, then what it has not used
# yet, then what it uses.
_LAST_IS_SHOWN = (
    certificates.c.superseded_at.is_(None),
    certificates.c.confirmed_at.is_not(None),
    certificates.c.serial,
)


def ends_before(time: datetime) -> Any:
    """Return the condition on `devices` that the certificate that is shown of one ends before `time`."""
    shown = (
        select(certificates.c.not_after)
        .where(certificates.c.device == devices.c.device, certificates.c.status == ACTIVE)
        .order_by(*(column.desc() for column in _LAST_IS_SHOWN))
        .limit(1)
        .correlate(devices)
    )
    return shown.scalar_subquery() < time


def _shown(connection: Connection, between: tuple[str, str] | None) -> dict[str, Any]:
    query = select(
        certificates.c.device,
        certificates.c.serial,
        certificates.c.not_before,
        certificates.c.not_after,
        certificates.c.issuer,
    ).where(certificates.c.status == ACTIVE)
    if between is not None:
        query = query.where(certificates.c.device.between(*between))
    return {row.device: row for row in connection.execute(query.order_by(*_LAST_IS_SHOWN))}


def _unused_tokens(connection: Connection, between: tuple[str, str] | None) -> dict[str, datetime]:
    query = select(tokens.c.device, tokens.c.expires_at).where(tokens.c.state == UNUSED)
    if between is not None:
        query = query.where(tokens.c.device.between(*between))
    return {row.device: row.expires_at for row in connection.execute(query)}


def find_certificate(connection: Connection, serial: int) -> Certificate | None:
    """Return the certificate with this serial, whatever its status; None when no such was ever known."""
    row = _CERTIFICATE.first(connection, of=serial_text(serial))
    return None if row is None else certificate_of(row)
