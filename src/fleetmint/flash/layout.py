"""Which partition table a board gets: a stock one, the firmware's, or the one that it has."""

from dataclasses import dataclass

from fleetmint.errors import ImageError
from fleetmint.flash.firmware import Firmware
from fleetmint.flash.job import Board, Region
from fleetmint.flash.table import FROM_BOARD, FROM_FIRMWARE, TABLE_OFFSET, PartitionTable, stock

DEFAULT_LAYOUT = "4MiB"


@dataclass(frozen=True)
class Layout:
    """The table of one board, with a file system for the program, and what is written before the program."""

    table: PartitionTable
    regions: tuple[Region, ...]


def board_layout(layout: str | None, board: Board, firmware: Firmware | None, *, program: bool = True) -> Layout:
    """Return the layout of one board; without `program` it needs no file system.

    `layout` is one of table.LAYOUTS; None means that of the firmware, where there is one, and else DEFAULT_LAYOUT.
    Raises ImageError when the board or the firmware has no such table, or the flash is too small.
    """

    def whole(table: PartitionTable) -> PartitionTable:
        return table.with_vfs(board.flash_size) if program else table

    if firmware is not None and layout in (None, FROM_FIRMWARE):
        return Layout(whole(firmware.table), firmware.regions())
    if layout == FROM_FIRMWARE:
        raise ImageError("the layout `firmware` is that of a firmware file, and none was given: name the file")
    if layout == FROM_BOARD:
        table = whole(_on(board))
        if firmware is not None and whole(firmware.table) != table:
            raise ImageError(
                f"the board ({board.mac}) has another partition table than the firmware: choose the layout `firmware`,"
                " or leave out the firmware"
            )
        return Layout(table, firmware.regions() if firmware else ())
    table = stock(layout or DEFAULT_LAYOUT, board.flash_size)
    if firmware is None:
        return Layout(table, (Region(TABLE_OFFSET, table.to_bytes(), "partition table"),))
    if firmware.table.with_vfs(board.flash_size) != table:
        raise ImageError(
            f"the firmware has another partition table than the layout {layout}: choose the layout `firmware`, or the"
            " file for that layout"
        )
    return Layout(table, firmware.regions())


def _on(board: Board) -> PartitionTable:
    try:
        return PartitionTable.from_bytes(bytes.fromhex(board.table))
    except ImageError as error:
        raise ImageError(
            f"the layout `board` is the table that the board has, and {board.mac} has none ({error}): flash MicroPython"
            " first, or name a layout"
        ) from error
