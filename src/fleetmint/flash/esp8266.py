"""The file system of an ESP8266, which takes the place of NVS there: the chip has neither NVS nor a partition table.

Source: the ESP8266 Arduino core. Where the file system lies is in tools/sdk/ld/eagle.flash.*.ld (`_FS_start` less
0x40200000, `_FS_end`, `_FS_block`), and the layout is chosen when the firmware is built ("Flash Size" in the IDE). How
it is set up is in libraries/LittleFS/src/LittleFS.h: reads, programs, cache and lookahead of 64 bytes, names of at most
32. The core's littlefs knows version 2.0 of the format.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from fleetmint.errors import ImageError
from fleetmint.flash.app import Geometry, make_image
from fleetmint.flash.firmware import IMAGE_MAGIC
from fleetmint.flash.job import ESP8266, Region
from fleetmint.flash.table import LAYOUTS

FILES_REGION = "files"
_NAME_MAX = 32
_VERSION_2_0 = 0x00020000
_SMALL_BLOCK, _BLOCK = 0x1000, 0x2000


@dataclass(frozen=True)
class FileSystem:
    """Where a layout has its file system: `offset`, `size` and `block_size` in bytes, in a flash of `flash_size`."""

    offset: int
    size: int
    block_size: int
    flash_size: int


# layout → first byte, first byte behind it, block, flash
_PLACES = {
    "1M64": (0xEB000, 0xFB000, _SMALL_BLOCK, 0x100000),
    "1M512": (0x7B000, 0xFB000, _BLOCK, 0x100000),
    "2M1M": (0x100000, 0x1FA000, _BLOCK, 0x200000),
    "4M1M": (0x300000, 0x3FA000, _BLOCK, 0x400000),
    "4M2M": (0x200000, 0x3FA000, _BLOCK, 0x400000),
    "4M3M": (0x100000, 0x3FA000, _BLOCK, 0x400000),
}
LAYOUTS_8266: Mapping[str, FileSystem] = {
    name: FileSystem(start, end - start, block, flash) for name, (start, end, block, flash) in _PLACES.items()
}
# what the IDE chooses for NodeMCU and D1 mini
DEFAULT_LAYOUT = "4M2M"


def layouts(chip: str) -> tuple[str, ...]:
    """Return the names of the layouts that a chip can have."""
    return tuple(LAYOUTS_8266) if chip == ESP8266 else LAYOUTS


def file_system(layout: str) -> FileSystem:
    """Return where `layout` has its file system; raise ImageError for an unknown one."""
    if layout not in LAYOUTS_8266:
        raise ImageError(f"an {ESP8266} has no layout {layout!r}; choose one of {', '.join(LAYOUTS_8266)}")
    return LAYOUTS_8266[layout]


def file_system_image(files: Mapping[str, bytes], layout: str) -> bytes:
    """Return the littlefs with `files` (path → content) for `layout`, up to the last block in use.

    The same files give the same bytes. Raises ImageError for a name that is too long, and when they do not fit.
    """
    place = file_system(layout)
    for path in files:
        if any(not 1 <= len(part) < _NAME_MAX for part in path.split("/")):
            raise ImageError(f"{path!r} is no path on an {ESP8266}: each part has 1 to {_NAME_MAX - 1} characters")
    geometry = Geometry(place.block_size, 64, 64, 64, name_max=_NAME_MAX, version=_VERSION_2_0)
    return make_image(files, place.size, geometry)


def firmware_region(data: bytes, layout: str, sha256: str | None = None) -> Region:
    """Return where the firmware in `data`, a .bin of the Arduino IDE, belongs: the beginning of the flash.

    `sha256` is the hash in hex that the file has to have; None takes any. Raises ImageError when the file is another
    one, no image, or reaches into the file system of `layout`. An image does not say for which chip it is.
    """
    digest = hashlib.sha256(data).hexdigest()
    if sha256 is not None and digest != sha256.lower():
        raise ImageError(f"the firmware's SHA-256 is {digest}, not {sha256.lower()}: it is not the file you chose")
    if not data or data[0] != IMAGE_MAGIC:
        raise ImageError(f"the firmware is no image for an {ESP8266} (it does not start with E9)")
    if len(data) > file_system(layout).offset:
        raise ImageError(
            f"the firmware has {len(data):#x} bytes and reaches into the file system of layout {layout}: build it for"
            " that layout, or choose the one it was built for"
        )
    return Region(0, data, "firmware")


def files_region(files: Mapping[str, bytes], layout: str) -> Region:
    """Return the file system with `files` at its place in `layout`; raises as `file_system_image` does."""
    return Region(file_system(layout).offset, file_system_image(files, layout), FILES_REGION)
