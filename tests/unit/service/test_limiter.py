"""The limit on failures."""

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


def test_what_is_remembered_is_bounded(failures, monkeypatch):
    monkeypatch.setattr(limiter, "MAX_KEYS", 50)
    for number in range(1000):
        failures.failed("192.0.2.1", f"lamp-{number}")
    assert len(failures._failures) == 50
