# A flash chip in a file, as MicroPython sees it: the partition table, and a block device for a file system.

import struct

BLOCK = 4096
_TABLE = 0x8000
_TABLE_SIZE = 0xC00


# Content of the chip. Like NOR flash it is erased to FF in whole blocks, and programming only clears bits.


class Flash:
    def __init__(self, path):
        self._file = open(path, "r+b")  # noqa: SIM115 - open as long as the board has power
        self.size = self._file.seek(0, 2)

    def read(self, offset, size):
        self._file.seek(offset)
        data = self._file.read(size)
        if len(data) != size:
            raise OSError(5)
        return data

    def erase(self, offset, size):
        self._store(offset, b"\xff" * size)

    def program(self, offset, data):
        old = self.read(offset, len(data))
        self._store(offset, bytes(a & b for a, b in zip(old, data)))  # noqa: B905 - MicroPython's zip has no strict

    def replace(self, offset, data):
        """Erase and program in one write, so that a killed board leaves the old content or the new one."""
        self._store(offset, data)

    def partitions(self):
        """The rows of the partition table: name → (offset, size). Empty when there is no table."""
        table = self.read(_TABLE, _TABLE_SIZE)
        rows = {}
        for start in range(0, _TABLE_SIZE, 32):
            magic, _, _, offset, size, name = struct.unpack("<2sBBII16s", table[start : start + 28])
            if magic != b"\xaa\x50":
                break
            rows[name.rstrip(b"\x00").decode()] = (offset, size)
        return rows

    def _store(self, offset, data):
        self._file.seek(offset)
        self._file.write(data)


# One partition as a block device with the extended interface that littlefs needs.


class BlockDevice:
    def __init__(self, flash, offset, size):
        self._flash = flash
        self._offset = offset
        self._blocks = size // BLOCK

    def readblocks(self, block, buffer, offset=0):
        buffer[:] = self._flash.read(self._offset + block * BLOCK + offset, len(buffer))

    def writeblocks(self, block, buffer, offset=None):
        if offset is None:
            offset = 0
            self._flash.erase(self._offset + block * BLOCK, len(buffer))
        self._flash.program(self._offset + block * BLOCK + offset, buffer)

    def ioctl(self, operation, argument):
        if operation == 4:
            return self._blocks
        if operation == 5:
            return BLOCK
        if operation == 6:
            self._flash.erase(self._offset + argument * BLOCK, BLOCK)
        return 0
