import hashlib
import struct

import pytest

from fleetmint.errors import ImageError
from fleetmint.flash.firmware import read_firmware
from fleetmint.flash.job import CHIPS
from fleetmint.flash.table import PartitionTable, stock

BOOTLOADER = b"\xe9\x03\x02\x20" + bytes(8) + b"%s" + b"bootloader" * 100
APP = b"\xe9\x06\x02\x20" + b"micropython" * 3000
# as current firmware has it: the file system is not in the table
TABLE = PartitionTable(tuple(p for p in stock("4MiB").partitions if p.name != "vfs"))


def firmware(chip):
    """Return a file laid out as micropython.org offers it."""
    start = CHIPS[chip].bootloader_offset
    bootloader = BOOTLOADER.replace(b"%s", struct.pack("<H", CHIPS[chip].image_id))
    flash = bytearray(b"\xff" * 0x10000) + APP
    flash[start : start + len(bootloader)] = bootloader
    flash[0x8000:0x8C00] = TABLE.to_bytes()
    return bytes(flash[start:])


@pytest.mark.parametrize("chip", CHIPS)
def test_the_table_of_a_firmware_is_found_on_every_chip(chip):
    found = read_firmware(firmware(chip), chip)
    assert found.table == TABLE
    assert found.table.with_vfs(0x400000) == stock("4MiB")


@pytest.mark.parametrize(("chip", "start"), [("esp32", 0x1000), ("esp32s3", 0), ("esp32c3", 0), ("esp32c6", 0)])
def test_a_firmware_is_burned_in_pieces_that_leave_the_nvs_alone(chip, start):
    regions = read_firmware(firmware(chip), chip).regions()
    assert [(r.name, r.offset) for r in regions] == [
        ("bootloader", start),
        ("partition table", 0x8000),
        ("factory", 0x10000),
    ]
    assert regions[0].data.endswith(b"bootloader")
    assert regions[2].data == APP
    nvs = TABLE.find("nvs")
    assert all(region.end <= nvs.offset or region.offset >= nvs.end for region in regions)


def test_a_firmware_for_another_chip_is_refused():
    with pytest.raises(ImageError, match="is for esp32c3, not for esp32s3"):
        read_firmware(firmware("esp32c3"), "esp32s3")
    unknown = firmware("esp32c3")[:12] + b"\x77\x00" + firmware("esp32c3")[14:]
    with pytest.raises(ImageError, match="is for chip 119, not for esp32c3"):
        read_firmware(unknown, "esp32c3")


def test_a_hash_pins_the_file():
    data = firmware("esp32")
    digest = hashlib.sha256(data).hexdigest()
    assert read_firmware(data, "esp32", digest.upper()).sha256 == digest
    with pytest.raises(ImageError, match=f"SHA-256 is {digest}, not 00"):
        read_firmware(data, "esp32", "00" * 32)


@pytest.mark.parametrize("data", [b"", b"\xe9", b"<html>404</html>", bytes(0x20000)])
def test_what_is_no_image_is_refused(data):
    with pytest.raises(ImageError, match="is no ESP32 image"):
        read_firmware(data, "esp32")


def test_an_app_without_bootloader_is_refused():
    app = firmware("esp32s3")[:16] + b"app code" * 20000
    with pytest.raises(ImageError, match=r"has no partition table .* not the \.app-bin"):
        read_firmware(app, "esp32s3")


def test_a_file_that_was_cut_off_is_refused():
    with pytest.raises(ImageError, match="ends before its first partition"):
        read_firmware(firmware("esp32")[:0x7000], "esp32")


def test_an_unknown_chip_is_refused():
    with pytest.raises(ImageError, match="no chip 'esp8266'; choose one of esp32, esp32s3, esp32c3, esp32c6"):
        read_firmware(firmware("esp32"), "esp8266")
