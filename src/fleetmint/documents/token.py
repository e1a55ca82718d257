"""A one-time token of one device as a file for its bench, format `fleetmint-token-1`; the gateway gets the hash only.

{"format": …, "device": ID, "token": hex, "expires": "2027-11-22T00:00:00Z"}
"""

import hashlib
import json
import secrets as random
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from fleetmint import commands, files
from fleetmint.errors import StateError
from fleetmint.x509 import names

FORMAT = "fleetmint-token-1"
TOKEN_BYTES = 16


@dataclass(frozen=True)
class Token:
    """A one-time token of one device; `expires` is a UTC time such as 2027-11-22T00:00:00Z."""

    device: str
    token: str = field(repr=False)
    expires: str

    @property
    def sha256(self) -> str:
        """What the gateway is told: the hash, lower-case hex."""
        return hashlib.sha256(self.token.encode()).hexdigest()


def new_token(device: str, lifetime: timedelta, now: datetime) -> Token:
    """Make a token; raise NameRefusedError for what is no device id."""
    expires = f"{now + lifetime:%Y-%m-%dT%H:%M:%SZ}"
    return Token(names.device_id(device), random.token_hex(TOKEN_BYTES), expires)


def save(token: Token, path: Path) -> None:
    """Write the token to a file that only its owner can read."""
    content = {"format": FORMAT, "device": token.device, "token": token.token, "expires": token.expires}
    files.write_atomically(path, json.dumps(content, indent=1).encode() + b"\n")


def load(path: Path, device: str) -> Token:
    """Read the token of `device`; raise StateError when the file holds none, or another device's."""
    try:
        content = json.loads(files.read(path, "token"))
        if content["format"] != FORMAT:
            raise ValueError("another format")
        found = Token(str(content["device"]), str(content["token"]), str(content["expires"]))
    except (ValueError, KeyError, TypeError) as error:
        raise StateError(
            f"{path} holds no token: {commands.fleetmint('token', 'new', device, '--to', str(path))} makes one"
        ) from error
    if found.device != device:
        raise StateError(f"{path} holds a token of {found.device}, not of {device}: nothing was written")
    return found
