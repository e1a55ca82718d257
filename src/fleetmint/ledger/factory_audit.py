"""The promises of the factory's ledger, checked row by row: one board for an identity, one identity for a board."""

import json
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.engine import Connection

from fleetmint import commands
from fleetmint.ledger.audit import of_database
from fleetmint.ledger.findings import RESTORE, Finding
from fleetmint.ledger.schema import BURNED, CLAIMED, PLANNED, QUARANTINED, RETURNED, batches, burns, events, units


def _set_aside() -> str:
    back = commands.fleetmint("device", "return", "ID", "--reason", "REASON")
    return f"set the board aside, find out by burning it whose it is, and return the other one: {back}"


def findings(connection: Connection) -> tuple[Finding, ...]:
    """Return what is wrong with a factory's ledger; empty when it keeps its promises."""
    attempts: defaultdict[str, list[Any]] = defaultdict(list)
    for row in connection.execute(select(burns).order_by(burns.c.id)):
        attempts[row.device].append(row)
    rows = list(connection.execute(select(units).order_by(units.c.batch, units.c.position)))
    found = of_database(connection)
    for row in rows:
        found += _of_unit(row, attempts[row.device])
    return (*found, *_of_boards(rows, attempts), *_of_batches(connection, rows))


def _of_unit(row: Any, attempts: Sequence[Any]) -> list[Finding]:
    done = [attempt for attempt in attempts if attempt.result == BURNED]
    found = []
    if row.state == BURNED:
        if len(done) != 1:
            found.append(
                Finding(f"{row.device} is burned and has {len(done)} records of a burn that succeeded", RESTORE)
            )
        if row.finished_at is None:
            found.append(Finding(f"{row.device} is burned and nobody knows when", RESTORE))
        if row.registered_at is None:
            found.append(
                Finding(
                    f"{row.device} is burned and was never registered, so its gateway does not let it in",
                    f"register its batch: {commands.fleetmint('batch', 'register', row.batch)}",
                )
            )
    if row.state in (PLANNED, CLAIMED) and done:
        found.append(Finding(f"{row.device} is {row.state}, but {done[0].mac} was burned with it", _set_aside()))
    if row.state in (QUARANTINED, RETURNED) and not row.reason:
        found.append(Finding(f"{row.device} is {row.state} without a reason", RESTORE))
    if row.state == QUARANTINED and (not attempts or attempts[-1].result != QUARANTINED):
        found.append(Finding(f"{row.device} is in quarantine, but its last burn is not recorded so", RESTORE))
    if row.state == CLAIMED and row.claimed_at is None:
        found.append(Finding(f"{row.device} is claimed and nobody knows since when", RESTORE))
    macs = {attempt.mac for attempt in done} | ({row.mac} if row.state == BURNED else set())
    if len(macs) > 1:
        found.append(
            Finding(f"{row.device} was burned into {len(macs)} boards, {', '.join(sorted(macs))}", _set_aside())
        )
    return found


def _of_boards(rows: Sequence[Any], attempts: dict[str, list[Any]]) -> list[Finding]:
    """A board has one identity that has not ended, by the units as by the records of what was burned."""
    holders: defaultdict[str, set[str]] = defaultdict(set)
    for row in rows:
        if row.state == RETURNED:
            continue
        if row.mac is not None:
            holders[row.mac].add(row.device)
        for attempt in attempts[row.device]:
            if attempt.result == BURNED:
                holders[attempt.mac].add(row.device)
    return [
        Finding(f"the board {mac} is {' and '.join(sorted(sharing))} at once", _set_aside())
        for mac, sharing in sorted(holders.items())
        if len(sharing) > 1
    ]


def _of_batches(connection: Connection, rows: Sequence[Any]) -> list[Finding]:
    sizes = Counter(row.batch for row in rows)
    positions: defaultdict[str, set[int]] = defaultdict(set)
    for row in rows:
        positions[row.batch].add(row.position)
    made: Counter[str] = Counter()
    for event in connection.execute(select(events).where(events.c.kind == "batch")):
        made[event.subject] += _units_told(event.detail)
    found = []
    for batch in connection.execute(select(batches.c.batch).order_by(batches.c.batch)).scalars():
        if positions[batch] != set(range(sizes[batch])):
            found.append(Finding(f"the batch {batch} has lost units: its numbers have gaps", RESTORE))
        elif made[batch] != sizes[batch]:
            what = f"the batch {batch} was made with {made[batch]} units in all and has {sizes[batch]}"
            found.append(Finding(what, RESTORE))
    return found


def _units_told(detail: str) -> int:
    try:
        return int(json.loads(detail)["units"])
    except (ValueError, KeyError, TypeError):
        return 0  # an event that was written over is a finding of its own
