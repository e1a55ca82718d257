"""What people write as text, in files and in variables: the one place that says what is text and what is none.

YAML reads 0123, yes and 12:30 as something else, JSON writes a character as two halves, editors put a byte order mark
in front, and what is copied brings characters that nobody sees. Whatever may differ from what was meant is refused; no
message repeats the text, which can be a passphrase.
"""

import re
import unicodedata
from datetime import date

from fleetmint.errors import TextRefusedError

_NAMES = {"\n": "a line feed", "\r": "a carriage return", "\t": "a tab", "\f": "a form feed", "\0": "a zero byte"}
# They are no control characters to Unicode, and nobody sees them: most of what Unicode lets fonts ignore, such as soft
# hyphens and what turns text around, and what stands where an encoding went wrong. Joiners, the variation selectors of
# emoji and the tags of flags stay, since people write with them.
_RANGES = (
    (0xAD, 0xAD), (0x34F, 0x34F), (0x61C, 0x61C), (0x115F, 0x1160), (0x17B4, 0x17B5), (0x180E, 0x180E),
    (0x200B, 0x200B), (0x200E, 0x200F), (0x202A, 0x202E), (0x2060, 0x206F), (0x2800, 0x2800), (0x3164, 0x3164),
    (0xFDD0, 0xFDEF), (0xFEFF, 0xFEFF), (0xFFA0, 0xFFA0), (0xFFF0, 0xFFFB), (0xFFFD, 0xFFFD), (0x1BCA0, 0x1BCA3),
    (0x1D173, 0x1D17A), (0xE0000, 0xE001F), (0xE0080, 0xE00FF), (0xE01F0, 0xE0FFF),
)  # fmt: skip
_NO_CHARACTERS = {(plane << 16) + last for plane in range(17) for last in (0xFFFE, 0xFFFF)}
_UNSEEN = frozenset(map(chr, _NO_CHARACTERS.union(*(range(first, last + 1) for first, last in _RANGES))))
# How files begin that are no text, and what they are.
_OTHERS = {
    b"\xff\xfe": "and this is UTF-16: save it as UTF-8",
    b"\xfe\xff": "and this is UTF-16: save it as UTF-8",
    b"PK\x03\x04": "and this is a spreadsheet or another ZIP archive: save its one sheet as CSV in UTF-8",
}


def decoded(data: bytes, what: str) -> str:
    """Return the text of the file `what`: UTF-8, with a byte order mark or without. TextRefusedError names the line."""
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = len(re.findall(rb"\r\n|\r|\n", data[: error.start])) + 1
        how = next((f" {text}" for begin, text in _OTHERS.items() if data.startswith(begin)), ": save it as UTF-8")
        raise TextRefusedError(f"{what}, line {line}: it has to be text in UTF-8{how}") from None


def is_text(value: object, what: str) -> str:
    """Return `value`, which YAML or JSON gave, if that is text; raise TextRefusedError otherwise."""
    if value is None:
        raise TextRefusedError(f"{what} is empty, and has to be text: write it, in quotes")
    if not isinstance(value, str):
        raise TextRefusedError(f"{what} is {_kind(value)} to YAML, and has to be text: put it in quotes")
    return joined(value, what)


def joined(text: str, what: str) -> str:
    """Return `text` with each pair of surrogates as the character it stands for; refuse half a pair."""
    try:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le")
    except UnicodeDecodeError:
        raise TextRefusedError(f"{what} holds half a character (a lone surrogate): write the whole one") from None


def plain(text: str, what: str) -> str:
    """Return `text` if it is one line of which everything can be seen or is a blank; raise TextRefusedError if not."""
    for character in text:
        if unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") or character in _UNSEEN:
            name = _NAMES.get(character, f"the character U+{ord(character):04X}")
            how = "put it in quotes, on one line (`|` and `>` of YAML add one)" if character == "\n" else "take it out"
            raise TextRefusedError(f"{what} holds {name}, which nobody sees and no such text has: {how}")
    return text


def _kind(value: object) -> str:
    if isinstance(value, bool):
        return "yes or no"
    if isinstance(value, (int, float)):
        return "a number"
    if isinstance(value, date):
        return "a date"
    if isinstance(value, bytes):
        return "binary data"
    return "a list or mapping"
