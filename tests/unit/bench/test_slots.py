"""Board after board in the slots of a bench: the real esptool, the real ledger, virtual boards that come and go."""

import threading
import time
from pathlib import Path

import pytest

from fleetmint.batch import secrets
from fleetmint.bench.bench import open_station
from fleetmint.bench.outcome import ENDS
from fleetmint.bench.slots import Slots
from fleetmint.flash.table import stock
from fleetmint.ledger import open_ledger, reading
from fleetmint.ledger.attempts import list_refused
from fleetmint.ledger.factory import list_units
from fleetmint.nvs.decode import decode
from virtual.esp32.faults import Faults
from virtual.esp32.rack import Blank, Slot

APP = Path(__file__).parents[3] / "firmware"


@pytest.fixture
def blank(tmp_path):
    return lambda number, **more: Blank(f"24:0a:c4:00:00:{number:02x}", tmp_path / f"flash-{number}", **more)


class Line:
    """A bench with running slots, seen by the hand that changes the boards."""

    def __init__(self, bench, places, **options):
        self.seen = []
        self._news = threading.Condition()
        self.places = places
        self._manager = open_station(bench, self._watch)
        self.slots = Slots(self._manager.__enter__(), lambda: [str(location.port) for location in places], **options)
        self.error = None
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self):
        try:
            self.slots.run()
        except Exception as error:
            self.error = error

    def _watch(self, outcome):
        with self._news:
            self.seen.append(outcome)
            self._news.notify_all()

    def ends(self):
        return [outcome for outcome in self.seen if outcome.state in ENDS]

    def await_end(self, count):
        """Return the outcome with which the board number `count` ended."""
        with self._news:
            assert self._news.wait_for(lambda: len(self.ends()) >= count, 60), self.seen
            return self.ends()[count - 1]

    def await_done(self):
        self.thread.join(60)
        assert not self.thread.is_alive()

    def close(self):
        self.slots.abandon()
        self.thread.join(60)
        for location in self.places:
            location.take()
        self._manager.__exit__(None, None, None)


@pytest.fixture
def line(bench, tmp_path):
    made = []

    def start(count=1, **options):
        made.append(Line(bench, [Slot(tmp_path / f"port-{number}") for number in range(count)], **options))
        return made[-1]

    yield start
    for each in made:
        each.close()


def units(bench):
    engine = open_ledger(bench.ledger)
    with reading(engine) as connection:
        found, refused = list_units(connection, "first"), list_refused(connection, "first")
    engine.dispose()
    return found, refused


def identity(blank):
    location = stock("4MiB").find("nvs")
    return decode(blank.flash.read_bytes()[location.offset : location.end])["fleetmint"]["device_id"].decode()


def test_a_slot_takes_board_after_board_until_the_batch_is_done(bench, line, blank):
    bench_line = line()
    for number in (1, 2, 3):
        board = blank(number)
        bench_line.places[0].put(board)
        outcome = bench_line.await_end(number)
        assert (outcome.state, outcome.mac) == ("burned", board.mac), outcome
        bench_line.places[0].take()
        assert identity(board) == outcome.device
    bench_line.await_done()
    assert bench_line.error is None
    assert [unit.state for unit in units(bench)[0]] == ["burned"] * 3


def test_a_board_that_stays_in_its_slot_is_not_burned_twice(line, blank):
    bench_line = line(2)
    bench_line.places[0].put(blank(1))
    bench_line.await_end(1)
    bench_line.places[1].put(blank(2))
    bench_line.await_end(2)
    assert [(outcome.state, outcome.mac[-1]) for outcome in bench_line.ends()] == [("burned", "1"), ("burned", "2")]


def test_a_board_that_is_pulled_out_gets_the_same_identity_in_another_slot(bench, line, blank):
    bench_line, board = line(2), blank(1, faults=Faults(unplug=2))
    bench_line.places[0].put(board)
    cut = bench_line.await_end(1)
    assert (cut.state, cut.code) == ("failed", "lost")
    held = [unit for unit in units(bench)[0] if unit.mac == board.mac]
    assert [(unit.state, unit.claimed_by) for unit in held] == [("claimed", None)]
    bench_line.places[0].take()
    board.faults = Faults()
    bench_line.places[1].put(board)
    again = bench_line.await_end(2)
    assert (again.state, again.device) == ("burned", held[0].device)


def test_a_board_that_does_not_answer_is_told_once_and_served_when_it_does(bench, line, blank, short_esptool):
    bench_line = line()
    board = blank(1, faults=Faults(silent=True))
    bench_line.places[0].put(board)
    told = bench_line.await_end(1)
    assert told.code == "no-answer"
    assert "hold BOOT" in told.reason
    board.faults.silent = False
    assert bench_line.await_end(2).state == "burned"
    assert len([outcome for outcome in bench_line.seen if outcome.code == "no-answer"]) == 1


def test_a_board_that_never_answers_is_set_aside_when_it_is_taken_out(bench, line, blank, short_esptool):
    bench_line = line()
    bench_line.places[0].put(blank(1, faults=Faults(silent=True)))
    assert bench_line.await_end(1).code == "no-answer"
    bench_line.places[0].take()
    bench_line.places[0].put(blank(2))
    assert bench_line.await_end(2).state == "burned"
    assert [(board.mac, board.code) for board in units(bench)[1]] == [(None, "no-answer")]


def test_a_fixture_whose_adapter_stays_sees_the_next_board(bench, line, blank, tmp_path, short_esptool):
    first, second = Slot(tmp_path / "first"), Slot(tmp_path / "second")
    bench_line = line(jig=True)
    fixed = bench_line.places[0].port
    first.put(blank(1))
    second.put(blank(2))
    # The adapter: its port is always there, and what answers behind it changes.
    fixed.symlink_to(tmp_path / "first")
    try:
        assert bench_line.await_end(1).mac.endswith("01")
        first.take()
        (tmp_path / "first").symlink_to(tmp_path / "second")
        assert bench_line.await_end(2).mac.endswith("02")
    finally:
        first.take()
        second.take()


def test_ending_finishes_the_board_that_is_being_written(bench, line, blank):
    bench_line = line()
    bench_line.places[0].put(blank(1))
    deadline = time.monotonic() + 30
    while not any(outcome.state == "burning" for outcome in bench_line.seen):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    bench_line.slots.stop()
    bench_line.await_done()
    assert [outcome.state for outcome in bench_line.ends()] == ["burned"]
    assert len(secrets.load(bench.batch, bench.passphrases).devices) == 3
