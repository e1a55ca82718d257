"""What goes where in the flash of a board of the batch."""

from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from fleetmint import commands, files
from fleetmint.batch.encryption import NONE, encryption, new_key
from fleetmint.batch.file_system import device_files
from fleetmint.batch.identity import NVS
from fleetmint.batch.image import nvs_entries
from fleetmint.batch.secrets import BatchSecrets
from fleetmint.batch.secure_cert import holder, key_regions, place
from fleetmint.batch.spec import LINUX
from fleetmint.burn_codes import BurnCode
from fleetmint.errors import BurnError, FlashTooSmallError, ImageError
from fleetmint.flash import esp8266
from fleetmint.flash.app import BLOCK_SIZE, build_app_image, program_files
from fleetmint.flash.firmware import Firmware, read_firmware
from fleetmint.flash.image import MAGIC, MICROPYTHON, Read, read_image, started
from fleetmint.flash.job import CHIPS, ESP8266, NVS_REGION, Board, Job, Region, check_fit
from fleetmint.flash.layout import Layout, board_layout
from fleetmint.flash.table import TABLE_OFFSET, PartitionTable
from fleetmint.nvs.encode import encode

# larger than any flash
_ANY = 1 << 32


@dataclass(frozen=True)
class Regions:
    """Makes the regions of a board: firmware or partition table, program, and the NVS with the identity."""

    known: BatchSecrets
    app: Path
    firmware: Firmware | None
    # firmware that is not MicroPython is what the boards are to have
    other_firmware: bool = False
    # size of the file system → its image, which all boards with that size share
    _programs: dict[int, bytes] = field(default_factory=dict, repr=False)

    @property
    def program(self) -> bool:
        """Whether the boards get MicroPython's program: not where identity or flash are for other firmware."""
        return self.known.identity == NVS and self.known.flash_encryption == NONE

    def check(self, port: str, board: Board) -> None:
        """Raise BurnError when what the batch puts into the board's flash does not fit, or its layout does not."""
        try:
            layout = self._layout(board)
            nvs = layout.table.writable("nvs")
            # before a board gets an identity: its table may have no place for the keys
            encryption(self.known.nvs_encryption, new_key(self.known.nvs_encryption), layout.table)
            if self.known.identity != NVS:
                place(layout.table, self.known.nvs_encryption)
            wanted = (*self._alike(layout), Region(nvs.offset, bytes(nvs.size), NVS_REGION))
            check_fit(Job(port, board.chip, wanted), board.flash_size)
        except FlashTooSmallError as error:
            raise BurnError(f"{port}: {error}: take another board", BurnCode.TOO_SMALL, board.mac) from error
        except ImageError as error:
            raise BurnError(f"{port}: {error}", BurnCode.LAYOUT, board.mac) from error

    def check_firmware(self, port: str, board: Board, read: Read) -> None:
        """Raise BurnError unless the board, whose flash `read` reads, starts what the batch is made for.

        Nothing is looked at when the firmware is written anyway.
        """
        if self.firmware is not None:
            return
        try:
            self.check_program(read, self._layout(board).table, board.flash_size)
        except ImageError as error:
            raise BurnError(
                f"{port}: the board ({board.mac}) {error}. Nothing was written: burn it with --firmware FILE, which"
                " flashes that first",
                BurnCode.NO_FIRMWARE,
                board.mac,
            ) from error

    def check_holder(self, port: str, board: Board, read: Read, device: str | None) -> None:
        """Raise BurnError when the board, which is `device` or none yet, has an esp_secure_cert of somebody else.

        Espressif delivers modules with one, whose key nobody could make again. For batches whose identity lies there.
        """
        found = place(self._layout(board).table, self.known.nvs_encryption)
        whose = holder(read(found.offset, found.size))
        if whose not in (None, device):
            raise BurnError(
                f"{port}: the board ({board.mac}) has an identity in {found.name!r} already, {whose!r}, and nobody"
                " could make it again: use another board, or --reprovision overwrites it",
                BurnCode.IDENTITY,
                board.mac,
            )

    def check_program(self, read: Read, table: PartitionTable, flash_size: int) -> None:
        """Raise ImageError, with the rest of a sentence, unless what `read` reads starts what the batch is made for."""
        chip = CHIPS[self.known.chip]
        place = f"its bootloader's place at {chip.bootloader_offset:#x}"
        try:
            boot = read_image(read, chip.bootloader_offset, TABLE_OFFSET - chip.bootloader_offset)
            app = started(read, table)
            place = f"the partition {app.name!r} at {app.offset:#x}"
            found = read_image(read, app.offset, min(app.size, flash_size - app.offset))
        except ImageError as error:
            raise ImageError(f"has no firmware that starts: {place} {error}") from error
        for image in (boot, found):
            if image.chip_id != chip.image_id:
                raise ImageError(f"has firmware for another chip (chip_id {image.chip_id})")
        if not self.program:
            if found.project == MICROPYTHON and not self.other_firmware:
                raise ImageError(
                    "has MicroPython, which looks for its key in the NVS and not in esp_secure_cert (--other-firmware"
                    " burns it all the same)"
                )
        elif found.project != MICROPYTHON and not self.other_firmware and self.known.nvs_encryption == NONE:
            raise ImageError(
                f"has other firmware than MicroPython, {found.title} (--other-firmware burns that all the same)"
            )

    def of(self, device: str, board: Board, now: datetime) -> tuple[Region, ...]:
        """Return the regions for the board that becomes `device`; `now` is the floor of its clock."""
        layout = self._layout(board)
        nvs = layout.table.writable("nvs")
        secret = encryption(self.known.nvs_encryption, self.known.of(device).nvs_key, layout.table)
        image = encode(nvs_entries(device, self.known, now), nvs.size, secret.keys)
        # NVS last: a board that loses its power before has no identity, rather than half of one.
        own = key_regions(device, self.known, layout.table)
        return (*self._alike(layout), *secret.regions, *own, Region(nvs.offset, image, NVS_REGION))

    def _layout(self, board: Board) -> Layout:
        return board_layout(self.known.layout, board, self.firmware, program=self.program)

    def _alike(self, layout: Layout) -> tuple[Region, ...]:
        if not self.program:
            return layout.regions
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
                BurnCode.TOO_SMALL,
                board.mac,
            )

    def check_firmware(self, port: str, board: Board, read: Read) -> None:
        """Raise BurnError when the flash of the board, which `read` reads, begins with no program."""
        if not self.firmware and read(0, 1)[0] != MAGIC:
            raise BurnError(
                f"{port}: the board ({board.mac}) has no firmware: its flash does not begin with a program. Nothing was"
                " written: burn it with --firmware FILE, which flashes that first",
                BurnCode.NO_FIRMWARE,
                board.mac,
            )

    def of(self, device: str, board: Board, now: datetime) -> tuple[Region, ...]:
        """Return the regions for the board that becomes `device`; `now` is the floor of its clock."""
        content = device_files(nvs_entries(device, self.known, now))
        return (*self.firmware, esp8266.files_region(content, self.layout))


def make_regions(
    known: BatchSecrets, app: Path, firmware: Path | None, sha256: str | None, other_firmware: bool = False
) -> "Regions | FileRegions":
    """Read what all boards get alike; raise ImageError for a firmware or program that cannot be used."""
    if known.chip == LINUX:
        raise ImageError(
            "the batch is of Linux machines, and nothing is burned for them:"
            f" {commands.fleetmint('batch', 'export', 'BATCH', '--token', 'DEVICE', '--out', 'FILE')} writes what one"
            " of them needs"
        )
    content = files.read(firmware, "firmware") if firmware else None
    if known.chip == ESP8266:
        layout = known.layout or esp8266.DEFAULT_LAYOUT
        return FileRegions(known, layout, (esp8266.firmware_region(content, layout, sha256),) if content else ())
    if Regions(known, app, None).program:
        program_files(app)  # one that is not whole is told before a board is connected
    if not content:
        return Regions(known, app, None, other_firmware)
    made = read_firmware(content, known.chip, sha256)
    regions, start = Regions(known, app, made, other_firmware), CHIPS[known.chip].bootloader_offset
    flash = b"\xff" * start + content
    try:
        # what the file lacks behind its end stays blank
        regions.check_program(lambda offset, size: flash[offset : offset + size].ljust(size, b"\xff"), made.table, _ANY)
    except ImageError as error:
        raise ImageError(f"the firmware {firmware} {error}: take the whole .bin for a new board") from error
    return regions
