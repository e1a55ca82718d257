"""A device from its flash file on: the whole program under the real MicroPython, and the virtual board it runs on."""

import json

import pytest

from fleetmint.nvs import keys
from tests.support.firmware_gateway import TOKEN
from tests.support.firmware_site import DEVICE

pytestmark = pytest.mark.micropython


def test_a_device_with_a_token_enrols_greets_and_publishes(gateway, flash_file, boot):
    device = boot(flash_file(gateway.nvs()))
    device.wait_for("published reading 1")

    assert "the gateway accepts this device until 20" in "\n".join(device.console)
    assert gateway.broker.sessions == [(DEVICE, DEVICE)]
    topic, payload = gateway.broker.messages[0]
    assert topic == f"devices/{DEVICE}/out/readings"
    reading = json.loads(payload)
    assert reading["n"] == 1
    assert reading["uptime"] >= 0
    assert isinstance(reading["temperature"], int)


def test_an_enrolled_device_has_its_identity_in_the_first_slot_and_no_token(gateway, flash_file, boot):
    device = boot(flash_file(gateway.nvs()))
    device.wait_for("published reading 1")
    stored = device.nvs()

    assert stored[keys.SLOT] == 0
    assert stored[keys.CERTIFICATES[0]] in gateway.issued.values()
    assert keys.KEYS[0] in stored
    assert keys.TOKEN not in stored


def test_a_second_boot_uses_the_identity_it_finds(gateway, flash_file, boot):
    flash = flash_file(gateway.nvs())
    device = boot(flash)
    device.wait_for("published reading 1")
    device.process.kill()
    boot(flash).wait_for("published reading 1")

    assert len(gateway.enrolled) == 1
    assert gateway.broker.sessions == [(DEVICE, DEVICE)] * 2


def test_a_device_with_a_key_from_the_factory_does_not_enrol(gateway, site, flash_file, boot):
    made = site.device()
    values = gateway.nvs(token=None, slot=0, key0=made.key_der, cert0=made.der)
    boot(flash_file(values)).wait_for("published reading 1")

    assert gateway.enrolled == []
    assert [request.line for request in gateway.requests] == ["GET /v1/whoami HTTP/1.1"]


def test_no_secret_is_on_the_console(gateway, flash_file, boot):
    gateway.answers["/v1/enrol"] = b"HTTP/1.1 500 no\r\nContent-Length: 0\r\n\r\n"
    device = boot(flash_file(gateway.nvs()))
    device.wait_for("trying again")
    del gateway.answers["/v1/enrol"]
    device.wait_for("published reading 1")
    console = "\n".join(device.console)

    assert TOKEN not in console
    assert "correct horse" not in console
    assert device.nvs()[keys.KEYS[0]].hex()[14:78] not in console


@pytest.mark.parametrize(
    "key", ["device_id", "gateway", "https_port", "mqtt_port", "bundle", "wifi_ssid", "clock_floor"]
)
def test_a_missing_value_stops_with_the_name_of_the_key(gateway, flash_file, boot, key):
    device = boot(flash_file(gateway.nvs(**{key: None})))
    line = device.wait_for("stopped")
    assert f"the NVS has no {key}" in line or f"usable {key}" in line
    device.wait_for("the program has ended")


def test_a_device_with_neither_token_nor_certificate_stops(gateway, flash_file, boot):
    assert "the NVS has no token" in boot(flash_file(gateway.nvs(token=None))).wait_for("stopped")


def test_a_wrong_passphrase_is_told_and_tried_again(gateway, flash_file, boot):
    device = boot(flash_file(gateway.nvs()), FLEETMINT_WIFI_SSID="fleet", FLEETMINT_WIFI_PSK="another")
    for _ in range(2):
        assert "Wi-Fi fleet: wrong passphrase" in device.wait_for("trying again")
    assert gateway.requests == []


def test_a_network_out_of_range_is_told(gateway, flash_file, boot):
    device = boot(flash_file(gateway.nvs()), FLEETMINT_WIFI_SSID="elsewhere")
    assert "no such network in range" in device.wait_for("trying again")


def test_the_right_network_is_joined(gateway, flash_file, boot):
    device = boot(flash_file(gateway.nvs()), FLEETMINT_WIFI_SSID="fleet", FLEETMINT_WIFI_PSK="correct horse")
    device.wait_for("joined Wi-Fi fleet")


def test_an_empty_flash_does_not_boot(tmp_path, boot):
    flash = tmp_path / "flash.bin"
    flash.write_bytes(b"\xff" * 0x400000)
    device = boot(flash)
    device.wait_for("does not boot")
    assert device.process.wait(5) == 65


def test_a_program_that_resets_the_board_ends_with_a_code_of_its_own(gateway, flash_file, boot):
    device = boot(flash_file(gateway.nvs(), main="import machine\nmachine.reset()\n"))
    assert device.process.wait(5) == 64


def test_a_program_that_fails_leaves_its_traceback_and_the_board_waits(gateway, flash_file, boot):
    device = boot(flash_file(gateway.nvs(), main="raise ValueError('broken')\n"))
    device.wait_for("ValueError: broken")
    device.wait_for("the program has ended")
    assert device.process.poll() is None


def test_the_program_sees_only_the_files_of_its_flash(gateway, flash_file, boot):
    main = "import os, sys, agent\nprint('files', os.listdir('/'), agent.__file__, sys.path)\n"
    line = boot(flash_file(gateway.nvs(), main=main)).wait_for("files")
    assert "['agent', 'boot.py', 'main.py'] agent/__init__.py ['', '.frozen', '/lib']" in line


def test_what_the_program_writes_to_its_file_system_survives_a_power_cut(gateway, flash_file, boot):
    main = "import os\nn = len(os.listdir())\nopen(f'file{n}', 'w').write('x' * 5000)\nprint('count', n)\n"
    flash = flash_file(gateway.nvs(), main=main)
    for count in (3, 4, 5):
        device = boot(flash)
        device.wait_for(f"count {count}")
        device.process.kill()


def test_the_board_has_the_address_it_was_given(gateway, flash_file, boot):
    main = "import machine\nprint('mac', machine.unique_id().hex())\n"
    assert "240ac4000007" in boot(flash_file(gateway.nvs(), main=main)).wait_for("mac")
