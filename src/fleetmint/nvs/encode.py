"""From names and values to the image of an NVS partition.

The result is, byte for byte, that of Espressif's nvs_partition_gen (multi-page blobs, version 2) for the same
namespaces and keys in the same order. It also takes strings of 3,969 to 4,000 bytes, which ESP-IDF can read and the
generator gives up on.
"""

import struct

from fleetmint.errors import NvsError
from fleetmint.nvs.crypt import NvsKeys, encrypt_page
from fleetmint.nvs.layout import (
    BITMAP_OFFSET,
    ENTRIES_PER_PAGE,
    ENTRY_SIZE,
    FIRST_ENTRY_OFFSET,
    MAX_BLOB,
    MAX_CHUNKS,
    MAX_NAMESPACES,
    MIN_PAGES,
    NAMESPACE_OF_NAMES,
    NO_CHUNK,
    PAGE_SIZE,
    PageState,
    Type,
    crc32,
    pack_entry,
    page_header,
)
from fleetmint.nvs.values import BLOB, STRING, Entries, Value, check_name

# type → what the entry says, and how its number lies in it
_NUMBERS = {
    "u8": (Type.U8, struct.Struct("<B")),
    "u16": (Type.U16, struct.Struct("<H")),
    "u32": (Type.U32, struct.Struct("<I")),
    "u64": (Type.U64, struct.Struct("<Q")),
    "i8": (Type.I8, struct.Struct("<b")),
    "i16": (Type.I16, struct.Struct("<h")),
    "i32": (Type.I32, struct.Struct("<i")),
    "i64": (Type.I64, struct.Struct("<q")),
}

_DATA = struct.Struct("<HHI")
_BITMAP_SIZE = FIRST_ENTRY_OFFSET - BITMAP_OFFSET
_EMPTY = (1 << 8 * _BITMAP_SIZE) - 1
_LOWER_BITS = _EMPTY // 3


def encode(entries: Entries, size: int, keys: NvsKeys | None = None) -> bytes:
    """Return the image of an NVS partition of `size` bytes that holds `entries` (namespace → key → value).

    A Value says its type; a bare int is stored as i32 and bare bytes as a blob, the two types that MicroPython's
    esp32.NVS can read. With `keys` the entries are encrypted (which MicroPython's stock build cannot read).
    The image fills the whole partition, so that nothing of an older one stays readable, and its last page is empty:
    a device that finds no empty page erases all of its NVS.

    Raises NvsError for a name or value that NVS cannot hold, and when it does not all fit. Values are never part of
    a message: they are secrets.
    """
    if size % PAGE_SIZE or size < MIN_PAGES * PAGE_SIZE:
        raise NvsError(f"an NVS partition has at least {MIN_PAGES} pages of {PAGE_SIZE} bytes; {size:#x} bytes are not")
    if len(entries) > MAX_NAMESPACES:
        raise NvsError(f"NVS holds at most {MAX_NAMESPACES} namespaces, not {len(entries)}")
    writer = _Writer(size // PAGE_SIZE, keys)
    for number, (namespace, values) in enumerate(entries.items(), start=1):
        writer.write(NAMESPACE_OF_NAMES, Type.U8, check_name(namespace, "namespace"), struct.pack("<B", number))
        for key, value in values.items():
            _write_value(writer, number, key, f"{namespace}:{key}", value)
    return writer.image()


class _Writer:
    """Fills the pages of an image one after the other and keeps the last one empty."""

    def __init__(self, pages: int, keys: NvsKeys | None) -> None:
        self._pages = pages
        self._keys = keys
        self._done: list[bytes] = []
        self._page = bytearray()

    @property
    def room(self) -> int:
        """Bytes of data that still fit into this page behind one header; negative when the page is full."""
        return (ENTRIES_PER_PAGE - 1) * ENTRY_SIZE - len(self._page)

    def write(self, namespace: int, kind: Type, name: bytes, value: bytes) -> None:
        """Append one entry with up to 8 bytes of value, on a new page if this one is full."""
        if self.room < 0:
            self.turn_page()
        self._page += pack_entry(namespace, kind, 1, NO_CHUNK, name, value.ljust(8, b"\xff"))

    def write_chunk(self, namespace: int, name: bytes, chunk: int, data: bytes) -> None:
        """Append one chunk of a blob, which has to fit into this page."""
        self._write_data(namespace, Type.BLOB_DATA, chunk, name, data)

    def write_string(self, namespace: int, name: bytes, data: bytes) -> None:
        """Append a string, with its final zero, within one page."""
        # Espressif's generator never fills the last entry of a page with a string, and so do we, as long as it goes
        # onto an empty page then.
        if self._page and len(data) > self.room - ENTRY_SIZE:
            self.turn_page()
        self._write_data(namespace, Type.STRING, NO_CHUNK, name, data)

    def _write_data(self, namespace: int, kind: Type, chunk: int, name: bytes, data: bytes) -> None:
        padded = data.ljust(-(-len(data) // ENTRY_SIZE) * ENTRY_SIZE, b"\xff")
        span = 1 + len(padded) // ENTRY_SIZE
        value = _DATA.pack(len(data), 0xFFFF, crc32(data))
        self._page += pack_entry(namespace, kind, span, chunk, name, value) + padded

    def turn_page(self) -> None:
        if len(self._done) + 2 >= self._pages:
            raise NvsError(
                f"the values do not fit into an NVS partition of {self._pages * PAGE_SIZE:#x} bytes, whose last page "
                "has to stay empty: store less, or use a partition table with a larger NVS"
            )
        self._done.append(self._finished(PageState.FULL))
        self._page = bytearray()

    def image(self) -> bytes:
        pages = [*self._done, self._finished(PageState.ACTIVE)]
        return b"".join(pages).ljust(self._pages * PAGE_SIZE, b"\xff")

    def _finished(self, state: PageState) -> bytes:
        written = len(self._page) // ENTRY_SIZE
        # WRITTEN is 0b10 and EMPTY 0b11: clear the lower bit of each written entry
        bitmap = _EMPTY ^ (_LOWER_BITS & ((1 << 2 * written) - 1))
        number = len(self._done)
        entries = self._page if self._keys is None else encrypt_page(self._page, number, self._keys)
        header = page_header(state, number) + bitmap.to_bytes(_BITMAP_SIZE, "little")
        return (header + entries).ljust(PAGE_SIZE, b"\xff")


def _write_value(writer: _Writer, namespace: int, key: str, label: str, value: int | bytes | Value) -> None:
    name = check_name(key, "key")
    kind, content = (value.type, value.content) if isinstance(value, Value) else (_BARE.get(type(value)), value)
    if isinstance(content, int) and kind in _NUMBERS:
        number, layout = _NUMBERS[kind]
        try:
            packed = layout.pack(content)
        except struct.error:
            raise NvsError(f"the number of {label} does not fit into 32 bits with a sign") from None
        writer.write(namespace, number, name, packed)
    elif isinstance(content, bytes) and kind == STRING:
        writer.write_string(namespace, name, content + b"\0")
    elif isinstance(content, bytes) and kind == BLOB:
        _write_blob(writer, namespace, name, label, content)
    else:
        raise NvsError(f"the value of {label} is a {type(value).__name__}; NVS takes int, bytes and Value here")


def _write_blob(writer: _Writer, namespace: int, name: bytes, label: str, data: bytes) -> None:
    if len(data) > MAX_BLOB:
        raise NvsError(f"the blob {label} has {len(data)} bytes; NVS takes at most {MAX_BLOB}")
    if writer.room < 0:
        writer.turn_page()
    chunks, rest = 0, data
    while True:
        room = writer.room
        part, rest = rest[:room], rest[room:]
        if chunks == MAX_CHUNKS:
            raise NvsError(f"the blob {label} would need more than {MAX_CHUNKS} chunks: make it smaller")
        writer.write_chunk(namespace, name, chunks, part)
        chunks += 1
        if not rest:
            break
        writer.turn_page()
    writer.write(namespace, Type.BLOB_INDEX, name, struct.pack("<IBB", len(data), chunks, 0))


_BARE: dict[type, str] = {int: "i32", bytes: BLOB}
