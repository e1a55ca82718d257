"""Every chip and kind of layout, burned by the real esptool; MicroPython boots what is in the flash."""

import json

import pytest

from fleetmint.errors import BurnError
from fleetmint.flash.app import make_image
from fleetmint.flash.burn import Job, Region, burn, identify
from fleetmint.flash.efuse import CHIPS_WITH_HMAC, read_efuses
from fleetmint.flash.esp8266 import file_system, files_region, firmware_region
from fleetmint.flash.layout import board_layout
from fleetmint.nvs.crypt import NvsKeys
from fleetmint.nvs.decode import decode
from fleetmint.nvs.encode import encode
from fleetmint.nvs.values import Value
from virtual.esp32.__main__ import BOOT_SCRIPT

MAC = "24:0a:c4:00:00:01"
PROGRAM = b"""
import esp32, json
nvs, name = esp32.NVS("fleetmint"), bytearray(20)
print(json.dumps(["here", name[:nvs.get_blob("device_id", name)].decode(), nvs.get_i32("https_port")]))
"""


@pytest.mark.micropython
@pytest.mark.parametrize(
    ("chip", "layout", "flash"),
    [
        ("esp32", "4MiB-ota", "4MB"),
        ("esp32s3", "8MiB-ota", "8MB"),
        ("esp32c3", "4MiB-romfs", "4MB"),
        ("esp32c6", "8MiB", "8MB"),
    ],
)
def test_a_board_boots_from_its_layout(start_board, tmp_path, chip, layout, flash, micropython):
    boot = [micropython, str(BOOT_SCRIPT), str(tmp_path / "board/flash.bin"), MAC]
    board = start_board(chip=chip, options=["--flash-size", flash], program=boot)
    found = board_layout(layout, identify(board.port), None)
    nvs, vfs = found.table.find("nvs"), found.table.find("vfs")
    # a value that MicroPython cannot read does not keep it from the others
    entries = {"fleetmint": {"device_id": b"lamp-000001", "https_port": 443}, "app": {"name": Value("string", b"x")}}
    regions = (
        *found.regions,
        Region(vfs.offset, make_image({"main.py": PROGRAM}, vfs.size), "program"),
        Region(nvs.offset, encode(entries, nvs.size), "nvs"),
    )
    burn(Job(board.port, chip, regions))
    line = next(line for line in board.await_console("here").splitlines() if "here" in line)
    assert json.loads(line) == ["here", "lamp-000001", 443]
    # from then on the board says itself where everything is
    assert board_layout("board", identify(board.port), None).table == found.table


def test_an_encrypted_nvs_is_burned_and_holds_no_secret_in_plain_text(start_board):
    board = start_board(chip="esp32s3")
    found = board_layout(None, identify(board.port), None)
    nvs, secret = found.table.find("nvs"), NvsKeys.new()
    entries = {"fleetmint": {"device_id": b"lamp-000001", "wifi_psk": b"correct horse"}}
    burn(Job(board.port, "esp32s3", (*found.regions, Region(nvs.offset, encode(entries, nvs.size, secret), "nvs"))))
    content = board.flash(nvs.offset, nvs.size)
    assert b"horse" not in content
    assert decode(content, keys=secret) == entries


def test_an_esp8266_gets_firmware_and_files(start_board):
    board = start_board(chip="esp8266", options=["--flash-size", "4MB"])
    found = identify(board.port)
    assert (found.mac, found.chip, found.flash_size) == (MAC, "esp8266", 0x400000)
    firmware = firmware_region(b"\xe9" + bytes(5000), "4M2M")
    files = files_region({"fleetmint/device_id": b"lamp-000001"}, "4M2M")
    job = Job(board.port, "esp8266", (firmware, files))
    assert burn(job).written == ("firmware", "files")
    assert board.flash(0, 5001) == firmware.data
    assert board.flash(file_system("4M2M").offset, len(files.data)) == files.data
    assert burn(job).written == ()
    with pytest.raises(BurnError, match="has an esp8266, not an esp32") as raised:
        burn(Job(board.port, "esp32", (files,)))
    assert raised.value.code == "wrong-chip"


@pytest.mark.parametrize("chip", CHIPS_WITH_HMAC)
def test_the_efuses_of_a_board_are_read_over_its_port(start_board, chip):
    efuses = read_efuses(start_board(chip=chip).port)
    assert (efuses.mac, efuses.chip) == (MAC, chip)
    assert all(block.empty for block in efuses.blocks)
