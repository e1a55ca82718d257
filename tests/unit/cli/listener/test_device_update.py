"""A board that is burned gets a changed program and Wi-Fi, and stays the device it is."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from fleetmint.batch import secrets
from fleetmint.batch.networks import Wifi
from fleetmint.flash.table import stock
from fleetmint.nvs import keys
from fleetmint.nvs.decode import decode
from fleetmint.nvs.encode import encode
from virtual.esp32.rack import Blank, Slot

FIRMWARE = Path(__file__).parents[4] / "firmware"
NVS = stock("4MiB").find("nvs")
PSK = "canary of the new network"


@pytest.fixture
def board(tmp_path, listener, fleetmint):
    """A board that was burned, and has made itself a key since; return its port and what its NVS says."""
    assert fleetmint("batch", "register", "first").exit_code == 0
    slot, flash = Slot(tmp_path / "port"), tmp_path / "flash"
    blank = Blank("24:0a:c4:00:00:01", flash)
    slot.put(blank)
    assert fleetmint("burn", "first", "--port", slot.port, "--once").exit_code == 0
    slot.take()

    def nvs():
        return decode(flash.read_bytes()[NVS.offset : NVS.end])

    content, entries = bytearray(flash.read_bytes()), nvs()
    entries[keys.NAMESPACE][keys.KEYS[1]] = bytes(range(138))
    content[NVS.offset : NVS.end] = encode(entries, NVS.size)
    flash.write_bytes(content)
    slot.put(blank)
    yield str(slot.port), nvs
    slot.take()


@pytest.fixture
def new_wifi(state, hierarchy, board):
    store = secrets.open_store(state / "batches/first", hierarchy.source)
    settings = store.settings()
    common = replace(settings.common, wifi={"default": Wifi("new network", PSK)})
    store.save_settings(replace(settings, common=common))


@pytest.fixture
def new_app(tmp_path):
    shutil.copytree(FIRMWARE, tmp_path / "app")
    with (tmp_path / "app/main.py").open("a") as file:
        file.write("\n# changed\n")
    return tmp_path / "app"


def test_a_changed_wifi_reaches_the_board_and_its_key_stays(fleetmint, board, new_wifi):
    port, nvs = board
    before = nvs()[keys.NAMESPACE]
    result = fleetmint("device", "update", "--port", port, "--wifi")
    assert result.exit_code == 0, result.output
    assert "lamp-000001 (24:0a:c4:00:00:01) has the new Wi-Fi" in result.stdout
    assert PSK not in result.output
    after = nvs()[keys.NAMESPACE]
    assert (after[keys.WIFI_SSID], after[keys.WIFI_PSK]) == (b"new network", PSK.encode())
    assert {name for name in before if before[name] != after[name]} == {keys.WIFI_SSID, keys.WIFI_PSK}
    assert before.keys() == after.keys()
    again = fleetmint("device", "update", "--port", port, "--wifi", "--json")
    assert again["changed"] == []


def test_networks_that_a_device_was_told_in_the_field_give_way_and_its_gateway_stays(fleetmint, board, tmp_path):
    port, nvs = board
    told = {"wifi": [["gone", PSK]], "gateway": ["192.0.2.8", 443, 8883], "id": "a1", "state": "kept", "reason": ""}
    content, entries = bytearray((tmp_path / "flash").read_bytes()), nvs()
    entries[keys.NAMESPACE][keys.SETTINGS] = json.dumps(told).encode()
    content[NVS.offset : NVS.end] = encode(entries, NVS.size)
    (tmp_path / "flash").write_bytes(content)
    assert fleetmint("device", "update", "--port", port, "--wifi", "--json")["changed"] == ["Wi-Fi"]
    after = nvs()[keys.NAMESPACE]
    del told["wifi"]
    assert json.loads(after[keys.SETTINGS]) == told
    assert fleetmint("device", "update", "--port", port, "--wifi", "--json")["changed"] == []


def test_a_board_gets_several_networks_and_one_again(fleetmint, board, state, hierarchy):
    port, nvs = board
    store = secrets.open_store(state / "batches/first", hierarchy.source)
    settings = store.settings()
    wifi = {**settings.common.wifi, "attic": Wifi("attic", PSK)}
    several = replace(settings, common=replace(settings.common, wifi=wifi), wifi=("attic", "default"))
    store.save_settings(several)
    assert fleetmint("device", "update", "--port", port, "--wifi", "--json")["changed"] == ["Wi-Fi"]
    held = nvs()[keys.NAMESPACE]
    assert json.loads(held[keys.WIFI_LIST]) == [["attic", PSK], ["w", "p" * 8]]
    assert held[keys.WIFI_SSID] == b"attic"
    store.save_settings(settings)
    assert fleetmint("device", "update", "--port", port, "--wifi", "--json")["changed"] == ["Wi-Fi"]
    assert keys.WIFI_LIST not in nvs()[keys.NAMESPACE]


def test_a_changed_program_reaches_the_board(fleetmint, board, new_app):
    port, nvs = board
    before = nvs()
    command = ("device", "update", "--port", port, "--app", "--app-dir", new_app, "--json")
    assert fleetmint(*command)["changed"] == ["program"]
    assert fleetmint(*command)["changed"] == []
    assert nvs() == before


def test_a_burn_says_that_a_board_which_is_done_is_not_up_to_date(fleetmint, board, new_app, new_wifi):
    port, _ = board
    result = fleetmint("burn", "first", "--port", port, "--once", "--app-dir", new_app)
    assert result.exit_code == 0, result.output
    assert "the board is lamp-000001 already; what the batch has as program and Wi-Fi by now is not on it" in (
        result.stdout
    )
    assert f"fleetmint device update --port {port} --app --wifi --app-dir {new_app}" in result.stdout
    assert fleetmint("device", "update", "--port", port, "--wifi").exit_code == 0
    second = fleetmint("burn", "first", "--port", port, "--once")
    assert "already\n" in second.stdout


def test_what_to_update_has_to_be_said(fleetmint, state):
    assert fleetmint("device", "update", "--port", "/dev/null").exit_code == 2


def test_a_board_that_is_none_of_ours_is_left_alone(fleetmint, state, tmp_path, refused):
    slot = Slot(tmp_path / "other")
    slot.put(Blank("24:0a:c4:00:00:09", tmp_path / "flash9"))
    before = (tmp_path / "flash9").read_bytes()
    refused(fleetmint("device", "update", "--port", slot.port, "--app"), "holds no identity", "Nothing was written")
    slot.take()
    assert (tmp_path / "flash9").read_bytes() == before


def test_a_copy_of_a_board_is_left_alone(fleetmint, board, tmp_path, refused):
    slot = Slot(tmp_path / "copy")
    shutil.copy(tmp_path / "flash", tmp_path / "flash2")
    slot.put(Blank("24:0a:c4:00:00:02", tmp_path / "flash2"))
    refused(fleetmint("device", "update", "--port", slot.port, "--app"), "says it is lamp-000001", "24:0a:c4:00:00:01")
    slot.take()
