"""What a burn is, what comes of it, and how both travel between the station and the process that runs esptool."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from fleetmint.errors import FlashTooSmallError, ImageError
from fleetmint.flash.table import SECTOR_SIZE

DEFAULT_BAUD = 460800
NVS_REGION = "nvs"


@dataclass(frozen=True)
class Chip:
    """What differs between the chips, as far as flashing goes; the table is at 0x8000 on all of them."""

    name: str
    # the chip_id of an image header
    image_id: int
    # where the ROM looks for the bootloader
    bootloader_offset: int


CHIPS: Mapping[str, Chip] = {
    chip.name: chip
    for chip in (
        Chip("esp32", 0, 0x1000),
        Chip("esp32s3", 9, 0),
        Chip("esp32c3", 5, 0),
        Chip("esp32c6", 13, 0),
    )
}
# It has neither partition table nor NVS (esp8266.py), and images that do not name it.
ESP8266 = "esp8266"


@dataclass(frozen=True)
class Region:
    """Bytes and their place in the flash; `name` tells a human what they are. The data can be secret."""

    offset: int
    data: bytes = field(repr=False)
    name: str

    @property
    def end(self) -> int:
        """The offset of the first byte behind it."""
        return self.offset + len(self.data)


@dataclass(frozen=True)
class Job:
    """One board to burn: the regions are written in the order of `regions`.

    The region called "nvs" holds the identity. Put it last: a board that lost its power before has none yet.
    `reprovision` overwrites an identity that the board has; `baud` is the speed of the first try. What is `encrypted`
    is no image for esptool to look into, whatever byte it begins with.
    """

    port: str
    chip: str
    regions: tuple[Region, ...]
    baud: int = DEFAULT_BAUD
    reprovision: bool = False
    connect_attempts: int = 7
    encrypted: bool = False


@dataclass(frozen=True)
class Board:
    """A board that answered: `mac` as aa:bb:cc:dd:ee:ff, `flash_size` in bytes.

    `device_id` is the identity in its NVS, as text that nothing has checked yet, or None. `table` is what its flash has
    where the partition table belongs, in hex; it may be anything.
    """

    mac: str
    chip: str
    flash_size: int
    device_id: str | None = None
    table: str = field(default="", repr=False)


@dataclass(frozen=True)
class Result:
    """A burn that was verified: `written` and `kept` name the regions that were written and those left as they were."""

    port: str
    mac: str
    chip: str
    flash_size: int
    seconds: float
    written: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()


def check_job(job: Job) -> None:
    """Raise ImageError for a job that no board could take: unknown chip, unaligned, empty or overlapping regions."""
    known = (*CHIPS, ESP8266)
    if job.chip not in known:
        raise ImageError(f"there is no chip {job.chip!r}; choose one of {', '.join(known)}")
    if len({region.name for region in job.regions}) < len(job.regions):
        raise ImageError("two regions have the same name")
    for region in job.regions:
        if not region.data:
            raise ImageError(f"region {region.name!r} is empty")
        if region.offset < 0 or region.offset % SECTOR_SIZE:
            # esptool would take it, and erase what lies before it in the same sector
            raise ImageError(f"region {region.name!r} at {region.offset:#x} does not start with a sector of the flash")
        if region.name == NVS_REGION and len(region.data) % SECTOR_SIZE:
            raise ImageError(f"the NVS image has {len(region.data):#x} bytes, which are not whole pages")
    for before, after in pairwise(sorted(job.regions, key=lambda region: region.offset)):
        if _erased_end(before) > after.offset:
            raise ImageError(f"regions {before.name!r} and {after.name!r} overlap at {after.offset:#x}")


def check_fit(job: Job, flash_size: int) -> None:
    """Raise FlashTooSmallError if a region ends behind a flash of `flash_size` bytes."""
    for region in job.regions:
        if region.end > flash_size:
            raise FlashTooSmallError(
                f"region {region.name!r} ends at {region.end:#x}, but the flash has {flash_size:#x} bytes only"
            )


def job_to_json(job: Job) -> dict[str, Any]:
    """Return `job` as plain JSON values."""
    regions = [
        {"offset": r.offset, "data": base64.b64encode(r.data).decode("ascii"), "name": r.name} for r in job.regions
    ]
    return {**{name: getattr(job, name) for name in _PLAIN}, "regions": regions}


def job_from_json(values: Mapping[str, Any]) -> Job:
    """Return the job that job_to_json made `values` of."""
    regions = tuple(Region(r["offset"], base64.b64decode(r["data"]), r["name"]) for r in values["regions"])
    return Job(regions=regions, **{name: values[name] for name in _PLAIN})


_PLAIN = ("port", "chip", "baud", "reprovision", "connect_attempts", "encrypted")


def _erased_end(region: Region) -> int:
    return -(-region.end // SECTOR_SIZE) * SECTOR_SIZE
