"""The Wi-Fi networks that devices of a site join: what a profile in `fleet_wifi` may say.

A board with a wrong passphrase is found out when it hangs under a customer's ceiling, so nothing is guessed: a name or
passphrase that YAML took for a number, a field that was left empty, a profile that is there twice.
"""

import re
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

from fleetmint.errors import FleetmintError, TextRefusedError
from fleetmint.text import is_text, plain

FIELDS = ("name", "ssid", "psk")
# A device has to hold them in one value of its NVS, and try them all while somebody waits.
MOST_NETWORKS = 4
# IEEE 802.11: up to 32 bytes. WPA: 8 to 63 characters, which stations and access points count as bytes, or the key
# itself, 32 bytes in hex.
_SSID_BYTES = 32
_PSK_BYTES = range(8, 64)
_PSK_KEY = re.compile("[0-9A-Fa-f]{64}")
# What stands before a problem: where a field of the network of that number, from 1, is written, if that is known.
Where = Callable[[int, str], str]


class WifiRefusedError(FleetmintError):
    """A network cannot be what was meant. The message has a line for each problem, and never a passphrase."""


@dataclass(frozen=True)
class Wifi:
    """A network that devices join: its name, and its passphrase, empty for an open one."""

    ssid: str
    psk: str = field(repr=False)


def checked_wifi(name: str, wifi: Wifi) -> Wifi:
    """Return the network of the profile `name` if a device can join such a one; raise WifiRefusedError otherwise."""
    _, problems = _read(name, {"name": name, "ssid": wifi.ssid, "psk": wifi.psk}, lambda _key: "")
    _refuse(problems)
    return wifi


def read_networks(rows: object, where: Where = lambda _number, _key: "") -> dict[str, Wifi]:
    """Return the networks by profile from what a variable holds: a list of mappings with FIELDS, as YAML gave them.

    Raises WifiRefusedError.
    """
    if not isinstance(rows, list) or not all(isinstance(row, Mapping) for row in rows):
        how = "; -e takes it as JSON: -e '{\"fleet_wifi\": […]}'" if isinstance(rows, str) else ""
        raise WifiRefusedError(f"fleet_wifi has to be a list of networks, each with name, ssid and psk{how}")
    found: dict[str, Wifi] = {}
    problems: list[str] = []
    for number, row in enumerate(rows, 1):
        name = row.get("name")
        label = name if isinstance(name, str) else f"number {number}"
        texts, more = _read(label, row, partial(where, number))
        if not more and texts["name"] in found:
            more = [f"{where(number, 'name')}the network {label!r} is there twice in fleet_wifi: describe it once"]
        if not more:
            found[texts["name"]] = Wifi(texts["ssid"], texts["psk"])
        problems += more
    _refuse(problems)
    return found


def _read(label: str, row: Mapping[str, object], where: Callable[[str], str]) -> tuple[dict[str, str], list[str]]:
    """Return the fields of a profile that are as they should be, and what is wrong with the others."""
    known = ", ".join(FIELDS)
    problems = [
        f"{where(key)}the network {label!r} has no field {key!r}: it has {known}" for key in row if key not in FIELDS
    ]
    texts = {}
    for key in FIELDS:
        what = f"{where(key)}{key} of the network {label!r}"
        if key not in row:
            problems.append(f"{where(key)}the network {label!r} lacks {key}{_OPEN if key == 'psk' else ''}")
        elif key == "psk" and row[key] is None:
            problems.append(f"{what} is empty{_OPEN}")
        else:
            try:
                texts[key] = plain(is_text(row[key], what), what)
                _CHECKS[key](texts[key], what)
            except TextRefusedError as error:
                problems.append(str(error))
    return texts, problems


def _name(text: str, what: str) -> None:
    if not text:
        raise TextRefusedError(f"{what} is empty: batches choose networks by it")


def _ssid(text: str, what: str) -> None:
    _blanks(text, what)
    if not 1 <= len(text.encode()) <= _SSID_BYTES:
        raise TextRefusedError(f"{what} has to have 1 to {_SSID_BYTES} bytes (IEEE 802.11), not {len(text.encode())}")


def _psk(text: str, what: str) -> None:
    _blanks(text, what)
    if other := next((each for each in text if each != " " and unicodedata.category(each) == "Zs"), None):
        raise TextRefusedError(
            f"{what} holds the blank U+{ord(other):04X}, which looks like one of the keyboard and is another: type it"
            " anew, or write the key of 64 hex digits where it is meant (wpa_passphrase computes it)"
        )
    if text and len(text.encode()) not in _PSK_BYTES and not _PSK_KEY.fullmatch(text):
        raise TextRefusedError(
            f"{what}: a passphrase of WPA has 8 to 63 characters, which count as bytes, or is a key of 64 hex digits;"
            ' an open network has psk: ""'
        )


def _blanks(text: str, what: str) -> None:
    if text and not text.strip():
        raise TextRefusedError(f"{what} is nothing but blanks, which is hardly meant: write it out")


_CHECKS = {"name": _name, "ssid": _ssid, "psk": _psk}
_OPEN = ': write its passphrase, or psk: "" for an open network'


def _refuse(problems: list[str]) -> None:
    if problems:
        raise WifiRefusedError("\n".join(problems))
