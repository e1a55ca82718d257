"""Numbers about a gateway's ledger as a whole."""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from sqlalchemy import func, select, text
from sqlalchemy.engine import Connection

from fleetmint.ledger.schema import ACTIVE, REGISTERED, REVOKED, certificates, devices, events


def head(connection: Connection) -> int:
    """Return the `seq` of the last event, 0 before the first."""
    return connection.execute(select(func.max(events.c.seq))).scalar() or 0


def size(connection: Connection) -> int:
    """Return how many bytes the ledger takes, its journal included where it is a file."""
    if connection.dialect.name == "postgresql":
        return int(connection.execute(text("SELECT pg_database_size(current_database())")).scalar_one())
    path = Path(str(connection.engine.url.database))
    files = (path, path.with_name(f"{path.name}-wal"))
    return sum(each.stat().st_size for each in files if each.exists())


def devices_by_status(connection: Connection) -> Mapping[str, int]:
    """Return how many devices have each status, those that none has included."""
    found = dict.fromkeys((REGISTERED, ACTIVE, REVOKED), 0)
    query = select(devices.c.status, func.count()).group_by(devices.c.status)
    return found | {row[0]: row[1] for row in connection.execute(query)}


def next_ends(connection: Connection, now: datetime, most: int) -> list[tuple[str, datetime]]:
    """Return at most so many devices with the end of the certificate that they use, or have been given, after `now`.

    The earliest first. Those that are over are not told: of a fleet that was thrown away they would be all there is.
    """
    mine = certificates.c
    query = (
        select(mine.device, mine.not_after)
        .where(mine.status == ACTIVE, mine.superseded_at.is_(None), mine.not_after > now)
        .order_by(mine.not_after, mine.device)
        # a device has two at most: the one that it uses, which ends first, and one that it has not used yet
        .limit(2 * most)
    )
    found: dict[str, datetime] = {}
    for row in connection.execute(query):
        found.setdefault(row.device, row.not_after)
    return list(found.items())[:most]
