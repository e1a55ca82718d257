"""What a reader may ask for in a query: one list of parameters for each route, which the OpenAPI document shows, too.

A parameter that is not known, or comes twice, is refused: a filter with a slip of the pen would show everything.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from flask import request

from fleetmint.errors import FleetmintError
from fleetmint.ledger.listing import LARGEST_PAGE
from fleetmint.x509.request import RequestRefusedError

USUAL_PAGE = 100
_LONGEST = 100


@dataclass(frozen=True)
class Parameter:
    """One of them: its name, what it means, its JSON schema, and what makes a value of the text (or raises ValueError).

    `expected` is said to whoever gave something else.
    """

    name: str
    text: str
    schema: Mapping[str, Any]
    read: Callable[[str], Any] = field(compare=False)
    expected: str
    default: Any = None


def choice(name: str, text: str, values: Sequence[str], default: str | None = None) -> Parameter:
    """Return a parameter with one of these values."""

    def read(given: str) -> str:
        if given not in values:
            raise ValueError
        return given

    schema: dict[str, Any] = {"type": "string", "enum": list(values)}
    if default is not None:
        schema["default"] = default
    return Parameter(name, text, schema, read, f"one of {', '.join(values)}", default)


def words(name: str, text: str) -> Parameter:
    """Return a parameter that is text."""

    def read(given: str) -> str:
        if not (1 <= len(given) <= _LONGEST and given.isascii() and given.isprintable()):
            raise ValueError
        return given

    schema = {"type": "string", "minLength": 1, "maxLength": _LONGEST, "pattern": "^[ -~]+$"}
    return Parameter(name, text, schema, read, f"1 to {_LONGEST} printable characters of ASCII")


def number(name: str, text: str, least: int, most: int, default: int | None = None) -> Parameter:
    """Return a parameter that is a whole number from `least` to `most`."""

    def read(given: str) -> int:
        if not (given.isascii() and given.isdigit() and len(given) <= len(str(most))):
            raise ValueError
        if not least <= (value := int(given)) <= most:
            raise ValueError
        return value

    schema: dict[str, Any] = {"type": "integer", "minimum": least, "maximum": most}
    if default is not None:
        schema["default"] = default
    return Parameter(name, text, schema, read, f"a whole number from {least} to {most}", default)


def day(name: str, text: str) -> Parameter:
    """Return a parameter that is a day, whose value is its beginning in UTC."""

    def read(given: str) -> datetime:
        if len(given) != len("2027-01-31"):
            raise ValueError
        return datetime.strptime(given, "%Y-%m-%d").replace(tzinfo=UTC)

    return Parameter(name, text, {"type": "string", "format": "date"}, read, "a day, as 2027-01-31")


CURSOR = words("cursor", "`next` of the page before.")
LIMIT = number("limit", "The most rows of the answer.", 1, LARGEST_PAGE, USUAL_PAGE)


def read_query(*parameters: Parameter) -> dict[str, Any]:
    """Return what the request asks for, by name; raise RequestRefusedError (`bad_query`) for anything else in it."""
    known = {each.name: each for each in parameters}
    found = {each.name: each.default for each in parameters}
    for name, values in request.args.lists():
        if name not in known:
            raise _refused(f"there is no parameter {name[:_LONGEST]!r} here: choose from {', '.join(known) or 'none'}")
        try:
            (value,) = values
            found[name] = known[name].read(value)
        except ValueError as error:
            raise _refused(f"{name} has to be {known[name].expected}, and to be given once") from error
    return found


def _refused(message: str) -> FleetmintError:
    return RequestRefusedError("bad_query", message)
