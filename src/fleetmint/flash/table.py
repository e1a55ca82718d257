"""Partition tables of ESP-IDF: which part of the flash is what.

Source: ESP-IDF, "Partition Tables", and components/partition_table/gen_esp32part.py. The table lies at 0x8000 on every
chip. It is 0xC00 bytes of rows of 32 bytes, little-endian, padded with FF:

    row  0  AA 50 | type u8 | subtype u8 | offset u32 | size u32 | name 16, padded with zeros | flags u32
    md5  0  EB EB | 14 FF | MD5 of all rows before it
"""

import hashlib
import struct
from collections.abc import Iterable
from dataclasses import dataclass, replace

from fleetmint.errors import ImageError

TABLE_OFFSET = 0x8000
TABLE_SIZE = 0xC00
SECTOR_SIZE = 0x1000
FIRST_PARTITION_OFFSET = TABLE_OFFSET + SECTOR_SIZE
MAX_NAME = 16

APP = 0x00
DATA = 0x01
NVS = 0x02
FAT = 0x81

_ROW = struct.Struct("<2sBBII16sI")
_ROW_MAGIC = b"\xaa\x50"
_MD5_MAGIC = b"\xeb\xeb" + b"\xff" * 14
_END = b"\xff" * _ROW.size
_TYPES = {"app": APP, "data": DATA}
_SUBTYPES = {
    (APP, "factory"): 0x00,
    **{(APP, f"ota_{slot}"): 0x10 + slot for slot in range(16)},
    (DATA, "ota"): 0x00,
    (DATA, "phy"): 0x01,
    (DATA, "nvs"): NVS,
    (DATA, "coredump"): 0x03,
    (DATA, "nvs_keys"): 0x04,
    (DATA, "fat"): FAT,
    (DATA, "spiffs"): 0x82,
}
# The rows of MicroPython's ports/esp32/partitions-*.csv, which are the same on every chip. A row `vfs` with the rest of
# the flash is left out here: some releases have it and others make the same file system without one. A table of ours
# says where it is, since only then can a station find the place (`with_vfs`).
_HEAD = """
    nvs,      data, nvs,     0x9000,   0x6000,
    phy_init, data, phy,     0xf000,   0x1000,
"""
_HEAD_OTA = """
    nvs,      data, nvs,     0x9000,   0x4000,
    otadata,  data, ota,     0xd000,   0x2000,
    phy_init, data, phy,     0xf000,   0x1000,
"""
_SINGLE = f"{_HEAD} factory, app, factory, 0x10000, 0x1F0000,"
# 2.4 MiB a slot, on every flash from 8 MiB on
_OTA = f"{_HEAD_OTA} ota_0, app, ota_0, 0x10000, 0x270000,\n ota_1, app, ota_1, 0x280000, 0x270000,"
_MIB = 0x100000
# layout → rows and the least flash it is made for
_STOCK = {
    "4MiB": (_SINGLE, 4 * _MIB),
    # builds with a read-only file system in the flash behind the app
    "4MiB-romfs": (
        f"{_HEAD} factory, app, factory, 0x10000, 0x1D0000,\n romfs, data, 0x8f, 0x1E0000, 0x20000,",
        4 * _MIB,
    ),
    "4MiB-ota": (
        f"{_HEAD_OTA} ota_0, app, ota_0, 0x10000, 0x180000,\n ota_1, app, ota_1, 0x190000, 0x180000,",
        4 * _MIB,
    ),
    "8MiB": (_SINGLE, 8 * _MIB),
    "8MiB-ota": (_OTA, 8 * _MIB),
    "16MiB": (_SINGLE, 16 * _MIB),
    "16MiB-ota": (_OTA, 16 * _MIB),
    "32MiB": (_SINGLE, 32 * _MIB),
    "32MiB-ota": (_OTA, 32 * _MIB),
}
STOCK_LAYOUTS = tuple(_STOCK)
# Where else a station can take the table from.
FROM_BOARD = "board"
FROM_FIRMWARE = "firmware"
LAYOUTS = (*STOCK_LAYOUTS, FROM_BOARD, FROM_FIRMWARE)


@dataclass(frozen=True)
class Partition:
    """One row: `offset` and `size` in bytes; `type` 0 is app and 1 data, `subtype` depends on it."""

    name: str
    type: int
    subtype: int
    offset: int
    size: int
    flags: int = 0

    @property
    def end(self) -> int:
        """The offset of the first byte behind it."""
        return self.offset + self.size


@dataclass(frozen=True)
class PartitionTable:
    """The rows in their order; making one that a bootloader would refuse raises ImageError."""

    partitions: tuple[Partition, ...]

    def __post_init__(self) -> None:
        _check(self.partitions)

    @classmethod
    def from_bytes(cls, data: bytes) -> "PartitionTable":
        """Return the table that `data` starts with; raise ImageError if there is none, or its MD5 is wrong."""
        found: list[Partition] = []
        for start in range(0, min(len(data), TABLE_SIZE), _ROW.size):
            row = data[start : start + _ROW.size]
            if row == _END:
                break
            if row.startswith(_MD5_MAGIC[:2]):
                if row[16:] != hashlib.md5(data[:start], usedforsecurity=False).digest():
                    raise ImageError("the partition table is damaged: its MD5 is wrong")
                continue
            if len(row) < _ROW.size or not row.startswith(_ROW_MAGIC):
                raise ImageError(f"no partition table: row {start // _ROW.size} does not start with AA 50")
            _, kind, subtype, offset, size, name, flags = _ROW.unpack(row)
            text = name.split(b"\0", 1)[0].decode("ascii", "replace")
            found.append(Partition(text, kind, subtype, offset, size, flags))
        if not found:
            raise ImageError("no partition table: it has no row")
        return cls(tuple(found))

    @classmethod
    def from_csv(cls, text: str) -> "PartitionTable":
        """Return the table that `text` describes in ESP-IDF's CSV: name, type, subtype, offset, size, flags.

        Offset and size have to be given, as numbers, and the flags column has to be empty.
        """
        lines = [line.strip() for line in text.splitlines()]
        return cls(tuple(_from_csv_line(line) for line in lines if line and not line.startswith("#")))

    def to_bytes(self) -> bytes:
        """Return the 0xC00 bytes of the table, with its MD5 row."""
        rows = b"".join(
            _ROW.pack(_ROW_MAGIC, p.type, p.subtype, p.offset, p.size, p.name.encode("ascii"), p.flags)
            for p in self.partitions
        )
        rows += _MD5_MAGIC + hashlib.md5(rows, usedforsecurity=False).digest()
        return rows.ljust(TABLE_SIZE, b"\xff")

    def find(self, name: str) -> Partition:
        """Return the partition called `name`; raise ImageError if there is none."""
        for partition in self.partitions:
            if partition.name == name:
                return partition
        names = ", ".join(partition.name for partition in self.partitions)
        raise ImageError(f"the partition table has no partition {name!r}, only {names}")

    @property
    def end(self) -> int:
        """The offset of the first byte behind the last partition: the least flash it needs, in bytes."""
        return max(partition.end for partition in self.partitions)

    def with_vfs(self, flash_size: int) -> "PartitionTable":
        """Return the table with a file system: its own, or one in all the flash behind the last partition.

        The second is what a MicroPython whose table has none does by itself at boot, in a flash of `flash_size` bytes.
        """
        if any(partition.name in ("vfs", "ffat") for partition in self.partitions):
            return self
        if flash_size <= self.end:
            raise ImageError(f"a flash of {flash_size:#x} bytes has no room for a file system behind {self.end:#x}")
        vfs = Partition("vfs", DATA, FAT, self.end, flash_size - self.end)
        return replace(self, partitions=(*self.partitions, vfs))


def stock(layout: str, flash_size: int | None = None) -> PartitionTable:
    """Return MicroPython's own table `layout` (one of STOCK_LAYOUTS) with a file system to the end of the flash.

    `flash_size` is that of the board in bytes; None means the one in the layout's name.
    """
    if layout not in _STOCK:
        raise ImageError(f"there is no layout {layout!r}; choose one of {', '.join(STOCK_LAYOUTS)}")
    rows, least = _STOCK[layout]
    if flash_size is not None and flash_size < least:
        raise ImageError(f"layout {layout} is for a flash of {least:#x} bytes and more; this one has {flash_size:#x}")
    return PartitionTable.from_csv(rows).with_vfs(least if flash_size is None else flash_size)


def _from_csv_line(line: str) -> Partition:
    fields = [field.strip() for field in line.split(",")]
    if len(fields) not in (5, 6) or any(fields[5:]):
        raise ImageError(f"{line!r} is no row of a partition table: name, type, subtype, offset, size are needed")
    name, kind, subtype, offset, size = fields[:5]
    try:
        number = _TYPES[kind] if kind in _TYPES else int(kind, 0)
        sub = _SUBTYPES[number, subtype] if (number, subtype) in _SUBTYPES else int(subtype, 0)
        return Partition(name, number, sub, int(offset, 0), int(size, 0))
    except ValueError as error:
        raise ImageError(f"{line!r} is no row of a partition table: {error}") from error


def _check(partitions: Iterable[Partition]) -> None:
    rows = list(partitions)
    if (len(rows) + 1) * _ROW.size >= TABLE_SIZE:
        raise ImageError(f"a partition table has at most {TABLE_SIZE // _ROW.size - 2} partitions, not {len(rows)}")
    for row in rows:
        if not 1 <= len(row.name) <= MAX_NAME or not row.name.isascii() or not row.name.isprintable():
            raise ImageError(f"{row.name!r} is no name of a partition: it has to be 1 to {MAX_NAME} ASCII characters")
        alignment = 0x10000 if row.type == APP else SECTOR_SIZE
        if row.offset % alignment:
            raise ImageError(
                f"partition {row.name!r} at {row.offset:#x} does not start at a multiple of {alignment:#x}"
            )
        if row.size <= 0:
            raise ImageError(f"partition {row.name!r} has no size")
    if len({row.name for row in rows}) < len(rows):
        raise ImageError("two partitions have the same name")
    end = FIRST_PARTITION_OFFSET
    for row in sorted(rows, key=lambda row: row.offset):
        if row.offset < end:
            raise ImageError(f"partition {row.name!r} at {row.offset:#x} overlaps what ends at {end:#x}")
        end = row.end
