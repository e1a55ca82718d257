from dataclasses import replace

import pytest

from fleetmint.errors import ImageError
from fleetmint.flash.firmware import Firmware
from fleetmint.flash.job import Board
from fleetmint.flash.layout import board_layout
from fleetmint.flash.table import Partition, PartitionTable, stock

OWN = PartitionTable((Partition("nvs", 1, 2, 0x9000, 0x10000), Partition("app", 0, 0, 0x20000, 0x100000)))
BOARD = Board("24:0a:c4:00:00:01", "esp32c6", 0x800000, table=OWN.to_bytes().hex())
FIRMWARE = Firmware("esp32c6", stock("8MiB-ota"), "", b"\xe9" * 0x20000)


def test_the_table_of_the_board_is_used_and_not_written():
    found = board_layout("board", BOARD, None)
    assert found.table == OWN.with_vfs(0x800000)
    assert found.regions == ()


@pytest.mark.parametrize("content", ["", "ff" * 0xC00, "00" * 0xC00])
def test_a_board_without_a_table_is_refused(content):
    with pytest.raises(ImageError, match=r"has none .*: flash MicroPython first, or name a layout"):
        board_layout("board", replace(BOARD, table=content), None)


@pytest.mark.parametrize("layout", [None, "firmware"])
def test_the_table_of_the_firmware_comes_with_the_firmware(layout):
    found = board_layout(layout, BOARD, FIRMWARE)
    assert found.table == FIRMWARE.table
    assert [region.name for region in found.regions][:2] == ["bootloader", "partition table"]


def test_the_layout_firmware_needs_one():
    with pytest.raises(ImageError, match="none was given: name the file"):
        board_layout("firmware", BOARD, None)


def test_a_named_layout_is_written_for_the_flash_that_there_is():
    found = board_layout("8MiB", replace(BOARD, flash_size=0x1000000), None)
    assert found.table.end == 0x1000000
    assert [(region.name, region.offset) for region in found.regions] == [("partition table", 0x8000)]
    assert found.regions[0].data == found.table.to_bytes()
    assert board_layout(None, BOARD, None).table == stock("4MiB", 0x800000)


def test_a_layout_for_a_larger_flash_is_refused():
    with pytest.raises(ImageError, match="16MiB is for a flash of 0x1000000 bytes and more"):
        board_layout("16MiB", BOARD, None)


@pytest.mark.parametrize("layout", ["8MiB", "board"])
def test_firmware_with_another_table_is_refused(layout):
    with pytest.raises(ImageError, match="another partition table"):
        board_layout(layout, BOARD, FIRMWARE)
    assert board_layout("8MiB-ota", BOARD, FIRMWARE).table == FIRMWARE.table
