"""From the image of an NVS partition to what a device would read from it.

Reads what this package wrote and what ESP-IDF wrote since: erased and updated entries, pages in any order, blobs over
several pages, values of every type. Where a power cut left two versions of a value, the one written last counts.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from fleetmint.errors import NvsError
from fleetmint.nvs.crypt import NvsKeys, decrypt
from fleetmint.nvs.layout import (
    BITMAP_OFFSET,
    ENTRIES_PER_PAGE,
    ENTRY_SIZE,
    FIRST_ENTRY_OFFSET,
    NAMESPACE_OF_NAMES,
    PAGE_SIZE,
    Entry,
    EntryState,
    PageState,
    Type,
    crc32,
    page_sequence,
)
from fleetmint.nvs.values import BLOB, STRING

_INTEGERS = {
    Type.U8: ("u8", "<B"),
    Type.U16: ("u16", "<H"),
    Type.U32: ("u32", "<I"),
    Type.U64: ("u64", "<Q"),
    Type.I8: ("i8", "<b"),
    Type.I16: ("i16", "<h"),
    Type.I32: ("i32", "<i"),
    Type.I64: ("i64", "<q"),
}
_WITH_DATA = (Type.STRING, Type.BLOB, Type.BLOB_DATA)


@dataclass(frozen=True)
class _Item:
    """A written entry with the data behind it; `where` names it in a message."""

    entry: Entry
    data: bytes
    where: str


def decode(
    image: bytes, *, skip_damaged: bool = False, keys: NvsKeys | None = None
) -> dict[str, dict[str, int | bytes]]:
    """Return what the NVS partition `image` holds: namespace → key → value, in the order in which it was written.

    Integers of every width come as int, strings and blobs as bytes (a string without its final zero). An erased
    partition is empty. Namespaces without a key are left out, since a device cannot tell them from missing ones.
    `keys` open an encrypted one.

    Raises NvsError when a checksum is wrong or a part of a blob is missing, as with wrong keys. With `skip_damaged`
    such an entry does not exist, as for a device; content that is no NVS at all is then empty.
    """
    typed = decode_typed(image, skip_damaged=skip_damaged, keys=keys)
    return {space: {key: value for key, (_, value) in values.items()} for space, values in typed.items()}


def decode_typed(
    image: bytes, *, skip_damaged: bool = False, keys: NvsKeys | None = None
) -> dict[str, dict[str, tuple[str, int | bytes]]]:
    """Return namespace → key → (type, value), with a type of values.TYPES; otherwise as `decode`.

    The values are pairs and no `Value`, since a device may hold what this package would not write: a string that is no
    UTF-8, for example.
    """
    if len(image) % PAGE_SIZE:
        raise NvsError(f"an NVS partition consists of pages of {PAGE_SIZE} bytes; {len(image):#x} bytes do not")
    if keys is not None:
        image = decrypt(image, keys)
    damages: list[str] = []
    items = list(_items(image, damages))
    names = {
        item.entry.value[0]: item.entry.name.decode("ascii", "replace")
        for item in items
        if item.entry.namespace == NAMESPACE_OF_NAMES and item.entry.type == Type.U8
    }
    chunks = {
        (item.entry.namespace, item.entry.name, item.entry.chunk): item.data
        for item in items
        if item.entry.type == Type.BLOB_DATA
    }
    found: dict[str, dict[str, tuple[str, int | bytes]]] = {}
    for item in items:
        namespace = names.get(item.entry.namespace)
        if namespace is None or item.entry.type == Type.BLOB_DATA:
            continue
        value = _value(item, chunks)
        if value is None:
            damages.append(f"{item.where} is incomplete or of an unknown type")
            continue
        found.setdefault(namespace, {})[item.entry.name.decode("ascii", "replace")] = value
    if damages and not skip_damaged:
        raise NvsError(f"the NVS is damaged: {'; '.join(damages)}")
    return found


def _items(image: bytes, damages: list[str]) -> Iterator[_Item]:
    """Yield every written entry, the oldest first; append to `damages` what cannot be read."""
    pages = []
    for number in range(len(image) // PAGE_SIZE):
        page = image[number * PAGE_SIZE : (number + 1) * PAGE_SIZE]
        state = int.from_bytes(page[:4], "little")
        sequence = page_sequence(page)
        if state == PageState.EMPTY:
            if page.strip(b"\xff"):
                damages.append(f"page {number} has content but no header")
        elif sequence is None or state not in (PageState.ACTIVE, PageState.FULL, PageState.FREEING):
            damages.append(f"the header of page {number} is wrong")
        else:
            pages.append((sequence, number, page))
    for _, number, page in sorted(pages):
        yield from _page_items(page, number, damages)


def _page_items(page: bytes, number: int, damages: list[str]) -> Iterator[_Item]:
    bitmap = int.from_bytes(page[BITMAP_OFFSET:FIRST_ENTRY_OFFSET], "little")
    index = 0
    while index < ENTRIES_PER_PAGE:
        where = f"entry {index} of page {number}"
        span = 1
        if _state(bitmap, index) == EntryState.WRITTEN:
            start = FIRST_ENTRY_OFFSET + index * ENTRY_SIZE
            entry = Entry.from_bytes(page[start : start + ENTRY_SIZE])
            if entry is None or not _spans(bitmap, index, entry.span):
                damages.append(f"{where} is wrong")
            else:
                span = entry.span
                data = _data(entry, page[start + ENTRY_SIZE : start + span * ENTRY_SIZE])
                if data is None:
                    damages.append(f"the data of {where} is wrong")
                else:
                    yield _Item(entry, data, where)
        index += span


def _state(bitmap: int, index: int) -> int:
    return bitmap >> 2 * index & 3


def _spans(bitmap: int, index: int, span: int) -> bool:
    """Whether `span` entries from `index` on are in the page and all written."""
    end = index + span
    return (
        span > 0 and end <= ENTRIES_PER_PAGE and all(_state(bitmap, i) == EntryState.WRITTEN for i in range(index, end))
    )


def _data(entry: Entry, rest: bytes) -> bytes | None:
    """Return the data behind an entry, b"" for a type that has none, None when its checksum or size is wrong."""
    if entry.type not in _WITH_DATA:
        return b""
    size, _, crc = struct.unpack("<HHI", entry.value)
    return rest[:size] if size <= len(rest) and crc == crc32(rest[:size]) else None


def _value(item: _Item, chunks: dict[tuple[int, bytes, int], bytes]) -> tuple[str, int | bytes] | None:
    entry = item.entry
    if entry.type in _INTEGERS:
        name, layout = _INTEGERS[Type(entry.type)]
        return name, int(struct.unpack_from(layout, entry.value)[0])
    if entry.type == Type.STRING:
        return STRING, item.data.removesuffix(b"\0")
    if entry.type == Type.BLOB:
        return BLOB, item.data
    if entry.type != Type.BLOB_INDEX:
        return None
    size, count, first = struct.unpack_from("<IBB", entry.value)
    parts = [chunks.get((entry.namespace, entry.name, first + i)) for i in range(count)]
    whole = b"".join(part for part in parts if part is not None)
    return (BLOB, whole) if None not in parts and len(whole) == size else None
