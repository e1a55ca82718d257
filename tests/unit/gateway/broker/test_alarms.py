"""What devices did to the broker, for people."""

from datetime import timedelta

import pytest

from fleetmint.gateway.audit import findings
from fleetmint.gateway.broker import alarms
from fleetmint.gateway.broker.alarms import MOST, Alarms


@pytest.fixture
def path(tmp_path):
    return tmp_path / "alarms.json"


def test_an_alarm_is_kept_with_how_often_and_since_when(path, now):
    kept = Alarms(path)
    for second in (0, 1, 2):
        kept.raise_("lamp-1", "retained", f"{second}", now + timedelta(seconds=second))
    kept.write()
    (found,) = alarms.load(path)
    assert (found.who, found.what, found.count) == ("lamp-1", "2", 3)
    assert found.first < found.last
    again = Alarms(path)  # after a restart it goes on
    again.raise_("lamp-1", "retained", "3", now + timedelta(seconds=3))
    again.write()
    assert alarms.load(path)[0].count == 4
    assert path.stat().st_mode & 0o777 == 0o644


def test_it_is_worth_a_line_once_a_minute(path, now):
    kept, begin = Alarms(path), now.replace(second=0, microsecond=0)
    worth = [kept.raise_("lamp-1", "retained", "x", begin + timedelta(seconds=n)) for n in (0, 1, 59, 60, 61)]
    assert worth == [True, False, False, True, False]
    assert kept.raise_("lamp-2", "retained", "x", begin)


def test_a_thousand_devices_do_not_fill_the_file(path, now):
    kept = Alarms(path)
    for number in range(1000):
        kept.raise_(f"lamp-{number}", "retained", "x", now)
    kept.write()
    found = alarms.load(path)
    assert len(found) == MOST
    assert found[-1].who == "lamp-999"


@pytest.mark.parametrize("text", ["", "[", "[1]", '[{"who": 1}]', "{}"])
def test_a_damaged_file_has_no_alarms_and_is_written_anew(path, now, text):
    path.write_text(text)
    assert alarms.load(path) == ()
    kept = Alarms(path)
    kept.raise_("lamp-1", "retained", "x", now)
    kept.write()
    assert len(alarms.load(path)) == 1


def test_the_audit_names_the_device_for_a_week(site, now):
    kept = Alarms(site.config.broker_alarms)
    kept.raise_("lamp-1", "retained", "more than 32 retained messages", now)
    kept.write()

    def told(at):
        with site.reading() as connection:
            return [found for found in findings(site.config, connection, at) if "in the broker" in found.what]

    (found,) = told(now + timedelta(days=6))
    assert "lamp-1 in the broker: more than 32 retained messages (1 times" in found.what
    assert "revoke.yml -e device=lamp-1" in found.remedy
    assert told(now + timedelta(days=8)) == []
