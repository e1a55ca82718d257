"""What goes where in the flash of a board of the batch."""

from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from fleetmint import files
from fleetmint.errors import BurnError, ImageError
from fleetmint.factory.encryption import encryption
from fleetmint.factory.image import nvs_entries
from fleetmint.factory.secrets import BatchSecrets
from fleetmint.flash.app import build_app_image, program_files
from fleetmint.flash.firmware import Firmware, read_firmware
from fleetmint.flash.job import NVS_REGION, Board, Job, Region, check_fit
from fleetmint.flash.layout import board_layout
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
        """Raise BurnError when the board's flash is too small for what the batch puts into it."""
        try:
            nvs = board_layout(None, board, self.firmware).table.find("nvs")
            wanted = (*self._alike(board), Region(nvs.offset, bytes(nvs.size), NVS_REGION))
            check_fit(Job(port, board.chip, wanted), board.flash_size)
        except ImageError as error:
            raise BurnError(f"{port}: {error}: take another board", "too-small", board.mac) from error

    def of(self, device: str, board: Board, now: datetime) -> tuple[Region, ...]:
        """Return the regions for the board that becomes `device`; `now` is the floor of its clock."""
        table = board_layout(None, board, self.firmware).table
        nvs = table.find("nvs")
        secret = encryption(self.known.nvs_encryption, self.known.of(device).nvs_key, table)
        image = encode(nvs_entries(device, self.known, now), nvs.size, secret.keys)
        # NVS last: a board that loses its power before has no identity, rather than half of one.
        return (*self._alike(board), *secret.regions, Region(nvs.offset, image, NVS_REGION))

    def _alike(self, board: Board) -> tuple[Region, ...]:
        layout = board_layout(None, board, self.firmware)
        vfs = layout.table.find("vfs")
        if vfs.size not in self._programs:
            self._programs[vfs.size] = build_app_image(self.app, vfs.size)
        return (*layout.regions, Region(vfs.offset, self._programs[vfs.size], "program"))


def make_regions(known: BatchSecrets, app: Path, firmware: Path | None, sha256: str | None) -> Regions:
    """Read what all boards get alike; raise ImageError for a firmware or program that cannot be used."""
    program_files(app)  # one that is not whole is told before a board is connected
    checked = read_firmware(files.read(firmware, "firmware"), known.chip, sha256) if firmware else None
    return Regions(known, app, checked)
