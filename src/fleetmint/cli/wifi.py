"""Passphrases of the networks that devices join, from where a person or a script gives them: never an argument.

prompt:      typed at the terminal, one for each network
fd:N         read from the open file descriptor N: lines `PROFILE PASSPHRASE`
file:PATH    the same lines in a file
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from fleetmint import files
from fleetmint.cli.lazily import for_work
from fleetmint.errors import SecretError

with for_work():
    from fleetmint.pki import passphrases


_MAX_BYTES = 1 << 16


def open_wifi_source(text: str) -> Callable[[str, str], str]:
    """Return the function that gives the passphrase of a profile and its network's name; SecretError for no source."""
    kind, _, place = text.partition(":")
    if text == "prompt:":
        return _typed
    if kind == "file" and place:
        return _listed(lambda: files.read(Path(place), "passphrases of the networks"), f"the file {place}")
    if kind == "fd" and place.isascii() and place.isdigit():
        return _listed(lambda: _descriptor(int(place)), f"file descriptor {place}")
    raise SecretError(f"{text!r} is no source of Wi-Fi passphrases: write prompt:, fd:NUMBER or file:PATH")


def _typed(profile: str, ssid: str) -> str:
    instead = "give it with --wifi-passphrases fd:NUMBER or file:PATH, or run playbooks/factory.yml"
    return passphrases.typed(f"passphrase of the Wi-Fi {ssid!r} (profile {profile})", instead)


def _listed(read: Callable[[], bytes], what: str) -> Callable[[str, str], str]:
    known: dict[str, str] = {}

    def give(profile: str, _ssid: str) -> str:
        if not known:
            for line in read().decode(errors="replace").splitlines():
                name, _, passphrase = line.strip().partition(" ")
                known[name] = passphrase.strip()
        if not known.get(profile):
            raise SecretError(f"{what} has no line `{profile} PASSPHRASE`")
        return known[profile]

    return give


def _descriptor(number: int) -> bytes:
    try:
        with os.fdopen(number, "rb") as file:
            return file.read(_MAX_BYTES)
    except OSError as error:
        raise SecretError(f"cannot read Wi-Fi passphrases from file descriptor {number}: {error.strerror}") from error
