# Reading one value from an `esp32.NVS` handle.

# ESP_ERR_NVS_NOT_FOUND and ESP_ERR_NVS_INVALID_LENGTH of ESP-IDF, as MicroPython raises them.
NOT_FOUND = -0x1102
TOO_SHORT = -0x110C

# More than any value of ours; a damaged length must not take the heap.
LARGEST_BLOB = 8192


def blob(nvs, key):
    """The bytes under `key`, or None. Raises OSError when the NVS itself fails."""
    size = 128
    while True:
        buffer = bytearray(size)
        try:
            return bytes(memoryview(buffer)[: nvs.get_blob(key, buffer)])
        except OSError as error:
            if error.errno == NOT_FOUND:
                return None
            # get_blob does not tell the length it wanted, so the buffer grows until the value fits.
            if error.errno != TOO_SHORT or size >= LARGEST_BLOB:
                raise
        size *= 2


def number(nvs, key):
    """The 32-bit signed integer under `key`, or None."""
    try:
        return nvs.get_i32(key)
    except OSError as error:
        if error.errno == NOT_FOUND:
            return None
        raise


def erase(nvs, key):
    """Remove `key`; nothing happens when it is not there."""
    try:
        nvs.erase_key(key)
    except OSError as error:
        if error.errno != NOT_FOUND:
            raise
