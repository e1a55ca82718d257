"""What a device has to say and cannot say yet: kept in order, within bounds, counted."""

import pytest

import fleetmint

pytestmark = pytest.mark.micropython

OUTBOX = """
import asyncio, json
from agent.outbox import Outbox
said = []
o = Outbox(lambda: 7, said.append, messages, size)
def payloads(): return [payload.decode() for _, payload, _ in o.items]
def fails(*arguments):
    try: o.add(*arguments)
    except ValueError: return True
"""


def run(board, script, *, messages=4, size=100):
    return board.run(OUTBOX + script, messages=messages, size=size)


def test_messages_go_out_in_the_order_in_which_they_came(board):
    script = """
for n in range(3): o.add("t", str(n))
order = []
while True:
    item = o.take()
    if item is None: break
    order.append([item[0], item[1].decode()])
    o.sent()
result(order)
"""
    assert run(board, script) == [["t", "0"], ["t", "1"], ["t", "2"]]


def test_a_dict_gets_a_count_of_its_kind_and_the_uptime(board):
    script = """
o.add("readings", {"temperature": 1}, "reading")
o.add("door", {"open": True})
o.add("door", {"open": False})
result([[json.loads(payload), name] for _, payload, name in o.items])
"""
    assert run(board, script, size=500) == [
        [{"temperature": 1, "n": 1, "uptime": 7}, "reading 1"],
        [{"open": True, "n": 1, "uptime": 7}, "message 1"],
        [{"open": False, "n": 2, "uptime": 7}, "message 2"],
    ]


def test_when_it_is_full_the_oldest_goes_and_is_counted(board):
    script = "for n in range(6): o.add('t', str(n))\nresult([payloads(), o.lost])"
    assert run(board, script) == [["2", "3", "4", "5"], 2]


def test_its_bytes_are_bounded_too(board):
    script = """
o.add("t", "a" * 50); o.add("t", "b" * 40); o.add("t", "c" * 50)
result([[p[0] for p in payloads()], o.lost])
"""
    assert run(board, script) == [["b", "c"], 1]


def test_the_message_under_way_is_not_the_one_that_goes(board):
    script = """
for n in range(4): o.add("t", str(n))
o.take()
o.add("t", "4")
under_way = payloads()
o.sent()
after = payloads()
o.take()
o.release()
o.add("t", "5"); o.add("t", "6")
result([under_way, after, payloads(), o.lost])
"""
    assert run(board, script) == [["0", "2", "3", "4"], ["2", "3", "4"], ["3", "4", "5", "6"], 2]


def test_what_can_never_be_sent_is_refused_and_costs_nothing(board):
    script = """
o.add("t", "good")
bad = [fails("t", "x" * 100), fails("", "x"), fails("a/+", "x"), fails("#", "x"), fails("t", {"x": "y" * 100})]
o.add("t", {})
result([bad, payloads(), o.lost])
"""
    bad, payloads, lost = run(board, script)
    assert (bad, lost) == ([True] * 5, 0)
    assert payloads[0] == "good"
    assert '"n": 2' in payloads[1]


KEEPER = (
    OUTBOX
    + """
import os
from agent import keeper
keeper._LOOK = 20
os.chdir(place)
def files(): return sorted(os.listdir())
def started(o=None):
    o = o or Outbox(lambda: 7, said.append, messages, size)
    k = keeper.Keeper(o, "outbox", said.append)
    k.load()
    return o, k
async def looks(k, count):
    task = asyncio.create_task(k.keep_on())
    await asyncio.sleep_ms(20 * count)
    task.cancel()
o, k = started()
"""
)


def keep(board, tmp_path, script, *, messages=10, size=2000):
    return board.run(KEEPER + script, messages=messages, size=size, place=str(tmp_path))


def test_what_has_not_got_through_is_kept_over_a_reset_and_counts_go_on(board, tmp_path):
    script = """
for n in range(3): o.add("door", {"open": n})
o.add("raw", bytes(range(256)))
before = o.items
asyncio.run(looks(k, 4))
o, k = started()
after = list(o.items)
o.add("door", {})
result([before == after, files(), json.loads(o.items[-1][1])["n"], said])
"""
    assert keep(board, tmp_path, script) == [True, ["outbox"], 5, []]


def test_a_device_with_a_connection_writes_nothing(board, tmp_path):
    script = """
async def main():
    task = asyncio.create_task(looks(k, 10))
    for n in range(60):
        o.add("t", str(n)); o.take()
        await asyncio.sleep_ms(5)
        o.sent()
asyncio.run(main())
result(files())
"""
    assert keep(board, tmp_path, script) == []


def test_the_file_is_written_once_in_ten_minutes_and_goes_with_the_last_of_its_messages(board, tmp_path):
    script = """
o.add("t", "1"); o.add("t", "2")
asyncio.run(looks(k, 4))
o.add("t", "3")
asyncio.run(looks(k, 6))
kept = [payload.decode() for _, payload, _ in started(Outbox(lambda: 7, said.append))[0].items]
o.on_gone = k._gone
seen = []
for n in range(3):
    o.take(); o.sent(); seen.append(files())
result([kept, seen])
"""
    assert keep(board, tmp_path, script) == [["1", "2"], [["outbox"], [], []]]


@pytest.mark.parametrize(
    "content", ["", "{}", "[]\n", '{"counts": {}}\n[1]\n', "\xff", '{"counts": {}, "lost": 0}\n["a",']
)
def test_a_file_that_cannot_be_read_is_told_and_costs_no_start(board, tmp_path, content):
    (tmp_path / "outbox").write_bytes(content.encode("latin-1"))
    script = "o.add('t', '1')\nresult([said, payloads()[-1]])"
    assert keep(board, tmp_path, script) == [["what was kept of the outbox cannot be read"], "1"]


def test_a_file_system_that_is_full_costs_a_line(board, tmp_path):
    script = """
def full(*arguments): raise OSError(28)
keeper.open = full
o.add("t", "1")
asyncio.run(k.save())
result([said, payloads()])
"""
    assert keep(board, tmp_path, script) == [["the outbox cannot be kept: error 28"], ["1"]]


def test_waiting_ends_with_the_first_message_and_in_time(board):
    script = """
import time
async def main():
    started = time.ticks_ms()
    await o.wait(50)
    nothing = time.ticks_ms() - started
    async def later():
        await asyncio.sleep_ms(20)
        o.add("t", "x")
    asyncio.create_task(later())
    started = time.ticks_ms()
    await o.wait(5000)
    return [nothing >= 50, time.ticks_ms() - started < 2500]
result(asyncio.run(main()))
"""
    assert run(board, script) == [True, True]


def test_the_agent_has_the_version_of_fleetmint(board):
    assert board.run("from agent.version import VERSION\nresult(VERSION)") == fleetmint.__version__
