"""Where the passphrases of the CA keys come from: a source, named by a short text, never the passphrase itself.

    file:DIRECTORY    files `root`, `issuing` and `bench`, readable by their owner only
    vault:DIRECTORY   the same files encrypted by Ansible Vault, with ansible-vault's own password
    shares:DIRECTORY  for the root alone: enough of its shares, as a ceremony printed them, one file each
    prompt:           typed at the terminal, which a module of Ansible never has
    fd:N              read from the open file descriptor N: lines `NAME PASSPHRASE`, or one line with the only
                      passphrase there is; Ansible hands no descriptor to its modules either

`root` opens the root's key, `issuing` those of the other CAs, `bench` the keys of batches (factory/sealed.py).

`file:` and `vault:` make a missing passphrase themselves: 160 random bits, since the encryption of the keys adds next
to nothing. The others only give back what was made before.
"""

import base64
import codecs
import getpass
import os
import secrets
import shutil
import subprocess
import sys
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


def open_source(text: str) -> Source:
    """Return the source that `text` names; raise SecretError when it names none."""
    kind, _, place = text.partition(":")
    if place and kind == "file":
        return Stored(Path(place), lambda path: files.read_private(path, "passphrase"), files.write_atomically)
    if place and kind == "vault":
        return Stored(Path(place), _decrypt, _encrypt)
    if place and kind == "shares":
        from fleetmint.pki.shares import source_of_files  # the gateway has no library to join shares with

        return source_of_files(Path(place))
    if text == "prompt:":
        return Given(_typed, "that was typed")
    if kind == "fd" and place.isascii() and place.isdigit() and len(place) < 10:
        return Given(_descriptor(int(place)), f"from file descriptor {place}")
    raise SecretError(
        f"{text!r} is no source of passphrases: write file:DIRECTORY, vault:DIRECTORY, shares:DIRECTORY, prompt:"
        " or fd:NUMBER"
    )


def _long_enough(passphrase: bytes, what: str) -> bytes:
    # an editor puts a byte order mark in front, and an end of a line behind
    passphrase = passphrase.removeprefix(codecs.BOM_UTF8).strip()
    if len(passphrase) < RANDOM_BYTES:
        raise SecretError(f"{what} is too short to be the one that was made")
    return passphrase


def _typed(name: str) -> bytes:
    instead = (
        "a module of Ansible never has one: run the command `fleetmint` at a terminal, or name vault:DIRECTORY instead"
        " of prompt:"
    )
    return typed(f"passphrase of the {name} key{'s' * (name != ROOT)}", instead).encode()


def typed(what: str, instead: str) -> str:
    """Ask for `what` at the terminal, unseen; raise SecretError, which says what to do `instead`, without one."""
    try:
        # getpass would fall back to reading a pipe, with what is typed on the screen
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError as error:
        raise SecretError(f"there is no terminal to type the {what} at: {instead}") from error
    try:
        return getpass.getpass(f"{what[0].upper()}{what[1:]}: ")
    except EOFError as error:
        raise SecretError(f"the {what} was not typed: {instead}") from error
    except UnicodeError as error:
        raise SecretError(
            f"the {what} was typed in letters that are none in this terminal's encoding: set LANG to a locale in UTF-8"
        ) from error


def _descriptor(number: int) -> Callable[[str], bytes]:
    lines: list[list[bytes]] = []

    def ask(name: str) -> bytes:
        if not lines:
            try:
                with os.fdopen(number, "rb") as file:
                    text = file.read().removeprefix(codecs.BOM_UTF8)
                lines.extend(words for line in text.splitlines() if (words := line.split()))
            except OSError as error:
                raise SecretError(
                    f"cannot read a passphrase from file descriptor {number}: {error.strerror}; open it for the command"
                    " `fleetmint`, and name vault:DIRECTORY to a playbook, since Ansible hands on no descriptors"
                ) from error
        if len(lines) == 1 and len(lines[0]) == 1:
            return lines[0][0]
        found = [words[1] for words in lines if len(words) == 2 and words[0] == name.encode()]
        if len(found) != 1:
            many = "several lines" if found else "no line"
            raise SecretError(f"file descriptor {number} gave {many} `{name} PASSPHRASE`")
        return found[0]

    return ask


def _decrypt(path: Path) -> bytes:
    return _vault(["view", str(path)], b"", f"cannot open {path}")


def _encrypt(path: Path, data: bytes) -> None:
    sealed = _vault(["encrypt", "--output", "-", "-"], data, f"cannot encrypt {path}")
    files.write_atomically(path, sealed)


def _vault(arguments: list[str], data: bytes, what: str) -> bytes:
    beside = Path(sys.executable).with_name("ansible-vault")
    program = str(beside) if beside.exists() else shutil.which("ansible-vault")
    if program is None:
        raise SecretError(f"{what}: ansible-vault is not installed here; run `make setup`")
    # The text travels through pipes: never in an argument, an environment variable or a file.
    done = subprocess.run([program, *arguments], input=data, capture_output=True, check=False)  # noqa: S603
    if done.returncode != 0:
        reason = done.stderr.decode(errors="replace").strip().splitlines()
        raise SecretError(
            f"{what}: {reason[-1] if reason else 'ansible-vault failed'} (set ANSIBLE_VAULT_PASSWORD_FILE to the file"
            " that holds the vault password, or to a program that prints it)"
        )
    return done.stdout
