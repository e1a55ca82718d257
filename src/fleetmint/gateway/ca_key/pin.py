"""The PIN of a token: where it is, and that one which was wrong is not tried again.

A token locks itself after a few wrong PINs, for good. A service asks with each request and a timer each hour, so a PIN
that was refused once is remembered by its file, and by the token itself, until a person has brought another.
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from fleetmint import files
from fleetmint.errors import StateError
from fleetmint.gateway.ca_key import sealed
from fleetmint.gateway.ca_key.url import Pkcs11Url
from fleetmint.gateway.config import Config

FILE = "pin.cred"
_CREDENTIAL = "token-pin"
_LONGEST = 255
BRING = "signing_service_token_pin and docs/issuing-key.md"


class PinError(StateError):
    """A PIN is none, was refused by its token, or must not be tried."""


@dataclass(frozen=True)
class Pin:
    """Where a PIN is, how it is read, and where is noted that it was wrong."""

    path: Path
    read: Callable[[], str]
    refused: Path

    def get(self) -> str:
        """Return the PIN; raise PinError when it was wrong before, StateError when it cannot be read."""
        if self._stamp() in self._noted():
            raise PinError(
                f"the PIN in {self.path} was refused by the token, and is not tried again, since that would lock it:"
                f" bring the right one ({BRING})"
            )
        return self.read()

    def note_refused(self) -> None:
        """Remember that what is there now was wrong, for every account: root and the service use the same token."""
        with suppress(StateError):  # the token remembers, too, and that it refuses the PIN is what has to be said
            files.write_atomically(self.refused, self._stamp(), files.PUBLIC_FILE)

    def _stamp(self) -> bytes:
        try:
            found = self.path.stat()
        except OSError as error:
            raise StateError(f"there is no PIN for the token in {self.path}: bring it ({BRING})") from error
        return f"{self.path} {found.st_ino} {found.st_mtime_ns}\n".encode()

    def _noted(self) -> bytes:
        try:
            return self.refused.read_bytes()
        except OSError:
            return b""


def of(config: Config, url: Pkcs11Url) -> Pin:
    """Return the PIN of the token: in the file that the URL names, else sealed beside the device CA."""
    path = url.pin_file or config.device_ca / FILE

    def read() -> str:
        data = files.read_private(path, "the PIN of the token", refuse=True)
        if url.pin_file is None:
            data = sealed.open_sealed(config.seal_socket, _CREDENTIAL, data, f"the PIN of the token in {path}")
        return checked(data)

    return Pin(path, read, config.state / "pin-refused")


def checked(data: bytes) -> str:
    """Return a PIN of one line; raise PinError when it is none."""
    try:
        text = data.decode().rstrip("\r\n")
    except UnicodeDecodeError:
        text = ""
    if not 0 < len(text) <= _LONGEST or not text.isprintable():
        raise PinError("this is no PIN: give one line of at most 255 characters")
    return text


def seal(config: Config, text: str) -> bytes:
    """Return what the file of the PIN holds."""
    return sealed.seal(config.seal_socket, _CREDENTIAL, text.encode())


def held(config: Config) -> str | None:
    """Return the PIN that is sealed here; None when there is none, or none that opens here."""
    path = config.device_ca / FILE
    try:
        data = files.read_private(path, "the PIN of the token", refuse=True)
        return checked(sealed.open_sealed(config.seal_socket, _CREDENTIAL, data, str(path)))
    except StateError:
        return None
