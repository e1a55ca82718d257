"""Encrypted NVS, secure boot and flash encryption of one board, as one transaction that the ledger keeps a journal of.

The board is bound to its device before anything is written. Each step (secure_steps.py) is an event before it and one
after it; running it again looks at the board and at the journal, and goes on with what is missing. The journal knows
keys by a fingerprint, and the firmware by its SHA-256: a board that was begun with others is refused.
"""

import json
import os
import socket
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import select
from sqlalchemy.engine import Connection, Engine

from fleetmint import commands
from fleetmint.batch.encryption import HMAC, NONE
from fleetmint.batch.secrets import BatchSecrets
from fleetmint.bench.efuse import device_of, fingerprint, has_key
from fleetmint.bench.records import Records
from fleetmint.bench.regions import Regions, make_regions
from fleetmint.bench.secure_images import check_signed, check_table, encrypted_regions
from fleetmint.bench.secure_steps import DOWNLOAD, IMAGES, Keys, Step, is_burned, refuse_used, steps
from fleetmint.burn_codes import BurnCode
from fleetmint.errors import BurnError, StateError
from fleetmint.flash.burn import Progress, Worker
from fleetmint.flash.efuse import CHIPS_WITH_HMAC, VIRTUAL, Efuses, burn_efuses, read_efuses
from fleetmint.flash.job import DEFAULT_BAUD, Board, Job
from fleetmint.ledger import events, reading, writing
from fleetmint.ledger import factory as ledger
from fleetmint.ledger.schema import BURNED, CLAIMED
from fleetmint.ledger.schema import events as rows

INTENDED, DONE, FAILED = "secure-intended", "secure-done", "secure-failed"
Clock = Callable[[], datetime]
Watch = Callable[[Step, Progress | None], None]
Confirm = Callable[["State"], None]


@dataclass(frozen=True)
class Wanted:
    """What the boards of one batch are secured with. `firmware` is checked; `name` is what its file is called."""

    batch: str
    known: BatchSecrets
    regions: Regions
    digests: tuple[bytes, ...]
    hmac_block: int
    name: str

    @property
    def sha256(self) -> str:
        """The SHA-256 of the firmware, in hex."""
        return self.regions.firmware.sha256 if self.regions.firmware else ""

    def keys(self, device: str | None) -> Keys:
        """Return what the board of `device` gets burned; None, a board that is to become one, has no keys yet."""
        secret = self.known.of(device) if device is not None else None
        flash, nvs = (secret.flash_key, secret.nvs_key) if secret else (b"", b"")
        if flash is None or nvs is None:
            raise StateError(f"{device} has no keys for its flash and its NVS: the secrets of its batch are damaged")
        return Keys(flash, self.digests, nvs if self.known.nvs_encryption == HMAC else None, self.hmac_block)


@dataclass(frozen=True)
class State:
    """A board, and what of its steps is done. `device` is None for one that has no identity yet."""

    device: str | None
    efuses: Efuses
    steps: tuple[Step, ...]
    done: frozenset[str] = field(default_factory=frozenset)

    @property
    def left(self) -> tuple[Step, ...]:
        """The steps that are still to be taken."""
        return tuple(step for step in self.steps if step.name not in self.done)


def prepare(batch: str, known: BatchSecrets, firmware: Path, digests: tuple[bytes, ...], hmac_block: int) -> Wanted:
    """Read the firmware and check it; raise StateError for a batch that is not to be secured.

    Raises ImageError unless bootloader and programs are signed by one of the keys whose `digests` are given.
    """
    if known.flash_encryption == NONE:
        raise StateError(
            f"the batch {batch} has flash_encryption none, so its boards are burned by"
            f" {commands.fleetmint('burn', batch, '--port', 'auto')}"
        )
    if len(set(digests)) < len(digests):
        raise StateError("a key of secure boot was named twice: each takes a block of its own")
    made = make_regions(known, Path(), firmware, None, other_firmware=True)
    if not isinstance(made, Regions) or made.firmware is None:
        raise AssertionError("a chip with flash encryption has partitions, and a firmware was given")
    check_signed(made.firmware, digests)
    check_table(made.firmware.table)
    wanted = Wanted(batch, known, made, digests, hmac_block, firmware.name)
    # what the table has no place for is told before a board is connected, and is the same for all of them
    device = next(iter(known.devices))
    encrypted_regions(made, device, Board("", known.chip, 0), wanted.keys(device).flash, datetime.now(UTC))
    return wanted


def look(engine: Engine, port: str, wanted: Wanted) -> State:
    """Return what of the transaction the board at `port` has; raise BurnError for one that cannot be taken."""
    if port.startswith(VIRTUAL):
        raise BurnError(
            f"{port} stands for eFuses alone, and a board has a flash, too: python -m virtual.esp32 --efuses is one"
            " (docs/secure.md)",
            BurnCode.PORT_MISSING,
        )
    efuses = read_efuses(port, boot=False)
    if efuses.chip not in CHIPS_WITH_HMAC or efuses.chip != wanted.known.chip:
        raise BurnError(
            f"{port}: the board is an {efuses.chip}, the batch is for {wanted.known.chip}", BurnCode.WRONG_CHIP
        )
    return _state(engine, port, wanted, efuses, device_of(engine, efuses.mac, wanted.batch))


def _state(engine: Engine, port: str, wanted: Wanted, efuses: Efuses, device: str | None) -> State:
    keys = wanted.keys(device)
    with reading(engine) as connection:
        journal = _journal(connection, device, efuses.mac) if device else {}
    detail = _detail(wanted, device, efuses.mac)
    begun = [found for name, found in journal.items() if name != IMAGES]
    if any(found["keys"] != detail["keys"] for found in begun):
        raise _begun_otherwise(port, device, efuses.mac, "other keys of secure boot, or another --hmac-block")
    sealed = keys.hmac is not None and device is not None and has_key(engine, device, efuses.mac, keys.hmac)
    refuse_used(port, keys, efuses, begun=bool(begun), hmac_begun=sealed)
    all_steps = steps(keys, efuses, wanted.name)
    done = {step.name for step in all_steps[1:] if is_burned(step, efuses)}
    if any(efuses.fields[name].value for name in ("SECURE_BOOT_EN", "SPI_BOOT_CRYPT_CNT")):
        # which were compared before the first of them was switched on, and are not written any more
        if IMAGES in journal and journal[IMAGES]["firmware"] != wanted.sha256:
            raise _begun_otherwise(port, device, efuses.mac, f"the firmware {journal[IMAGES]['firmware'][:16]}…")
        done.add(IMAGES)
    return State(device, efuses, all_steps, frozenset(done))


def _begun_otherwise(port: str, device: str | None, mac: str, what: str) -> BurnError:
    return BurnError(f"{port}: {device} was begun with {what}: name the same again", BurnCode.SECURED, mac)


def secure(
    engine: Engine,
    port: str,
    wanted: Wanted,
    state: State,
    confirm: Confirm,
    clock: Clock,
    watch: Watch,
) -> State:
    """Take all steps that the board lacks, and record it as burned; return what it was and is.

    `confirm` is called with the device that the board is, before anything is written; what it raises leaves a board
    that was free before free again. Raises BurnError for whatever goes wrong: the same call goes on from there.
    """
    mac = state.efuses.mac
    records = Records(engine, wanted.batch, port, reads_identity=False)
    claim = records.claim(Board(mac, state.efuses.chip, 0))
    try:
        found = _state(engine, port, wanted, state.efuses, claim.device)
        if found.left:
            confirm(found)
        _carry_out(engine, port, wanted, found, clock, watch)
    except BurnError as error:
        if not claim.is_done:
            # an identity that lies in a flash is not for another board, whatever went wrong later
            records.failed(replace(claim, fresh=claim.fresh and not _was_written(engine, claim.device, mac)), error)
        raise
    except BaseException:
        if not claim.is_done:
            with writing(engine) as connection:
                untouched = claim.fresh and not _events(connection, claim.device, mac)
                ledger.release(connection, claim.device, untouched=untouched, now=clock())
        raise
    if not claim.is_done:
        records.burned(claim)
    return found


def _carry_out(engine: Engine, port: str, wanted: Wanted, state: State, clock: Clock, watch: Watch) -> None:
    detail = _detail(wanted, state.device, state.efuses.mac)

    def record(kind: str, step: Step, **more: object) -> None:
        with writing(engine) as connection:
            what = {**detail, "step": step.name, **more}
            events.append(connection, at=clock(), actor="factory", kind=kind, subject=str(state.device), detail=what)

    with reading(engine) as connection:
        journal = _journal(connection, str(state.device), state.efuses.mac)
    for step in state.steps:
        if step.name in state.done:
            if journal.get(step.name, {}).get("kind") != DONE:
                record(DONE, step, found=True)
            continue
        watch(step, None)
        record(INTENDED, step)
        try:
            if step.name == IMAGES:
                _write_images(port, wanted, state, clock, watch, step)
            else:
                # it must not start in between: a firmware burns eFuses of its own
                burn_efuses(port, state.efuses.mac, step.order, boot=step.name == DOWNLOAD)
        except BurnError as error:
            record(FAILED, step, code=error.code.value)
            raise
        record(DONE, step)


def _write_images(port: str, wanted: Wanted, state: State, clock: Clock, watch: Watch, step: Step) -> None:
    device = str(state.device)
    with Worker(port) as worker:
        board = worker.identify(hold=True)
        if board.mac != state.efuses.mac:
            raise BurnError(f"{port}: this is another board ({board.mac}) than before", BurnCode.IDENTITY, board.mac)
        wanted.regions.check(port, board)
        regions = encrypted_regions(wanted.regions, device, board, wanted.keys(device).flash, clock())
        job = Job(port, board.chip, regions, DEFAULT_BAUD, encrypted=True)
        worker.burn(job, lambda progress: watch(step, progress))


def finish(engine: Engine, batch: str, device: str, clock: Clock) -> None:
    """Record the last step of a board that can tell nothing any more; raise StateError unless it was begun."""
    with reading(engine) as connection:
        unit = ledger.find_unit(connection, device)
        journal = _journal(connection, device, str(unit.mac)) if unit is not None and unit.batch == batch else {}
    if unit is None or unit.mac is None or journal.get(DOWNLOAD, {}).get("kind") not in (INTENDED, FAILED, DONE):
        raise StateError(
            f"the ledger does not know that the last step of {device} in the batch {batch} was begun: it cannot be what"
            " its board has"
        )
    worker = f"{socket.gethostname()}:{os.getpid()}:finish"
    with writing(engine) as connection:
        unit = ledger.claim(connection, batch, str(unit.mac), worker, port=str(unit.port), now=clock())
        if unit.state != BURNED:
            last = {key: value for key, value in journal[DOWNLOAD].items() if key not in ("kind", "code")}
            detail = {**last, "said": True}
            events.append(connection, at=clock(), actor="factory", kind=DONE, subject=device, detail=detail)
            ledger.record_burned(connection, device, worker, now=clock())


def unfinished(engine: Engine, batch: str) -> tuple[str, ...]:
    """Return the devices of a batch whose last step was begun, and of which nobody has recorded that it was done."""
    with reading(engine) as connection:
        bound = [unit for unit in ledger.list_units(connection, batch) if unit.state == CLAIMED and unit.mac]
        return tuple(unit.device for unit in bound if DOWNLOAD in _journal(connection, unit.device, str(unit.mac)))


def _detail(wanted: Wanted, device: str | None, mac: str) -> dict[str, object]:
    burns = wanted.keys(device).burns() if device else ()
    keys = {str(each.block): [each.purpose, fingerprint(each.key)] for each in burns}
    return {"mac": mac, "keys": keys, "firmware": wanted.sha256}


def _was_written(engine: Engine, device: str, mac: str) -> bool:
    """Whether the images of the device were ever written to the flash of this board as a whole."""
    with reading(engine) as connection:
        found = _events(connection, device, mac)
    return any((each["step"], each["kind"]) == (IMAGES, DONE) for each in found)


def _journal(connection: Connection, device: str, mac: str) -> dict[str, dict[str, Any]]:
    """Return step → the last event about it at this board."""
    return {found["step"]: found for found in _events(connection, device, mac)}


def _events(connection: Connection, device: str, mac: str) -> list[dict[str, Any]]:
    """Return what was meant and done at this board, in its order: `kind`, `step`, and what it was to be done with."""
    found = connection.execute(
        select(rows.c.kind, rows.c.detail)
        .where(rows.c.subject == device, rows.c.kind.in_((INTENDED, DONE, FAILED)))
        .order_by(rows.c.seq)
    )
    details = [{**json.loads(row.detail), "kind": row.kind} for row in found]
    return [detail for detail in details if detail["mac"] == mac]
