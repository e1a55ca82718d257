"""Parts of the ledger for those who look: filtered, in pages, each page after the last row of the one before.

A page begins behind a key and not after so many rows. So whoever reads them all sees each row that was there all the
time exactly once, whatever was added or changed meanwhile.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar

from sqlalchemy import func, or_, select
from sqlalchemy.engine import Connection

from fleetmint.ledger.devices import Device, ends_before, list_devices
from fleetmint.ledger.schema import certificates, devices, events, tokens

LARGEST_PAGE = 1000
_T = TypeVar("_T")


@dataclass(frozen=True)
class Page(Generic[_T]):
    """Some rows, and the key to go on behind; None when these were the last."""

    rows: tuple[_T, ...]
    last: Any = None


def _page(rows: Sequence[_T], limit: int | None, key: str) -> Page[_T]:
    """Return a page of rows, of which one more was asked for than it may have."""
    if limit is None or len(rows) <= limit:
        return Page(tuple(rows))
    return Page(tuple(rows[:limit]), getattr(rows[limit - 1], key))


def devices_page(
    connection: Connection,
    *,
    status: str | None = None,
    batch: str | None = None,
    result: str | None = None,
    text: str | None = None,
    expires_before: datetime | None = None,
    after: str | None = None,
    limit: int | None = None,
) -> Page[Device]:
    """Return devices by name; `text` is a part of the id or of the board's MAC address. No `limit`: all of them."""
    wanted = _equal(devices, status=status, batch=batch, result=result)
    if text is not None:
        wanted.append(
            or_(*(column.contains(text.lower(), autoescape=True) for column in (devices.c.device, devices.c.mac)))
        )
    if expires_before is not None:
        wanted.append(ends_before(expires_before))
    if after is not None:
        wanted.append(devices.c.device > after)
    return _page(list_devices(connection, *wanted, limit=None if limit is None else limit + 1), limit, "device")


def certificates_page(
    connection: Connection,
    *,
    status: str | None = None,
    issuer: str | None = None,
    device: str | None = None,
    expires_before: datetime | None = None,
    after: str | None = None,
    limit: int,
) -> Page[Any]:
    """Return rows of `certificates` by serial number, whatever their status and age."""
    wanted = _equal(certificates, status=status, issuer=issuer, device=device)
    if expires_before is not None:
        wanted.append(certificates.c.not_after < expires_before)
    return _rows(connection, certificates.c.serial, wanted, after, limit)


def tokens_page(
    connection: Connection,
    *,
    state: str | None = None,
    device: str | None = None,
    expires_before: datetime | None = None,
    after: str | None = None,
    limit: int,
) -> Page[Any]:
    """Return rows of `tokens` by hash."""
    wanted = _equal(tokens, state=state, device=device)
    if expires_before is not None:
        wanted.append(tokens.c.expires_at < expires_before)
    return _rows(connection, tokens.c.token_sha256, wanted, after, limit)


def events_page(
    connection: Connection,
    *,
    subject: str | None = None,
    kind: str | None = None,
    actor: str | None = None,
    newest_first: bool = False,
    after: int | None = None,
    limit: int,
) -> Page[Any]:
    """Return rows of `events` by number; with `newest_first` they go down, and those `after` are before."""
    return _rows(
        connection, events.c.seq, _equal(events, subject=subject, kind=kind, actor=actor), after, limit, newest_first
    )


def batches(connection: Connection) -> dict[str, dict[str, int]]:
    """Return how many devices of each batch are in each status, and what became of how many at the bench."""
    found: dict[str, dict[str, int]] = {}
    for column in (devices.c.status, devices.c.result):
        query = select(devices.c.batch, column.label("state"), func.count().label("devices")).group_by(
            devices.c.batch, column
        )
        for row in connection.execute(query.where(column.is_not(None)).order_by(devices.c.batch)):
            found.setdefault(row.batch, {})[row.state] = row.devices
    return found


def _equal(table: Any, **wanted: Any) -> list[Any]:
    return [table.c[name] == value for name, value in wanted.items() if value is not None]


def _rows(
    connection: Connection, key: Any, wanted: list[Any], after: Any, limit: int, descending: bool = False
) -> Page[Any]:
    if after is not None:
        wanted = [*wanted, key < after if descending else key > after]
    query = select(key.table).where(*wanted).order_by(key.desc() if descending else key).limit(limit + 1)
    return _page(connection.execute(query).all(), limit, key.name)
