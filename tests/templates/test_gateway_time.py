"""What chrony is told: whom to serve, what to say when it does not know, how to start."""

import ipaddress

import jinja2
import pytest

from tests.templates.conftest import Role

CONF = "etc/chrony/conf.d/fleetmint.conf.j2"
UNIT = "etc/systemd/system/chrony.service.d/fleetmint.conf.j2"


@pytest.fixture
def role() -> Role:
    return Role("gateway_time")


def lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if line and not line.startswith("#")]


def test_private_networks_are_served_and_no_others(role):
    served = [line.removeprefix("allow ") for line in lines(role.render(CONF)) if line.startswith("allow")]
    assert len(served) == 6
    assert all(ipaddress.ip_network(network).is_private for network in served)


def test_a_site_names_its_own_networks(role):
    text = role.render(CONF, gateway_time_networks=["198.51.100.0/24"])
    assert [line for line in lines(text) if line.startswith("allow")] == ["allow 198.51.100.0/24"]


def test_without_a_source_the_time_is_told_only_where_the_site_says_so(role):
    assert "local stratum 10" not in lines(role.render(CONF))
    assert "local stratum 10" in lines(role.render(CONF, gateway_time_without_upstream=True))


def test_chrony_is_asked_on_its_socket_only(role):
    assert "cmdport 0" in lines(role.render(CONF))


def test_a_pi_without_internet_goes_on_from_where_it_was(role):
    starts = [line for line in lines(role.render(UNIT)) if line.startswith("ExecStart=")]
    assert starts == ["ExecStart=", "ExecStart=!/usr/sbin/chronyd $DAEMON_OPTS -s"]


def test_a_machine_whose_clock_is_anothers_leaves_it_alone_and_needs_no_leave_to_set_it(role):
    text = lines(role.render(UNIT, gateway_time_sets_clock=False))
    assert text[:2] == ["[Unit]", "ConditionCapability="]
    assert "ExecStart=!/usr/sbin/chronyd $DAEMON_OPTS -x" in text
    assert "ConditionCapability" not in role.render(UNIT)


@pytest.mark.parametrize(
    ("changed", "waits"),
    [
        ({}, True),
        ({"gateway_time_sets_clock": False}, False),
        ({"gateway_time_without_upstream": True}, False),
    ],
    ids=["a Pi", "a container", "a site without internet"],
)
def test_a_play_waits_for_the_clock_where_somebody_tells_it(role, changed, waits):
    condition = jinja2.Environment(autoescape=False).from_string(role.read("vars/main.yml")["__gateway_time_is_told"])  # noqa: S701
    assert condition.render({**role.defaults, **changed}) == str(waits)


@pytest.mark.parametrize(
    ("file", "starts"),
    [("tasks/main.yml", "Start chrony"), ("handlers/main.yml", "Apply the configuration of chrony")],
)
def test_whenever_chrony_started_it_is_given_half_a_minute_and_no_play_ends_for_it(role, file, starts):
    steps = role.read(file)
    begun = next(number for number, step in enumerate(steps) if step["name"] == starts)
    wait = steps[begun + 1]
    assert wait["ansible.builtin.command"] == "/usr/bin/chronyc -n waitsync 30 0 0 1"
    assert "__gateway_time_is_told" in wait["when"]
    assert wait["failed_when"] is False
    assert wait["changed_when"] is False
