"""The factory's half: batches of identities, which board got which, and what went wrong.

A unit goes planned → claimed → burned, or to quarantined. From the claim on it is bound to the MAC of its board: a
burn that was cut is taken up by the same board with the same identity, and no other board can get it. A board that
came back is returned: its identity has ended for ever, and the board may get another one.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.engine import Connection

from fleetmint import commands
from fleetmint.errors import StateError
from fleetmint.ledger import events
from fleetmint.ledger.attempts import record_attempt
from fleetmint.ledger.schema import (
    BURNED,
    CLAIMED,
    DEVICE_KEY,
    FACTORY_KEY,
    FAILED,
    PLANNED,
    QUARANTINED,
    RETURNED,
    UNIT_STATES,
    batches,
    units,
)
from fleetmint.x509 import names

# SQLite before 3.32 takes at most 999 parameters in a statement.
_CHUNK = 500
_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")


@dataclass(frozen=True)
class Unit:
    """One identity of a batch. `key_origin` is device or factory, `state` one of the five above.

    `registered_at` is None as long as no gateway is known to know it.
    """

    device: str
    batch: str
    key_origin: str
    state: str
    mac: str | None = None
    claimed_by: str | None = None
    port: str | None = None
    reason: str | None = None
    claimed_at: datetime | None = None
    finished_at: datetime | None = None
    registered_at: datetime | None = None
    product: str = ""
    hardware: str = ""
    serial: str = ""


def create_batch(
    connection: Connection,
    batch: str,
    planned: Mapping[str, str],
    *,
    now: datetime,
    product: str = "",
    hardware: str = "",
    serials: Mapping[str, str] | None = None,
) -> int:
    """Record a batch: device id → key origin, in the order in which they will be claimed; return how many are new.

    `product`, `hardware` and the serial of each device are what its maker calls it, and stay as they were first given.

    What a batch has it keeps: new devices are added behind. Raises StateError when it has others or other key origins,
    or when a device belongs to another batch, and NameRefusedError for an id outside the grammar.
    """
    wanted = {names.device_id(device): origin for device, origin in planned.items()}
    for device, origin in wanted.items():
        if origin not in (DEVICE_KEY, FACTORY_KEY):
            raise StateError(f"{device} has the key origin {origin!r}: choose {DEVICE_KEY} or {FACTORY_KEY}")
    found = key_origins(connection, batch)
    if any(wanted.get(device) != origin for device, origin in found.items()):
        raise StateError(f"the batch {batch!r} exists with other devices: give the new one another name")
    new = [device for device in wanted if device not in found]
    refuse_taken(connection, new)
    if connection.execute(select(batches.c.batch).where(batches.c.batch == batch)).scalar() is None:
        connection.execute(batches.insert().values(batch=batch, created_at=now))
    elif not new:
        return 0
    alike = {"batch": batch, "state": PLANNED, "product": product, "hardware": hardware}
    called = serials or {}
    for start in range(0, len(new), _CHUNK):
        rows = [
            {
                **alike,
                "device": device,
                "position": position,
                "key_origin": wanted[device],
                "serial": called.get(device, ""),
            }
            for position, device in enumerate(new[start : start + _CHUNK], len(found) + start)
        ]
        connection.execute(units.insert(), rows)
    events.append(connection, at=now, actor="factory", kind="batch", subject=batch, detail={"units": len(new)})
    return len(new)


def refuse_taken(connection: Connection, devices: Sequence[str]) -> None:
    """Raise StateError when one of these ids is a unit already, of whatever batch."""
    for unit in _units_named(connection, devices):
        raise StateError(
            f"{unit.device} belongs to the batch {unit.batch!r} already: a device id is used once; give the new batch"
            " another prefix, or the number of its first device (`first`)"
        )


def key_origins(connection: Connection, batch: str) -> dict[str, str]:
    """Return device → key origin of the units of a batch in their order; empty when there is no such batch."""
    rows = connection.execute(
        select(units.c.device, units.c.key_origin).where(units.c.batch == batch).order_by(units.c.position)
    )
    return {str(device): str(origin) for device, origin in rows}


def list_units(connection: Connection, batch: str) -> tuple[Unit, ...]:
    """Return the units of a batch in their order; empty when there is no such batch."""
    rows = connection.execute(select(units).where(units.c.batch == batch).order_by(units.c.position))
    return tuple(_unit(row) for row in rows)


def list_boards(connection: Connection) -> dict[str, str]:
    """Return device id → MAC of every board that was burned, of all batches."""
    rows = connection.execute(select(units.c.device, units.c.mac).where(units.c.state == BURNED))
    return {str(device): str(mac) for device, mac in rows}


def find_unit(connection: Connection, device: str) -> Unit | None:
    """Return the unit with this id, or None."""
    row = connection.execute(select(units).where(units.c.device == device)).first()
    return None if row is None else _unit(row)


def find_unit_of_board(connection: Connection, mac: str) -> Unit | None:
    """Return the unit bound to this board, or None for a board that has none: it never had one, or was returned."""
    row = connection.execute(select(units).where(units.c.mac == _checked_mac(mac), units.c.state != RETURNED)).first()
    return None if row is None else _unit(row)


def mark_registered(connection: Connection, batch: str, devices: Collection[str], *, actor: str, now: datetime) -> int:
    """Record that the gateway knows these identities of the batch; return for how many that is news."""
    news = [
        unit.device for unit in list_units(connection, batch) if unit.registered_at is None and unit.device in devices
    ]
    for start in range(0, len(news), _CHUNK):
        chosen = units.c.device.in_(news[start : start + _CHUNK])
        connection.execute(update(units).where(chosen).values(registered_at=now))
    if news:
        events.append(connection, at=now, actor=actor, kind="registered", subject=batch, detail={"units": len(news)})
    return len(news)


def take_back(connection: Connection, device: str, reason: str, *, actor: str, now: datetime) -> Unit:
    """Record that the board of `device` came back: the identity has ended for ever, and the board is free for another.

    A second time changes nothing. Raises StateError for a unit that never reached a board.
    """
    unit = _get(connection, device)
    if unit.state == RETURNED:
        return unit
    if unit.state == PLANNED:
        raise StateError(f"{device} was never burned into a board, so no board with it can have come back")
    _set(connection, device, state=RETURNED, reason=reason, finished_at=now)
    detail = {"mac": unit.mac, "reason": reason, "was": unit.state}
    events.append(connection, at=now, actor=actor, kind="returned", subject=device, detail=detail)
    return _get(connection, device)


def claim(
    connection: Connection,
    batch: str,
    mac: str,
    worker: str,
    *,
    port: str,
    now: datetime,
    unregistered: bool = False,
) -> Unit:
    """Give the board with this MAC an identity of the batch: its own when it has one, else the next that is free.

    A unit that comes back `burned` is finished; one that was claimed before (a burn that was cut) is claimed again, by
    this worker. The connection has to be one of `writing`, so no two workers get the same unit. Raises StateError
    when the board has an identity of another batch, its unit is quarantined, none is free, or no gateway knows those
    that are: with `unregistered` they are given out nevertheless.
    """
    bound = find_unit_of_board(connection, mac)
    if bound is not None and bound.batch != batch:
        raise StateError(f"the board {mac} is {bound.device} of the batch {bound.batch!r} already: take another board")
    if bound is not None and bound.state == QUARANTINED:
        raise StateError(
            f"the board {mac} is in quarantine as {bound.device} ({bound.reason}): once that is mended,"
            f" {commands.fleetmint('device', 'release', bound.device)}"
        )
    if bound is not None and bound.state == BURNED:
        return bound
    device = bound.device if bound is not None else _next_planned(connection, batch, unregistered)
    _set(
        connection,
        device,
        state=CLAIMED,
        mac=_checked_mac(mac),
        claimed_by=worker,
        port=port,
        claimed_at=now,
        reason=None,
    )
    return _get(connection, device)


def record_burned(connection: Connection, device: str, worker: str, *, now: datetime) -> Unit:
    """Record that the worker that claimed the unit has burned and verified it; raise StateError for any other."""
    unit = _claimed_by(connection, device, worker)
    _set(connection, device, state=BURNED, finished_at=now)
    record_attempt(connection, unit, worker, BURNED, "", now)
    return _get(connection, device)


def quarantine(connection: Connection, device: str, worker: str, reason: str, *, now: datetime) -> Unit:
    """Set a claimed unit aside with its board, because of `reason`: neither is used again until it is released."""
    unit = _claimed_by(connection, device, worker)
    _set(connection, device, state=QUARANTINED, reason=reason, finished_at=now)
    record_attempt(connection, unit, worker, QUARANTINED, reason, now)
    return _get(connection, device)


def fail_claim(
    connection: Connection, device: str, worker: str, reason: str, *, result: str = FAILED, now: datetime
) -> Unit:
    """End a claim whose burn came to nothing: the identity stays with its board, which any worker can take up again.

    `result` is failed, or unseen for a board that was burned but not heard of afterwards.
    """
    unit = _claimed_by(connection, device, worker)
    _set(connection, device, claimed_by=None, reason=reason)
    record_attempt(connection, unit, worker, result, reason, now)
    return _get(connection, device)


def release(connection: Connection, device: str, *, untouched: bool, now: datetime) -> Unit:
    """Take back a claim or a quarantine.

    `untouched` says that nothing was written to the board: then the identity is free for any board. Otherwise it stays
    bound to its board, which can be claimed again. Raises StateError for a unit that is planned or burned.
    """
    unit = _get(connection, device)
    if unit.state not in (CLAIMED, QUARANTINED):
        raise StateError(f"{device} is {unit.state}: only a claimed or quarantined unit can be released")
    if untouched:
        _set(connection, device, state=PLANNED, mac=None, claimed_by=None, port=None, claimed_at=None)
    else:
        _set(connection, device, state=CLAIMED, claimed_by=None)
    _set(connection, device, reason=None, finished_at=None)
    events.append(
        connection,
        at=now,
        actor="factory",
        kind="release",
        subject=device,
        detail={"mac": unit.mac, "untouched": untouched, "was": unit.state},
    )
    return _get(connection, device)


def counts(connection: Connection, batch: str) -> dict[str, int]:
    """Return how many units of the batch are in each state, all five states named."""
    found = dict.fromkeys(UNIT_STATES, 0)
    rows = connection.execute(select(units.c.state, func.count()).where(units.c.batch == batch).group_by(units.c.state))
    return found | {str(state): int(number) for state, number in rows}


def _next_planned(connection: Connection, batch: str, unregistered: bool) -> str:
    free = (
        select(units.c.device)
        .where(units.c.batch == batch, units.c.state == PLANNED)
        .order_by(units.c.position)
        .limit(1)
    )
    known = free if unregistered else free.where(units.c.registered_at.is_not(None))
    device: str | None = connection.execute(known).scalar()
    if device is not None:
        return device
    if connection.execute(free).scalar() is not None:
        raise StateError(
            f"the devices of {batch!r} that are left are not registered with their gateway, which would not let them"
            f" in: first run {commands.fleetmint('batch', 'register', batch)}"
        )
    if connection.execute(select(batches.c.batch).where(batches.c.batch == batch)).scalar() is None:
        raise StateError(f"there is no batch {batch!r} in this ledger: make it first")
    raise StateError(f"the batch {batch!r} has no free identity left: make another batch")


def _claimed_by(connection: Connection, device: str, worker: str) -> Unit:
    unit = _get(connection, device)
    if unit.state != CLAIMED or unit.claimed_by != worker:
        holder = f", by {unit.claimed_by}" if unit.claimed_by else ""
        raise StateError(f"{device} is {unit.state}{holder}: {worker} has to claim it first")
    return unit


def _set(connection: Connection, device: str, **values: Any) -> None:
    connection.execute(update(units).where(units.c.device == device).values(**values))


def _get(connection: Connection, device: str) -> Unit:
    row = connection.execute(select(units).where(units.c.device == device)).first()
    if row is None:
        raise StateError(f"there is no unit {device!r} in this ledger: make its batch first")
    return _unit(row)


def _units_named(connection: Connection, devices: Sequence[str]) -> list[Unit]:
    found: list[Unit] = []
    for start in range(0, len(devices), _CHUNK):
        rows = connection.execute(select(units).where(units.c.device.in_(devices[start : start + _CHUNK])))
        found += [_unit(row) for row in rows]
    return found


def _unit(row: Any) -> Unit:
    return Unit(
        row.device,
        row.batch,
        row.key_origin,
        row.state,
        row.mac,
        row.claimed_by,
        row.port,
        row.reason,
        row.claimed_at,
        row.finished_at,
        row.registered_at,
        row.product,
        row.hardware,
        row.serial,
    )


def _checked_mac(mac: str) -> str:
    if not _MAC.fullmatch(mac):
        raise StateError(f"{mac!r} is no MAC address of a board: it has to look like 24:0a:c4:00:00:01")
    return mac
