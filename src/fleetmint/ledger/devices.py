"""The gateway's devices and their certificates, as they are read."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.engine import Connection

from fleetmint.ledger.schema import ACTIVE, UNUSED, certificates, devices, tokens


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


def list_devices(connection: Connection) -> tuple[Device, ...]:
    """Return every device, by name."""
    newest = {
        row.device: row
        for row in connection.execute(
            select(
                certificates.c.device,
                certificates.c.serial,
                certificates.c.not_before,
                certificates.c.not_after,
                certificates.c.issuer,
            )
            .where(certificates.c.status == ACTIVE)
            # the last one counts: what has been superseded, then what it has not used yet, then what it uses
            .order_by(
                certificates.c.superseded_at.is_(None), certificates.c.confirmed_at.is_not(None), certificates.c.serial
            )
        )
    }
    unused = select(tokens.c.device, tokens.c.expires_at).where(tokens.c.state == UNUSED)
    ends = {row.device: row.expires_at for row in connection.execute(unused)}
    found = []
    for row in connection.execute(select(devices).order_by(devices.c.device)):
        own = newest.get(row.device)
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


def find_certificate(connection: Connection, serial: int) -> Certificate | None:
    """Return the certificate with this serial, whatever its status; None when no such was ever known."""
    row = connection.execute(select(certificates).where(certificates.c.serial == serial_text(serial))).first()
    return None if row is None else certificate_of(row)
