"""What the service writes to the journal: one line for each event, whatever a stranger made part of it."""

import logging
from types import TracebackType

from fleetmint.printable import printable, printable_lines

_ExcInfo = tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]


class OneLine(logging.Formatter):
    """Level and message, on one line; of a mistake in the service also the traceback, each line of it indented."""

    def __init__(self) -> None:
        super().__init__("%(levelname)s %(message)s")  # the journal adds time and process

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - the name that logging has for it
        """Return the line."""
        return printable(super().formatMessage(record))

    def formatException(self, ei: _ExcInfo) -> str:  # noqa: N802
        """Return the traceback, none of whose lines can be taken for a message."""
        return "    " + printable_lines(super().formatException(ei)).replace("\n", "\n    ")


def set_up() -> None:
    """Send what the service logs to stderr, which is the journal under systemd."""
    handler = logging.StreamHandler()
    handler.setFormatter(OneLine())
    logging.basicConfig(level=logging.INFO, handlers=[handler])
