"""The clock: it starts at the floor, is told the time, and keeps only what a verified connection confirmed."""

import socket
import struct
import threading
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

pytestmark = pytest.mark.micropython

YEAR_2000 = datetime(2000, 1, 1, tzinfo=UTC)
FLOOR = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
DAY = timedelta(days=1)

CLOCK = """
import time
from agent import clock
from agent.steps import at_once
from fake_nvs import NVS

class Rtc:
    # The port counts from 1970 or from 2000; the RTC and the module time are one clock.
    def __init__(self, epoch, now):
        self.epoch = epoch
        self.seconds = now
    def time(self):
        return self.seconds + self.epoch
    def gmtime(self, seconds):
        return time.gmtime(seconds - self.epoch + clock._UNIX_2000) if seconds else (1970 if self.epoch else 2000,)
    def datetime(self, value):
        year, month, day, weekday, hour, minute, second, _ = value
        self.seconds = clock._since_2000(year, month, day, hour, minute, second)
        assert weekday == time.gmtime(self.seconds + clock._UNIX_2000)[6]

nvs = NVS({"clock_floor": floor})
rtc = Rtc(clock._UNIX_2000 if unix else 0, now)
said = []
asked = []
async def ntp():
    asked.append(1)
    return told
c = clock.Clock(nvs, rtc, ntp, said.append, rtc)
def adjust(): at_once(c.adjust())
"""


def seconds(moment: datetime) -> int:
    return int((moment - YEAR_2000).total_seconds())


def run(board, script, *, now=YEAR_2000, told=None, unix=False, **given):
    values = {"floor": seconds(FLOOR), "now": seconds(now), "told": told and seconds(told), "unix": unix}
    return board.run(CLOCK + script, **values, **given)


def http(moment: datetime) -> str:
    return format_datetime(moment, usegmt=True)


@pytest.mark.parametrize("unix", [False, True])
def test_a_clock_in_the_year_2000_is_set_to_the_floor(board, unix):
    assert run(board, "result(c.now())", unix=unix) == seconds(FLOOR)


@pytest.mark.parametrize("unix", [False, True])
def test_a_clock_that_ran_on_is_kept_and_nobody_is_asked(board, unix):
    now = FLOOR + 3 * DAY
    assert run(board, "adjust()\nresult([c.now(), asked])", now=now, unix=unix) == [seconds(now), []]


def test_a_clock_far_ahead_is_set_to_the_floor(board):
    assert run(board, "result(c.now())", now=FLOOR + 3000 * DAY) == seconds(FLOOR)


@pytest.mark.parametrize(("told", "taken"), [(0, True), (400, True), (1800, True), (-1, False), (1900, False)])
def test_the_network_is_believed_from_the_floor_on_for_a_few_years(board, told, taken):
    moment = FLOOR + told * DAY
    assert run(board, "adjust()\nresult(c.now())", told=moment) == seconds(moment if taken else FLOOR)


def test_the_network_is_asked_once(board):
    assert run(board, "adjust()\nadjust()\nresult(len(asked))", told=FLOOR + DAY) == 1


def test_without_an_answer_the_floor_is_the_time(board):
    assert run(board, "adjust()\nresult([c.now(), 'clock floor' in said[-1]])") == [seconds(FLOOR), True]


def test_nothing_that_the_network_says_is_written_down(board):
    assert run(board, "adjust()\nresult(nvs.writes)", told=FLOOR + 400 * DAY) == 0


def test_a_lie_of_the_network_is_undone_and_then_asked_again(board):
    script = "adjust()\nc.doubt()\nfirst = c.now()\nadjust()\nc.doubt()\nadjust()\nresult([first, len(asked)])"
    assert run(board, script, told=FLOOR + 400 * DAY) == [seconds(FLOOR), 2]


def test_a_confirmed_clock_is_not_doubted(board):
    now = FLOOR + 10 * DAY
    script = "c.confirm(date)\nc.doubt()\nadjust()\nresult([c.now(), asked, c.confirmed])"
    assert run(board, script, now=now, told=FLOOR, date=http(now)) == [seconds(now), [], True]


def test_a_confirmed_time_becomes_the_new_floor(board):
    now = FLOOR + 31 * DAY
    script = "c.confirm(date)\nresult(nvs.values['clock_floor'])"
    assert run(board, script, now=now, date=http(now)) == seconds(now)


def test_the_floor_is_written_rarely(board):
    now = FLOOR + 29 * DAY
    assert run(board, "c.confirm(date)\nresult([nvs.writes, c.confirmed])", now=now, date=http(now)) == [0, True]


def test_a_date_far_from_the_clock_sets_it_but_has_to_be_confirmed_by_another_connection(board):
    now, date = FLOOR, http(FLOOR + 60 * DAY)
    first = "c.confirm(date)\nresult([c.now(), nvs.writes, c.confirmed])"
    assert run(board, first, now=now, date=date) == [seconds(FLOOR + 60 * DAY), 0, False]
    second = "c.confirm(date)\nc.confirm(date)\nresult([nvs.values['clock_floor'], c.confirmed])"
    assert run(board, second, now=now, date=date) == [seconds(FLOOR + 60 * DAY), True]


@pytest.mark.parametrize("days", [-1, 2000])
def test_a_date_out_of_reach_of_the_floor_is_ignored(board, days):
    script = "c.confirm(date)\nresult([c.now(), nvs.writes, c.confirmed])"
    now = FLOOR + DAY
    assert run(board, script, now=now, date=http(FLOOR + days * DAY)) == [seconds(now), 0, False]


@pytest.mark.parametrize(
    "moment",
    [
        datetime(2000, 1, 1, tzinfo=UTC),
        datetime(2024, 2, 29, 23, 59, 59, tzinfo=UTC),
        datetime(2026, 12, 31, 23, 59, 59, tzinfo=UTC),
        datetime(2027, 3, 1, tzinfo=UTC),
        datetime(2100, 2, 28, 1, 2, 3, tzinfo=UTC),
        datetime(2100, 3, 1, 1, 2, 3, tzinfo=UTC),
    ],
)
def test_an_http_date_is_read(board, moment):
    assert board.run("from agent import clock\nresult(clock.parse_date(date))", date=http(moment)) == seconds(moment)


@pytest.mark.parametrize(
    "date", [None, "", "yesterday", "Sun, 22 Foo 2026 01:28:00 GMT", "Sun, 22 Nov 2026 01:28 GMT", "a b c d e f"]
)
def test_what_is_no_date_is_none(board, date):
    assert board.run("from agent import clock\nresult(clock.parse_date(date))", date=date) is None


@pytest.fixture
def ntp_server():
    """Answer one SNTP question with what `change` makes of a good answer."""
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind(("127.0.0.1", 0))
    server.settimeout(5)
    threads = []

    def start(change=lambda reply: reply, now=FLOOR):
        def answer():
            question, address = server.recvfrom(100)
            told = int(now.timestamp()) + 2_208_988_800 & 0xFFFFFFFF
            good = bytes((0x24, 2)) + bytes(22) + question[40:48] + bytes(8) + struct.pack(">II", told, 0)
            server.sendto(change(good), address)

        threads.append(threading.Thread(target=answer))
        threads[0].start()
        return server.getsockname()[1]

    yield start
    for thread in threads:
        thread.join()
    server.close()


ASK = "import asyncio\nfrom agent import clock\nresult(asyncio.run(clock.ask_ntp('127.0.0.1', port, 1)))"


@pytest.mark.parametrize("now", [FLOOR, datetime(2037, 1, 1, tzinfo=UTC)])
def test_an_ntp_server_tells_the_time(board, ntp_server, now):
    assert board.run(ASK, port=ntp_server(now=now)) == seconds(now)


@pytest.mark.parametrize(
    "change",
    [
        lambda reply: reply[:40],
        lambda reply: b"\x23" + reply[1:],
        lambda reply: reply[:1] + b"\x00" + reply[2:],
        lambda reply: reply[:1] + b"\x10" + reply[2:],
        lambda reply: reply[:24] + bytes(8) + reply[32:],
    ],
    ids=["short", "no server", "kiss of death", "not synchronised", "answer to another question"],
)
def test_an_answer_that_is_none_is_ignored(board, ntp_server, change):
    assert board.run(ASK, port=ntp_server(change)) is None


def test_an_ntp_server_that_is_not_there_costs_a_second(board):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        assert board.run(ASK, port=silent.getsockname()[1], timeout=5) is None
