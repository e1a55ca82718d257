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
