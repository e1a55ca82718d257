"""Who has connected and not shown who they are."""

import pytest

from fleetmint.gateway.broker.handshakes import Handshakes, Patience

DEVICES, OPERATORS = 8883, 8884


@pytest.fixture
def handshakes() -> Handshakes:
    return Handshakes({DEVICES: Patience(30, 6, 8), OPERATORS: Patience(30, 3, 4)})


def begin(handshakes, address, ports, listener=OPERATORS, now=0.0):
    for port in ports:
        handshakes.read(f"New connection from {address}:{port} on port {listener}.", now)
    return {(address, port) for port in ports}


def let_in(handshakes, address, port):
    handshakes.read(f"New client connected from {address}:{port} as x (p2, c1, k60, u'alice@demo').", 1.0)


def test_who_is_let_in_is_judged_no_more(handshakes):
    begin(handshakes, "192.0.2.1", [1, 2])
    let_in(handshakes, "192.0.2.1", 1)
    assert handshakes.late(30.0) == [("192.0.2.1", 2)]


@pytest.mark.parametrize("address", ["192.0.2.1", "2001:db8::1"])
def test_who_takes_too_long_is_late(handshakes, address):
    begin(handshakes, address, [1])
    assert handshakes.late(29.9) == []
    assert handshakes.late(30.0) == [(address, 1)]
    handshakes.over((address, 1))
    assert handshakes.late(99.0) == []


def test_a_port_that_is_used_again_begins_anew(handshakes):
    begin(handshakes, "192.0.2.1", [1], now=0.0)
    begin(handshakes, "192.0.2.1", [1], now=20.0)
    assert handshakes.late(40.0) == []


@pytest.mark.parametrize(
    "line",
    ["", "Client <unknown> disconnected: Protocol error.", "New connection from /run/mosquitto/kick.sock:0 on port 0.",
     "New connection from 192.0.2.1:5 on port 1883.", "lamp-1 0 New connection from 192.0.2.1:5 on port 8884."],
)  # fmt: skip
def test_other_lines_say_nothing(handshakes, line):
    handshakes.read(line, 0.0)
    assert handshakes.late(99.0) == []


def test_of_one_source_the_oldest_are_ended_first(handshakes):
    present = begin(handshakes, "192.0.2.1", range(1, 6))
    assert handshakes.crowded()
    assert handshakes.surplus(present) == [("192.0.2.1", 1), ("192.0.2.1", 2)]


def test_an_ipv6_household_is_one_source(handshakes):
    present = set.union(*(begin(handshakes, f"2001:db8::{n:x}", [n]) for n in range(1, 6)))
    assert handshakes.crowded()
    assert len(handshakes.surplus(present)) == 2


def test_among_all_whoever_has_most_is_ended_first(handshakes):
    present = begin(handshakes, "192.0.2.9", [1])
    present |= begin(handshakes, "192.0.2.1", range(1, 4)) | begin(handshakes, "192.0.2.2", [1])
    assert handshakes.crowded()
    assert handshakes.surplus(present) == [("192.0.2.1", 1)]


def test_those_that_have_gone_take_nobodys_place(handshakes):
    begin(handshakes, "192.0.2.1", range(1, 9))
    assert handshakes.surplus({("192.0.2.1", 8), ("192.0.2.1", 7)}) == []
    assert not handshakes.crowded()


def test_a_crowd_at_one_listener_is_none_at_the_other(handshakes):
    present = begin(handshakes, "192.0.2.1", range(1, 6), DEVICES) | begin(handshakes, "192.0.2.1", [9], OPERATORS)
    assert not handshakes.crowded()
    assert handshakes.surplus(present) == []
