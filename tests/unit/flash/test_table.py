import hashlib
import struct
from dataclasses import replace

import pytest

from fleetmint.errors import ImageError
from fleetmint.flash.table import STOCK_LAYOUTS, TABLE_SIZE, Partition, PartitionTable, stock

# Three rows as ESP-IDF's gen_esp32part.py writes them, laid out by hand.
ROWS = (
    b"\xaa\x50\x01\x02\x00\x90\x00\x00\x00\x60\x00\x00nvs".ljust(28, b"\0")
    + bytes(4)
    + b"\xaa\x50\x01\x01\x00\xf0\x00\x00\x00\x10\x00\x00phy_init".ljust(28, b"\0")
    + bytes(4)
    + b"\xaa\x50\x00\x00\x00\x00\x01\x00\x00\x00\x1f\x00factory".ljust(28, b"\0")
    + bytes(4)
)
BINARY = (ROWS + b"\xeb\xeb" + b"\xff" * 14 + hashlib.md5(ROWS, usedforsecurity=False).digest()).ljust(
    TABLE_SIZE, b"\xff"
)
CSV = """
# Name,   Type, SubType, Offset,  Size, Flags
nvs,      data, nvs,     0x9000,  0x6000,
phy_init, data, phy,     0xf000,  0x1000,
factory,  app,  factory, 0x10000, 0x1F0000,
"""


def rows(*partitions):
    return PartitionTable(tuple(partitions))


def test_a_table_is_the_bytes_that_esp_idf_makes_of_the_same_csv():
    assert PartitionTable.from_csv(CSV).to_bytes() == BINARY


def test_a_table_that_was_read_is_the_one_that_was_written():
    table = PartitionTable.from_bytes(BINARY)
    assert table == PartitionTable.from_csv(CSV)
    assert table.find("factory") == Partition("factory", 0, 0, 0x10000, 0x1F0000)
    assert table.end == 0x200000


def test_what_follows_the_table_in_a_file_does_not_matter():
    assert PartitionTable.from_bytes(BINARY + b"\xe9" * 5000) == PartitionTable.from_bytes(BINARY)


def test_a_table_without_md5_is_read():
    assert PartitionTable.from_bytes(ROWS + b"\xff" * 32) == PartitionTable.from_bytes(BINARY)


def test_flags_survive():
    table = rows(Partition("nvs", 1, 2, 0x9000, 0x6000, flags=1))
    assert PartitionTable.from_bytes(table.to_bytes()) == table


@pytest.mark.parametrize("position", [4, 12, 40, 96 + 16])
def test_a_damaged_table_is_refused(position):
    spoiled = bytearray(BINARY)
    spoiled[position] ^= 1
    with pytest.raises(ImageError, match="damaged: its MD5 is wrong"):
        PartitionTable.from_bytes(bytes(spoiled))


@pytest.mark.parametrize("content", [b"", b"\xff" * TABLE_SIZE, bytes(TABLE_SIZE), b"\xaa\x50short", b"text " * 700])
def test_what_is_no_table_is_refused(content):
    with pytest.raises(ImageError, match="no partition table"):
        PartitionTable.from_bytes(content)


def test_a_partition_that_is_missing_is_an_error_that_names_those_there_are():
    with pytest.raises(ImageError, match="no partition 'vfs', only nvs, phy_init, factory"):
        PartitionTable.from_bytes(BINARY).find("vfs")


@pytest.mark.parametrize(
    ("layout", "nvs", "vfs"),
    [
        ("4MiB", (0x9000, 0x6000), (0x200000, 0x200000)),
        ("4MiB-romfs", (0x9000, 0x6000), (0x200000, 0x200000)),
        ("4MiB-ota", (0x9000, 0x4000), (0x310000, 0xF0000)),
        ("8MiB", (0x9000, 0x6000), (0x200000, 0x600000)),
        ("8MiB-ota", (0x9000, 0x4000), (0x4F0000, 0x310000)),
        ("16MiB", (0x9000, 0x6000), (0x200000, 0xE00000)),
        ("16MiB-ota", (0x9000, 0x4000), (0x4F0000, 0xB10000)),
        ("32MiB", (0x9000, 0x6000), (0x200000, 0x1E00000)),
        ("32MiB-ota", (0x9000, 0x4000), (0x4F0000, 0x1B10000)),
    ],
)
def test_a_stock_layout_of_micropython_has_its_places(layout, nvs, vfs):
    table = stock(layout)
    assert (table.find("nvs").offset, table.find("nvs").size) == nvs
    assert (table.find("vfs").offset, table.find("vfs").size) == vfs
    assert PartitionTable.from_bytes(table.to_bytes()) == table


@pytest.mark.parametrize("layout", STOCK_LAYOUTS)
def test_the_file_system_of_a_stock_layout_takes_the_rest_of_a_larger_flash(layout):
    assert stock(layout, 0x4000000).end == 0x4000000


def test_an_unknown_layout_is_refused():
    with pytest.raises(ImageError, match="no layout '2MiB'; choose one of 4MiB, 4MiB-romfs"):
        stock("2MiB")


def test_a_table_with_a_file_system_keeps_it():
    table = rows(Partition("nvs", 1, 2, 0x9000, 0x6000), Partition("vfs", 1, 0x81, 0x10000, 0x10000))
    assert table.with_vfs(0x400000) == table


def test_a_flash_without_room_for_a_file_system_is_refused():
    table = PartitionTable.from_bytes(BINARY)
    with pytest.raises(ImageError, match="no room for a file system behind 0x200000"):
        table.with_vfs(0x200000)


def test_a_flash_smaller_than_the_layout_says_is_refused():
    with pytest.raises(ImageError, match="8MiB is for a flash of 0x800000 bytes and more; this one has 0x400000"):
        stock("8MiB", 0x400000)


NVS = Partition("nvs", 1, 2, 0x9000, 0x6000)


@pytest.mark.parametrize(
    ("partitions", "remark"),
    [
        ((NVS, Partition("more", 1, 6, 0xE000, 0x1000)), "at 0xe000 overlaps 'nvs'"),
        ((Partition("early", 1, 6, 0x8000, 0x1000),), "at 0x8000 lies before 0x9000, where the partition table ends"),
        ((NVS, Partition("nvs", 1, 2, 0x10000, 0x1000)), "has the same name as another one"),
        ((Partition("app", 0, 0, 0x11000, 0x1000),), "at 0x11000 does not start at a multiple of 0x10000"),
        ((Partition("data", 1, 6, 0x9100, 0x1000),), "at 0x9100 does not start at a multiple of 0x1000"),
        ((Partition("none", 1, 6, 0x9000, 0),), "has no size"),
        ((Partition("short", 1, 6, 0x9000, 0x400),), "has 0x400 bytes, which are no multiple of 0x1000"),
        ((Partition("", 1, 6, 0x9000, 0x1000),), "has a name that is no name"),
        ((Partition("new\x1b[2J", 1, 6, 0x9000, 0x1000),), "has a name that is no name"),
        ((Partition("later", 0x20, 6, 0x9000, 0x1000),), "has the type 0x20, which ESP-IDF has not given a meaning"),
        ((Partition("far", 1, 6, 0x9000, 0x400000),), "ends at 0x409000, behind a flash of 0x400000 bytes"),
    ],
)
def test_what_is_unusual_about_a_partition_is_a_remark_and_the_table_is_read(partitions, remark):
    table = PartitionTable.from_bytes(rows(*partitions).to_bytes())
    assert table.partitions == partitions
    assert [(row, text.startswith(remark)) for row, text in table.remarks(0x400000)] == [(partitions[-1], True)]


def test_stock_layouts_and_the_rows_of_newer_bootloaders_have_nothing_unusual():
    own = (
        Partition("PrimaryBTLDR", 2, 0, 0x1000, 0x7000),
        Partition("recovery", 2, 2, 0x200000, 0x8000),
        Partition("PrimaryPrtTable", 3, 0, 0x8000, 0x1000),
        Partition("own", 0x40, 0, 0x9000, 0x1000),
        Partition("größe", 1, 6, 0xA000, 0x1000),
    )
    for table in (rows(*own), *map(stock, STOCK_LAYOUTS)):
        assert table.remarks(table.end) == ()
        assert PartitionTable.from_bytes(table.to_bytes()) == table
    assert [row.kind for row in own[:4]] == [
        "bootloader primary",
        "bootloader recovery",
        "partition_table primary",
        "0x40 0x00",
    ]


def test_a_name_that_is_no_utf_8_is_read():
    spoiled = ROWS[:12] + b"nv\xff" + ROWS[15:]
    assert PartitionTable.from_bytes(spoiled).partitions[0].name == "nv\\xff"


def test_a_table_of_ours_has_nothing_unusual_about_it():
    with pytest.raises(ImageError, match="'nvs' at 0x9010 does not start at a multiple of 0x1000"):
        PartitionTable.from_csv("nvs, data, nvs, 0x9010, 0x6000")


VFS = Partition("vfs", 1, 0x81, 0x10000, 0x10000)


@pytest.mark.parametrize(
    ("partitions", "message"),
    [
        ((Partition("vfs", 0, 0, 0x10000, 0x10000),), "'vfs' is app factory, and has to be data"),
        ((Partition("vfs", 1, 0x81, 0x10800, 0x10000),), "does not start with a sector"),
        ((Partition("vfs", 1, 0x81, 0x10000, 0x800),), "has none of its own"),
        ((VFS, Partition("other", 1, 6, 0x1F000, 0x2000)), "'vfs' overlaps 'other'"),
        ((VFS, replace(VFS, subtype=6)), "'vfs' overlaps 'vfs'"),
        ((replace(VFS, offset=0x8000, size=0x1000),), "lies in the partition table"),
        ((NVS,), "no partition 'vfs'"),
    ],
)
def test_a_station_does_not_write_where_that_spoils_something_else(partitions, message):
    with pytest.raises(ImageError, match=message):
        rows(*partitions).writable("vfs")


def test_a_station_writes_beside_partitions_that_are_unusual():
    unaligned = Partition("app1", 0, 0x11, 0x2F0000, 0x2DC6C0)
    assert rows(NVS, VFS, unaligned).writable("vfs") == VFS


def test_the_file_system_behind_a_table_needs_an_aligned_place():
    table = rows(NVS, Partition("short", 1, 6, 0xF5000, 0x400))
    with pytest.raises(ImageError, match="no aligned place for a file system: 'short' ends at 0xf5400"):
        table.with_vfs(0x400000)


def test_a_fat_is_not_taken_for_a_file_system_of_ours():
    with pytest.raises(ImageError, match="a FAT called ffat, which this station does not write"):
        rows(NVS, Partition("ffat", 1, 0x81, 0x310000, 0xF0000)).with_vfs(0x800000)
    both = rows(NVS, VFS, Partition("ffat", 1, 0x81, 0x310000, 0xF0000))
    assert both.with_vfs(0x800000) == both  # MicroPython looks for vfs first


def test_a_table_with_more_rows_than_its_place_has_is_not_written():
    with pytest.raises(ImageError, match="at most 94 partitions"):
        rows(*(Partition(f"p{i}", 1, 6, 0x9000 + i * 0x1000, 0x1000) for i in range(95))).to_bytes()


def test_the_largest_table_fits():
    table = rows(*(Partition(f"p{i}", 1, 6, 0x9000 + i * 0x1000, 0x1000) for i in range(94)))
    assert PartitionTable.from_bytes(table.to_bytes()) == table
    assert len(table.to_bytes()) == TABLE_SIZE


@pytest.mark.parametrize(
    "line",
    ["nvs, data, nvs", "nvs, data, nvs, , 0x6000", "nvs, data, other, 0x9000, 0x6000", "nvs, x, 1, 0x9000, 24K"],
)
def test_a_row_of_csv_that_leaves_something_open_is_refused(line):
    with pytest.raises(ImageError, match="no row of a partition table"):
        PartitionTable.from_csv(line)


def test_numbers_do_in_place_of_names():
    assert PartitionTable.from_csv("own, 0x40, 0x01, 0x9000, 4096") == rows(Partition("own", 0x40, 1, 0x9000, 4096))


def test_the_row_layout_is_the_documented_struct():
    assert struct.unpack("<2sBBII16sI", BINARY[64:96])[3:5] == (0x10000, 0x1F0000)
