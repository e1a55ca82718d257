"""What the service writes to the journal: one line for each event, whatever a stranger made part of it.

As text for people, or as one JSON object a line for programs, with the fields by which events are found. Neither has a
token, a request, a key or a header: those are never given to a message. docs/monitoring.md lists events and fields.
"""

import logging
import time
import warnings
from types import TracebackType
from typing import Any

from flask import g, has_request_context, request

from fleetmint.choices import JSON_LOG, TEXT_LOG
from fleetmint.printable import json_line, printable, printable_lines

_ExcInfo = tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]
# What is logged without a name: by a library, or by what comes next.
_NAMELESS = "other"


def event(name: str, **fields: object) -> dict[str, Any]:
    """Return the `extra` of a message: the name of the event, which stays the same, and what it is about.

    During a request the address of the client and the seconds that it has taken so far are added.
    """
    known = {key: value for key, value in fields.items() if value is not None}
    if has_request_context():
        known["source"] = request.remote_addr
        if "begun" in g:
            known["seconds"] = round(time.perf_counter() - g.begun, 6)
    return {"event": name, "fields": known}


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


class JsonLine(logging.Formatter):
    """One object on one line of ASCII: level, event, its fields, the message for people, and the traceback if any."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        values = dict(getattr(record, "fields", {}))
        values |= {"level": record.levelname.lower(), "event": getattr(record, "event", _NAMELESS)}
        values["message"] = record.getMessage()
        if record.exc_info:
            values["traceback"] = self.formatException(record.exc_info)
        return json_line(values)


FORMATTERS = {TEXT_LOG: OneLine, JSON_LOG: JsonLine}


def set_up(log_format: str) -> None:
    """Send what the service logs to stderr, which is the journal under systemd."""
    handler = logging.StreamHandler()
    handler.setFormatter(FORMATTERS[log_format]())
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    # what the parser thinks of a stranger's names, a line for each length of one
    warnings.filterwarnings("ignore", "Attribute's length", UserWarning)
