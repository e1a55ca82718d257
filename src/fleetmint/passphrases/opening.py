"""Opening the source of passphrases that a short text names; what the texts are, the package says."""

import codecs
import getpass
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from fleetmint import files
from fleetmint.errors import SecretError
from fleetmint.passphrases.source import ROOT, Given, Source, Stored


def open_source(text: str) -> Source:
    """Return the source that `text` names; raise SecretError when it names none."""
    kind, _, place = text.partition(":")
    if place and kind == "file":
        return Stored(Path(place), lambda path: files.read_private(path, "passphrase"), files.write_atomically)
    if place and kind == "vault":
        return Stored(Path(place), _decrypt, _encrypt)
    if place and kind == "shares":
        from fleetmint.passphrases.shares import source_of_files  # the gateway has no library to join shares with

        return source_of_files(Path(place))
    if text == "prompt:":
        return Given(_typed, "that was typed")
    if kind == "fd" and place.isascii() and place.isdigit() and len(place) < 10:
        return Given(_descriptor(int(place)), f"from file descriptor {place}")
    raise SecretError(
        f"{text!r} is no source of passphrases: write file:DIRECTORY, vault:DIRECTORY, shares:DIRECTORY, prompt:"
        " or fd:NUMBER"
    )


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
