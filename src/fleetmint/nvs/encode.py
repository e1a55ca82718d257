"""From names and values to the image of an NVS partition.

The result is, byte for byte, that of Espressif's nvs_partition_gen (multi-page blobs, version 2) for the same
namespaces and keys in the same order.
"""

import struct
from collections.abc import Mapping

from fleetmint.errors import NvsError
from fleetmint.nvs.layout import (
    BITMAP_OFFSET,
    ENTRIES_PER_PAGE,
    ENTRY_SIZE,
    FIRST_ENTRY_OFFSET,
    MAX_BLOB,
    MAX_CHUNKS,
    MAX_NAME,
    MAX_NAMESPACES,
    MIN_PAGES,
    NAMESPACE_OF_NAMES,
    NO_CHUNK,
    PAGE_SIZE,
    Entry,
    PageState,
    Type,
    crc32,
    page_header,
)


def encode(entries: Mapping[str, Mapping[str, int | bytes]], size: int) -> bytes:
    """Return the image of an NVS partition of `size` bytes that holds `entries` (namespace → key → value).

    An int is stored as a signed 32-bit integer, bytes as a blob: the two types that MicroPython's esp32.NVS can read.
    The image fills the whole partition, so that nothing of an older one stays readable, and its last page is empty:
    a device that finds no empty page erases all of its NVS.

    Raises NvsError for a name or value that NVS cannot hold, and when it does not all fit. Values are never part of
    a message: they are secrets.
    """
    if size % PAGE_SIZE or size < MIN_PAGES * PAGE_SIZE:
        raise NvsError(f"an NVS partition has at least {MIN_PAGES} pages of {PAGE_SIZE} bytes; {size:#x} bytes are not")
    if len(entries) > MAX_NAMESPACES:
        raise NvsError(f"NVS holds at most {MAX_NAMESPACES} namespaces, not {len(entries)}")
    writer = _Writer(size // PAGE_SIZE)
    for number, (namespace, values) in enumerate(entries.items(), start=1):
        writer.write(NAMESPACE_OF_NAMES, Type.U8, _name(namespace, "namespace"), struct.pack("<B", number))
        for key, value in values.items():
            _write_value(writer, number, key, f"{namespace}:{key}", value)
    return writer.image()


class _Writer:
    """Fills the pages of an image one after the other and keeps the last one empty."""

    def __init__(self, pages: int) -> None:
        self._pages = pages
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
        self._page += Entry(namespace, kind, 1, NO_CHUNK, name, value.ljust(8, b"\xff")).to_bytes()

    def write_chunk(self, namespace: int, name: bytes, chunk: int, data: bytes) -> None:
        """Append one chunk of a blob, which has to fit into this page."""
        padded = data.ljust(-(-len(data) // ENTRY_SIZE) * ENTRY_SIZE, b"\xff")
        span = 1 + len(padded) // ENTRY_SIZE
        value = struct.pack("<HHI", len(data), 0xFFFF, crc32(data))
        self._page += Entry(namespace, Type.BLOB_DATA, span, chunk, name, value).to_bytes() + padded

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
        bitmap = (1 << 8 * (FIRST_ENTRY_OFFSET - BITMAP_OFFSET)) - 1
        for entry in range(written):
            bitmap &= ~(1 << 2 * entry)
        header = page_header(state, len(self._done)) + bitmap.to_bytes(FIRST_ENTRY_OFFSET - BITMAP_OFFSET, "little")
        return (header + self._page).ljust(PAGE_SIZE, b"\xff")


def _write_value(writer: _Writer, namespace: int, key: str, label: str, value: int | bytes) -> None:
    name = _name(key, "key")
    if isinstance(value, int):
        try:
            packed = struct.pack("<i", value)
        except struct.error:
            raise NvsError(f"the number of {label} does not fit into 32 bits with a sign") from None
        writer.write(namespace, Type.I32, name, packed)
    elif isinstance(value, bytes):
        _write_blob(writer, namespace, name, label, value)
    else:
        raise NvsError(f"the value of {label} is a {type(value).__name__}; NVS takes int and bytes here")


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


def _name(text: str, kind: str) -> bytes:
    # ESP-IDF stores up to 15 bytes and a zero; anything but visible ASCII would not survive a console or a CSV
    if not 1 <= len(text) <= MAX_NAME or not all("!" <= character <= "~" for character in text):
        raise NvsError(f"{text!r} is no {kind} of NVS: it has to be 1 to {MAX_NAME} visible ASCII characters")
    return text.encode("ascii")
