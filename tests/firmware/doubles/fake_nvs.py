# An esp32.NVS in memory. It can lose power: at the n-th write, before or after that write took effect.
#
# `peak` is the largest number of entries of 32 bytes that were in use at once. As on the chip a new value is written
# before the old one goes.

NOT_FOUND = -0x1102


class PowerCut(BaseException):
    pass


def entries(value):
    # A blob: an index, the head of the data, and the data.
    return 1 if isinstance(value, int) else 2 + (len(value) + 31) // 32


class NVS:
    def __init__(self, values=None, dies_at=0, write_survives=False):
        self.values = values if values is not None else {}
        self.writes = 0
        self.log = []
        self.peak = self._used()
        self._dies_at = dies_at
        self._survives = write_survives

    def get_blob(self, key, buffer):
        value = self._get(key, bytes)
        if len(value) > len(buffer):
            raise OSError(-0x110C)
        buffer[: len(value)] = value
        return len(value)

    def get_i32(self, key):
        return self._get(key, int)

    def set_blob(self, key, value):
        self._write(key, bytes(value))

    def set_i32(self, key, value):
        self._write(key, value)

    def erase_key(self, key):
        if key not in self.values:
            raise OSError(NOT_FOUND)
        self._write(key, None)

    def commit(self):
        pass

    def _get(self, key, kind):
        value = self.values.get(key)
        if not isinstance(value, kind):
            raise OSError(NOT_FOUND)
        return value

    def _used(self):
        # One more for the namespace.
        return 1 + sum(entries(value) for value in self.values.values())

    def _write(self, key, value):
        self.writes += 1
        if value is not None:
            self.peak = max(self.peak, self._used() + entries(value))
        dies = self.writes == self._dies_at
        if not dies or self._survives:
            if value is None:
                self.values.pop(key, None)
            else:
                self.values[key] = value
            self.log.append(key)
        if dies:
            raise PowerCut
