"""A PKCS #11 URL (RFC 7512): which key of which token, through which module, and where its PIN is.

    pkcs11:token=workshop;object=device-ca?module-path=/usr/lib/softhsm/libsofthsm2.so

Every part that is given has to match. Of the attributes of the path these are understood: token, serial, manufacturer,
model, object, id, and a type that is private; of the query module-path and pin-source. Another one is refused rather
than left aside, since it was meant to narrow down which key is used. A PIN itself has no place here: this text is in
files and in what plays print.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, unquote_to_bytes

from fleetmint.errors import StateError

SCHEME = "pkcs11:"
_TOKEN = ("token", "serial", "manufacturer", "model")
_PATH = (*_TOKEN, "object", "id", "type")
_QUERY = ("module-path", "pin-source")
# RFC 7512 (2.3): what is not percent-encoded; beyond it neither quotes nor spaces reach a configuration.
_VALUE = re.compile(r"(?:[A-Za-z0-9\-._~:\[\]@!$'()*+,=&/?|]|%[0-9A-Fa-f]{2})*")
DEFAULT_OBJECT = "fleetmint-device-ca"


@dataclass(frozen=True)
class Pkcs11Url:
    """What a URL says: `token` by the names of RFC 7512, the object's label, its CKA_ID, the module, the PIN's file."""

    token: tuple[tuple[str, str], ...]
    module: Path
    label: str = DEFAULT_OBJECT
    id: bytes | None = None
    pin_file: Path | None = None

    def __str__(self) -> str:
        """Return which token it is about, for a sentence."""
        return ", ".join(f"{name} {value}" for name, value in self.token)


def parse(text: str) -> Pkcs11Url:
    """Return what the URL `text` says; raise StateError for one that is none, or says what is not understood."""
    if not text.startswith(SCHEME):
        raise StateError(f"this is no PKCS #11 URL: it has to begin with {SCHEME}")
    path, _, query = text.removeprefix(SCHEME).partition("?")
    found = _attributes(path, ";", _PATH) | _attributes(query, "&", _QUERY)
    if found.get("type", "private") != "private":
        raise StateError(f"the PKCS #11 URL asks for the type {found['type']!r}: a CA signs with a private key")
    token = tuple((name, unquote(found[name])) for name in _TOKEN if found.get(name))
    if not token:
        raise StateError("the PKCS #11 URL names no token: it needs token=LABEL or serial=NUMBER")
    if "module-path" not in found:
        raise StateError("the PKCS #11 URL needs ?module-path=FILE, the library of the token's maker")
    return Pkcs11Url(
        token,
        _file(found["module-path"], "module-path"),
        unquote(found.get("object", DEFAULT_OBJECT)),
        unquote_to_bytes(found["id"]) if "id" in found else None,
        _file(found["pin-source"].removeprefix("file:"), "pin-source") if "pin-source" in found else None,
    )


def _attributes(text: str, separator: str, known: tuple[str, ...]) -> dict[str, str]:
    found: dict[str, str] = {}
    for part in filter(None, text.split(separator)):
        name, equals, value = part.partition("=")
        if name == "pin-value":
            raise StateError("the PKCS #11 URL holds a PIN, which others read here: say where it is with pin-source")
        if name not in known or not equals:
            raise StateError(f"the PKCS #11 URL says {name!r}, which is not understood: choose from {', '.join(known)}")
        if name in found or not _VALUE.fullmatch(value):
            raise StateError(f"the PKCS #11 URL says {name} twice, or in characters that need percent-encoding")
        found[name] = value
    return found


def _file(text: str, name: str) -> Path:
    path = Path(unquote(text))
    if not path.is_absolute():
        raise StateError(f"{name} of the PKCS #11 URL has to be a file with its whole path, such as /etc/fleetmint/x")
    return path
