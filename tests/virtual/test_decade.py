"""What the simulation of years calls a lock-out, judged on sites and devices that are told what to do."""

import itertools
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest

from fleetmint.errors import FleetmintError
from virtual.decade import device, run, story
from virtual.decade.device import Day
from virtual.decade.story import Absence, Event, Story

BEGIN = datetime(2027, 1, 1, tzinfo=UTC)
LIFE = timedelta(days=365)


class Clock:
    def __init__(self):
        self.time = BEGIN

    def now(self):
        return self.time

    def move(self, by):
        self.time += by


class Site:
    """A site whose plays, timers and audits say what they are told."""

    def __init__(self, clock):
        self.clock, self.calls, self.failing, self.refuses, self.alarms = clock, [], "", None, 0

    def _note(self, what):
        self.calls.append(((self.clock.now() - BEGIN).days, what))

    def maintain(self):
        self._note("site")
        if self.refuses:
            raise FleetmintError(self.refuses)

    def roll(self, arguments):
        self._note(" ".join(arguments))

    def crashes(self):
        return 0

    def timers(self):
        self._note("timers")
        return self.failing

    def switch_off(self):
        self._note("off")

    def switch_on(self):
        self._note("on")
        return ""

    def token(self, device):
        self._note(f"token {device}")
        return f"fleetmint token new {device}", "secret"

    def audit(self):
        return []

    def operator(self):
        return ""


class Device:
    """A device whose days are given; on the others it is served."""

    def __init__(self, name, clock, days=None):
        self.name, self.token, self.ended_sessions = name, None, 0
        self.slot = SimpleNamespace(not_after=BEGIN + LIFE)
        self._clock, self._days, self.lived = clock, days or {}, []

    def day(self, now, **_):
        number = (now - BEGIN).days
        self.lived.append(number)
        if self.token is not None:
            self.slot.not_after, self.token = now + LIFE, None
            return Day(did=["enrolled"], served=True)
        return self._days.get(number) or Day(served=now < self.slot.not_after, refused=["whoami 401"])

    def power_off(self):
        pass


def tell(days, *, events=(), absences=(), devices=None, site=None, step=1):
    clock = Clock()
    site = site or Site(clock)
    site.clock = clock
    simulation = run.Simulation(Story("test", days, step, 1, 1, 0, 1, events, absences), site, clock)
    made = [Device(f"lamp-{number}", clock, each) for number, each in enumerate(devices or [{}])]
    simulation.devices.extend(made)
    return simulation.live(), site, made


def test_a_device_that_is_served_on_each_day_is_no_lock_out_and_the_timers_run_on_each_day():
    record, site, (device,) = tell(5)
    assert record.good
    assert device.lived == [0, 1, 2, 3, 4, 5]
    assert site.calls == [(day, "timers") for day in range(6)]


def test_a_refused_day_is_a_lock_out_that_names_day_device_and_reason():
    record, _, _ = tell(5, devices=[{}, {3: Day(refused=["whoami 403: superseded"])}])
    assert record.lockouts == ["day    3 2027-01-04  lamp-1: whoami 403: superseded"]
    assert not record.good


def test_a_device_that_was_on_and_had_to_recover_was_locked_out():
    record, _, _ = tell(5, devices=[{3: Day(did=["recovered"], served=True)}])
    assert record.lockouts == ["day    3 2027-01-04  lamp-0: was on, and had to recover"]


def test_a_device_that_was_off_may_come_back_by_recovery():
    record, _, (device,) = tell(
        500, absences=[Absence(0, 100, 399)], devices=[{400: Day(did=["recovered"], served=True)}]
    )
    assert [day for day in range(501) if day not in device.lived] == list(range(100, 400))
    assert record.returns == {300: {"recovered": 1}}


def test_a_device_that_was_off_and_is_refused_within_its_grace_was_locked_out():
    record, _, _ = tell(545, absences=[Absence(0, 100, 543)])
    assert [line[:20] for line in record.lockouts] == ["day  544 2028-06-28 ", "day  545 2028-06-29 "]


def test_a_device_that_was_off_beyond_its_grace_is_named_with_the_command_that_brings_it_back():
    record, site, _ = tell(700, absences=[Absence(0, 100, 599)])
    assert record.good
    assert record.named == {"day  600 2028-08-23 lamp-0": "fleetmint token new lamp-0"}
    assert (600, "token lamp-0") in site.calls


def test_a_gateway_that_is_off_refuses_nobody_and_nothing_is_started_on_it():
    events = [Event(3, story.GATEWAY_OFF), Event(6, story.GATEWAY_ON)]
    away = {day: Day(refused=["away: refused"], away=True) for day in (3, 4, 5)}
    record, site, _ = tell(8, events=events, devices=[away])
    assert record.good
    assert [day for day, what in site.calls if what == "timers"] == [0, 1, 2, 3, 7, 8]


def test_a_gateway_that_is_on_and_cannot_be_reached_locks_out():
    record, _, _ = tell(3, devices=[{2: Day(refused=["away: refused"], away=True)}])
    assert len(record.lockouts) == 1


def test_events_between_two_steps_happen_and_what_fails_is_wrong():
    site = Site(None)
    site.refuses = "playbooks/site.yml failed"
    record, site, _ = tell(12, step=6, site=site, events=[Event(3, story.SITE), story.rollover(9, "device")])
    assert [each for each in site.calls if each[1] != "timers"] == [(6, "site"), (12, "ca_rollover=device")]
    assert record.wrong == ["day    6 2027-01-07  site : playbooks/site.yml failed"]


def test_a_job_of_the_gateway_that_fails_is_told_once():
    site = Site(None)
    site.failing = "fleetmint-crl.service failed"
    record, _, _ = tell(4, site=site)
    assert record.wrong == ["day    0 2027-01-01  fleetmint-crl.service failed"]
    assert record.lockouts == []


@pytest.mark.parametrize("made", [story.decade(), story.cut()], ids=lambda each: each.name)
def test_the_stories_are_the_same_each_time_and_keep_their_promises(made):
    again = story.decade() if made.name == "ten years" else story.cut()
    assert again == made
    assert [event.day for event in made.events] == sorted(event.day for event in made.events)
    assert all(0 < each.first <= each.last <= made.days for each in made.absences)
    assert max(event.day for event in made.events) <= made.days
    by_device = {}
    for each in made.absences:
        assert by_device.get(each.device, 0) < each.first
        by_device[each.device] = each.last
    # some are never off: they are those of whom the promise is made
    assert len(by_device) < made.devices


def test_in_the_ten_years_nobody_touches_the_controller_for_twenty_three_months():
    days = sorted(event.day for event in story.decade().events if event.what in (story.SITE, story.ROLLOVER))
    assert max(after - before for before, after in itertools.pairwise(days)) >= 700
    assert {each.days for each in story.decade().absences} >= {1, 3 * story.YEAR}


@pytest.mark.parametrize(("refusals", "served"), [(0, True), (1, True), (9, False)])
def test_a_device_that_is_turned_away_tries_again_before_it_is_locked_out(monkeypatch, refusals, served):
    monkeypatch.setattr(device, "_PAUSE_SECONDS", 0)
    left = [refusals]

    class Turned(device.Device):
        def __init__(self):
            """Without an identity: what it tries is given."""

        def _try(self, day, now):
            left[0] -= 1
            day.served = left[0] < 0
            day.refused += [] if day.served else ["hung up"]

    day = Turned().day(BEGIN)
    assert day.served is served
    assert ("served at a later try" in day.did) is (served and refusals > 0)
