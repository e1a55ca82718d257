"""PEM as the world has it: in any encoding of text, with text around it, and inside of source code or JSON.

For people's files, of which is said what they are. What strangers send is read strictly, by request.py.
"""

import base64
import binascii
import codecs
import json
import re
from dataclasses import dataclass, field

from fleetmint.errors import StateError
from fleetmint.x509.der import pem_label

_BEGIN = re.compile(r"-----BEGIN ([^-\n\"\\]{1,64})-----")
# RFC 1421 headers of a key that OpenSSL encrypted itself, and what OpenPGP writes
_HEADER = re.compile(r"^[A-Za-z][A-Za-z0-9-]*: .*$", re.MULTILINE)
# What stands between two pieces of one text in C, JavaScript, Java, Python: quotes, plus, comma, the backslash that
# goes on with a #define
_BETWEEN = re.compile(r"""["'`](?:[ \t\n+.,;\\]|u8|L)*["'`]""")
_ESCAPED_END = re.compile(r"\\+(?:[nrt]|x0[aAdD]|u000[aAdD]|01[25]|\n)")
_ESCAPED = re.compile(r"\\+u([0-9a-fA-F]{4})|\\+(?=/)")
_BASE64 = re.compile(r"[A-Za-z0-9+/]+={0,2}")
_QUOTE = re.compile(r"""\\+(["'`])""")
_NUMBER = re.compile(r"0x([0-9A-Fa-f]{2})\b")
_ARRAY = re.compile(r"[{\[]([^{}\[\]]*)[}\]]")
_HEX = re.compile(r"(?:[0-9A-Fa-f]{2}[\s:]*)+")
_DASHES = re.compile("[\u2010-\u2015\u2212\ufe58\ufe63\uff0d]-*\\s*(?:BEGIN|END) ")
_SHORTEST = 16
_C = re.compile(r"#\s*(?:define|include|pragma|ifndef)\b|\bchar\b|\bPROGMEM\b|\bstatic\b|\buint8_t\b")


@dataclass(frozen=True)
class Block:
    """One block: its label, and what is in it; `headers` are those of RFC 1421, such as Proc-Type."""

    label: str
    data: bytes = field(repr=False)
    headers: tuple[str, ...] = ()


@dataclass(frozen=True)
class Reading:
    """The blocks of a text, in its order, and in which form they are there: None for PEM as every reader takes it."""

    blocks: tuple[Block, ...] = ()
    form: str | None = None


def text_of(data: bytes) -> str | None:
    """Return the text in `data` with line feeds alone, None when it is none; what is no ASCII may be read wrongly."""
    for mark, encoding in (
        (codecs.BOM_UTF8, "utf-8-sig"),
        (codecs.BOM_UTF32_LE, "utf-32"),
        (codecs.BOM_UTF32_BE, "utf-32"),
        (codecs.BOM_UTF16_LE, "utf-16"),
        (codecs.BOM_UTF16_BE, "utf-16"),
    ):
        if data.startswith(mark):
            text = data.decode(encoding, "replace")
            break
    else:
        if b"\0" in data:
            encoding = "utf-16-le" if data[1:2] == b"\0" else "utf-16-be"
            if data[:64:2].strip(b"\0") and data[1:64:2].strip(b"\0"):
                return None
            text = data.decode(encoding, "replace")
        else:
            text = data.decode("utf-8", "replace")
    return None if "\0" in text else text.replace("\r\n", "\n").replace("\r", "\n")


def read(data: bytes, what: str) -> Reading:
    """Return the PEM blocks in `data`, or the base64, hex digits or numbers of C that stand for DER.

    Empty for anything else. Raises StateError, which names `what`, for a block that is cut off or damaged.
    """
    text = text_of(data)
    if text is None:
        return Reading()
    if _BEGIN.search(text):
        return _pem(data, text, what)
    if _DASHES.search(text):
        raise StateError(
            f"the dashes in {what} are not those of PEM: a word processor or a web page has changed them; copy the file"
            " itself"
        )
    return _without_labels(text, what)


def _pem(data: bytes, text: str, what: str) -> Reading:
    plain = [None if body is None else _block(label, body) for label, body in _bodies(text)]
    if all(plain):
        return Reading(tuple(block for block in plain if block is not None), _encoding(data))
    found = []
    for label, body in _bodies(_unescaped(text)):
        if body is None:
            raise StateError(
                f"the block {label} in {what} is cut off: it has no line -----END {label}-----; copy all of it"
            )
        block = _block(label, body)
        if block is None:
            raise StateError(
                f"the {label.lower()} in {what} is damaged: it is not base64; restore the file from a backup"
            )
        found.append(block)
    return Reading(tuple(found), _program(text))


def _bodies(text: str) -> list[tuple[str, str | None]]:
    """Return each label with what is between its two lines; None where the second one does not come."""
    begun = list(_BEGIN.finditer(text))
    ends = [*(match.start() for match in begun[1:]), len(text)]
    found: list[tuple[str, str | None]] = []
    for match, last in zip(begun, ends, strict=True):
        end = text.find(f"-----END {match[1]}-----", match.end(), last)
        found.append((match[1].strip(), None if end < 0 else text[match.end() : end]))
    return found


def _block(label: str, body: str) -> Block | None:
    """Return the block, or None when it is not base64, as when it is inside of something."""
    headers = tuple(line.strip() for line in _HEADER.findall(body))
    body = "".join(_HEADER.sub("", body).split())
    if "PGP" in label:
        body = re.sub(r"=[A-Za-z0-9+/]{4}$", "", body)  # its CRC (RFC 4880, section 6)
    try:
        data = base64.b64decode(body + "=" * (-len(body) % 4), validate=True)
    except (ValueError, binascii.Error):
        return None
    return Block(label, data, headers) if data else None


def _unescaped(text: str) -> str:
    """Take the blocks out of the text of a program: base64 has no quote, backslash, blank or comma of its own."""
    text = _QUOTE.sub(r"\1", _ESCAPED_END.sub("\n", text))
    text = _ESCAPED.sub(lambda match: chr(int(match[1], 16)) if match[1] else "", text)
    text = _BETWEEN.sub("\n", text)
    return re.sub(r"""["'`]""", "", text)


def _encoding(data: bytes) -> str | None:
    if data.startswith(codecs.BOM_UTF8):
        return "PEM behind a byte order mark"
    return "PEM in UTF-16" if b"\0" in data else None


def _program(text: str) -> str:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return f"PEM inside of {'C source' if _C.search(text) else 'source code or a configuration file'}"
    return "PEM inside of JSON"


def _without_labels(text: str, what: str) -> Reading:
    arrays = [bytes.fromhex("".join(_NUMBER.findall(array))) for array in _ARRAY.findall(text)]
    found = [block for array in arrays for block in _array(array, what)]
    if found:
        return Reading(tuple(found), "PEM or DER as numbers in C source")
    stripped = "".join(text.split())
    if len(stripped) < _SHORTEST:
        return Reading()
    if _HEX.fullmatch(text.strip()) and stripped.startswith("30"):
        return _der(bytes.fromhex(stripped.replace(":", "")), "DER as hex digits")
    if _BASE64.fullmatch(stripped):
        try:
            inner = base64.b64decode(stripped, validate=True)
        except (ValueError, binascii.Error):
            return Reading()
        if inner.startswith(b"-----BEGIN"):
            return Reading(read(inner, what).blocks, "PEM inside of base64")
        return _der(inner, "DER as base64 without a label")
    return Reading()


def _array(data: bytes, what: str) -> tuple[Block, ...]:
    if data.startswith(b"-----BEGIN"):
        return read(data.rstrip(b"\0"), what).blocks
    return _der(data, "").blocks


def _der(data: bytes, form: str) -> Reading:
    label = pem_label(data)
    return Reading() if label is None else Reading((Block(label, data),), form)
