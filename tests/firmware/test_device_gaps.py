"""How long the tasks of a product wait for their turn while the agent does what takes time."""

import socket
import time

import pytest

from tests.support.firmware_agent import said
from tests.support.firmware_gaps import GAPS, gaps_beside_the_agent
from tests.support.gateway_double import serving

pytestmark = pytest.mark.micropython

# What a board may hold its product up, in milliseconds of CPU time.
LONGEST = 50
# A call that sleeps shows on the clock, where other processes of this machine do, too; what the agent waits for here
# takes longer than this.
ASLEEP = 900


def check(gaps):
    cpu, where = gaps["cpu"]
    assert cpu < LONGEST, where
    wall, where = gaps["wall"]
    assert wall < ASLEEP, where


def test_enrolment_the_loss_of_the_broker_and_a_back_off_hold_nobody_up(board, gateway):
    gateway.broker.drop_at = 2
    outcome = gaps_beside_the_agent(board, gateway, enough=12, timeout=60)
    assert said(outcome, "enrolled")
    assert outcome["waits"][0] >= 1
    assert said(outcome, "published reading 12")
    gaps = outcome["told"]
    check(gaps)
    # it did measure: a tick for most milliseconds, a key, a signature
    assert gaps["ticks"] > 500
    assert gaps["steps"] > 150
    assert gaps["handshake"] > 0
    assert 0 < gaps["arithmetic"] < LONGEST


def test_a_renewal_with_a_new_key_beside_the_session_holds_nobody_up(board, gateway, site):
    identity = site.device()
    enrolled = {"token": None, "slot": 0, "key0": identity.key_der, "cert0": identity.der}
    first = gateway.succession.whoami

    def whoami(der, label):
        # after the first time, so that there is a session by then
        answer = first(der, label)
        gateway.succession.renew, gateway.succession.new_key = {identity.der}, True
        return answer

    gateway.succession.whoami = whoami
    setup = "from agent import trust\ntrust.patience = lambda: 500\n"
    outcome = gaps_beside_the_agent(board, gateway, setup=setup, enough=60, timeout=60, **enrolled)
    assert outcome["stored"]["slot"] == 1
    # the session went on while it renewed, and the next one has the new identity
    order = [word for line in outcome["said"] for word in ("connected to", "renewing", "renewed,") if word in line]
    assert order == ["connected to", "renewing", "renewed,", "connected to"]
    gaps = outcome["told"]
    check(gaps)
    assert gaps["steps"] > 150


REQUEST = (
    GAPS
    + """
from agent import https
from agent.errors import Problem
async def main():
    asyncio.create_task(gaps.watch(lambda: "the request"))
    try:
        await https.request(stream.context([]), "127.0.0.1", port, "GET", "/", within=2000)
    except Problem as error:
        return str(error)
said = asyncio.run(main())
result([said, gaps.told()])
"""
)


def test_a_server_that_never_shakes_hands_holds_nobody_up(board):
    with serving(None, lambda connection: time.sleep(4)) as port:
        said, gaps = board.run(REQUEST, port=port)
    assert said == "the gateway does not answer"
    check(gaps)
    assert gaps["ticks"] > 500


def test_a_server_that_never_accepts_holds_nobody_up(board):
    with socket.create_server(("127.0.0.1", 0), backlog=0) as deaf:
        # the kernel answers for as many as are in its queue; whoever comes then hears nothing
        waiting = [socket.socket() for _ in range(4)]
        for each in waiting:
            each.setblocking(False)
            each.connect_ex(deaf.getsockname())
        said, gaps = board.run(REQUEST, port=deaf.getsockname()[1])
        for each in waiting:
            each.close()
    assert said.endswith("timed out")
    check(gaps)
    assert gaps["ticks"] > 500


SHARED = """
import asyncio
from agent import p256, steps
operations = [0]
most = turns = taken = 0
def counted(function):
    def count(*arguments):
        operations[0] += 1
        return function(*arguments)
    return count
p256._double, p256._add = counted(p256._double), counted(p256._add)
real_next = next
def counting_next(work):
    global most, taken
    operations[0] = 0
    try:
        return real_next(work)
    finally:
        most = max(most, operations[0])
        taken += 1
steps.next = counting_next
async def other():
    global turns
    while True:
        turns += 1
        await asyncio.sleep_ms(0)
async def main():
    asyncio.create_task(other())
    point = await steps.shared(p256.public(7))
    r, s = await steps.shared(p256.sign(7, b"x"))
    return await steps.shared(p256.verify(point[1:], b"x", r, s))
good = asyncio.run(main())
result([good, taken, turns, most])
"""


def test_arithmetic_for_keys_lets_others_run_between_the_windows_of_a_multiplication(board):
    good, taken, turns, most = board.run(SHARED)
    assert good is True
    # four multiplications of 65 windows each, and nobody was passed over
    assert taken > 4 * 65
    assert turns >= taken - 5
    # four doublings and one addition; at the ends the table's first points or the last sum
    assert most <= 7
