"""What can go wrong, as one small tree of errors.

A message says what happened, to which thing, and what to do about it: it is printed to the user as it is.
"""

from fleetmint.burn_codes import BurnCode


class FleetmintError(Exception):
    """The root of every error this package raises on purpose."""


class NameRefusedError(FleetmintError):
    """A name lies outside the grammar of its kind."""


class TextRefusedError(FleetmintError):
    """What has to be text is none, or has characters that were hardly meant. The message never repeats the text."""


class SecretError(FleetmintError):
    """A passphrase could not be read, or does not open what it should."""


class StateError(FleetmintError):
    """A file of the site's state is missing, damaged, or contradicts another one."""


class NvsError(FleetmintError):
    """Values do not fit into an NVS partition, or its content is damaged."""


class ImageError(FleetmintError):
    """A partition table, firmware or file system image is no such thing, or does not fit."""


class FlashTooSmallError(ImageError):
    """The flash of a board has no room for what it is to hold."""


class LedgerError(StateError):
    """The ledger cannot be used now: missing, locked, full, read-only or damaged. Nothing was recorded."""


class RegistrationRefusedError(FleetmintError):
    """A registration document is malformed or contradicts the ledger. Nothing of it was imported."""


class ClockError(FleetmintError):
    """The clock is certainly wrong, so nothing may be signed by it."""


class PublishError(FleetmintError):
    """A revocation list could not be put in front of a server, or a server did not take it."""


class AlertError(FleetmintError):
    """The command of a site's choosing could not be told what is due."""


class BurnError(FleetmintError):
    """A board was not burned; `code` is the reason for a program, the message the one for a person.

    `mac` is the board's, where it is known.
    """

    def __init__(self, message: str, code: BurnCode, mac: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.mac = mac
