"""Devices with the core in C on BearSSL, as on an ESP8266: burned by the factory, at the real gateway."""

import json
import shutil
import subprocess
import sys

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from fleetmint.flash.esp8266 import file_system
from tests.e2e.site import ROOT, wait_for
from tests.support.c_build import Build
from tests.support.c_esp8266 import Esp8266, device_program

LAYOUT = "4M1M"
BATCH = f"""
batch: dials
prefix: dial
chip: esp8266
layout: {LAYOUT}
devices:
  - count: 1
    key_origin: device
  - count: 1
    key_origin: factory
"""


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    if shutil.which("gcc") is None:
        pytest.skip("no C compiler: scripts/setup test installs gcc")
    return device_program(Build(tmp_path_factory.mktemp("c")))


class Sensor:
    """A virtual board whose program is the core in C: it starts from the flash that the factory has burned."""

    def __init__(self, directory, number, program):
        self.directory, self.place = directory, file_system(LAYOUT)
        place = [str(part) for part in (self.place.offset, self.place.size, self.place.block_size)]
        boot = [str(program), str(directory / "flash.bin"), *place, "ssid=virtual", "passphrase=virtual-network"]
        command = [sys.executable, "-m", "virtual.esp32", "--dir", str(directory), "--chip", "esp8266"]
        command += ["--mac", f"24:0a:c4:00:67:{number:02x}", "--flash-size", "4MB"]
        self.process = subprocess.Popen([*command, "--boot", *boot], cwd=ROOT)

    @property
    def port(self) -> str:
        return str(self.directory / "tty")

    def console(self) -> str:
        return (self.directory / "console.log").read_text()

    def wait_for(self, text: str) -> None:
        wait_for(lambda: text in self.console(), 30)

    def values(self, scratch) -> dict[str, bytes]:
        board = Esp8266(scratch / "files", LAYOUT)
        flash = (self.directory / "flash.bin").read_bytes()
        board.write(flash[self.place.offset : self.place.offset + self.place.size])
        return board.values()


@pytest.fixture(scope="module")
def sensors(site, program, tmp_path_factory):
    """Two boards of a batch: made, registered, burned, each heard before it counted as done."""
    directory = tmp_path_factory.mktemp("sensors")
    (directory / "dials.yml").write_text(BATCH)
    (directory / "wifi").write_text("default virtual-network\n")
    (directory / "firmware.bin").write_bytes(b"\xe9" + bytes(5000))
    made = [Sensor(directory / str(number), number, program) for number in (1, 2)]
    try:
        yield from burn(site, directory, made)
    finally:
        for sensor in made:
            sensor.process.terminate()
            sensor.process.wait()


def burn(site, directory, made):
    state = ("--site", "inventory/virtual", "--state", str(site.state))
    for command in (
        ("batch", "new", str(directory / "dials.yml"), "--wifi-passphrases", f"file:{directory / 'wifi'}", *state),
        ("batch", "register", "dials", *state),
        ("burn", "dials", *(f"--port={sensor.port}" for sensor in made), "--once", "--test=60",
         "--firmware", str(directory / "firmware.bin"), *state),
    ):  # fmt: skip
        done = site.fleetmint(*command)
        assert done.returncode == 0, done.stdout + done.stderr
    yield made


def test_devices_in_c_come_into_the_fleet_by_token_and_by_a_certificate_of_the_factory(site, sensors):
    """The burn has heard of both already: here is what they did for that."""
    known = {name: row for name, row in site.devices().items() if name.startswith("dial-")}
    assert {row["result"] for row in known.values()} == {"burned"}
    assert {row["status"] for row in known.values()} == {"active"}
    consoles = [sensor.console() for sensor in sensors]
    assert sorted("enrolled, certificate in slot 0" in console for console in consoles) == [False, True]
    assert all("the gateway accepts this device until " in console for console in consoles)


def test_an_operator_hears_them_and_sees_that_they_are_there(site, sensors):
    heard = wait_for(lambda: [each for each in site.readings(20, 10) if each["device"].startswith("dial-")], 60)
    assert heard[0]["temperature"] == 21
    command = ("mosquitto_sub", "mqtt_operators", site.operator(), "-t", "devices/dial-000001/out/status", "-C", "1")
    status = json.loads(site.mosquitto(*command, seconds=10).stdout)
    assert (status["online"], status["language"], status["lost"]) == (True, "C", 0)


def test_what_is_in_the_flash_afterwards_is_one_identity_and_no_token(site, sensors, tmp_path):
    for sensor in sensors:
        stored = sensor.values(tmp_path)
        assert "token" not in stored
        certificate = x509.load_der_x509_certificate(stored[f"cert{int(stored['slot'])}"])
        key = serialization.load_der_private_key(stored[f"key{int(stored['slot'])}"], None)
        assert certificate.public_key() == key.public_key()
        name = stored["device_id"].decode()
        assert int(site.devices()[name]["serial"], 16) == certificate.serial_number
        assert site.curl("https", "/", site.client(name, key, certificate))[0] == 200


def test_a_revoked_device_is_thrown_out_and_waits(site, sensors):
    done = site.fleetmint("revoke", "dial-000002", "--state", str(site.state))
    assert done.returncode == 0, done.stderr
    sensor = next(sensor for sensor in sensors if "this is dial-000002" in sensor.console())
    sensor.wait_for("identity in slot 0 is not accepted: the gateway answers 401")
    sensor.wait_for("no recovery: the gateway answers 403")
    sensor.wait_for("the gateway answers 401; trying again in ")
