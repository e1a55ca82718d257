"""What authenticated actors did, as a hash chain: changing a row or taking it out breaks all that follow.

Refusals of strangers are not events: they go to the journal, so that nobody can fill the disk from outside.
"""

import hashlib
import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, func, select
from sqlalchemy.engine import Connection

from fleetmint.documents.times import time_text
from fleetmint.ledger.schema import events
from fleetmint.ledger.statement import Statement

_START = "0" * 64
# The kind of the event that acknowledges the ones before it that are dated in the future.
CLOCK_REPAIRED = "repair-clock"

_LAST = Statement(select(events.c.seq, events.c.digest).order_by(events.c.seq.desc()).limit(1))
_INSERT = Statement(events.insert())
_LATER = select(events.c.seq, events.c.at, events.c.kind, events.c.subject).where(events.c.at > bindparam("time"))
_AFTER = Statement(_LATER.order_by(events.c.seq))
_BETWEEN = Statement(_LATER.where(events.c.at <= bindparam("until")).order_by(events.c.seq))


def append(
    connection: Connection, *, at: datetime, actor: str, kind: str, subject: str, detail: Mapping[str, object]
) -> None:
    """Add an event to the end of the chain; the connection has to be one of `writing`."""
    last = _LAST.first(connection)
    seq, previous = (last.seq + 1, last.digest) if last else (1, _START)
    text = json.dumps(dict(detail), sort_keys=True, separators=(",", ":"))
    _INSERT.execute(
        connection,
        seq=seq,
        at=at,
        actor=actor,
        kind=kind,
        subject=subject,
        detail=text,
        previous=previous,
        digest=digest_of(seq, at, actor, kind, subject, text, previous),
    )


def later_than(connection: Connection, time: datetime, until: datetime | None = None) -> list[Any]:
    """Return the events after `time` (and not after `until`), by `seq`, without those that a repair has acknowledged.

    The chain keeps the time of an event for ever, also that of a clock that ran ahead.
    """
    found = _AFTER.all(connection, time=time) if until is None else _BETWEEN.all(connection, time=time, until=until)
    if not found:
        return []
    repaired = connection.execute(select(func.max(events.c.seq)).where(events.c.kind == CLOCK_REPAIRED)).scalar() or 0
    return [row for row in found if row.seq > repaired]


def broken_links(connection: Connection) -> tuple[int, ...]:
    """Return the `seq` of each event that does not follow from the one before it; empty when the chain holds."""
    broken, expected, previous = [], 1, _START
    for row in connection.execute(select(events).order_by(events.c.seq)):
        digest = digest_of(row.seq, row.at, row.actor, row.kind, row.subject, row.detail, row.previous)
        if (row.seq, row.previous, row.digest) != (expected, previous, digest):
            broken.append(int(row.seq))
        expected, previous = row.seq + 1, row.digest
    return tuple(broken)


def digest_of(seq: int, at: datetime, actor: str, kind: str, subject: str, detail: str, previous: str) -> str:
    """Return the digest of an event, which holds the one before it."""
    # JSON keeps the fields apart: without it "ab" + "c" and "a" + "bc" would be the same bytes
    text = json.dumps([seq, time_text(at), actor, kind, subject, detail, previous], separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
