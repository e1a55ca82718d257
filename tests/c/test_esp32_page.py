"""The sketch Esp32Page as it is, run on this machine: Wi-Fi from the NVS or the console, and the gateway's page."""

import json
import subprocess
from datetime import UTC, datetime

import pytest

from tests.support.c_device import Device
from tests.support.c_esp32 import Esp32, sketch
from tests.support.firmware_gateway import gateway_of
from tests.support.firmware_site import DEVICE, make_site

AIR = ("ssid=The Office", "passphrase=correct horse")
KNOWN = {"wifi_ssid": b"The Office", "wifi_psk": b"correct horse"}
UNKNOWN = {"wifi_ssid": None, "wifi_psk": None}


@pytest.fixture(scope="session")
def program(build):
    return sketch(build, "Esp32Page")


@pytest.fixture
def gateway(tmp_path):
    with gateway_of(make_site(datetime.now(UTC).replace(microsecond=0)), tmp_path / "gateway") as made:
        yield made


@pytest.fixture
def burned(gateway, tmp_path):
    def burn(encryption="none", **changes):
        return Esp32.burned(tmp_path, {"fleetmint": gateway.nvs(**changes)}, encryption)

    return burn


@pytest.fixture
def switched_on(program):
    """Switch a board on; the value has its console."""
    started = []

    def start(board):
        process = subprocess.Popen(
            [program, *board.arguments, *AIR],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, bufsize=1,
        )  # fmt: skip
        started.append(process)
        return Device(board, process)

    yield start
    for process in started:
        process.kill()
        process.communicate()


def type_in(device, line):
    device.process.stdin.write(f"{line}\r\n")
    device.process.stdin.flush()


@pytest.mark.parametrize("encryption", ["none", "flash", "hmac"])
def test_the_page_is_fetched_with_the_device_s_certificate_beside_its_session(gateway, burned, switched_on, encryption):
    device = switched_on(burned(encryption, **KNOWN))
    device.wait_for("connected to the broker")
    device.wait_for("the page, by TLSv1.")
    device.wait_for(f"<h1>Hello {DEVICE}</h1>")
    device.wait_for("published readings")
    size = len(f"<html>\n<h1>Hello {DEVICE}</h1>\n</html>")
    topic, payload = gateway.broker.messages[0]
    assert (topic, json.loads(payload)["page"]) == (f"devices/{DEVICE}/out/readings", size)
    assert gateway.broker.sessions == [(DEVICE, DEVICE)]
    assert gateway.requests[-1].line == "GET / HTTP/1.1"
    assert "token" not in device.board.nvs()


def test_a_network_is_asked_for_where_the_factory_gave_none_and_is_kept(burned, switched_on):
    board = burned("hmac", **UNKNOWN)
    device = switched_on(board)
    device.wait_for("type NAME PASSPHRASE of your Wi-Fi, with quotes round what has blanks in it")
    type_in(device, "The Office correct horse")
    device.wait_for("these are more than two words: put quotes round")
    type_in(device, '"The Office" "correct horse"')
    device.wait_for("kept: The Office")
    device.wait_for(f"<h1>Hello {DEVICE}</h1>")
    assert "correct horse" not in "\n".join(device.console)
    device.process.kill()
    assert {key: board.nvs()[key] for key in KNOWN} == KNOWN
    again = switched_on(board)
    again.wait_for(f"<h1>Hello {DEVICE}</h1>")
    assert not any("type NAME PASSPHRASE of your" in line for line in again.console)


def test_a_network_that_was_typed_wrong_is_typed_again(burned, switched_on):
    device = switched_on(burned(**UNKNOWN))
    type_in(device, '"The Office" "wrong horse"')
    device.wait_for("Wi-Fi The Office: the passphrase may be wrong")
    type_in(device, "'The Office' 'correct horse'")
    device.wait_for("kept: The Office")
    device.wait_for(f"<h1>Hello {DEVICE}</h1>")


def test_a_board_whose_nvs_holds_no_device_says_what_is_missing(burned, switched_on):
    device = switched_on(burned(device_id=None, **KNOWN))
    device.wait_for("stopped: the store has no usable device_id: burn this device again")
