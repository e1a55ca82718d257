"""Devices at a live gateway that are told another Wi-Fi, or another address: kept when it works, given up when not."""

import json

import pytest

from tests.e2e.site import wait_for
from virtual import demo
from virtual.esp32 import fleet

PASSPHRASE = "virtual-network"  # noqa: S105 - of a network that exists in the double of a radio only
# Any network is in range, and only this passphrase opens one.
AIR = ("--env", f"FLEETMINT_WIFI_PSK={PASSPHRASE}")


@pytest.fixture(scope="module")
def device(site):
    start(site, *AIR)
    yield site.devices_of_boards()[0]
    start(site)


def start(site, *options):
    for slot in fleet.slots(site.state):
        fleet.stop(slot)
    fleet.up(site.state, demo.BOARDS, options)


def again(site, device):
    """Switch the board of a device off and on, and wait until it is at the broker."""
    fleet.stop(fleet.slots(site.state)[site.board_of(device) - 1])
    fleet.up(site.state, demo.BOARDS, AIR)
    heard(site, device)


def heard(site, device):
    wait_for(lambda: device in {each["device"] for each in site.readings(4, 6)}, 60)


def tell(site, device, *command):
    """Run the command for one device; return its exit code and what it says of the device."""
    heard(site, device)
    done = site.fleetmint(*command, device, "--json", "--seconds", "90", "--state", str(site.state))
    assert done.stdout, done.stderr
    (row,) = json.loads(done.stdout)["devices"]
    return done.returncode, row["state"], row["reason"]


def wifi(site, device, ssid, passphrase):
    place = site.scratch / "networks"
    place.write_text(f"{ssid} {passphrase}\n")
    place.chmod(0o600)
    return tell(site, device, "wifi", "set", "--network", ssid, "--passphrases", f"file:{place}")


def known(site, device):
    return json.loads(site.nvs(site.board_of(device)).get("settings", b"{}"))


def test_another_network_is_kept_and_joined_from_then_on(site, device):
    assert wifi(site, device, "attic", PASSPHRASE) == (0, "kept", "joined attic")
    assert wifi(site, device, "attic", PASSPHRASE) == (0, "already", "")
    again(site, device)
    assert "joined Wi-Fi attic" in site.console(device).rpartition("this is ")[2]


def test_a_wrong_passphrase_is_told_and_the_device_is_back_in_its_old_network(site, device):
    before = known(site, device).get("wifi")
    assert wifi(site, device, "cellar", "not the passphrase") == (1, "failed", "Wi-Fi cellar: wrong passphrase")
    heard(site, device)
    assert known(site, device).get("wifi") == before
    assert "not the passphrase" not in site.console(device)


def test_another_name_of_the_gateway_is_kept(site, device):
    assert tell(site, device, "gateway", "move", "--host", "127.0.0.1") == (0, "kept", "")
    assert known(site, device)["gateway"][0] == "127.0.0.1"
    again(site, device)
    assert tell(site, device, "gateway", "move", "--host", "localhost")[:2] == (0, "kept")


def test_an_address_that_no_certificate_holds_is_told_nobody(site, device):
    done = site.fleetmint("gateway", "move", device, "--host", "127.0.0.2", "--state", str(site.state))
    assert (done.returncode, done.stdout) == (1, "")
    assert "no certificate of a gateway of this site holds it" in done.stderr


def test_a_wrong_port_is_told_and_the_device_is_back_at_the_old_one(site, device):
    before = known(site, device).get("gateway")
    code, state, reason = tell(site, device, "gateway", "move", "--host", "localhost", "--mqtt-port", "9")
    assert (code, state) == (1, "failed")
    assert reason
    heard(site, device)
    assert known(site, device).get("gateway") == before


def test_an_operator_who_is_no_station_can_tell_devices_nothing(site, device):
    done = site.publish("mqtt_operators", site.operator(), f"devices/{device}/in/fleetmint/wifi", '{"id":"x"}')
    assert "Not authorized" in done.stderr
    assert site.publish("mqtt_operators", site.operator(), f"devices/{device}/in/led", "on").stderr == ""


def test_several_devices_are_told_one_first(site, device):
    place = site.scratch / "networks"
    place.write_text(f"attic {PASSPHRASE}\n")
    place.chmod(0o600)
    active = site.devices_of_boards()
    done = site.fleetmint(
        "wifi", "set", *active, "--network", "attic", "--passphrases", f"file:{place}", "--canary", device, "--yes",
        "--json", "--state", str(site.state),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr + done.stdout
    rows = json.loads(done.stdout)["devices"]
    assert {row["device"] for row in rows} == set(active)
    assert {row["state"] for row in rows} <= {"kept", "already"}
