"""Where the passphrases of the CA keys come from: a source, named by a short text, never the passphrase itself.

    file:DIRECTORY    files `root` and `issuing`, readable by their owner only
    vault:DIRECTORY   the same files encrypted by Ansible Vault, with ansible-vault's own password

A source makes a missing passphrase itself: 160 random bits, since the encryption of the keys adds next to nothing.
"""

import base64
import secrets
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from fleetmint import files
from fleetmint.errors import SecretError

ROOT = "root"
ISSUING = "issuing"
RANDOM_BYTES = 20


@dataclass(frozen=True)
class Source:
    """The passphrases of one site, read when they are needed and not kept."""

    directory: Path
    decode: Callable[[Path], bytes]
    encode: Callable[[Path, bytes], None]

    def has(self, name: str) -> bool:
        """Whether the passphrase exists."""
        return self._path(name).exists()

    def read(self, name: str) -> bytes:
        """Return the passphrase `name`; raise SecretError when it cannot be had."""
        if not self.has(name):
            raise SecretError(f"there is no passphrase {self._path(name)}: restore it, or run playbooks/ca.yml first")
        passphrase = self.decode(self._path(name)).strip()
        if len(passphrase) < RANDOM_BYTES:
            raise SecretError(f"the passphrase in {self._path(name)} is too short to be the one that was made")
        return passphrase

    def make(self, name: str) -> None:
        """Make and store a random passphrase called `name`."""
        files.make_private_dir(self.directory)
        self.encode(self._path(name), base64.b32encode(secrets.token_bytes(RANDOM_BYTES)) + b"\n")

    def _path(self, name: str) -> Path:
        return self.directory / name


def open_source(text: str) -> Source:
    """Return the source that `text` names; raise SecretError when it names none."""
    kind, _, place = text.partition(":")
    if place and kind == "file":
        return Source(Path(place), lambda path: files.read(path, "passphrase"), files.write_atomically)
    if place and kind == "vault":
        return Source(Path(place), _decrypt, _encrypt)
    raise SecretError(f"{text!r} is no source of passphrases: write file:DIRECTORY or vault:DIRECTORY")


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
