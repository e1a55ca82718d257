"""The bench: identities of a batch into the boards on the ports, once for each port or board after board.

station.py is what happens to one board, slots.py how a port goes on with the next one.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from fleetmint import commands
from fleetmint.batch import secrets
from fleetmint.batch.encryption import NONE
from fleetmint.bench.outcome import BURNED, FAILED, Outcome, Watch, ignore
from fleetmint.bench.records import count_left
from fleetmint.bench.regions import make_regions
from fleetmint.bench.station import Retire, Station, Test
from fleetmint.burn_codes import BurnCode
from fleetmint.errors import BurnError, StateError
from fleetmint.flash.burn import Worker
from fleetmint.flash.job import DEFAULT_BAUD
from fleetmint.ledger import looking, open_factory_ledger
from fleetmint.passphrases import Source
from fleetmint.plan import Plan


@dataclass(frozen=True)
class Bench:
    """What the boards of one batch are burnt with.

    `batch` is the directory of the batch, `ledger` an SQLAlchemy URL, `app` the directory of the device's program.
    `passphrases` has the one called `bench`, which opens the batch's secrets. `firmware` is a MicroPython file, or None
    for boards that have MicroPython already; `sha256` pins it. `unregistered` burns identities that no gateway knows
    yet, too. `baud` is the speed of the first try, and `test`, where there is one, what a board has to pass after its
    reset. `retire` ends the identities of boards that are to get another one; without it such boards are refused.
    `other_firmware`: boards whose firmware is not MicroPython are burned, too.
    """

    batch: Path
    ledger: str
    app: Path
    passphrases: Source
    firmware: Path | None = None
    sha256: str | None = None
    unregistered: bool = False
    baud: int = DEFAULT_BAUD
    test: Test | None = None
    retire: Retire | None = None
    other_firmware: bool = False


def left(bench: Bench) -> int:
    """Return how many devices of the batch are not burnt yet."""
    with looking(bench.ledger) as connection:
        return count_left(connection, bench.batch.name)


def burn_ports(bench: Bench, ports: Sequence[str], watch: Watch = ignore) -> tuple[Outcome, ...]:
    """Burn the board on each port, all ports at the same time, and return what came of each, in their order.

    `watch` is called with every step, from several threads. One board's failure does not stop the others; a firmware
    or program that cannot be used raises ImageError, and a ledger that cannot be written LedgerError, before any board
    is touched.
    """
    with open_station(bench, watch) as station, ThreadPoolExecutor(max_workers=max(1, len(ports))) as pool:
        return tuple(pool.map(lambda port: _serve_once(station, port), ports))


@contextmanager
def open_station(bench: Bench, watch: Watch = ignore) -> Iterator[Station]:
    """Give what all ports share; close the ledger at the end."""
    known = secrets.load(bench.batch, bench.passphrases)
    if known.flash_encryption != NONE:
        command = commands.fleetmint(
            "secure", bench.batch.name, "--port", "PORT", "--firmware", "FILE", "--boot-key", "FILE"
        )
        raise StateError(
            f"the batch {bench.batch.name} has flash_encryption {known.flash_encryption}: its boards take no plain"
            f" image, and are burned one by one by {command}"
        )
    regions = make_regions(known, bench.app, bench.firmware, bench.sha256, bench.other_firmware)
    engine = open_factory_ledger(bench.ledger)
    try:
        yield Station(
            bench.batch.name, regions, engine, watch, bench.baud, bench.unregistered, bench.test, bench.retire
        )
    finally:
        engine.dispose()


@dataclass(frozen=True)
class BurnedBoard:
    """What came of the board on one port: see Outcome."""

    port: str
    state: str
    device: str | None
    mac: str | None


@dataclass(frozen=True)
class Burned:
    """What came of every port, and whether any board was burned: whose boards they are shows only then."""

    boards: tuple[BurnedBoard, ...] = ()
    changed: bool = False


def plan_burn(bench: Bench, ports: Sequence[str]) -> Plan[Burned]:
    """Plan to burn the boards on `ports`; nothing to do when the batch is burnt or there is no port.

    Applying it raises BurnError when a board could not be burned.
    """
    todo = left(bench)
    if not todo or not ports:
        return Plan(before=f"{todo} left\n", after=f"{todo} left\n", expected=Burned())

    def apply() -> Burned:
        outcomes = burn_ports(bench, ports)
        failed = [each.reason for each in outcomes if each.state == FAILED]
        if failed:
            raise BurnError(f"{len(failed)} of {len(ports)} boards failed: {'; '.join(failed)}", BurnCode.BOARDS)
        boards = tuple(BurnedBoard(each.port, each.state, each.device, each.mac) for each in outcomes)
        return Burned(boards, any(each.state == BURNED for each in outcomes))

    return Plan(
        (f"{todo} devices of {bench.batch.name} to burn, boards on {len(ports)} ports",),
        apply,
        before=f"{todo} left\n",
        after=f"{max(0, todo - len(ports))} left\n",
        # in a look ahead a board on a port is one that would be burned
        expected=Burned(changed=True),
    )


def _serve_once(station: Station, port: str) -> Outcome:
    with Worker(port) as worker:
        outcome = station.serve(worker)
    if outcome.code is BurnCode.NO_ANSWER:
        station.refuse(outcome)
    return outcome
