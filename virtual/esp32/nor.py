"""NOR flash in a file: an erase sets whole sectors to ones, and programming can only turn ones into zeros."""

import fcntl
import hashlib
import os
from pathlib import Path

SECTOR_SIZE = 4096
_ERASED = b"\xff"


class FlashRangeError(Exception):
    """Somebody touched what is not there."""


class NorFlash:
    """A flash chip of `size` bytes whose content is the file `path` (mode 0600); a new one is erased.

    The file is not cached: another process may read and write it while this one does not.
    """

    def __init__(self, path: Path, size: int) -> None:
        self.size = size
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            # two boards with one flash would be one identity twice
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            present = os.fstat(self._fd).st_size
            if present > size:
                raise FlashRangeError(f"{path} has {present} bytes, more than a flash of {size}")
            if present < size:
                os.pwrite(self._fd, _ERASED * (size - present), present)
        except BaseException:
            os.close(self._fd)
            raise

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._fd)

    @property
    def jedec_id(self) -> int:
        """What RDID answers: Winbond, and the size as a power of two in the third byte."""
        return 0xEF | 0x40 << 8 | (self.size.bit_length() - 1) << 16

    def read(self, offset: int, size: int) -> bytes:
        """Return `size` bytes from `offset`."""
        self._check(offset, size)
        return os.pread(self._fd, size, offset)

    def md5(self, offset: int, size: int) -> bytes:
        """Return the MD5 of a range."""
        return hashlib.md5(self.read(offset, size), usedforsecurity=False).digest()

    def erase(self, offset: int, size: int) -> None:
        """Erase every sector that the range touches."""
        first = offset // SECTOR_SIZE * SECTOR_SIZE
        end = -(-(offset + size) // SECTOR_SIZE) * SECTOR_SIZE
        self._check(first, end - first)
        os.pwrite(self._fd, _ERASED * (end - first), first)

    def program(self, offset: int, data: bytes) -> None:
        """Write `data` as NOR flash does: a bit that is zero stays zero."""
        old = int.from_bytes(self.read(offset, len(data)), "little")
        os.pwrite(self._fd, (old & int.from_bytes(data, "little")).to_bytes(len(data), "little"), offset)

    def _check(self, offset: int, size: int) -> None:
        if offset < 0 or size < 0 or offset + size > self.size:
            raise FlashRangeError(f"{offset:#x}+{size:#x} lies outside a flash of {self.size:#x} bytes")
