"""MicroPython's firmware files, as micropython.org/download offers them for a board.

Such a .bin is the flash from the bootloader to the end of the app, in one piece: bootloader, partition table at 0x8000
and app. On the ESP32 it belongs at 0x1000, on the later chips at 0, and the gaps are FF.

Source of the image header: ESP-IDF, "App Image Format": E9 | segments u8 | SPI mode u8 | speed and size u8 |
entry u32 | WP pin u8 | drive 3 | chip_id u16 | …
"""

import hashlib
import struct
from dataclasses import dataclass, field

from fleetmint.errors import ImageError
from fleetmint.flash.job import CHIPS, Region
from fleetmint.flash.table import APP, FIRST_PARTITION_OFFSET, TABLE_OFFSET, TABLE_SIZE, PartitionTable

IMAGE_MAGIC = 0xE9
_CHIP_ID_OFFSET = 12


@dataclass(frozen=True)
class Firmware:
    """A firmware file that was checked; `sha256` is of the whole file, in hex."""

    chip: str
    table: PartitionTable
    sha256: str
    data: bytes = field(repr=False)

    def regions(self) -> tuple[Region, ...]:
        """Return bootloader, table and apps, without the gaps.

        The file as a whole would also erase the NVS and the file system's first sectors, and never compare equal to
        the flash of a board in use.
        """
        start = CHIPS[self.chip].bootloader_offset
        pieces = [
            (start, TABLE_OFFSET, "bootloader"),
            (TABLE_OFFSET, TABLE_OFFSET + TABLE_SIZE, "partition table"),
            *((p.offset, p.end, p.name) for p in self.table.partitions if p.type == APP),
        ]
        found = [Region(first, self.data[first - start : end - start].rstrip(b"\xff"), n) for first, end, n in pieces]
        return tuple(region for region in found if region.data)


def read_firmware(data: bytes, chip: str, sha256: str | None = None) -> Firmware:
    """Return the MicroPython firmware in `data`, a .bin for `chip`.

    `sha256` is the hash in hex that the file has to have; None takes any. Raises ImageError when the file is another
    one, no image, an image for another chip, or an app without bootloader and partition table.
    """
    if chip not in CHIPS:
        raise ImageError(f"there is no chip {chip!r}; choose one of {', '.join(CHIPS)}")
    digest = hashlib.sha256(data).hexdigest()
    if sha256 is not None and digest != sha256.lower():
        raise ImageError(f"the firmware's SHA-256 is {digest}, not {sha256.lower()}: it is not the file you chose")
    if len(data) < _CHIP_ID_OFFSET + 2 or data[0] != IMAGE_MAGIC:
        raise ImageError("the firmware is no ESP32 image (it does not start with E9): take the .bin for your board")
    (image_id,) = struct.unpack_from("<H", data, _CHIP_ID_OFFSET)
    if image_id != CHIPS[chip].image_id:
        names = [name for name, known in CHIPS.items() if known.image_id == image_id]
        raise ImageError(f"the firmware is for {names[0] if names else f'chip {image_id}'}, not for {chip}")
    start = CHIPS[chip].bootloader_offset
    if len(data) <= FIRST_PARTITION_OFFSET - start:
        raise ImageError("the firmware ends before its first partition: it was cut off")
    try:
        table = PartitionTable.from_bytes(data[TABLE_OFFSET - start :])
    except ImageError as error:
        raise ImageError(
            f"the firmware has no partition table ({error}): take the .bin for a new board, not the .app-bin"
        ) from error
    return Firmware(chip, table, digest, data)
