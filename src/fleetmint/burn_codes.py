"""Why a board was not burned, for a program: what follows for the identity and for the board hangs on it."""

from enum import StrEnum


class BurnCode(StrEnum):
    """The reason of a BurnError, and of what comes of a board at the bench.

    `flash_touched`: something was written, or may have been, so that an identity stays with the board it was for; with
    every other code the flash is as it was. `board_at_fault`: it is this board that is not to be used, and another one
    in the same slot may go well.
    """

    flash_touched: bool
    board_at_fault: bool

    # without defaults a type checker would not let a member be looked up by its text
    def __new__(cls, text: str, flash_touched: bool = True, board_at_fault: bool = False) -> "BurnCode":
        """Make a member whose value is the text alone, as ledgers and scripts have it."""
        member = str.__new__(cls, text)
        member._value_ = text
        member.flash_touched = flash_touched
        member.board_at_fault = board_at_fault
        return member

    # --- the port and the way to the board ---
    PORT_MISSING = "port-missing", False, False
    PORT_PERMISSION = "port-permission", False, False
    PORT_BUSY = "port-busy", False, False
    BOOT_MODE = "boot-mode", False, False
    # a cable without data lines as well as a dead board
    NO_ANSWER = "no-answer", False, False
    LOST = "lost", True, False

    # --- the board, before anything is written ---
    WRONG_CHIP = "wrong-chip", False, True
    TOO_SMALL = "too-small", False, True
    SECURED = "secured", False, True
    # its flash says that it is another device
    IDENTITY = "identity", False, True
    # another board has its MAC
    DUPLICATE = "duplicate", False, True

    # --- what a person at the bench has to do first ---
    LAYOUT = "layout", False, False
    NO_FIRMWARE = "no-firmware", False, False
    NO_KEY = "no-key", False, False

    # --- the identity makes no image ---
    IMAGE = "image", False, False

    # --- after a write ---
    # does not read back as it was written
    MD5 = "md5", True, True
    # the Wi-Fi or the gateway as well as the board
    NOT_HEARD = "not-heard", True, False
    # the station was cut off from the broker, so nobody knows whether the device is heard of
    MONITOR_LOST = "monitor-lost", True, False

    # --- the station ---
    NO_ESPTOOL = "no-esptool", False, False
    INTERNAL = "internal", True, False
    # the ledger cannot be used, at whatever moment
    STATION = "station", True, False
    # some of several boards failed, each for a reason of its own
    BOARDS = "boards", True, False

    @classmethod
    def _missing_(cls, value: object) -> "BurnCode | None":
        """Take what earlier versions called it."""
        return {"unseen": cls.NOT_HEARD, "deaf": cls.MONITOR_LOST}.get(str(value))
