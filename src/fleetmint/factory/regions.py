"""What goes where in the flash of a board of the batch."""

from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from fleetmint import files
from fleetmint.errors import BurnError, FlashTooSmallError, ImageError
from fleetmint.factory.encryption import encryption, new_key
from fleetmint.factory.file_system import device_files
from fleetmint.factory.image import nvs_entries
from fleetmint.factory.secrets import BatchSecrets
from fleetmint.flash import esp8266
from fleetmint.flash.app import BLOCK_SIZE, build_app_image, program_files
from fleetmint.flash.firmware import Firmware, read_firmware
from fleetmint.flash.job import ESP8266, NVS_REGION, Board, Job, Region, check_fit
from fleetmint.flash.layout import Layout, board_layout
from fleetmint.nvs.encode import encode


@dataclass(frozen=True)
class Regions:
    """Makes the regions of a board: firmware or partition table, program, and the NVS with the identity."""

    known: BatchSecrets
    app: Path
    firmware: Firmware | None
    # size of the file system → its image, which all boards with that size share
    _programs: dict[int, bytes] = field(default_factory=dict, repr=False)

    def check(self, port: str, board: Board) -> None:
        """Raise BurnError when what the batch puts into the board's flash does not fit, or its layout does not."""
        try:
            layout = self._layout(board)
            nvs = layout.table.writable("nvs")
            # before a board gets an identity: its table may have no place for the keys
            encryption(self.known.nvs_encryption, new_key(self.known.nvs_encryption), layout.table)
            wanted = (*self._alike(layout), Region(nvs.offset, bytes(nvs.size), NVS_REGION))
            check_fit(Job(port, board.chip, wanted), board.flash_size)
        except FlashTooSmallError as error:
            raise BurnError(f"{port}: {error}: take another board", "too-small", board.mac) from error
        except ImageError as error:
            raise BurnError(f"{port}: {error}", "layout", board.mac) from error

    def of(self, device: str, board: Board, now: datetime) -> tuple[Region, ...]:
        """Return the regions for the board that becomes `device`; `now` is the floor of its clock."""
        layout = self._layout(board)
        nvs = layout.table.writable("nvs")
        secret = encryption(self.known.nvs_encryption, self.known.of(device).nvs_key, layout.table)
        image = encode(nvs_entries(device, self.known, now), nvs.size, secret.keys)
        # NVS last: a board that loses its power before has no identity, rather than half of one.
        return (*self._alike(layout), *secret.regions, Region(nvs.offset, image, NVS_REGION))

    def _layout(self, board: Board) -> Layout:
        return board_layout(self.known.layout, board, self.firmware)

    def _alike(self, layout: Layout) -> tuple[Region, ...]:
        vfs = layout.table.writable("vfs")
        # like MicroPython, which counts whole blocks
        size = vfs.size - vfs.size % BLOCK_SIZE
        if size not in self._programs:
            self._programs[size] = build_app_image(self.app, size)
        return (*layout.regions, Region(vfs.offset, self._programs[size], "program"))


@dataclass(frozen=True)
class FileRegions:
    """The same for an ESP8266: firmware, and a file system with the identity."""

    known: BatchSecrets
    layout: str
    firmware: tuple[Region, ...]

    def check(self, port: str, board: Board) -> None:
        """Raise BurnError when the board's flash is smaller than the layout says."""
        wanted = esp8266.file_system(self.layout).flash_size
        if board.flash_size < wanted:
            raise BurnError(
                f"{port}: layout {self.layout} is for a flash of {wanted:#x} bytes, and this one has"
                f" {board.flash_size:#x}: take another board",
                "too-small",
                board.mac,
            )

    def of(self, device: str, board: Board, now: datetime) -> tuple[Region, ...]:
        """Return the regions for the board that becomes `device`; `now` is the floor of its clock."""
        content = device_files(nvs_entries(device, self.known, now))
        return (*self.firmware, esp8266.files_region(content, self.layout))


def make_regions(known: BatchSecrets, app: Path, firmware: Path | None, sha256: str | None) -> "Regions | FileRegions":
    """Read what all boards get alike; raise ImageError for a firmware or program that cannot be used."""
    content = files.read(firmware, "firmware") if firmware else None
    if known.chip == ESP8266:
        layout = known.layout or esp8266.DEFAULT_LAYOUT
        return FileRegions(known, layout, (esp8266.firmware_region(content, layout, sha256),) if content else ())
    program_files(app)  # one that is not whole is told before a board is connected
    return Regions(known, app, read_firmware(content, known.chip, sha256) if content else None)
