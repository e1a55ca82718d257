"""Who keeps the clock, and what a person has to say where nobody does."""

import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest

from fleetmint import timekeeping
from fleetmint.errors import ClockError

NOW = datetime(2031, 5, 17, 16, 30, tzinfo=UTC)


@pytest.fixture
def unkept(monkeypatch):
    monkeypatch.setattr(timekeeping, "_synchronised", lambda: False)
    monkeypatch.setattr(timekeeping, "_is_guest", lambda: False)


def refuse(tmp_path, now=NOW):
    timekeeping.refuse_unsynchronised(tmp_path / "clock.json", now, "`attest`")


def test_the_kernel_says_the_same_as_its_own_file():
    # an independent reading: NTP's loop in the kernel, asked by another process through glibc's other name for it
    code = "import ctypes; b = ctypes.create_string_buffer(256); print(ctypes.CDLL(None).ntp_adjtime(b))"
    answer = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert timekeeping._synchronised() == (int(answer) != 5)  # TIME_ERROR


def test_a_clock_that_nothing_keeps_signs_nothing_and_the_remedy_is_named(unkept, tmp_path):
    with pytest.raises(ClockError, match=r"2031-05-17 16:30Z, and nothing keeps it.*wait for NTP.*`attest`"):
        refuse(tmp_path)


@pytest.mark.parametrize("who", ["_synchronised", "_is_guest"])
def test_a_clock_that_ntp_or_the_host_keeps_is_right(unkept, monkeypatch, tmp_path, who):
    monkeypatch.setattr(timekeeping, who, lambda: True)
    refuse(tmp_path)


def test_what_a_person_attests_holds_until_the_machine_restarts_or_its_clock_is_set(unkept, monkeypatch, tmp_path):
    running = iter([1000.0, 1600.0, 1600.0, 60.0])
    monkeypatch.setattr(timekeeping.time, "clock_gettime", lambda _: next(running))
    said = timekeeping.attest(tmp_path / "clock.json", NOW, NOW + timedelta(minutes=2), "maria")
    assert said.startswith("maria attests that it is 2031-05-17 16:32Z")
    refuse(tmp_path, NOW + timedelta(minutes=12))  # ten minutes later
    with pytest.raises(ClockError):  # at the same time, with the clock set by a day
        refuse(tmp_path, NOW + timedelta(days=1))
    with pytest.raises(ClockError):  # after a restart
        refuse(tmp_path, NOW + timedelta(minutes=15))


def test_who_attests_another_time_than_the_clock_has_is_told_to_set_it(tmp_path):
    with pytest.raises(ClockError, match=r"set it first .*2031-05-17 16:36 UTC.*nothing was recorded"):
        timekeeping.attest(tmp_path / "clock.json", NOW + timedelta(minutes=6), NOW, "maria")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("damaged", [b"", b"{}", b"[]", b'{"began": null}', b"\xff"])
def test_a_damaged_record_attests_nothing(unkept, tmp_path, damaged):
    (tmp_path / "clock.json").write_bytes(damaged)
    with pytest.raises(ClockError):
        refuse(tmp_path)


@pytest.mark.parametrize("text", ["2031-05-17T16:30Z", "2031-05-17T18:30+02:00", "2031-05-17T16:30:00+00:00"])
def test_a_time_is_read_with_its_zone(text):
    assert timekeeping.read_time(text) == NOW


@pytest.mark.parametrize("text", ["2031-05-17T16:30", "now", "", "2031-13-17T16:30Z"])
def test_a_time_without_a_zone_is_refused(text):
    with pytest.raises(ClockError, match="2031-05-17T16:30Z"):
        timekeeping.read_time(text)
