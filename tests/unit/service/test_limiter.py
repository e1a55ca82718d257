"""The limit on failures."""

import sys
import threading

import pytest

from fleetmint.service import limiter
from fleetmint.service.limiter import PER_DEVICE, PER_SOURCE, WINDOW_SECONDS, FailureLimiter


@pytest.fixture
def clock():
    class Clock:
        time = 1000.0

        def __call__(self):
            return self.time

    return Clock()


@pytest.fixture
def failures(clock):
    return FailureLimiter(clock)


def fail(failures, source, device, times):
    for _ in range(times):
        failures.failed(source, device)


def test_up_to_the_limit_nobody_waits(failures):
    fail(failures, "192.0.2.1", "lamp-000001", PER_DEVICE - 1)
    assert failures.wait("192.0.2.1", "lamp-000001") == 0


def test_at_the_limit_that_source_waits_for_that_device_until_the_window_has_passed(failures, clock):
    fail(failures, "192.0.2.1", "lamp-000001", PER_DEVICE)
    assert failures.wait("192.0.2.1", "lamp-000001") == WINDOW_SECONDS + 1
    assert failures.wait("192.0.2.1", "lamp-000002") == 0
    assert failures.wait("192.0.2.2", "lamp-000001") == 0
    clock.time += WINDOW_SECONDS
    assert failures.wait("192.0.2.1", "lamp-000001") == 0


def test_a_source_that_tries_many_names_waits_for_all(failures):
    for number in range(PER_SOURCE):
        failures.failed("192.0.2.1", f"lamp-{number}")
    assert failures.wait("192.0.2.1", "another") > 0
    assert failures.wait("192.0.2.2", "another") == 0


def test_an_ipv6_household_is_one_source(failures):
    for number in range(PER_DEVICE):
        failures.failed(f"2001:db8::{number:x}", "lamp-000001")
    assert failures.wait("2001:db8::ffff", "lamp-000001") > 0
    assert failures.wait("2001:db8:0:1::1", "lamp-000001") == 0


@pytest.mark.parametrize(
    ("noisy", "neighbour"),
    [("::ffff:192.0.2.1", "::ffff:192.0.2.2"), ("fe80::1", "fe80::2"), ("2001:db8::1", "2001:db8:0:1::1")],
    ids=["IPv4 written as IPv6", "link-local", "IPv6"],
)
def test_one_household_does_not_use_up_the_tries_of_another(failures, noisy, neighbour):
    fail(failures, noisy, "lamp-000001", PER_SOURCE)
    assert failures.wait(noisy, "lamp-000001") > 0
    assert failures.wait(neighbour, "lamp-000001") == 0


def test_an_address_is_the_same_source_however_it_is_written(failures):
    fail(failures, "::ffff:192.0.2.1", "lamp-000001", PER_DEVICE)
    assert failures.wait("192.0.2.1", "lamp-000001") > 0


def test_no_failure_is_lost_between_threads(failures, monkeypatch):
    monkeypatch.setattr(limiter, "PER_SOURCE", 8000)
    switch = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [
            threading.Thread(
                target=lambda n=number: [failures.failed("192.0.2.1", f"lamp-{n}-{i}") for i in range(1000)]
            )
            for number in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(switch)
    assert failures.wait("192.0.2.1", "another") > 0


def test_what_is_remembered_is_bounded(failures, monkeypatch):
    monkeypatch.setattr(limiter, "MAX_KEYS", 50)
    for number in range(1000):
        failures.failed("192.0.2.1", f"lamp-{number}")
    assert len(failures._failures) == 50
