"""How much devices subscribe to, by the broker's log."""

import pytest

from fleetmint.gateway.broker.subscriptions import Subscriptions


@pytest.fixture
def subscriptions() -> Subscriptions:
    return Subscriptions(3, 100)


def connect(subscriptions, name, user=None):
    line = f"New client connected from 192.0.2.1:5000 as {name} (p2, c1, k60, u'{user or name}')."
    assert subscriptions.read(line) is None


def subscribe(subscriptions, name, topics):
    return [subscriptions.read(f"{name} 1 {topic}") for topic in topics]


def test_as_many_as_are_allowed_are_no_matter(subscriptions):
    connect(subscriptions, "lamp-1")
    assert subscribe(subscriptions, "lamp-1", "abc") == [None] * 3


def test_one_more_is_too_many(subscriptions):
    connect(subscriptions, "lamp-1")
    assert subscribe(subscriptions, "lamp-1", "abcd") == [None, None, None, "lamp-1"]
    assert subscriptions.of("lamp-1") == "4 subscriptions of 4 bytes"
    assert subscriptions.excess() == ["lamp-1"]


def test_long_ones_are_too_many_sooner(subscriptions):
    connect(subscriptions, "lamp-1")
    assert subscribe(subscriptions, "lamp-1", ["a", "x" * 100]) == [None, "lamp-1"]


def test_who_comes_back_begins_anew(subscriptions):
    for _ in range(3):
        connect(subscriptions, "lamp-1")
        assert subscribe(subscriptions, "lamp-1", "abc") == [None] * 3
    assert subscriptions.excess() == []


def test_an_operator_subscribes_to_what_it_likes_and_is_not_taken_for_a_device(subscriptions):
    connect(subscriptions, "dashboard", "alice@demo")
    assert subscribe(subscriptions, "dashboard", "abcdefgh") == [None] * 8


def test_what_one_subscribes_to_does_not_look_like_another_line(subscriptions):
    connect(subscriptions, "lamp-1")
    connect(subscriptions, "lamp-2")
    subscribe(subscriptions, "lamp-1", "abc")
    forged = "New client connected from 192.0.2.1:5000 as lamp-1 (p2, c1, k60, u'lamp-1')."
    subscribe(subscriptions, "lamp-2", [forged])
    assert subscribe(subscriptions, "lamp-1", "d")[-1] is not None
