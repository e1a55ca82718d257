# The module `esp32` of a virtual board.

import struct
import time
from collections import OrderedDict

import nvs_image

_NOT_FOUND = -0x1102
_KEY_TOO_LONG = -0x1109
_TOO_SHORT = -0x110C

# Set by the boot script: the flash, and the place of the NVS partition in it.
flash = None
partition = (0, 0)


def mcu_temperature():
    """Degrees Celsius: something that changes a little with time."""
    return 30 + int(time.time()) // 10 % 7


# A namespace of the NVS partition. As on the chip, a value is in the flash when the call returns; commit adds nothing.


class NVS:
    def __init__(self, namespace):
        self._namespace = _name(namespace)

    def get_i32(self, key):
        return struct.unpack("<i", self._get(key, nvs_image.I32)[:4])[0]

    def set_i32(self, key, value):
        self._set(key, nvs_image.I32, struct.pack("<i", value) + b"\xff" * 4)

    def get_blob(self, key, buffer):
        value = self._get(key, nvs_image.BLOB)
        if len(value) > len(buffer):
            raise OSError(_TOO_SHORT, "ESP_ERR_NVS_INVALID_LENGTH")
        buffer[: len(value)] = value
        return len(value)

    def set_blob(self, key, value):
        self._set(key, nvs_image.BLOB, bytes(value))

    def erase_key(self, key):
        content = _read()
        values = content.get(self._namespace, {})
        if key not in values:
            raise OSError(_NOT_FOUND, "ESP_ERR_NVS_NOT_FOUND")
        del values[key]
        _write(content)

    def commit(self):
        pass

    def _get(self, key, kind):
        found = _read().get(self._namespace, {}).get(key)
        if not found or found[0] != kind:
            raise OSError(_NOT_FOUND, "ESP_ERR_NVS_NOT_FOUND")
        return found[1]

    def _set(self, key, kind, value):
        content = _read()
        content.setdefault(self._namespace, OrderedDict())[_name(key)] = (kind, value)
        _write(content)


def _name(text):
    if not 1 <= len(text.encode()) <= 15:
        raise OSError(_KEY_TOO_LONG, "ESP_ERR_NVS_KEY_TOO_LONG")
    return text


def _read():
    return nvs_image.decode(flash.read(*partition))


def _write(content):
    flash.replace(partition[0], nvs_image.encode(content, partition[1]))
