"""A stand-in for MicroPython's firmware: images as a chip's loaders take them, with nothing to run in them.

Made without the library that reads them, so that each can judge the other.
"""

import functools
import hashlib
import operator
import struct
from pathlib import Path

_ERASED = b"\xff"
# chip → chip_id of an image, and where the ROM looks for the bootloader
_CHIPS = {"esp32": (0, 0x1000), "esp32s3": (9, 0), "esp32c3": (5, 0), "esp32c6": (13, 0)}
_TABLE, _ROWS = 0x8000, 0xC00
_APP = 0x10000


def image(chip: str, project: str = "", version: str = "v1.26.1", size: int = 4096) -> bytes:
    """Return an image for `chip` with a segment of `size` bytes, an app that calls itself `project` unless empty."""
    content = bytearray(hashlib.sha256(project.encode()).digest() * (size // 32))
    if project:
        content[:144] = struct.pack("<II8x32s32s64x", 0xABCD5432, 0, version.encode(), project.encode())
    chip_id, _ = _CHIPS[chip]
    head = struct.pack("<BBBBIB3xHBHH4xB", 0xE9, 1, 2, 0x20, 0x40080000, 0xEE, chip_id, 0, 0, 0xFFFF, 1)
    body = head + struct.pack("<II", 0x3F400020, len(content)) + content
    body += bytes(15 - len(body) % 16) + bytes([functools.reduce(operator.xor, content, 0xEF)])
    return body + hashlib.sha256(body).digest()


def firmware(chip: str, project: str = "micropython") -> bytes:
    """Return a file as micropython.org offers it: bootloader, table and app, from where the bootloader belongs."""
    flash = bytearray(_ERASED * _APP)
    install(flash, chip, project)
    return bytes(flash[_CHIPS[chip][1] :])


def install(flash: bytearray, chip: str, project: str = "micropython") -> None:
    """Put bootloader, partition table and app into `flash` where it is blank; the app where its table has the first."""
    if chip == "esp8266":
        _put(flash, 0, b"\xe9\x01\x02\x40" + bytes(4092))
        return
    _put(flash, _CHIPS[chip][1], image(chip))
    _put(flash, _TABLE, _table())
    apps = [offset for kind, offset in _rows(flash[_TABLE : _TABLE + _ROWS]) if kind == 0]
    for offset in apps[:1]:
        _put(flash, offset, image(chip, project))


def delivered(chip: str, size: int) -> bytes:
    """Return a flash of `size` bytes with MicroPython and nothing else."""
    flash = bytearray(_ERASED * size)
    install(flash, chip)
    return bytes(flash)


def install_file(path: Path, chip: str, size: int) -> None:
    """Do the same with the flash of a board that is a file; a new one gets `size` bytes."""
    flash = bytearray(path.read_bytes() if path.exists() else b"").ljust(size, _ERASED)
    before = bytes(flash)
    install(flash, chip)
    if not path.exists() or bytes(flash) != before:
        path.touch(0o600)
        path.write_bytes(flash)


def _put(flash: bytearray, offset: int, data: bytes) -> None:
    if not bytes(flash[offset : offset + 0x100]).strip(_ERASED):
        flash[offset : offset + len(data)] = data


def _table() -> bytes:
    rows = ((1, 2, 0x9000, 0x6000, b"nvs"), (1, 1, 0xF000, 0x1000, b"phy_init"), (0, 0, _APP, 0x1F0000, b"factory"))
    data = b"".join(struct.pack("<2sBBII16sI", b"\xaa\x50", *row, 0) for row in rows)
    data += b"\xeb\xeb" + _ERASED * 14 + hashlib.md5(data, usedforsecurity=False).digest()
    return data.ljust(_ROWS, _ERASED)


def _rows(table: bytes | bytearray) -> list[tuple[int, int]]:
    rows = [table[start : start + 32] for start in range(0, _ROWS, 32)]
    return [(row[2], int.from_bytes(row[4:8], "little")) for row in rows if row[:2] == b"\xaa\x50"]
