"""What a board with secure boot and flash encryption gets: firmware that is signed, and flash that is encrypted."""

from collections.abc import Collection
from dataclasses import replace
from datetime import datetime

from fleetmint.bench.regions import Regions
from fleetmint.errors import ImageError
from fleetmint.flash import encryption
from fleetmint.flash.firmware import Firmware
from fleetmint.flash.image import read_image
from fleetmint.flash.job import CHIPS, NVS_REGION, Board, Region
from fleetmint.flash.signature import signers
from fleetmint.flash.table import (
    APP,
    DATA,
    ENCRYPTED,
    FIRST_PARTITION_OFFSET,
    NVS,
    NVS_KEYS,
    OTA_DATA,
    SECTOR_SIZE,
    TABLE_OFFSET,
    PartitionTable,
)

OTA_REGION = "otadata"


def check_signed(firmware: Firmware, digests: Collection[bytes]) -> None:
    """Raise ImageError unless the bootloader and every program of `firmware` are signed by one of the keys.

    The keys are known by what the eFuses hold of them (flash/signature.py).
    """
    start = CHIPS[firmware.chip].bootloader_offset
    flash = b"\xff" * start + firmware.data

    def read(offset: int, size: int) -> bytes:
        return flash[offset : offset + size].ljust(size, b"\xff")

    for region in firmware.regions():
        if region.offset == TABLE_OFFSET:
            continue  # nothing but its encryption protects it
        try:
            image = read_image(read, region.offset, len(flash))
            found = signers(flash[region.offset :], image.size)
        except ImageError as error:
            raise ImageError(f"the firmware cannot be used: {region.name!r} {error}") from error
        if not set(found) & set(digests):
            raise ImageError(
                f"the firmware cannot be used: {region.name!r} is signed, but by another key than the board will know,"
                " and would never start"
            )


def encrypted_regions(regions: Regions, device: str, board: Board, key: bytes, now: datetime) -> tuple[Region, ...]:
    """Return what is written to the board that becomes `device`, as it lies in the flash: encrypted, but for the NVS.

    Raises ImageError when the partition table has no place for something, or says what no chip can do.
    """
    if regions.firmware is None:
        raise ImageError("flash encryption needs firmware that was built for it: name the file")
    table = regions.firmware.table
    found = []
    for region in (*_blank_choice(table), *regions.of(device, board, now)):
        if region.name == NVS_REGION:
            found.append(region)  # which has an encryption of its own
        elif _is_encrypted(table, region.offset):
            whole = region.data.ljust(-(-len(region.data) // SECTOR_SIZE) * SECTOR_SIZE, b"\xff")
            found.append(replace(region, data=encryption.encrypt(whole, region.offset, key)))
        else:
            raise ImageError(
                f"the partition {region.name!r} is not marked `encrypted`, and would stay readable: mark it in the"
                " firmware's partition table"
            )
    return tuple(found)


def check_table(table: PartitionTable) -> None:
    """Raise ImageError for a table whose NVS is marked `encrypted`: ESP-IDF does not open that."""
    for row in table.partitions:
        if (row.type, row.subtype) == (DATA, NVS) and row.flags & ENCRYPTED:
            raise ImageError(
                f"the partition {row.name!r} is an NVS and marked `encrypted`, which ESP-IDF does not open"
            )


def _blank_choice(table: PartitionTable) -> tuple[Region, ...]:
    """Return the choice of the program as nothing has chosen yet: erased flash would be noise to the chip."""
    rows = [row for row in table.partitions if (row.type, row.subtype) == (DATA, OTA_DATA)]
    return tuple(Region(row.offset, b"\xff" * row.size, OTA_REGION) for row in rows)


def _is_encrypted(table: PartitionTable, offset: int) -> bool:
    """Whether the chip decrypts what is there: as ESP-IDF has it, whatever the flags say of some kinds."""
    if offset < FIRST_PARTITION_OFFSET:
        return True
    rows = [row for row in table.partitions if row.offset <= offset < row.end]
    always = ((DATA, OTA_DATA), (DATA, NVS_KEYS))
    return any(row.type == APP or (row.type, row.subtype) in always or row.flags & ENCRYPTED for row in rows)
