"""The bench: give each board on a port an identity of the batch, burn it, and record what came of it.

    identify the board → claim an identity for its MAC → burn and verify → record

The claim is one transaction of the ledger, made before anything is written, and binds the identity to the MAC: a burn
that was cut is taken up by the same board with the same identity, and never by another one.
"""

import os
import socket
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy.engine import Engine

from fleetmint import files
from fleetmint.errors import BurnError, FleetmintError
from fleetmint.factory import secrets
from fleetmint.factory.encryption import encryption
from fleetmint.factory.image import nvs_entries
from fleetmint.factory.secrets import BatchSecrets
from fleetmint.flash.app import build_app_image
from fleetmint.flash.burn import burn, identify
from fleetmint.flash.firmware import read_firmware
from fleetmint.flash.job import NVS_REGION, Board, Job, Region
from fleetmint.flash.table import TABLE_OFFSET, PartitionTable, stock
from fleetmint.ledger import factory as ledger
from fleetmint.ledger import open_ledger, reading, writing
from fleetmint.ledger.schema import BURNED, CLAIMED, PLANNED
from fleetmint.nvs.encode import encode
from fleetmint.pki.passphrases import Source
from fleetmint.plan import Plan

STOCK_LAYOUT = "4MiB"
# A board that failed like this is set aside: the next try would end the same way.
FINAL = {"md5"}
# After these something may have been written, so the identity stays with its board.
TOUCHED = {"lost", "md5", "internal"}


@dataclass(frozen=True)
class Bench:
    """What the boards of one batch are burnt with.

    `batch` is the directory of the batch, `ledger` an SQLAlchemy URL, `app` the directory of the device's program.
    `passphrases` has the one called `bench`, which opens the batch's secrets. `firmware` is a MicroPython file, or None
    for boards that have MicroPython already; `sha256` pins it.
    `unregistered` burns identities that no gateway knows yet, too.
    """

    batch: Path
    ledger: str
    app: Path
    passphrases: Source
    firmware: Path | None = None
    sha256: str | None = None
    unregistered: bool = False


@dataclass(frozen=True)
class Outcome:
    """What came of one port. `state` is burned, kept (the board was done before) or failed; `reason` says why."""

    port: str
    state: str
    device: str | None = None
    mac: str | None = None
    seconds: float = 0
    reason: str = ""
    region: str = ""
    done: int = 0
    total: int = 0


Watch = Callable[[Outcome], None]


def left(bench: Bench) -> int:
    """Return how many devices of the batch are not burnt yet."""
    engine = open_ledger(bench.ledger)
    with reading(engine) as connection:
        counts = ledger.counts(connection, bench.batch.name)
    engine.dispose()
    return counts[PLANNED] + counts[CLAIMED]


def burn_ports(bench: Bench, ports: Sequence[str], watch: Watch = lambda _outcome: None) -> tuple[Outcome, ...]:
    """Burn the board on each port, all ports at the same time, and return what came of each, in their order.

    `watch` is called with every step, from several threads, with a state of `identify` or `burning` too. One board's
    failure does not stop the others; a firmware or program that cannot be used raises ImageError before any is touched.
    """
    known = secrets.load(bench.batch, bench.passphrases)
    build_app_image(bench.app, stock(STOCK_LAYOUT).find("vfs").size)  # a program that cannot be used is told first
    station = _Station(bench, known, _common(bench, known), open_ledger(bench.ledger), watch)
    try:
        with ThreadPoolExecutor(max_workers=max(1, len(ports))) as pool:
            return tuple(pool.map(station.serve, ports))
    finally:
        station.engine.dispose()


def plan_burn(bench: Bench, ports: Sequence[str]) -> Plan:
    """Plan to burn the boards on `ports`; nothing to do when the batch is burnt or there is no port.

    Applying it raises BurnError when a board could not be burned. It fills the fact `boards` with every outcome, and
    says in the fact `changed` whether any was burned: whose boards are on the ports shows only then.
    """
    todo = left(bench)
    if not todo or not ports:
        return Plan(before=f"{todo} left\n", after=f"{todo} left\n", facts={"boards": []})
    facts: dict[str, Any] = {"boards": []}

    def apply() -> None:
        outcomes = burn_ports(bench, ports)
        facts["boards"] = [
            {"port": each.port, "state": each.state, "device": each.device, "mac": each.mac} for each in outcomes
        ]
        facts["changed"] = any(each.state == "burned" for each in outcomes)
        failed = [each.reason for each in outcomes if each.state == "failed"]
        if failed:
            raise BurnError(f"{len(failed)} of {len(ports)} boards failed: {'; '.join(failed)}", "boards")

    return Plan(
        (f"{todo} devices of {bench.batch.name} to burn, boards on {len(ports)} ports",),
        apply,
        before=f"{todo} left\n",
        after=f"{max(0, todo - len(ports))} left\n",
        facts=facts,
    )


@dataclass(frozen=True)
class _Common:
    """The table that all boards of the batch get, and what comes before the program."""

    table: PartitionTable
    regions: tuple[Region, ...]


def _common(bench: Bench, known: BatchSecrets) -> _Common:
    if bench.firmware is None:
        table = stock(STOCK_LAYOUT)
        return _Common(table, (Region(TABLE_OFFSET, table.to_bytes(), "partition table"),))
    firmware = read_firmware(files.read(bench.firmware, "firmware"), known.chip, bench.sha256)
    return _Common(firmware.table, firmware.regions())


@dataclass(frozen=True)
class _Station:
    bench: Bench
    known: BatchSecrets
    common: _Common
    engine: Engine
    watch: Watch

    def serve(self, port: str) -> Outcome:
        """Burn the board on one port; never raises, since the other ports go on."""
        self.watch(Outcome(port, "identify"))
        board: Board | None = None
        try:
            board = identify(port)
            outcome = self._burn(port, board)
        except FleetmintError as error:
            outcome = Outcome(port, "failed", mac=board.mac if board else None, reason=str(error))
        self.watch(outcome)
        return outcome

    def _burn(self, port: str, board: Board) -> Outcome:
        if board.chip != self.known.chip:
            raise BurnError(f"{port}: the board is an {board.chip}, the batch is for {self.known.chip}", "wrong-chip")
        worker = f"{socket.gethostname()}:{os.getpid()}:{port}"
        batch = self.bench.batch.name
        with writing(self.engine) as connection:
            # Only an identity that this board never had may go to another one when nothing was written.
            fresh = ledger.find_unit_of_board(connection, board.mac) is None
            unit = ledger.claim(
                connection, batch, board.mac, worker, port=port, now=_now(), unregistered=self.bench.unregistered
            )
        if unit.state == BURNED:
            return Outcome(port, "kept", unit.device, board.mac, reason=f"the board is {unit.device} already")
        try:
            result = burn(
                Job(port, self.known.chip, self._regions(unit.device, board)),
                lambda step: self.watch(
                    Outcome(port, "burning", unit.device, board.mac, 0, "", step.region, step.done, step.total)
                ),
            )
        except BurnError as error:
            with writing(self.engine) as connection:
                if error.code in FINAL:
                    ledger.quarantine(connection, unit.device, worker, str(error), now=_now())
                elif fresh and error.code not in TOUCHED:
                    ledger.release(connection, unit.device, untouched=True, now=_now())
            raise
        with writing(self.engine) as connection:
            ledger.record_burned(connection, unit.device, worker, now=_now())
        return Outcome(port, "burned", unit.device, result.mac, result.seconds)

    def _regions(self, device: str, board: Board) -> tuple[Region, ...]:
        vfs, nvs = self.common.table.with_vfs(board.flash_size).find("vfs"), self.common.table.find("nvs")
        program = Region(vfs.offset, build_app_image(self.bench.app, vfs.size), "program")
        entries = nvs_entries(device, self.known, _now())
        secret = encryption(self.known.nvs_encryption, self.known.of(device).nvs_key, self.common.table)
        image = Region(nvs.offset, encode(entries, nvs.size, secret.keys), NVS_REGION)
        # NVS last: a board that loses its power before has no identity, rather than half of one.
        return (*self.common.regions, program, *secret.regions, image)


def _now() -> datetime:
    # The bench runs for hours, so each step has its own time.
    return datetime.now(UTC)
