"""What `fleetmint burn` shows while it runs: a live table in a terminal, lines elsewhere, or events as JSON."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

import click

from fleetmint.bench.outcome import BURNED, BURNING, ENDS, FAILED, KEPT, WAITING, Outcome
from fleetmint.cli.lazily import for_work
from fleetmint.printable import json_line, printable

with for_work():
    from rich.console import Console, Group
    from rich.live import Live
    from rich.progress_bar import ProgressBar
    from rich.table import Column, Table
    from rich.text import Text


# A terminal of so many columns has room for a long bar.
_WIDE = 110
_COLOURS = {BURNED: "green", FAILED: "red", KEPT: "green", BURNING: "cyan"}


@dataclass
class Tally:
    """How the run stands. `left` asks the ledger, where other stations write, too."""

    left: Callable[[], int]
    clock: Callable[[], float] = time.monotonic
    done: int = 0
    failed: int = 0
    ended: int = 0
    _start: float | None = None
    _left: int = 0

    def count(self, outcome: Outcome) -> None:
        """Take a step into account."""
        if self._start is None:
            self._start, self._left = self.clock(), self.left()
        if outcome.state in ENDS:
            self.ended += 1
            self.done += outcome.state == BURNED
            self.failed += outcome.state == FAILED
            self._left = self.left()

    @property
    def served(self) -> bool:
        """Whether any board came to an end."""
        return self.ended > 0

    @property
    def remaining(self) -> int:
        """How many devices of the batch are left, as far as is known."""
        return self._left

    def text(self) -> str:
        """Return one line: done, failed, left, and the time that the rest will take."""
        line = f"{self.done} done, {self.failed} failed, {self._left} left"
        if self.done and self._left and self._start is not None:
            seconds = (self.clock() - self._start) / self.done * self._left
            line += f", about {_duration(seconds)} to go"
        return line


class _Steps:
    """What prints the steps of each board, and of the progress within a region only its beginning."""

    def __init__(self, tally: Tally) -> None:
        self._tally = tally
        self._shown: dict[str, tuple[str, str]] = {}

    def show(self, outcome: Outcome) -> None:
        """Print a step unless it only repeats the last one of its port."""
        step = (outcome.state, outcome.region)
        if outcome.state != BURNING or self._shown.get(outcome.port) != step:
            self.print(outcome)
        self._shown[outcome.port] = step

    def print(self, outcome: Outcome) -> None:
        """Print a step."""
        raise NotImplementedError

    def end(self) -> None:
        """Print how it stands, where a script does not look for boards."""
        click.echo(self._tally.text(), err=True)


class Lines(_Steps):
    """One line for each step of each board: port, state, and what it is about."""

    def print(self, outcome: Outcome) -> None:
        """Print a line."""
        took = f"in {outcome.seconds:.1f} s" if outcome.seconds else None
        about = [part for part in (outcome.device, outcome.mac, outcome.region, outcome.reason, took) if part]
        click.echo(printable(f"{outcome.port}  {outcome.state:8}  {' '.join(about)}".rstrip()))


class Events(_Steps):
    """One JSON object a line for each step of each board."""

    def print(self, outcome: Outcome) -> None:
        """Print an object."""
        click.echo(json_line({name: value for name, value in asdict(outcome).items() if value not in ("", 0, None)}))


@dataclass
class _Slot:
    outcome: Outcome
    # of the region under way: when it began, in seconds of a monotonic clock
    began: float = 0.0


class LiveTable:
    """A table that stays in place: slot, state, board, identity, bar, rate; failures stay above it as lines."""

    def __init__(self, tally: Tally, console: Console | None = None) -> None:
        self._tally = tally
        self._slots: dict[str, _Slot] = {}
        self._console = console or Console()
        self._live = Live(console=self._console, refresh_per_second=5, get_renderable=self._render)
        self._live.start()

    def show(self, outcome: Outcome) -> None:
        """Take a step over into the table."""
        before = self._slots.get(outcome.port)
        began = before.began if before and before.outcome.region == outcome.region else time.monotonic()
        if outcome.state == WAITING and before is not None and before.outcome.state in ENDS:
            return  # what came of the last board is of more use than that there is none now
        self._slots[outcome.port] = _Slot(outcome, began)
        if outcome.state == FAILED:
            self._console.print(Text(printable(outcome.reason), style="red"))

    def end(self) -> None:
        """Leave the last state on the screen."""
        self._live.stop()

    def _render(self) -> Group:
        # half a MAC or id is of no use: rather two lines than a cut one
        columns = (Column(name, overflow="fold") for name in ("slot", "state", "MAC", "id", "", "rate"))
        table = Table(*columns, box=None, pad_edge=False)
        bar = 24 if self._console.width >= _WIDE else 8
        for port, slot in sorted(self._slots.items()):
            table.add_row(Text(printable(port)), *_cells(slot, bar))
        return Group(table, Text(self._tally.text()))


View = Lines | Events | LiveTable


@dataclass
class Watcher:
    """What the station calls, from several threads: counts, shows, and rings the bell on a failure if asked to."""

    view: View
    tally: Tally
    bell: bool = False
    # ports whose last board failed
    failures: list[str] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, outcome: Outcome) -> None:
        """Take one step."""
        with self._lock:
            self.tally.count(outcome)
            self.view.show(outcome)
            if outcome.state in ENDS and outcome.port in self.failures:
                self.failures.remove(outcome.port)
            if outcome.state == FAILED:
                self.failures.append(outcome.port)
            if self.bell and outcome.state == FAILED:
                click.echo("\a", nl=False, err=True)


def _cells(slot: _Slot, width: int) -> tuple[Any, ...]:
    now = slot.outcome
    state = Text(now.state, style=_COLOURS.get(now.state, ""))
    bar: ProgressBar | Text = Text(now.code or "")
    rate = f"{now.seconds:.1f} s" if now.seconds else ""
    if now.state == BURNING and now.total:
        bar = ProgressBar(total=now.total, completed=now.done, width=width)
        seconds = time.monotonic() - slot.began
        rate = f"{now.done / seconds / 1000:.0f} kB/s {now.region}" if seconds > 0.2 else now.region
    return state, now.mac or "-", now.device or "-", bar, rate


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
