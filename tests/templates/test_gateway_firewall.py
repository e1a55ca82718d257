"""How many connections the firewall leaves to a source."""

import re

import pytest

from tests.templates.conftest import Role

LIMITS = "etc/fleetmint/firewall/limits.nft.j2"
FILTER = "etc/fleetmint/firewall/filter.nft.j2"
UNIT = "etc/systemd/system/fleetmint-firewall.service.j2"


@pytest.fixture
def role() -> Role:
    return Role("gateway_firewall")


@pytest.fixture
def text(role) -> str:
    return role.render(LIMITS, fleet_mqtt_port=8883, fleet_operators_mqtt_port=8884, fleet_operators_https_port=8443)


def chain(text: str, name: str) -> str:
    return re.search(rf"chain {name} {{(.*?)^    }}", text, re.DOTALL | re.MULTILINE)[1]


def test_only_a_table_of_its_own_is_replaced(text):
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    assert lines[:3] == [
        "table inet fleetmint_limits",
        "delete table inet fleetmint_limits",
        "table inet fleetmint_limits {",
    ]
    assert "flush" not in text
    assert re.findall(r"policy (\w+);", text) == ["accept"]


def test_each_port_of_the_gateway_has_its_chain(text):
    found = dict(re.findall(r"(\d+) : jump (\w+)", chain(text, "input")))
    assert found == {"443": "https", "80": "https", "8443": "operators_https", "8883": "mqtt", "8884": "operators_mqtt"}
    for name in found.values():
        assert "jump rate" in chain(text, name)


def test_the_ports_of_a_class_have_the_chains_of_those_of_all(role):
    classes = {"modern": {"https_port": 10443, "listen_https_port": 9443, "mqtt_port": 9883}}
    text = chain(role.render(LIMITS, gateway_firewall_tls_classes=classes), "input")
    found = dict(re.findall(r"(\d+) : jump (\w+)", text))
    assert (found["9443"], found["9883"], len(found)) == ("https", "mqtt", 7)
    assert re.findall(r"established tcp dport (\d+) jump traffic", text) == ["8883", "9883"]


def test_a_source_is_an_ipv4_address_or_an_ipv6_network(text):
    for name in ("https", "operators_https", "mqtt", "operators_mqtt", "rate"):
        assert "{ ip saddr . tcp dport " in chain(text, name)
        assert "{ ip6 saddr & ffff:ffff:ffff:ffff:: . tcp dport " in chain(text, name)


@pytest.mark.parametrize("name", ["https", "operators_https", "mqtt", "operators_mqtt"])
def test_no_source_can_have_all(text, name):
    v4, v6, total = map(int, re.findall(r"ct count over (\d+)", chain(text, name)))
    assert v4 == v6 < total


def test_the_watch_ends_handshakes_of_a_source_before_the_firewall_shuts_it_out(text, mosquitto):
    # three quarters of all: see cli/gateway/watch.py
    for name, kind in (("mqtt", "devices"), ("operators_mqtt", "operators")):
        at_it = mosquitto.defaults[f"mosquitto_max_{kind}_handshakes"]
        per_source, _, total = map(int, re.findall(r"ct count over (\d+)", chain(text, name)))
        assert at_it * 3 // 4 < per_source
        assert total <= at_it + mosquitto.defaults[f"mosquitto_max_{kind}"]


ON = {"__gateway_firewall_loaded": ["/etc/fleetmint/firewall/limits.nft", "/etc/fleetmint/firewall/filter.nft"]}


def test_the_tables_come_back_after_the_firewall_of_the_machine_has_begun_anew(role):
    drop_in = role.render("etc/systemd/system/nftables.service.d/fleetmint.conf.j2", **ON)
    found = re.findall(r"^(Exec\w+)=-(.*)$", drop_in, re.MULTILINE)
    assert {when for when, _ in found} == {"ExecStartPost", "ExecReload", "ExecStopPost"}
    unit = role.render(UNIT, **ON)
    loads = re.findall(r"^ExecStart=(.*)$", unit, re.MULTILINE)
    assert loads == [f"/usr/sbin/nft --file {path}" for path in ON["__gateway_firewall_loaded"]]
    for when in ("ExecStartPost", "ExecReload", "ExecStopPost"):
        assert [command for at, command in found if at == when] == loads
    assert "After=nftables.service" in unit.splitlines()
    for table in ("limits", "filter"):
        assert f"ExecStop=-/usr/sbin/nft delete table inet fleetmint_{table}" in unit


def filter_of(role, **changed) -> str:
    opened = [{"port": "{ 22 }", "protocol": "tcp", "from": ["0.0.0.0/0", "::/0"]}, *changed.pop("opened", [])]
    return role.render(
        FILTER, __gateway_firewall_open=opened, __gateway_firewall_ports=[[80, "https"], [443, "https"]], **changed
    )


def test_what_is_not_let_in_is_dropped_in_a_table_of_its_own(role):
    text = filter_of(role)
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    assert lines[:3] == [
        "table inet fleetmint_filter",
        "delete table inet fleetmint_filter",
        "table inet fleetmint_filter {",
    ]
    assert re.findall(r"policy (\w+);", text) == ["drop"]
    assert "flush" not in text
    assert "tcp dport { 80, 443 } accept" in text
    assert "ip saddr 0.0.0.0/0 tcp dport { 22 } accept" in text
    assert "ip6 saddr ::/0 tcp dport { 22 } accept" in text


def test_what_people_open_is_opened_for_whom_they_say(role):
    text = filter_of(role, opened=[
        {"port": "1880", "from": ["192.0.2.0/24"]},
        {"port": "6000-6010", "protocol": "udp", "from": ["fd00::/8"]},
        {"port": "9000"},
    ])  # fmt: skip
    assert re.findall(r"^ *(.*dport (?:1880|6000-6010|9000) accept)$", text, re.MULTILINE) == [
        "ip saddr 192.0.2.0/24 tcp dport 1880 accept",
        "ip6 saddr fd00::/8 udp dport 6000-6010 accept",
        "tcp dport 9000 accept",
    ]


@pytest.mark.parametrize("on", [True, False])
def test_mdns_is_let_in_where_the_gateway_has_a_name_there(role, on):
    assert ("udp dport 5353 accept" in filter_of(role, fleet_mdns=on, gateway_firewall_mdns=on)) is on


def test_an_interface_is_trusted_by_its_name(role):
    assert 'iifname "podman0" accept' in filter_of(role, gateway_firewall_trusted_interfaces=["podman0"])


def test_one_connection_of_a_device_sends_no_faster_than_its_watch_can_follow(role, text, mosquitto):
    limits = re.findall(r"limit rate over (\d+) bytes/second burst (\d+) bytes", chain(text, "traffic"))
    assert limits == [("131072", "262144")] * 2
    # the largest message gets through at once
    assert int(limits[0][1]) > 2 * mosquitto.defaults["mosquitto_max_packet_size"]
    # and it is about devices: an operator may send an update to a fleet
    assert re.findall(r"dport (\d+) jump traffic", chain(text, "input")) == ["8883"]
