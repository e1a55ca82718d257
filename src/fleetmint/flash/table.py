"""Partition tables of ESP-IDF: which part of the flash is what.

Source: ESP-IDF, "Partition Tables", and components/partition_table/gen_esp32part.py. The table lies at 0x8000 on every
chip. It is 0xC00 bytes of rows of 32 bytes, little-endian, padded with FF:

    row  0  AA 50 | type u8 | subtype u8 | offset u32 | size u32 | name 16, padded with zeros | flags u32
    md5  0  EB EB | 14 FF | MD5 of all rows before it

A bootloader looks at the magic numbers and the MD5 alone, so boards in the field have rows that Espressif's generator
would not make: unaligned, overlapping, named in UTF-8. They are read as they are. What is unusual about a table is a
remark; what keeps a station from writing to it is an error that says so.
"""

import hashlib
import struct
from dataclasses import dataclass, replace

from fleetmint.errors import FlashTooSmallError, ImageError

TABLE_OFFSET = 0x8000
TABLE_SIZE = 0xC00
SECTOR_SIZE = 0x1000
FIRST_PARTITION_OFFSET = TABLE_OFFSET + SECTOR_SIZE
MAX_NAME = 16

APP = 0x00
DATA = 0x01
# Rows that ESP-IDF 5.4 and newer may have for what lies before the first partition.
BOOTLOADER = 0x02
TABLE = 0x03
FACTORY = 0x00
OTA_DATA = 0x00
FIRST_OTA = 0x10
NVS = 0x02
NVS_KEYS = 0x04
FAT = 0x81
# The type and the name by which ESP-IDF's component finds a device's certificate and key (secure_cert.py).
OWN_IDENTITY = 0x3F
ESP_SECURE_CERT = "esp_secure_cert"
# The flag of a row: the bootloader encrypts the partition at the first start, where it encrypts the flash at all.
ENCRYPTED = 1

_ROW = struct.Struct("<2sBBII16sI")
_ROW_MAGIC = b"\xaa\x50"
_MD5_MAGIC = b"\xeb\xeb" + b"\xff" * 14
_END = b"\xff" * _ROW.size
_TYPES = {"app": APP, "data": DATA, "bootloader": BOOTLOADER, "partition_table": TABLE}
# From here on types are the maker's own; what is between is Espressif's, and not given away yet.
_OWN_TYPES = 0x40
_SUBTYPES = {
    (APP, "factory"): FACTORY,
    **{(APP, f"ota_{slot}"): FIRST_OTA + slot for slot in range(16)},
    (APP, "test"): 0x20,
    **{(kind, name): number for kind in (BOOTLOADER, TABLE) for number, name in enumerate(("primary", "ota"))},
    (BOOTLOADER, "recovery"): 0x02,
    (DATA, "ota"): OTA_DATA,
    (DATA, "phy"): 0x01,
    (DATA, "nvs"): NVS,
    (DATA, "coredump"): 0x03,
    (DATA, "nvs_keys"): NVS_KEYS,
    (DATA, "efuse"): 0x05,
    (DATA, "undefined"): 0x06,
    (DATA, "esphttpd"): 0x80,
    (DATA, "fat"): FAT,
    (DATA, "spiffs"): 0x82,
    (DATA, "littlefs"): 0x83,
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
    """One row: `offset` and `size` in bytes; `type` and `subtype` are Espressif's numbers, `kind` their names."""

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

    @property
    def kind(self) -> str:
        """Type and subtype in words, such as "data nvs"; a number where there is no word."""
        kind = next((name for name, number in _TYPES.items() if number == self.type), f"{self.type:#04x}")
        words = [name for (number, name), sub in _SUBTYPES.items() if (number, sub) == (self.type, self.subtype)]
        return f"{kind} {words[0] if words else f'{self.subtype:#04x}'}"


@dataclass(frozen=True)
class PartitionTable:
    """The rows in their order, as a bootloader takes them."""

    partitions: tuple[Partition, ...]

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
            text = name.split(b"\0", 1)[0].decode("utf-8", "backslashreplace")
            found.append(Partition(text, kind, subtype, offset, size, flags))
        if not found:
            raise ImageError("no partition table: it has no row")
        return cls(tuple(found))

    @classmethod
    def from_csv(cls, text: str) -> "PartitionTable":
        """Return the table that `text` describes in ESP-IDF's CSV: name, type, subtype, offset, size, flags.

        Offset and size have to be given, as numbers, and the flags column has to be empty. A table with anything
        unusual about it raises ImageError.
        """
        lines = [line.strip() for line in text.splitlines()]
        table = cls(tuple(_from_csv_line(line) for line in lines if line and not line.startswith("#")))
        for partition, remark in table.remarks():
            raise ImageError(f"partition {partition.name!r} {remark}")
        return table

    def to_bytes(self) -> bytes:
        """Return the 0xC00 bytes of the table, with its MD5 row; raise ImageError when it has too many rows."""
        if (len(self.partitions) + 1) * _ROW.size >= TABLE_SIZE:
            most = TABLE_SIZE // _ROW.size - 2
            raise ImageError(f"a partition table has at most {most} partitions, not {len(self.partitions)}")
        rows = b"".join(
            _ROW.pack(_ROW_MAGIC, p.type, p.subtype, p.offset, p.size, p.name.encode(), p.flags)
            for p in self.partitions
        )
        rows += _MD5_MAGIC + hashlib.md5(rows, usedforsecurity=False).digest()
        return rows.ljust(TABLE_SIZE, b"\xff")

    def find(self, name: str) -> Partition:
        """Return the first partition called `name`; raise ImageError if there is none."""
        for partition in self.partitions:
            if partition.name == name:
                return partition
        names = ", ".join(partition.name for partition in self.partitions)
        raise ImageError(f"the partition table has no partition {name!r}, only {names}")

    def writable(self, name: str) -> Partition:
        """Return the partition called `name`; raise ImageError when a station cannot write it without harm."""
        found = self.find(name)
        if found.type != DATA:
            raise ImageError(f"the partition {name!r} is {found.kind}, and has to be data")
        return self.checked(found)

    def checked(self, found: Partition) -> Partition:
        """Return a partition of this table; raise ImageError when it cannot be written without harm to what is near."""
        name = found.name
        if found.offset % SECTOR_SIZE or found.size < SECTOR_SIZE:
            raise ImageError(
                f"the partition {name!r} at {found.offset:#x} of {found.size:#x} bytes does not start with a sector of"
                f" {SECTOR_SIZE:#x} bytes, or has none of its own: writing it would erase what is beside it"
            )
        for other in self.partitions:
            if other is not found and other.offset < found.end and found.offset < other.end:
                raise ImageError(f"the partition {name!r} overlaps {other.name!r}: writing the one spoils the other")
        if found.offset < FIRST_PARTITION_OFFSET:
            raise ImageError(f"the partition {name!r} at {found.offset:#x} lies in the partition table or before it")
        return found

    @property
    def end(self) -> int:
        """The offset of the first byte behind the last partition: the least flash it needs, in bytes."""
        return max(partition.end for partition in self.partitions)

    def with_vfs(self, flash_size: int) -> "PartitionTable":
        """Return the table with a file system: its own, or one in all the flash behind the last partition.

        The second is what a MicroPython whose table has none does by itself at boot, in a flash of `flash_size` bytes.
        Raises ImageError where that has no place, and where MicroPython would take a FAT.
        """
        names = [partition.name for partition in self.partitions]
        if "vfs" in names:
            return self
        if "ffat" in names:
            raise ImageError(
                "the partition table's file system is a FAT called ffat, which this station does not write: choose a"
                " layout or a firmware with a littlefs called vfs"
            )
        if flash_size <= self.end:
            raise FlashTooSmallError(
                f"a flash of {flash_size:#x} bytes has no room for a file system behind {self.end:#x}"
            )
        if self.end % SECTOR_SIZE:
            last = max(self.partitions, key=lambda partition: partition.end)
            raise ImageError(
                f"the flash behind the partition table has no aligned place for a file system: {last.name!r} ends at"
                f" {self.end:#x}, which is no multiple of {SECTOR_SIZE:#x}"
            )
        vfs = Partition("vfs", DATA, FAT, self.end, flash_size - self.end)
        return replace(self, partitions=(*self.partitions, vfs))

    def remarks(self, flash_size: int | None = None) -> tuple[tuple[Partition, str], ...]:
        """Return what is unusual about a partition, as the rest of a sentence, for each about which something is.

        Bootloaders take all of it, except what ends behind a flash of `flash_size` bytes.
        """
        found: list[tuple[Partition, str]] = []
        for number, row in enumerate(self.partitions):
            others = self.partitions[:number]
            found += [(row, remark) for remark in _remarks(row, flash_size)]
            if row.name in {other.name for other in others}:
                found.append((row, "has the same name as another one"))
            found += [
                (row, f"at {row.offset:#x} overlaps {other.name!r}")
                for other in others
                if other.offset < row.end and row.offset < other.end
            ]
        return tuple(found)


def stock(layout: str, flash_size: int | None = None) -> PartitionTable:
    """Return MicroPython's own table `layout` (one of STOCK_LAYOUTS) with a file system to the end of the flash.

    `flash_size` is that of the board in bytes; None means the one in the layout's name.
    """
    if layout not in _STOCK:
        raise ImageError(f"there is no layout {layout!r}; choose one of {', '.join(STOCK_LAYOUTS)}")
    rows, least = _STOCK[layout]
    if flash_size is not None and flash_size < least:
        raise FlashTooSmallError(
            f"layout {layout} is for a flash of {least:#x} bytes and more; this one has {flash_size:#x}"
        )
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


def _remarks(row: Partition, flash_size: int | None) -> list[str]:
    """Return what is unusual about one row by itself."""
    found = []
    alignment = 0x10000 if row.type == APP else SECTOR_SIZE
    if not 1 <= len(row.name.encode()) <= MAX_NAME or not row.name.isprintable():
        found.append(f"has a name that is no name: 1 to {MAX_NAME} bytes of visible UTF-8 are")
    if row.offset % alignment:
        found.append(f"at {row.offset:#x} does not start at a multiple of {alignment:#x}")
    if not row.size:
        found.append("has no size")
    elif row.size % SECTOR_SIZE:
        found.append(f"has {row.size:#x} bytes, which are no multiple of {SECTOR_SIZE:#x}")
    if row.type not in (BOOTLOADER, TABLE) and row.offset < FIRST_PARTITION_OFFSET:
        found.append(f"at {row.offset:#x} lies before {FIRST_PARTITION_OFFSET:#x}, where the partition table ends")
    if row.type not in (*_TYPES.values(), OWN_IDENTITY) and row.type < _OWN_TYPES:
        found.append(f"has the type {row.type:#04x}, which ESP-IDF has not given a meaning")
    if flash_size is not None and row.end > flash_size:
        found.append(f"ends at {row.end:#x}, behind a flash of {flash_size:#x} bytes: no bootloader takes that")
    return found
