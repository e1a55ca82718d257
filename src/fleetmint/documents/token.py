"""A one-time token of one device as a file for its bench, format `fleetmint-token-1`; the gateway gets the hash only.

{"format": …, "device": ID, "token": hex, "expires": "2027-11-22T00:00:00Z",
 "gateway": HOST, "https_port": …, "mqtt_port": …, "trust_bundle": base64}

The second line is what a machine that is no board has to know before it trusts any network: a board has it in its NVS.
"""

import base64
import binascii
import hashlib
import json
import secrets as random
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from fleetmint import commands, files
from fleetmint.documents.reach import FirstContact, Reach
from fleetmint.errors import FleetmintError, StateError
from fleetmint.trust import bundle
from fleetmint.x509 import names
from fleetmint.x509.hosts import host

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


def save(token: Token, path: Path, contact: FirstContact) -> None:
    """Write the token to a file that only its owner can read."""
    reach = contact.reach
    content = {"format": FORMAT, "device": token.device, "token": token.token, "expires": token.expires}
    where = {"gateway": reach.gateway, "https_port": reach.https_port, "mqtt_port": reach.mqtt_port}
    trust = {"trust_bundle": base64.b64encode(contact.bundle.encode()).decode()}
    files.write_atomically(path, json.dumps({**content, **where, **trust}, indent=1).encode() + b"\n")


def load(path: Path, device: str) -> Token:
    """Read the token of `device`; raise StateError when the file holds none, or another device's."""
    found = _token(_content(path, device), path, device)
    if found.device != device:
        raise StateError(f"{path} holds a token of {found.device}, not of {device}: nothing was written")
    return found


def load_contact(path: Path) -> tuple[Token, FirstContact]:
    """Read a token and what its device has to know beside it; raise StateError when the file lacks one of them."""
    content = _content(path, "DEVICE")
    found = _token(content, path, "DEVICE")
    again = commands.fleetmint("token", "new", found.device, "--to", "FILE")
    try:
        names.device_id(found.device)
        trusted = bundle.decode(base64.b64decode(content["trust_bundle"], validate=True), f"the trust bundle in {path}")
        reach = Reach(host(content["gateway"]), int(content["https_port"]), int(content["mqtt_port"]))
    except KeyError as error:
        raise StateError(
            f"{path} does not say whom to trust ({error.args[0]} is missing): it was made by an older version, and"
            f" {again} on the controller makes another token"
        ) from error
    except (binascii.Error, ValueError, TypeError, FleetmintError) as error:
        raise StateError(f"{path} is damaged ({error}): copy it again, or make another with {again}") from error
    if not trusted.is_signed():
        raise StateError(
            f"the trust bundle in {path} is not signed by the release key that it names: do not use it; copy the file"
            f" again, or make another with {again}"
        )
    return found, FirstContact(reach, trusted)


def _content(path: Path, device: str) -> dict[str, Any]:
    try:
        content = json.loads(files.read_private(path, "token"))
        if content["format"] != FORMAT:
            raise ValueError("another format")
    except (ValueError, KeyError, TypeError) as error:
        raise _none(path, device) from error
    return dict(content)


def _token(content: dict[str, Any], path: Path, device: str) -> Token:
    try:
        return Token(str(content["device"]), str(content["token"]), str(content["expires"]))
    except KeyError as error:
        raise _none(path, device) from error


def _none(path: Path, device: str) -> StateError:
    makes = commands.fleetmint("token", "new", device, "--to", str(path))
    return StateError(f"{path} holds no token: {makes} makes one")
