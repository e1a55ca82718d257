"""What a source of passphrases is: files that hold them, or somebody who is asked."""

import base64
import codecs
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from fleetmint import commands, files
from fleetmint.errors import SecretError

ROOT = "root"
ISSUING = "issuing"
BENCH = "bench"
RANDOM_BYTES = 20


class Source(Protocol):
    """The passphrases of one site, read when they are needed."""

    @property
    def makes(self) -> bool:
        """Whether it can make a passphrase that does not exist yet."""

    def has(self, name: str) -> bool:
        """Whether the passphrase exists."""

    def read(self, name: str) -> bytes:
        """Return the passphrase `name`; raise SecretError when it cannot be had."""

    def make(self, name: str) -> None:
        """Make and store a random passphrase called `name`."""


@dataclass(frozen=True)
class Stored:
    """Passphrases in files of `directory`, which `decode` reads and `encode` writes."""

    directory: Path
    decode: Callable[[Path], bytes]
    encode: Callable[[Path, bytes], None]

    @property
    def makes(self) -> bool:
        """It does."""
        return True

    def has(self, name: str) -> bool:
        """Whether the file exists."""
        return self._path(name).exists()

    def read(self, name: str) -> bytes:
        """Return the passphrase `name`; raise SecretError when there is none, or one that cannot be ours."""
        if not self.has(name):
            raise SecretError(
                f"there is no passphrase {self._path(name)}: restore it, or run {commands.playbook('ca.yml')} first"
            )
        return _long_enough(self.decode(self._path(name)), f"the passphrase in {self._path(name)}")

    def make(self, name: str) -> None:
        """Make and store a random passphrase called `name`."""
        files.make_private_dir(self.directory)
        self.encode(self._path(name), base64.b32encode(secrets.token_bytes(RANDOM_BYTES)) + b"\n")

    def _path(self, name: str) -> Path:
        return self.directory / name


@dataclass(frozen=True)
class Given:
    """Passphrases that somebody or something hands over; `ask` is called once for each, which is then remembered."""

    ask: Callable[[str], bytes]
    what: str
    _known: dict[str, bytes] = field(default_factory=dict, repr=False)

    @property
    def makes(self) -> bool:
        """It does not: what people think up is not random."""
        return False

    def has(self, name: str) -> bool:
        """Whoever is asked may have any."""
        return True

    def read(self, name: str) -> bytes:
        """Return what was given for `name`; raise SecretError when nothing was, or what cannot be ours."""
        if name not in self._known:
            self._known[name] = _long_enough(self.ask(name), f"the {name} passphrase {self.what}")
        return self._known[name]

    def make(self, name: str) -> None:
        """Raise SecretError."""
        raise SecretError(f"a passphrase {self.what} is not made here: make the CAs with vault:DIRECTORY first")


def _long_enough(passphrase: bytes, what: str) -> bytes:
    # an editor puts a byte order mark in front, and an end of a line behind
    passphrase = passphrase.removeprefix(codecs.BOM_UTF8).strip()
    if len(passphrase) < RANDOM_BYTES:
        raise SecretError(f"{what} is too short to be the one that was made")
    return passphrase
