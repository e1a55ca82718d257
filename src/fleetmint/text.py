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
# They are no control characters to Unicode, and nobody sees them: they turn text around, or stand where an encoding
# went wrong. Joiners stay, since emoji and Persian are made with them.
_UNSEEN = frozenset("\u200b\u200e\u200f\u2060\ufeff\ufffd\ufffe\uffff\u061c") | {
    chr(code) for code in (*range(0x202A, 0x202F), *range(0x2066, 0x206A))
}
_UTF16 = (b"\xff\xfe", b"\xfe\xff")


def decoded(data: bytes, what: str) -> str:
    """Return the text of the file `what`: UTF-8, with a byte order mark or without. TextRefusedError names the line."""
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = len(re.findall(rb"\r\n|\r|\n", data[: error.start])) + 1
        other = " and this is UTF-16" if data.startswith(_UTF16) else ""
        raise TextRefusedError(f"{what}, line {line}: it has to be text in UTF-8{other}: save it as UTF-8") from None


def is_text(value: object, what: str) -> str:
    """Return `value`, which YAML or JSON gave, if that is text; raise TextRefusedError otherwise."""
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
    if value is None:
        return "empty"
    if isinstance(value, bool):
        return "yes or no"
    if isinstance(value, (int, float)):
        return "a number"
    if isinstance(value, date):
        return "a date"
    if isinstance(value, bytes):
        return "binary data"
    return "a list or mapping"
