"""The gateway from inside, as root: who may read what, and what is not there."""

import pytest

LISTENERS = ("devices", "operators")


@pytest.mark.parametrize(("path", "expected"), [
    ("/etc/nginx/fleetmint", "700 root root"),
    ("/etc/nginx/fleetmint/nginx.key", "600 root root"),
    ("/etc/mosquitto/fleetmint/private", "700 mosquitto mosquitto"),
    ("/etc/mosquitto/fleetmint/private/mosquitto.key", "600 mosquitto mosquitto"),
    ("/etc/fleetmint/device-ca", "700 fleetmint fleetmint"),
    ("/etc/fleetmint/device-ca/ca.cred", "400 fleetmint fleetmint"),
    ("/run/fleetmint-key.sock", "600 fleetmint fleetmint"),
    ("/etc/fleetmint/alert.json", "640 root fleetmint-alert"),
    ("/var/lib/fleetmint", "700 fleetmint fleetmint"),
    ("/var/lib/fleetmint/ledger.sqlite", "600 fleetmint fleetmint"),
    ("/run/fleetmint/uwsgi.sock", "660 fleetmint www-data"),
    ("/run/fleetmint/bodies.sock", "660 fleetmint www-data"),
    ("/run/fleetmint/counters", "700 fleetmint fleetmint"),
    ("/run/mosquitto", "700 mosquitto mosquitto"),
])  # fmt: skip
def test_secrets_are_readable_by_one_account(gateway, path, expected):
    assert gateway.inside("stat", "-c", "%a %U %G", path).strip() == expected


def test_what_tells_people_reads_its_own_words_and_is_in_no_group_of_the_gateways(gateway):
    unit = ("systemctl", "show", "--value", "--property=SupplementaryGroups", "fleetmint-alert@x.service")
    assert gateway.inside(*unit).strip() == ""
    assert gateway.inside("id", "-nG", "fleetmint-alert").split() == ["fleetmint-alert"]
    read = "runuser -u {} -- cat /etc/fleetmint/alert.json >/dev/null 2>&1 && echo yes || echo no"
    said = [gateway.inside("sh", "-c", read.format(each)).strip() for each in ("fleetmint-alert", "www-data")]
    assert said == ["yes", "no"]


def test_no_private_key_is_on_the_gateway_but_the_two_that_belong_there(gateway):
    places = ("/etc", "/home", "/opt", "/root", "/srv", "/tmp", "/usr/local", "/var")  # noqa: S108
    found = gateway.inside("grep", "-rlE", "--exclude-dir=ssh", "^-----BEGIN [A-Z ]*PRIVATE KEY-----", *places)
    assert sorted(found.split()) == [
        "/etc/mosquitto/fleetmint/private/mosquitto.key",
        "/etc/nginx/fleetmint/nginx.key",
    ]


def test_nothing_is_offered_but_the_ports_of_its_listeners_the_time_and_the_name(gateway):
    lines = gateway.inside("ss", "-Hltn").splitlines()
    open_ports = {line.split()[3].rpartition(":")[2] for line in lines if not line.split()[3].startswith("127.")}
    assert open_ports == {"22", "80", "443", "8443", "8883", "8884", "9443", "9883"}
    datagrams = {line.split()[3].rpartition(":")[2] for line in gateway.inside("ss", "-Hlun").splitlines()}
    assert datagrams == {"123", "5353"}


def test_no_unit_has_failed_and_nothing_waits_to_take_effect(gateway):
    assert gateway.inside("systemctl", "--failed", "--plain", "--no-legend").strip() == ""
    assert gateway.inside("sh", "-c", "ls /run/fleetmint-pending").strip() == ""


def test_the_crl_is_looked_after(gateway):
    assert gateway.inside("systemctl", "is-active", "fleetmint-crl.timer").strip() == "active"
    gateway.inside("systemctl", "start", "fleetmint-crl.service")


PUBLISHED = [
    f"/etc/{server}/fleetmint/{listener}.crl.pem" for server in ("nginx", "mosquitto") for listener in LISTENERS
]


@pytest.mark.parametrize("path", PUBLISHED)
def test_a_list_that_is_damaged_is_published_again_by_itself(gateway, path):
    whole = gateway.inside("cat", path)
    gateway.inside("sh", "-c", f"echo garbage > {path}")
    for _ in range(60):
        if gateway.inside("sh", "-c", f"cat {path}; sleep 0.3") == whole:
            break
    assert gateway.inside("cat", path) == whole
    for _ in range(20):
        if gateway.inside("systemctl", "show", "-P", "ActiveState", "fleetmint-publish").strip() == "inactive":
            break
        gateway.inside("sleep", "0.3")
    assert gateway.inside("systemctl", "is-active", "fleetmint-publish.path").strip() == "active"


def test_the_lists_are_published_when_the_gateway_starts(gateway):
    name = "fleetmint-publish-at-start.service"
    assert gateway.inside("systemctl", "is-enabled", name).strip() == "enabled"
    before = gateway.inside("systemctl", "show", "-P", "Before", name).split()
    assert {"nginx.service", "mosquitto.service"} <= set(before)


def test_systemd_has_nothing_to_say_about_the_units(gateway):
    said = gateway.inside("sh", "-c", "systemd-analyze verify /etc/systemd/system/fleetmint* 2>&1")
    assert said.strip() == ""


def test_the_limits_hold_whatever_the_firewall_of_the_machine_does(gateway):
    for action in ("start", "reload", "restart", "stop"):
        gateway.inside("systemctl", action, "nftables")
        assert "table inet fleetmint_limits" in gateway.inside("nft", "list", "tables").splitlines(), action


UNITS = {
    "fleetmint": 1.0,
    "fleetmint-publish": 3.5,
    "fleetmint-broker-watch": 1.0,
    "fleetmint-key@x": 1.5,
    "fleetmint-firewall": 2.0,
    "mosquitto": 1.5,
    "nginx": 3.0,
}


@pytest.mark.parametrize(("unit", "most"), UNITS.items())
def test_a_service_may_do_little_else_than_its_work(gateway, unit, most):
    said = gateway.inside("systemd-analyze", "security", "--no-pager", unit)
    exposure = float(said.rpartition(": ")[2].split()[0])
    assert exposure <= most
