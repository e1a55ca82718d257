"""Passphrases of the networks that devices join, from where a person or a script gives them: never an argument.

prompt:      typed at the terminal, one for each network
fd:N         read from the open file descriptor N: lines `PROFILE PASSPHRASE`
file:PATH    the same lines in a file

One blank stands between the two; whatever follows it, up to the end of the line, is the passphrase.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection
from pathlib import Path

from fleetmint import files
from fleetmint.cli.lazily import for_work
from fleetmint.errors import FleetmintError, SecretError

with for_work():
    from fleetmint import passphrases
    from fleetmint.batch.networks import Wifi, checked_wifi
    from fleetmint.text import decoded, plain

_MAX_BYTES = 1 << 16


def open_wifi_source(text: str, known: Collection[str] = ()) -> Callable[[str, str], str]:
    """Return the function that gives the passphrase of a profile and its network's name; SecretError for no source.

    `known` are the site's profiles, of which one may begin with the name of another.
    """
    kind, _, place = text.partition(":")
    if text == "prompt:":
        return _typed
    if kind == "file" and place:
        return _listed(
            lambda: files.read_private(Path(place), "passphrases of the networks"), f"the file {place}", known
        )
    if kind == "fd" and place.isascii() and place.isdigit() and len(place) < 10:
        return _listed(lambda: _descriptor(int(place)), f"file descriptor {place}", known)
    raise SecretError(f"{text!r} is no source of Wi-Fi passphrases: write prompt:, fd:NUMBER or file:PATH")


def _typed(profile: str, ssid: str) -> str:
    instead = "give it with --wifi-passphrases fd:NUMBER or file:PATH, or make the batch with playbooks/factory.yml"
    typed = passphrases.typed(f"passphrase of the Wi-Fi {ssid!r} (profile {profile})", instead)
    if not typed:
        raise SecretError(f"nothing was typed, and the Wi-Fi {ssid!r} is no open network: type its passphrase")
    return typed


def _listed(read: Callable[[], bytes], what: str, known: Collection[str]) -> Callable[[str, str], str]:
    lines: list[str] = []

    def give(profile: str, ssid: str) -> str:
        if not lines:
            lines.extend(_lines(read(), what))
        found = [number for number, line in enumerate(lines, 1) if line.startswith(f"{profile} ")]
        if len(found) > 1:
            raise SecretError(
                f"{what} has several lines for the profile {profile}, which is there twice: leave the one that counts"
            )
        if not found or lines[found[0] - 1] == f"{profile} ":
            raise SecretError(f"{what} has no line `{profile} PASSPHRASE`")
        where, line = f"{what}, line {found[0]}", lines[found[0] - 1]
        if longer := [name for name in known if name.startswith(f"{profile} ") and line.startswith(f"{name} ")]:
            raise SecretError(f"{where} can be of the profile {profile!r} or {longer[0]!r}: call one of them otherwise")
        try:
            return checked_wifi(profile, Wifi(ssid, line.removeprefix(f"{profile} "))).psk
        except FleetmintError as error:
            raise SecretError(f"{where}: {error}") from error

    return give


def _lines(data: bytes, what: str) -> list[str]:
    """Return the lines of a file; a character that nobody sees in one of them is no part of a passphrase."""
    lines = re.split(r"\r\n|\r|\n", decoded(data, what))
    return [plain(line, f"{what}, line {number},") for number, line in enumerate(lines, 1)]


def _descriptor(number: int) -> bytes:
    try:
        with os.fdopen(number, "rb") as file:
            data = file.read(_MAX_BYTES + 1)
    except OSError as error:
        raise SecretError(f"cannot read Wi-Fi passphrases from file descriptor {number}: {error.strerror}") from error
    if len(data) > _MAX_BYTES:
        raise SecretError(f"file descriptor {number} gave more than {_MAX_BYTES} bytes: these are no Wi-Fi passphrases")
    return data
