"""What program a flash starts: read from the flash itself, before anything is written to it. Reads only.

Source: ESP-IDF, "App Image Format", esp_app_desc_t in esp_app_format, and bootloader_utility.c on what is started:

    image       E9 | segments u8 | … | chip_id u16 at 12 | … | whether a SHA-256 follows u8 at 23 | segments
    segment     address u32 | size u32 | data
    end         zeros up to the last byte of 16, which is EF xor all bytes of data; then the SHA-256 of all before it
    descriptor  at 32: 32 54 CD AB | version u32 | 8 bytes | version 32 | project 32 | …
    otadata     two sectors, each: sequence u32 | label 20 | state u32 | CRC-32 of the sequence u32
"""

import hashlib
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass

from fleetmint.errors import ImageError
from fleetmint.flash.table import APP, DATA, FACTORY, FIRST_OTA, OTA_DATA, SECTOR_SIZE, Partition, PartitionTable

MAGIC = 0xE9
MICROPYTHON = "micropython"
_HEADER = 24
_CHIP_ID = struct.Struct("<H")
_SEGMENT = struct.Struct("<II")
_DESCRIPTOR, _DESCRIPTOR_MAGIC = 32, b"\x32\x54\xcd\xab"
_MOST_SEGMENTS = 16
_CHECKSUM_SEED = 0xEF
_SHA256 = 32
_OTA_ENTRY = struct.Struct("<I24xI")
_OTA_SLOTS = range(FIRST_OTA, FIRST_OTA + 16)
# A larger image is not read as a whole, which takes the line half a minute: where a write was cut, its end is missing.
_WHOLE = 0x40000

# Returns `size` bytes from `offset` of a flash.
Read = Callable[[int, int], bytes]


@dataclass(frozen=True)
class Image:
    """A program for a chip with this `chip_id`; `project` and `version` are empty where it does not say them."""

    chip_id: int
    size: int
    project: str
    version: str

    @property
    def title(self) -> str:
        """What it is, for a person."""
        return f"{self.project!r} {self.version!r}" if self.project else "a program that does not say what it is"


def read_image(read: Read, offset: int, limit: int) -> Image:
    """Return what program `offset` of a flash holds, in at most `limit` bytes.

    Raises ImageError, with the rest of a sentence about it, when the place is blank or the image is not whole: its
    header, its segments and its end are looked at, and of one up to 256 KiB each byte.
    """
    head = read(offset, min(limit, 0x100))
    if not head.strip(b"\xff"):
        raise ImageError("is blank")
    if len(head) < 0x100 or head[0] != MAGIC or not 1 <= head[1] <= _MOST_SEGMENTS:
        raise ImageError("holds no ESP32 image")
    segments = []
    place = _HEADER
    for _ in range(head[1]):
        _, size = _SEGMENT.unpack(_part(read, offset, place, _SEGMENT.size, limit))
        segments.append((place + _SEGMENT.size, size))
        place += _SEGMENT.size + size
        if place > limit:
            raise ImageError("holds an image that was cut off or damaged: it says that it is longer than its place")
    end = (place // 16 + 1) * 16
    hashed = bool(head[23])
    size = end + (_SHA256 if hashed else 0)
    if size > limit:
        raise ImageError("holds an image that was cut off or damaged: it says that it is longer than its place")
    tail = read(offset + place, size - place)
    if len(tail) > 1 and not tail[-_SHA256:].strip(b"\xff"):
        raise ImageError("holds an image whose end is blank: writing it was cut off")
    if size <= _WHOLE:
        _check(read(offset, size), segments, end, hashed)
    (chip_id,) = _CHIP_ID.unpack_from(head, 12)
    project = version = ""
    if head[_DESCRIPTOR : _DESCRIPTOR + 4] == _DESCRIPTOR_MAGIC:
        version, project = (_text(head[start : start + 32]) for start in (_DESCRIPTOR + 16, _DESCRIPTOR + 48))
    return Image(chip_id, size, project, version)


def started(read: Read, table: PartitionTable) -> Partition:
    """Return the partition whose program a bootloader starts; raise ImageError when the table has none."""
    slots = {row.subtype: row for row in table.partitions if row.type == APP and row.subtype in _OTA_SLOTS}
    factory = [row for row in table.partitions if (row.type, row.subtype) == (APP, FACTORY)]
    choice = [row for row in table.partitions if (row.type, row.subtype) == (DATA, OTA_DATA)]
    if choice and slots:
        found = [_sequence(read(choice[0].offset + start, _OTA_ENTRY.size)) for start in (0, SECTOR_SIZE)]
        sequence = max((number for number in found if number is not None), default=None)
        if sequence is not None:
            chosen = FIRST_OTA + (sequence - 1) % len(slots)
            if chosen in slots:
                return slots[chosen]
    for row in (*factory, *(slots[subtype] for subtype in sorted(slots))):
        return row
    raise ImageError("the partition table has no partition for a program")


def _part(read: Read, offset: int, place: int, size: int, limit: int) -> bytes:
    if place + size > limit:
        raise ImageError("holds an image that was cut off or damaged: it says that it is longer than its place")
    return read(offset + place, size)


def _check(data: bytes, segments: list[tuple[int, int]], end: int, hashed: bool) -> None:
    checksum = _CHECKSUM_SEED
    for start, size in segments:
        for byte in data[start : start + size]:
            checksum ^= byte
    if data[end - 1] != checksum:
        raise ImageError("holds a damaged image: its checksum is wrong")
    if hashed and hashlib.sha256(data[:end]).digest() != data[end:]:
        raise ImageError("holds a damaged image: its SHA-256 is wrong")


def _sequence(entry: bytes) -> int | None:
    number, crc = _OTA_ENTRY.unpack(entry)
    valid = number not in (0, 0xFFFFFFFF) and crc == zlib.crc32(entry[:4], 0xFFFFFFFF) & 0xFFFFFFFF
    return int(number) if valid else None


def _text(field: bytes) -> str:
    return field.split(b"\0", 1)[0].decode("utf-8", "backslashreplace")
