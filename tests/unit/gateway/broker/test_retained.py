"""What a device may leave in the broker."""

import pytest

from fleetmint.gateway.broker.retained import Bounds, Retained, cost, device_of

TOPIC = "devices/{}/out/{}"


@pytest.fixture
def account() -> Retained:
    return Retained(Bounds(messages=4, bytes=10_000, total=25_000))


def fill(account: Retained, device: str, number: int, size: int) -> list[str | None]:
    return [account.note(TOPIC.format(device, n), size) for n in range(number)]


@pytest.mark.parametrize(
    ("topic", "device"),
    [("devices/lamp-1/out/status", "lamp-1"), ("devices/lamp-1/out/a/b", "lamp-1"), ("devices/lamp-1/out", None),
     ("devices/lamp-1/in/order", None), ("fleet/lamp-1/out/status", None), ("$SYS/broker/heap/current", None)],
)  # fmt: skip
def test_a_topic_belongs_to_the_device_in_its_name(topic, device):
    assert device_of(topic) == device


def test_within_its_bounds_a_device_keeps_what_it_leaves(account):
    assert fill(account, "lamp-1", 4, 10) == [None] * 4
    assert account.counted() == {"lamp-1": 4}


def test_one_message_more_must_not_stay_and_the_others_do(account):
    assert fill(account, "lamp-1", 6, 10) == [None] * 4 + ["more than 4 retained messages"] * 2
    assert account.counted() == {"lamp-1": 4}


@pytest.mark.parametrize("topic", ["x" * 6000, "/".join("x" * 80)], ids=["long topic", "deep topic"])
def test_bytes_are_those_that_the_broker_needs_and_not_the_payloads_alone(account, topic):
    assert account.note(TOPIC.format("lamp-1", topic), 1) == "more than 10000 bytes of retained messages"


def test_bytes_are_bounded(account):
    price = cost(TOPIC.format("lamp-1", 0), 3000)
    assert fill(account, "lamp-1", 4, 3000)[: 10_000 // price] == [None] * (10_000 // price)
    assert fill(account, "lamp-1", 4, 3000)[-1] == "more than 10000 bytes of retained messages"


def test_a_message_takes_the_place_of_the_one_before_it(account):
    fill(account, "lamp-1", 4, 10)
    assert fill(account, "lamp-1", 4, 500) == [None] * 4
    assert account.counted() == {"lamp-1": 4}


def test_removing_makes_room(account):
    fill(account, "lamp-1", 4, 10)
    account.note(TOPIC.format("lamp-1", 2), 0)
    assert account.note(TOPIC.format("lamp-1", "new"), 10) is None
    account.forget("lamp-1")
    assert account.counted() == {}
    assert fill(account, "lamp-1", 4, 10) == [None] * 4


def test_what_one_device_fills_is_not_taken_from_another(account):
    fill(account, "lamp-1", 50, 10)
    assert fill(account, "lamp-2", 4, 10) == [None] * 4


def test_all_together_have_a_bound_and_who_is_over_it_is_the_one_that_comes(account):
    for device in ("lamp-1", "lamp-2"):
        fill(account, device, 2, 4000)
    found = account.note(TOPIC.format("lamp-3", 0), 9000)
    assert found == "the retained messages of all devices have more than 25000 bytes"
    account.forget("lamp-1")
    assert account.note(TOPIC.format("lamp-3", 0), 8000) is None
