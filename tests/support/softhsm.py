"""Tokens without hardware: SoftHSM2 with a directory of its own; OpenSC's pkcs11-tool says what is in them."""

import gc
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from fleetmint.gateway.ca_key import token as tokens

MODULE = Path("/usr/lib/softhsm/libsofthsm2.so")
SO_PIN = "87654321"


@dataclass(frozen=True)
class Token:
    """A token by its label, with the PIN that opens it."""

    label: str = "workshop"
    pin: str = "246810"

    def url(self, path: str = "", query: str = "") -> str:
        """Return the URL of the device CA's key in it."""
        return f"pkcs11:token={self.label}{path}?module-path={MODULE}{query}"

    def objects(self) -> str:
        """Return what an independent program sees in it."""
        login = ["--token-label", self.label, "--pin", self.pin]
        command = ["pkcs11-tool", "--module", str(MODULE), *login, "--list-objects"]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    def close_sessions(self) -> None:
        """End all sessions, as when it is pulled and plugged in again."""
        library = tokens._LIBRARIES[str(MODULE)]
        for slot in library.getSlotList(tokenPresent=True):
            library.closeAllSessions(slot)


def forget_modules() -> None:
    """Let the next use begin as a new process does: a module reads its configuration once."""
    tokens._SESSIONS.clear()
    while tokens._LIBRARIES:
        library = tokens._LIBRARIES.popitem()[1]
        # that of bookworm unloads when it is collected
        getattr(library, "unload", lambda: None)()
        del library
    gc.collect()


def make_token(label: str = "workshop", pin: str = "246810") -> Token:
    """Make a token where SOFTHSM2_CONF says."""
    command = ["softhsm2-util", "--init-token", "--free", "--label", label, "--pin", pin, "--so-pin", SO_PIN]
    subprocess.run(command, capture_output=True, check=True)
    return Token(label, pin)


@pytest.fixture
def token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Token]:
    """A token in a directory of its own."""
    (tmp_path / "tokens").mkdir()
    configuration = tmp_path / "softhsm2.conf"
    configuration.write_text(f"directories.tokendir = {tmp_path / 'tokens'}\n")
    monkeypatch.setenv("SOFTHSM2_CONF", str(configuration))
    yield make_token()
    forget_modules()
