"""What strangers say, made fit for a person's eyes: devices, boards, clients of the gateway, files from elsewhere.

A terminal, a log and a page obey control characters: ESC sequences colour, move and ask, a line feed begins a line that
looks like somebody else's, a bidi control turns the order round, and a lone surrogate cannot be written at all. So what
was made elsewhere goes through here before it is shown, and these stand in it as escapes of Python.
"""

import json
from collections.abc import Mapping
from typing import Any


def printable(text: str | bytes) -> str:
    r"""Return `text` on one line, with an escape such as \x1b, \n or \u202e for what no person can see in it.

    That is everything Unicode calls a control, a format or a surrogate, what it has not assigned, and every separator
    but the blank. Bytes that are no UTF-8 are shown in the same way.
    """
    shown = text.decode(errors="backslashreplace") if isinstance(text, bytes) else text
    return shown if shown.isprintable() else "".join(map(_shown, shown))


def printable_lines(text: str) -> str:
    """Return `text` with its line feeds, which have to be ours, and everything else as `printable` has it."""
    return "\n".join(map(printable, text.split("\n")))


def shortened(text: str, largest: int) -> str:
    """Return at most `largest` characters of `text`, and how many there were if that is more."""
    return text if len(text) <= largest else f"{text[:largest]}... ({len(text)} characters)"


def json_line(values: Mapping[str, Any]) -> str:
    """Return a JSON object on one line of ASCII, without a control character."""
    return json.dumps(values).replace("\x7f", r"\u007f")


def _shown(character: str) -> str:
    return character if character.isprintable() else character.encode("unicode_escape").decode()
