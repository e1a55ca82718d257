"""The partition esp_secure_cert, from which firmware with ESP-IDF's component of that name has its key: bytes only.

Source: espressif/esp_secure_cert_mgr, its description of the format and its reader in C, and tlv_format_construct.py of
Espressif's esp-secure-cert-tool, which writes the same bytes. Entries stand one behind the other, little-endian:

    entry   BA5EBA11 u32 | flags u8 | 3 zeros | type u8 | subtype u8 | length u16 | data | zeros to 16 bytes
            | CRC-32 of all of it, begun with FFFFFFFF
    end     anything but the magic number: erased flash, FF

A reader takes the first entry of a type and subtype. PEM has a zero byte behind it, as C has its strings. The last
entry is of the type INTEGRITY: the SHA-256 of all entries before it. Bits of the flags of a private key say that it is
none to be read: 80 encrypted, 40 derived, 08 kept in an eFuse.
"""

import hashlib
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field

from fleetmint.errors import ImageError
from fleetmint.flash.table import ESP_SECURE_CERT, OWN_IDENTITY, Partition, PartitionTable

CA_CERTIFICATE, DEVICE_CERTIFICATE, PRIVATE_KEY = 0, 1, 2
INTEGRITY = 9
TYPES = {
    CA_CERTIFICATE: "CA certificate",
    DEVICE_CERTIFICATE: "device certificate",
    PRIVATE_KEY: "private key",
    3: "encrypted key of the digital signature peripheral",
    4: "context of the digital signature peripheral",
    5: "salt of a derived key",
    6: "security configuration",
    7: "key of the TEE's storage",
    8: "signature block",
    INTEGRITY: "integrity",
}
# What Espressif's tool fills at most, and what its documentation has in the partition table.
SIZE = 0x2000
_MAGIC = 0xBA5EBA11
MAGIC = _MAGIC.to_bytes(4, "little")
_HEADER = struct.Struct("<IB3xBBH")
_CRC = struct.Struct("<I")
_ALIGNMENT = 16


@dataclass(frozen=True)
class Entry:
    """One entry: `type` is one of TYPES or the maker's own, `subtype` counts those of a type. `data` can be a key."""

    type: int
    data: bytes = field(repr=False)
    subtype: int = 0
    flags: int = 0


def encode(entries: Sequence[Entry], size: int = SIZE) -> bytes:
    """Return a partition of `size` bytes with these entries and the one of their integrity; ImageError if too small."""
    body = b"".join(map(_encode, entries))
    body += _encode(Entry(INTEGRITY, hashlib.sha256(body).digest()))
    # a reader looks for one more header behind the last entry
    if len(body) + _HEADER.size > size:
        raise ImageError(f"the identity takes {len(body)} bytes, and the partition {ESP_SECURE_CERT!r} has {size}")
    return body.ljust(size, b"\xff")


def decode(data: bytes) -> tuple[Entry, ...]:
    """Return the entries of a partition without that of their integrity, empty for none; ImageError if damaged."""
    found: list[Entry] = []
    place = 0
    while data[place : place + len(MAGIC)] == MAGIC:
        number = len(found) + 1
        if place + _HEADER.size > len(data):
            raise ImageError(f"{ESP_SECURE_CERT} is cut off in entry {number}")
        _, flags, kind, subtype, length = _HEADER.unpack_from(data, place)
        start = place + _HEADER.size
        end = start + length + -length % _ALIGNMENT
        if end + _CRC.size > len(data):
            raise ImageError(f"{ESP_SECURE_CERT} is cut off in entry {number}")
        if _CRC.unpack_from(data, end)[0] != zlib.crc32(data[place:end], 0xFFFFFFFF):
            raise ImageError(f"{ESP_SECURE_CERT} is damaged: entry {number} has a wrong CRC")
        if kind == INTEGRITY:
            if data[start : start + length] != hashlib.sha256(data[:place]).digest():
                raise ImageError(f"{ESP_SECURE_CERT} is damaged: its integrity entry is not of what lies before it")
        else:
            found.append(Entry(kind, data[start : start + length], subtype, flags))
        place = end + _CRC.size
    return tuple(found)


def place_of(table: PartitionTable) -> Partition:
    """Return the partition of a table; raise ImageError when it has none, or a station cannot write it without harm."""
    rows = [row for row in table.partitions if (row.type, row.name) == (OWN_IDENTITY, ESP_SECURE_CERT)]
    if not rows:
        raise ImageError(
            f"the partition table has no partition {ESP_SECURE_CERT!r} of type {OWN_IDENTITY:#x}: use firmware that was"
            f" built with one, such as `{ESP_SECURE_CERT}, 0x3F, , 0xD000, 0x2000, encrypted`"
        )
    table.checked(rows[0])
    if rows[0].size < SIZE:
        raise ImageError(f"the partition {ESP_SECURE_CERT!r} has {rows[0].size:#x} bytes, and has to have {SIZE:#x}")
    return rows[0]


def _encode(entry: Entry) -> bytes:
    head = _HEADER.pack(_MAGIC, entry.flags, entry.type, entry.subtype, len(entry.data))
    body = head + entry.data + bytes(-len(entry.data) % _ALIGNMENT)
    return body + _CRC.pack(zlib.crc32(body, 0xFFFFFFFF))


def numbered(kind: int, contents: Sequence[bytes]) -> tuple[Entry, ...]:
    """Return an entry of one type for each of `contents`, in their order."""
    return tuple(Entry(kind, content, number) for number, content in enumerate(contents))
