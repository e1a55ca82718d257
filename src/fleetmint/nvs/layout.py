"""The NVS format, version 2: pages of 4096 bytes, each with 126 entries of 32 bytes.

Source: ESP-IDF, "Non-Volatile Storage Library", and components/nvs_flash/src/nvs_page.hpp.

    page   0  state u32 | sequence u32 | version u8 | 19 FF | CRC u32 of bytes 4..27
          32  two bits of state for each of the 126 entries, lowest bits first, 4 bits unused
          64  the entries
    entry  0  namespace u8 | type u8 | span u8 | chunk u8 | CRC u32 of the other 28 bytes | name 16 | value 8

A state only ever loses bits, because NOR flash turns ones into zeros without an erase. Numbers are little-endian.
Where data lies in the entries behind one (`span` counts them all), its value is size u16 | FFFF | CRC u32 of the data.
A blob is one or more BLOB_DATA entries, numbered in `chunk` and each within one page, and then a BLOB_INDEX with
size u32 | chunks u8 | first chunk u8 | FFFF. Updates of a blob start at chunk 0 and at chunk 128 in turns.
"""

import struct
import zlib
from dataclasses import dataclass
from enum import IntEnum

PAGE_SIZE = 4096
ENTRY_SIZE = 32
ENTRIES_PER_PAGE = 126
BITMAP_OFFSET = 32
FIRST_ENTRY_OFFSET = 64
# Two are the least with which a device can ever move a page, and ESP-IDF asks for one more.
MIN_PAGES = 3

VERSION_2 = 0xFE
NO_CHUNK = 0xFF
# Namespace 0 holds the names of the others, 255 means none.
NAMESPACE_OF_NAMES = 0
MAX_NAMESPACES = 254
MAX_NAME = 15
MAX_CHUNKS = 127
CHUNK_SIZE = (ENTRIES_PER_PAGE - 1) * ENTRY_SIZE
MAX_BLOB = MAX_CHUNKS * CHUNK_SIZE
# A string lies within one page, and its final zero counts.
MAX_STRING = CHUNK_SIZE


class PageState(IntEnum):
    """What a page is good for; any other value is a damaged page."""

    EMPTY = 0xFFFFFFFF
    ACTIVE = 0xFFFFFFFE
    FULL = 0xFFFFFFFC
    # its entries are being copied to a newer page, and still count
    FREEING = 0xFFFFFFF8


class EntryState(IntEnum):
    """What the two bits of an entry say; 1 never occurs."""

    EMPTY = 3
    WRITTEN = 2
    ERASED = 0


class Type(IntEnum):
    """The type of an entry; for integers the low digit is the width in bytes and 0x10 the sign."""

    U8 = 0x01
    U16 = 0x02
    U32 = 0x04
    U64 = 0x08
    I8 = 0x11
    I16 = 0x12
    I32 = 0x14
    I64 = 0x18
    STRING = 0x21
    # of version 1, limited to one page
    BLOB = 0x41
    BLOB_DATA = 0x42
    BLOB_INDEX = 0x48


_ENTRY = struct.Struct("<BBBBI16s8s")
_ENTRY_BEHIND_CRC = struct.Struct("<16s8s")
_CRC = struct.Struct("<I")
_PAGE = struct.Struct("<IIB19sI")


def crc32(data: bytes) -> int:
    """Return the CRC-32 of ESP's ROM: zlib's, started with all ones."""
    return zlib.crc32(data, 0xFFFFFFFF)


def pack_entry(namespace: int, kind: int, span: int, chunk: int, name: bytes, value: bytes) -> bytes:
    """Return the 32 bytes of an entry, with their CRC; `value` is its last 8."""
    head, tail = bytes((namespace, kind, span, chunk)), _ENTRY_BEHIND_CRC.pack(name, value)
    return head + _CRC.pack(zlib.crc32(tail, crc32(head))) + tail


@dataclass(frozen=True)
class Entry:
    """One entry of 32 bytes; `value` is its last 8."""

    namespace: int
    type: int
    span: int
    chunk: int
    name: bytes
    value: bytes

    def to_bytes(self) -> bytes:
        """Return the 32 bytes, with their CRC."""
        return pack_entry(self.namespace, self.type, self.span, self.chunk, self.name, self.value)

    @classmethod
    def from_bytes(cls, raw: bytes) -> "Entry | None":
        """Return the entry in these 32 bytes, or None when their CRC is wrong."""
        namespace, kind, span, chunk, crc, name, value = _ENTRY.unpack(raw)
        if crc != crc32(raw[:4] + raw[8:]):
            return None
        return cls(namespace, kind, span, chunk, name.split(b"\0", 1)[0], value)


def page_header(state: PageState, sequence: int) -> bytes:
    """Return the first 32 bytes of a page of version 2."""
    raw = _PAGE.pack(state, sequence, VERSION_2, b"\xff" * 19, 0)
    return raw[:28] + _CRC.pack(crc32(raw[4:28]))


def page_sequence(page: bytes) -> int | None:
    """Return the sequence number in a page's header, or None when the header's CRC is wrong."""
    _, sequence, _, _, crc = _PAGE.unpack_from(page)
    return int(sequence) if crc == crc32(page[4:28]) else None
