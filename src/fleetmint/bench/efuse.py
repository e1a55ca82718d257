"""The HMAC key of a device into an eFuse of its board: for ever, so journalled before and after.

It comes before the flash is burned: firmware of ESP-IDF that starts and finds no HMAC key makes one of its own and
burns that, and the NVS from the station is noise to it for ever. The board is bound to its identity first, so that a
burn that follows takes the same one.

The ledger's events say what was meant and what was done; they know the key by a fingerprint, from which it cannot be
found, since it is 256 random bits.
"""

import hashlib
import json
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.engine import Connection, Engine

from fleetmint.burn_codes import BurnCode
from fleetmint.errors import BurnError, FleetmintError
from fleetmint.flash.efuse import CHIPS_WITH_HMAC, HMAC_PURPOSE, KEY_BLOCKS, Efuses, KeyBlock, burn_hmac_key
from fleetmint.ledger import events, reading, writing
from fleetmint.ledger import factory as ledger
from fleetmint.ledger.schema import CLAIMED
from fleetmint.ledger.schema import events as rows
from fleetmint.plan import Plan

INTENDED, DONE, FAILED = "efuse-intended", "efuse-burned", "efuse-failed"


@dataclass(frozen=True)
class Target:
    """A board on a port whose eFuses were read, and the key block that the firmware will use."""

    port: str
    efuses: Efuses
    block: int


def device_of(engine: Engine, mac: str, batch: str) -> str | None:
    """Return the device that the board with this MAC is, None when it is none yet; BurnError for another batch's."""
    with reading(engine) as connection:
        unit = ledger.find_unit_of_board(connection, mac)
    if unit is not None and unit.batch != batch:
        raise BurnError(
            f"the board {mac} is {unit.device} of the batch {unit.batch!r}: take another board", BurnCode.IDENTITY
        )
    return None if unit is None else unit.device


@contextmanager
def bound_device(engine: Engine, target: Target, batch: str, clock: Callable[[], datetime]) -> Iterator[str]:
    """Bind the board to a device of the batch, its own or the next that is free, as a burn does.

    Where the block under it raises FleetmintError before anything was meant to be burned, a board that
    was free before is free again. Raises StateError when the batch has no device for it.
    """
    mac, worker = target.efuses.mac, f"{socket.gethostname()}:{os.getpid()}:{target.port}"
    with writing(engine) as connection:
        fresh = ledger.find_unit_of_board(connection, mac) is None
        unit = ledger.claim(connection, batch, mac, worker, port=target.port, now=clock())
    try:
        yield unit.device
    except FleetmintError:
        with writing(engine) as connection:
            if fresh and not _journal(connection, unit.device, mac):
                ledger.release(connection, unit.device, untouched=True, now=clock())
        raise
    if unit.state == CLAIMED:
        # bound to its board, and to no worker: whoever burns the flash takes it up
        with writing(engine) as connection:
            ledger.release(connection, unit.device, untouched=False, now=clock())


def has_key(engine: Engine, device: str, mac: str, key: bytes) -> bool:
    """Whether the journal says that this key is in an eFuse of the board."""
    with reading(engine) as connection:
        return any(row[:2] == (DONE, fingerprint(key)) for row in _journal(connection, device, mac))


@dataclass(frozen=True)
class SealedKey:
    """Where the key of a device is: a block of the eFuses of the board `mac`. `key` is by what the journal knows it."""

    device: str
    block: int
    key: str
    mac: str


def plan_hmac_key(
    engine: Engine, target: Target, device: str, key: bytes, clock: Callable[[], datetime]
) -> Plan[SealedKey]:
    """Plan to burn the HMAC key of `device` into the board; nothing to do when it is there.

    Raises BurnError when the chip has no HMAC peripheral, or the block or the key is in use otherwise. Applying it
    writes an event before the first eFuse is touched, and one with the outcome behind it.
    """
    efuses, number = target.efuses, target.block
    if efuses.chip not in CHIPS_WITH_HMAC:
        raise BurnError(
            f"{target.port}: an {efuses.chip} has no HMAC peripheral, so it cannot keep the key of an encrypted NVS;"
            f" {', '.join(CHIPS_WITH_HMAC)} can",
            BurnCode.WRONG_CHIP,
        )
    detail_key = fingerprint(key)
    detail: dict[str, object] = {"block": number, "key": detail_key, "mac": efuses.mac}
    with reading(engine) as connection:
        journal = _journal(connection, device, efuses.mac)
    known = {(kind, burned) for kind, journalled, burned in journal if journalled == detail_key}
    elsewhere = sorted({block for kind, block in known if kind == DONE and block != number})
    if elsewhere:
        raise BurnError(
            f"{target.port}: {device} has its key in block {elsewhere[0]} already; choose that one", BurnCode.SECURED
        )
    block = efuses.blocks[number]
    describe = {"before": f"block {number}: {_state(block)}\n", "after": f"block {number}: {HMAC_PURPOSE}, sealed\n"}
    there = SealedKey(device, number, detail_key, efuses.mac)
    if block.sealed and block.purpose == HMAC_PURPOSE and known:
        if (DONE, number) in known:
            return Plan(before=describe["after"], after=describe["after"], expected=there)
        # The block was seen empty before the run that was cut off, and that run put no other key in.
        reason = f"record that block {number} of {efuses.mac} has the key of {device}: a run was cut off before it did"

        def record() -> SealedKey:
            _record(engine, clock, DONE, device, detail)
            return there

        return Plan((reason,), record, **describe, expected=there)
    if block.empty:
        reason = f"burn the HMAC key of {device} into block {number} of {efuses.mac} and seal it, for ever"
    elif block.readable and block.data == key:
        reason = f"finish the HMAC key of {device} in block {number} of {efuses.mac} and seal it, for ever"
    else:
        free = [str(other) for other in KEY_BLOCKS if efuses.blocks[other].empty]
        raise BurnError(
            f"{target.port}: block {number} of {efuses.mac} is {_state(block)}, and not by this key;"
            f" free are: {', '.join(free) or 'none'}. The firmware has to use the same block"
            " (CONFIG_NVS_SEC_HMAC_EFUSE_KEY_ID); one that was started without a key has burned one of its own",
            BurnCode.SECURED,
        )

    def apply() -> SealedKey:
        _record(engine, clock, INTENDED, device, detail)
        try:
            burn_hmac_key(target.port, efuses.mac, number, key)
        except BurnError as error:
            _record(engine, clock, FAILED, device, {**detail, "code": error.code.value})
            raise
        _record(engine, clock, DONE, device, detail)
        return there

    return Plan((reason,), apply, **describe, expected=there)


def fingerprint(key: bytes) -> str:
    """Return by what the journal knows a key: 64 bits of a hash of it, in hex."""
    return hashlib.sha256(b"fleetmint efuse " + key).hexdigest()[:16]


def _record(engine: Engine, clock: Callable[[], datetime], kind: str, device: str, detail: dict[str, object]) -> None:
    with writing(engine) as connection:
        events.append(connection, at=clock(), actor="factory", kind=kind, subject=device, detail=detail)


def _journal(connection: Connection, device: str, mac: str) -> set[tuple[str, str, int]]:
    """Return what was meant or done at this board: kind of event, fingerprint of the key, block."""
    found = connection.execute(
        select(rows.c.kind, rows.c.detail).where(rows.c.subject == device, rows.c.kind.in_((INTENDED, DONE)))
    )
    details = [(row.kind, json.loads(row.detail)) for row in found]
    return {(kind, detail["key"], detail["block"]) for kind, detail in details if detail["mac"] == mac}


def _state(block: KeyBlock) -> str:
    if block.empty:
        return "empty"
    return f"in use ({block.purpose}{', sealed' if block.sealed else ''})"
