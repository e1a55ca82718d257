"""Values with a type, as NVS stores them, and how a person writes them in a file.

The types are those of ESP-IDF's nvs_set_*: whole numbers of 8 to 64 bits with and without a sign, a string, a blob.
MicroPython's esp32.NVS reads two of them, i32 and blob; the others are for firmware in C, Arduino or Rust.
"""

import base64
import binascii
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from fleetmint.errors import NvsError
from fleetmint.nvs.layout import MAX_BLOB, MAX_NAME, MAX_STRING

_WHOLE = re.compile("[+-]?(?:0|[1-9][0-9]{0,29}|0[xX][0-9a-fA-F]{1,30})")
_NAME = re.compile(rf"[!-~]{{1,{MAX_NAME}}}")
# type → the bits of the number, and whether it has a sign
_BITS = {
    **{f"u{bits}": (bits, False) for bits in (8, 16, 32, 64)},
    **{f"i{bits}": (bits, True) for bits in (8, 16, 32, 64)},
}
STRING = "string"
BLOB = "blob"
TYPES = (*_BITS, STRING, BLOB)
# The last two are other ways to write a blob, as in the CSV of Espressif's generator.
WRITTEN_TYPES = (*TYPES, "hex2bin", "base64")


@dataclass(frozen=True)
class Value:
    """A value of one of TYPES: an int for a number, bytes for a string (UTF-8, without the final zero) and a blob.

    Making one that NVS cannot hold raises NvsError. The content can be secret: no message and no repr shows it.
    """

    type: str
    content: int | bytes = field(repr=False)

    def __post_init__(self) -> None:
        if self.type in _BITS:
            _check_number(self.type, self.content)
        elif self.type == STRING:
            _check_string(self.content)
        elif self.type == BLOB:
            if not isinstance(self.content, bytes):
                raise NvsError(f"a blob is bytes, not {type(self.content).__name__}")
            if len(self.content) > MAX_BLOB:
                raise NvsError(f"a blob has at most {MAX_BLOB} bytes, not {len(self.content)}")
        else:
            raise NvsError(f"there is no type {self.type!r} in NVS; choose one of {', '.join(TYPES)}")


Entries = Mapping[str, Mapping[str, int | bytes | Value]]


def parse(kind: str, text: str) -> Value:
    """Return the value that `text` is as a `kind` (one of WRITTEN_TYPES).

    A number is decimal, or hexadecimal with 0x. `string` and `blob` take the text as it is, in UTF-8; `hex2bin` and
    `base64` are blobs. Raises NvsError, which does not show the text.
    """
    if kind in _BITS:
        # int() takes 1_000 and the digits of other scripts, too; 017 is fifteen to some
        if not _WHOLE.fullmatch(text):
            raise NvsError(f"the value is no whole number, as {kind} has to be (decimal, or 0x and hex)")
        return Value(kind, int(text, 0))
    if kind == STRING:
        return Value(STRING, text.encode())
    if kind == BLOB:
        return Value(BLOB, text.encode())
    try:
        if kind == "hex2bin":
            return Value(BLOB, binascii.a2b_hex("".join(text.split())))
        if kind == "base64":
            return Value(BLOB, base64.b64decode("".join(text.split()), validate=True))
    except ValueError:
        raise NvsError(f"the value is no {kind}: {_HOW[kind]}") from None
    raise NvsError(f"there is no type {kind!r} in NVS; choose one of {', '.join(WRITTEN_TYPES)}")


def collect(rows: Iterable[tuple[str, str, int | bytes | Value]]) -> dict[str, dict[str, int | bytes | Value]]:
    """Return namespace → key → value of the rows (namespace, key, value), in their order.

    Raises NvsError for a name that NVS does not take, and for a key that comes twice in a namespace.
    """
    found: dict[str, dict[str, int | bytes | Value]] = {}
    for namespace, key, value in rows:
        check_name(namespace, "namespace")
        check_name(key, "key")
        values = found.setdefault(namespace, {})
        if key in values:
            raise NvsError(f"{namespace}:{key} is there twice, and a device would read only one of them")
        values[key] = value
    return found


def check_name(text: str, kind: str) -> bytes:
    """Return `text` as NVS stores the name of a `kind` ("key" or "namespace"); raise NvsError if it cannot."""
    # ESP-IDF stores up to 15 bytes and a zero; anything but visible ASCII would not survive a console or a CSV
    if not _NAME.fullmatch(text):
        raise NvsError(f"{text!r} is no {kind} of NVS: it has to be 1 to {MAX_NAME} visible ASCII characters")
    return text.encode("ascii")


_HOW = {"hex2bin": "it has to be pairs of hex digits", "base64": "it has to be whole groups of four, with = at the end"}


def _check_number(kind: str, content: object) -> None:
    # bool is an int, and a device would read a number where its maker wrote "yes"
    if type(content) is not int:
        raise NvsError(f"{kind} is a whole number, not {type(content).__name__}")
    bits, signed = _BITS[kind]
    lowest, highest = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)
    if not lowest <= content <= highest:
        raise NvsError(f"the number does not fit into {kind}, which holds {lowest} to {highest}")


def _check_string(content: object) -> None:
    if not isinstance(content, bytes):
        raise NvsError(f"a string is UTF-8 bytes, not {type(content).__name__}")
    if b"\0" in content:
        raise NvsError("a string ends at its first zero byte, and this one has one inside: store it as a blob")
    try:
        content.decode()
    except UnicodeDecodeError:
        raise NvsError("a string is UTF-8 text, and this is none: store it as a blob") from None
    if len(content) >= MAX_STRING:
        raise NvsError(f"a string has at most {MAX_STRING - 1} bytes, not {len(content)}: store it as a blob")
