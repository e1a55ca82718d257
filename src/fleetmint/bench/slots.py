"""The slots of a bench: each serves one board after the other, until the batch is done or somebody ends it.

A board is taken out when its port disappears, as with the USB bridge on the board itself, or, on a fixture whose
adapter stays (`jig`), when another one answers there.
"""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from fleetmint.bench.outcome import FAILED, IDENTIFY, WAITING, Outcome
from fleetmint.bench.records import count_left
from fleetmint.bench.station import Station
from fleetmint.burn_codes import BurnCode
from fleetmint.errors import BurnError, FleetmintError, LedgerError
from fleetmint.flash.burn import Worker
from fleetmint.ledger import reading

LOOK_SECONDS = 0.2
RETRY_SECONDS = 2.0
# How often the ledger is asked whether another station did the rest.
ASK_SECONDS = 2.0
# What a hand at the bench can mend while the board stays in its slot.
PATIENT = {BurnCode.NO_ANSWER, BurnCode.BOOT_MODE, BurnCode.PORT_BUSY, BurnCode.PORT_PERMISSION}
# A connection that broke while the board stayed is tried so many times, each at half the speed.
TRIES = 3
# After so long without an answer a fixture says so once; before, it is only empty.
SILENT_SECONDS = 20.0

_Presence = tuple[int, ...]


@dataclass
class Slots:
    """Runs one thread for each port. `ports` is asked again and again, so that slots can appear later.

    `stop` lets every slot finish its board and end; `abandon` ends what is going on at once.
    """

    station: Station
    ports: Callable[[], Sequence[str]]
    jig: bool = False
    _stop: threading.Event = field(default_factory=threading.Event)
    _threads: dict[str, threading.Thread] = field(default_factory=dict)
    _workers: dict[str, Worker] = field(default_factory=dict)
    _broken: list[FleetmintError] = field(default_factory=list)

    def run(self) -> None:
        """Serve boards until the batch is done or `stop` was called; raise what no slot can go on without."""
        look = time.monotonic() + ASK_SECONDS
        while not self._stop.is_set():
            if time.monotonic() > look:
                # while all slots wait here, another station may burn the last board
                self._ask()
                look = time.monotonic() + ASK_SECONDS
            for port in self.ports():
                if port not in self._threads:
                    self._threads[port] = threading.Thread(target=self._slot, args=(port,), name=port, daemon=True)
                    self._threads[port].start()
            self._stop.wait(LOOK_SECONDS)
        for thread in self._threads.values():
            while thread.is_alive():
                thread.join(LOOK_SECONDS)  # in pieces, so that Ctrl-C gets through
        if self._broken:
            raise self._broken[0]

    def stop(self) -> None:
        """Take no further board."""
        self._stop.set()

    def abandon(self) -> None:
        """Stop, and leave the boards that are being written half-written: they get the same identity next time."""
        self._stop.set()
        for worker in list(self._workers.values()):
            worker.abandon()

    def _slot(self, port: str) -> None:
        with Worker(port) as worker:
            self._workers[port] = worker
            try:
                while not self._is_over():
                    self._next_board(worker)
            except LedgerError as error:
                self._give_up(port, error)
            except Exception as error:
                self._give_up(port, FleetmintError(f"{port}: the slot ended on an unforeseen {type(error).__name__}"))

    def _give_up(self, port: str, error: FleetmintError) -> None:
        """End all slots: none can go on without the ledger."""
        self._broken.append(error)
        self._stop.set()
        self.station.watch(Outcome(port, FAILED, reason=str(error), code=BurnCode.STATION))

    def _ask(self) -> None:
        try:
            self._is_over()
        except LedgerError as error:
            self._give_up("", error)

    def _is_over(self) -> bool:
        """Whether the slots end: somebody said so, or the batch is done."""
        if not self._stop.is_set():
            with reading(self.station.engine) as connection:
                if not count_left(connection, self.station.batch):
                    self._stop.set()
        return self._stop.is_set()

    def _next_board(self, worker: Worker) -> None:
        """Wait for a board, serve it, and wait until it is taken out."""
        port = worker.port
        self.station.watch(Outcome(port, WAITING))
        self._wait(lambda: _presence(port) is not None)
        present = _presence(port)
        if present is None or self._stop.is_set():
            return
        outcome = self._serve(worker, present)
        if outcome.code is BurnCode.NO_ANSWER and not self.jig:
            self.station.refuse(outcome)
        if not self._is_over():
            self._wait(lambda: _presence(port) != present or (self.jig and self._answers_another(worker, outcome)))

    def _serve(self, worker: Worker, present: _Presence) -> Outcome:
        """Serve the board until that came to an end, or the board is taken out; tell a hitch once."""
        last = Outcome(worker.port, WAITING, code=BurnCode.NO_ANSWER if self.jig else None)
        begun, told = time.monotonic(), not self.jig

        def watch(outcome: Outcome) -> None:
            nonlocal told
            again = last.code in PATIENT and (outcome.state == IDENTIFY or outcome.code is last.code)
            if not told and outcome.code is BurnCode.NO_ANSWER and time.monotonic() - begun > SILENT_SECONDS:
                told, again = True, False
                outcome = replace(outcome, state=WAITING)
            if not again:
                self.station.watch(outcome)

        station, tries = replace(self.station, watch=watch), 0
        while True:
            outcome = station.serve(worker, baud=self.station.baud >> tries)
            if outcome.code is BurnCode.LOST and tries < TRIES - 1:
                tries += 1
            elif outcome.code not in PATIENT:
                return outcome
            last = outcome
            until = time.monotonic() + RETRY_SECONDS
            self._wait(lambda: _presence(worker.port) != present or time.monotonic() > until)  # noqa: B023 - now
            if self._stop.is_set() or _presence(worker.port) != present:
                return outcome

    def _answers_another(self, worker: Worker, served: Outcome) -> bool:
        """Whether the fixture is empty or holds another board than the one that was served."""
        self._stop.wait(RETRY_SECONDS)
        try:
            return worker.identify(connect_attempts=1).mac != served.mac
        except BurnError as error:
            return error.code is BurnCode.NO_ANSWER

    def _wait(self, condition: Callable[[], bool]) -> None:
        """Return when `condition()` holds, or the slots end."""
        while not self._stop.is_set() and not condition():
            self._stop.wait(LOOK_SECONDS)


def _presence(port: str) -> _Presence | None:
    """Return what tells the device behind a port from one that was connected later; None when there is none."""
    try:
        found = Path(port).stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_rdev, found.st_ctime_ns
