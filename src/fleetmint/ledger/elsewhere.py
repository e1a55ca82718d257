"""Keys of the site's other gateways: a public key belongs to one device of the whole site, for ever.

Each gateway knows its own keys by `public_keys`. The controller carries them from each to the others, so between two
such turns the same key could be certified at two gateways; whoever brings it then is told, and audits find it.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import bindparam, select, update
from sqlalchemy.engine import Connection

from fleetmint.ledger import events
from fleetmint.ledger.imports import rows_with
from fleetmint.ledger.schema import keys_elsewhere, public_keys
from fleetmint.ledger.statement import Statement

FIND = Statement(select(keys_elsewhere).where(keys_elsewhere.c.spki_sha256 == bindparam("of")))


@dataclass(frozen=True)
class Key:
    """A key of a device at another gateway: the SHA-256 of it, lower-case hex. `retired`: of an earlier owner."""

    spki_sha256: str
    device: str
    retired: bool


@dataclass(frozen=True)
class Conflict:
    """A key that another device has here than at the other gateway."""

    spki_sha256: str
    here: str
    there: str


@dataclass(frozen=True)
class Taken:
    """What came of keys that were brought."""

    added: int
    conflicts: tuple[Conflict, ...]


def take(connection: Connection, gateway: str, keys: Iterable[Key], *, actor: str, now: datetime) -> Taken:
    """Remember the keys of `gateway`; the connection has to be one of `writing`."""
    wanted = {key.spki_sha256: key for key in keys}
    known = {
        row.spki_sha256: row
        for row in rows_with(connection, keys_elsewhere, keys_elsewhere.c.spki_sha256, list(wanted))
    }
    added = [key for sha256, key in wanted.items() if sha256 not in known]
    retired = [key for sha256, key in wanted.items() if sha256 in known and key.retired and not known[sha256].retired]
    if added:
        rows = [{**vars(key), "gateway": gateway} for key in added]
        connection.execute(keys_elsewhere.insert(), rows)
    for key in retired:
        mine = keys_elsewhere.c.spki_sha256 == key.spki_sha256
        connection.execute(update(keys_elsewhere).where(mine).values(retired=True))
    if added or retired:
        detail = {"added": len(added), "retired": len(retired)}
        events.append(connection, at=now, actor=actor, kind="keys-elsewhere", subject=gateway, detail=detail)
    own = rows_with(connection, public_keys, public_keys.c.spki_sha256, list(wanted))
    conflicts = [
        Conflict(row.spki_sha256, row.device, wanted[row.spki_sha256].device)
        for row in own
        if row.device != wanted[row.spki_sha256].device
    ]
    return Taken(len(added) + len(retired), tuple(conflicts))


def conflicts(connection: Connection) -> tuple[Conflict, ...]:
    """Return every key that one device has here and another one elsewhere."""
    query = (
        select(public_keys.c.spki_sha256, public_keys.c.device, keys_elsewhere.c.device.label("there"))
        .join(keys_elsewhere, keys_elsewhere.c.spki_sha256 == public_keys.c.spki_sha256)
        .where(keys_elsewhere.c.device != public_keys.c.device)
        .order_by(public_keys.c.spki_sha256)
    )
    return tuple(Conflict(row.spki_sha256, row.device, row.there) for row in connection.execute(query))
