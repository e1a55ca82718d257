# An NVS partition, version 2 of the format: reading what a generator or a chip wrote, writing it anew as a whole.
#
# Written independently of fleetmint.nvs, so that each can judge the other. Source: ESP-IDF, "Non-Volatile Storage
# Library", and components/nvs_flash.

import binascii
import struct
from collections import OrderedDict

_PAGE = 4096
_ENTRIES = 126
_WRITTEN = 2
_EMPTY, _ACTIVE, _FULL, _FREEING = 0xFFFFFFFF, 0xFFFFFFFE, 0xFFFFFFFC, 0xFFFFFFF8
_U8, I32, _STRING, _BLOB_1, _DATA, _INDEX = 0x01, 0x14, 0x21, 0x41, 0x42, 0x48
BLOB = _INDEX


def _crc(data):
    return binascii.crc32(data, 0xFFFFFFFF)


def decode(image):
    """What the partition holds: namespace → key → (type, value).

    The value of a blob is its content; of anything else that lies behind its entry the content too, of an integer
    its 8 bytes. Entries with a wrong checksum do not exist.
    """
    names = {}
    chunks = {}
    # MicroPython's dict has no order; the same values are to give the same image.
    found = OrderedDict()
    for namespace, kind, chunk, key, value, data in _entries(image):
        if namespace == 0:
            names[value[0]] = key
        elif kind == _DATA:
            chunks[namespace, key, chunk] = data
        else:
            # The entry that was written last counts.
            found[namespace, key] = (kind, data if kind in (_STRING, _BLOB_1) else value)
    content = OrderedDict()
    for (namespace, key), (kind, value) in found.items():
        if kind == _INDEX:
            size, count, first = struct.unpack("<IBB", value)
            parts = [chunks.get((namespace, key, first + i), b"") for i in range(count)]
            value = b"".join(parts)
            if len(value) != size:
                continue
        if namespace in names:
            content.setdefault(names[namespace], OrderedDict())[key] = (kind, value)
    return content


def _entries(image):
    pages = []
    for start in range(0, len(image), _PAGE):
        state, sequence = struct.unpack("<II", image[start : start + 8])
        (crc,) = struct.unpack("<I", image[start + 28 : start + 32])
        if state in (_ACTIVE, _FULL, _FREEING) and crc == _crc(image[start + 4 : start + 28]):
            pages.append((sequence, start))
    for _, start in sorted(pages):
        index = 0
        while index < _ENTRIES:
            span = 1
            if image[start + 32 + index // 4] >> 2 * (index % 4) & 3 == _WRITTEN:
                at = start + 64 + index * 32
                raw = image[at : at + 32]
                if struct.unpack("<I", raw[4:8])[0] == _crc(raw[:4] + raw[8:]):
                    namespace, kind, span, chunk = raw[:4]
                    span = max(span, 1)
                    data = _data(image, at, kind, raw) if index + span <= _ENTRIES else None
                    if data is not None:
                        key = raw[8:24].split(b"\x00")[0].decode()
                        yield namespace, kind, chunk, key, raw[24:32], data
            index += span


def _data(image, at, kind, raw):
    if kind not in (_STRING, _BLOB_1, _DATA):
        return b""
    size, _, crc = struct.unpack("<HHI", raw[24:32])
    data = image[at + 32 : at + 32 + size]
    return data if crc == _crc(data) else None


def encode(content, size):
    """The image of a partition of `size` bytes, its last page empty. Raises OSError when it does not fit."""
    writer = _Writer(size // _PAGE)
    for number, namespace in enumerate(content):
        writer.entry(0, _U8, 1, 0xFF, namespace, bytes((number + 1,)) + b"\xff" * 7)
        for key, (kind, value) in content[namespace].items():
            if kind == _INDEX:
                writer.blob(number + 1, key, value)
            elif kind in (_STRING, _BLOB_1):
                writer.with_data(number + 1, kind, 0xFF, key, value)
            else:
                writer.entry(number + 1, kind, 1, 0xFF, key, value)
    return writer.image()


class _Writer:
    def __init__(self, pages):
        self._pages = pages
        self._done = b""
        self._page = b""

    def entry(self, namespace, kind, span, chunk, key, value, data=b""):
        if len(self._page) // 32 + span > _ENTRIES:
            self._turn()
        key = key.encode()
        start = bytes((namespace, kind, span, chunk))
        rest = key + bytes(16 - len(key)) + value
        self._page += start + struct.pack("<I", _crc(start + rest)) + rest + data + b"\xff" * (-len(data) % 32)

    def with_data(self, namespace, kind, chunk, key, data):
        span = 1 + (len(data) + 31) // 32
        self.entry(namespace, kind, span, chunk, key, struct.pack("<HHI", len(data), 0xFFFF, _crc(data)), data)

    def blob(self, namespace, key, data):
        rest = data
        count = 0
        while rest or not count:
            # A chunk needs its header and at least one entry of data on the same page.
            if len(self._page) // 32 + 2 > _ENTRIES:
                self._turn()
            room = (_ENTRIES - 1) * 32 - len(self._page)
            self.with_data(namespace, _DATA, count, key, rest[:room])
            rest = rest[room:]
            count += 1
        self.entry(namespace, _INDEX, 1, 0xFF, key, struct.pack("<IBBH", len(data), count, 0, 0xFFFF))

    def image(self):
        self._turn(_ACTIVE)
        return self._done + b"\xff" * (self._pages * _PAGE - len(self._done))

    def _turn(self, state=_FULL):
        # A chip that finds no empty page erases everything.
        if len(self._done) // _PAGE + 2 > self._pages:
            raise OSError(-0x1105, "ESP_ERR_NVS_NOT_ENOUGH_SPACE")
        bitmap = bytearray(b"\xff" * 32)
        for index in range(len(self._page) // 32):
            bitmap[index // 4] &= ~(1 << 2 * (index % 4)) & 0xFF
        head = struct.pack("<IB", len(self._done) // _PAGE, 0xFE) + b"\xff" * 19
        page = struct.pack("<I", state) + head + struct.pack("<I", _crc(head)) + bytes(bitmap) + self._page
        self._done += page + b"\xff" * (_PAGE - len(page))
        self._page = b""
