"""Taking in a certificate that was issued after the backup from which the ledger was restored.

Its device has it, its listener lets it in, and the ledger never heard of it: neither could it be renewed, nor revoked.
So the first time that it is shown it becomes the newest one of its device, as if it had been issued here: because it
was, by the device CA, in the time that the restore has forgotten. Nothing that a list revokes comes this far.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import select, update
from sqlalchemy.engine import Connection

from fleetmint.documents.times import text_time
from fleetmint.ledger import events, issuance, succession
from fleetmint.ledger.devices import find_certificate, serial_text
from fleetmint.ledger.grants import GrantRefusedError
from fleetmint.ledger.replacement import TRANSFER
from fleetmint.ledger.schema import ACTIVE, REPLACED, REVOKED, UNUSED, certificates, devices, tokens
from fleetmint.ledger.schema import events as chain
from fleetmint.x509.profiles import PROFILES

# Kind and actor of the event by which a ledger goes on from a backup.
RESTORED = "restore"
ADOPTED = "adopt"
# A certificate knows seconds.
_PRECISION = timedelta(seconds=1)


@dataclass(frozen=True)
class Shown:
    """A certificate of a device CA of this gateway; `issued_at` is when, by what it says itself."""

    serial: int
    device: str
    spki_sha256: str
    der: bytes
    issued_at: datetime
    not_before: datetime
    not_after: datetime


def is_forgotten(connection: Connection, issued_at: datetime) -> bool:
    """Whether what happened at a time is missing from the ledger, since it went on from an earlier backup."""
    return any(begin - _PRECISION <= issued_at <= end for begin, end in _forgotten(connection))


def adopt(connection: Connection, shown: Shown, *, overlap: timedelta, now: datetime) -> None:
    """Enter a certificate as the newest of its device; the connection has to be one of `writing`.

    Raises GrantRefusedError when it was not issued in a time that is forgotten, its device is unknown or has ended, or
    has a newer certificate; KeyRefusedError for a key that is given up or of another device.
    """
    if find_certificate(connection, shown.serial) is not None:
        return  # another request has brought it just now
    status = connection.execute(select(devices.c.status).where(devices.c.device == shown.device)).scalar()
    if status is None or status == REVOKED or not is_forgotten(connection, shown.issued_at):
        raise GrantRefusedError("the certificate is not in the ledger")
    if _has_moved(connection, shown):
        raise GrantRefusedError("the certificate is not in the ledger, and its device has changed its owner since")
    newer = (certificates.c.device == shown.device, certificates.c.reserved_at > shown.issued_at)
    if connection.execute(select(certificates.c.serial).where(*newer)).first() is not None:
        raise GrantRefusedError("the certificate is not in the ledger, and its device has a newer one")
    issuance.take_key(connection, shown.device, shown.spki_sha256)
    line = issuance.settled(connection, shown.device, overlap, now)
    ended = succession.make_room(connection, shown.device, now)
    unused = (tokens.c.device == shown.device, tokens.c.state == UNUSED)
    connection.execute(update(tokens).where(*unused).values(state=REPLACED))
    connection.execute(update(devices).where(devices.c.device == shown.device).values(status=ACTIVE))
    predecessor = None if line.current is None else serial_text(line.current.serial)
    connection.execute(
        certificates.insert().values(
            serial=serial_text(shown.serial),
            issuer="device",
            device=shown.device,
            spki_sha256=shown.spki_sha256,
            status=ACTIVE,
            reserved_at=shown.issued_at,
            predecessor=predecessor,
            der=shown.der,
            not_before=shown.not_before,
            not_after=shown.not_after,
        )
    )
    detail = {
        "serial": serial_text(shown.serial),
        "spki_sha256": shown.spki_sha256,
        "predecessor": predecessor,
        "superseded": ended,
    }
    events.append(connection, at=now, actor=shown.device, kind=ADOPTED, subject=shown.device, detail=detail)


def _has_moved(connection: Connection, shown: Shown) -> bool:
    """Whether the device has changed its owner since the certificate was issued, which ended what it had then."""
    since = (chain.c.subject == shown.device, chain.c.kind == TRANSFER, chain.c.at >= shown.issued_at)
    return connection.execute(select(chain.c.seq).where(*since).limit(1)).first() is not None


def revoked_since_forgotten(connection: Connection, now: datetime) -> tuple[str, ...]:
    """Return the devices that are revoked, and may have a certificate of a forgotten time: no list here can have that.

    Until such a certificate has ended for certain, whoever reads nothing but lists lets it in.
    """
    lasts = PROFILES["device"].lifetime
    begins = [begin for begin, end in _forgotten(connection) if end + lasts > now]
    if not begins:
        return ()
    ended = (devices.c.status == REVOKED, devices.c.revoked_at >= min(begins))
    return tuple(connection.execute(select(devices.c.device).where(*ended).order_by(devices.c.device)).scalars())


def _forgotten(connection: Connection) -> Iterator[tuple[datetime, datetime]]:
    for row in connection.execute(select(chain.c.at, chain.c.detail).where(chain.c.kind == RESTORED)):
        begin = json.loads(row.detail).get("since")
        if begin is not None:  # of a version before, which did not say it
            yield text_time(begin), row.at
