"""What the factory tells a gateway about the boards of a batch: which board a device is, and what became of it.

The document is JSON, format `fleetmint-handover-1`:

    {"format": …, "site": S, "gateway": G, "batch": B, "devices": [
      {"device": ID, "result": "burned", "mac": "24:0a:c4:00:00:01", "at": "2026-11-22T09:30:00.000000Z"}]}

`result` is burned, quarantined or returned; a device that was returned is revoked. `at` is when that was decided: of
two documents the later word counts, in whatever order they arrive. A board's MAC is an attribute, not an identity.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from fleetmint import commands
from fleetmint.choices import BURNED, QUARANTINED, RETURNED
from fleetmint.documents.document import ADDRESS, check_addressee, read_object
from fleetmint.documents.times import text_time, time_text
from fleetmint.errors import NameRefusedError, RegistrationRefusedError
from fleetmint.x509 import names

FORMAT = "fleetmint-handover-1"
RESULTS = (BURNED, QUARANTINED, RETURNED)
_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")


@dataclass(frozen=True)
class Entry:
    """What became of one device: `result` is one of RESULTS, `at` aware UTC."""

    device: str
    result: str
    mac: str
    at: datetime


@dataclass(frozen=True)
class Handover:
    """A checked document; `sha256` is the hash of its bytes, for the record."""

    batch: str
    entries: tuple[Entry, ...]
    sha256: str


def write_handover(registration: Mapping[str, Any], entries: Iterable[Entry]) -> Mapping[str, Any]:
    """Return the document about these boards, addressed as the registration of their batch is."""
    rows = [
        {"device": each.device, "result": each.result, "mac": each.mac, "at": time_text(each.at)} for each in entries
    ]
    return {"format": FORMAT, **{name: registration[name] for name in ADDRESS}, "devices": rows}


def read_handover(data: bytes, *, site: str, gateway: str) -> Handover:
    """Check a document for `gateway` of `site` and return it; raise RegistrationRefusedError naming the entry."""
    document = read_object(data)
    batch, listed = check_addressee(document, FORMAT, site, gateway)
    entries = tuple(_entry(number, entry) for number, entry in enumerate(listed, 1))
    for what in (
        [entry.device for entry in entries],
        [entry.mac for entry in entries if entry.result != RETURNED],
    ):
        if len(set(what)) != len(what):
            twice = next(value for value in what if what.count(value) > 1)
            raise RegistrationRefusedError(f"{twice} is in the document twice: run {commands.fleetmint('audit')}")
    return Handover(batch, entries, hashlib.sha256(data).hexdigest())


def _entry(number: int, entry: Any) -> Entry:
    if not isinstance(entry, dict) or set(entry) != {"device", "result", "mac", "at"}:
        raise RegistrationRefusedError(f"entry {number} of the document has to have device, result, mac and at")
    try:
        device = names.device_id(str(entry["device"]))
    except NameRefusedError as error:
        raise RegistrationRefusedError(f"entry {number} of the document: {error}") from error
    if entry["result"] not in RESULTS:
        raise RegistrationRefusedError(f"{device}: the result has to be one of {', '.join(RESULTS)}")
    if not isinstance(entry["mac"], str) or not _MAC.fullmatch(entry["mac"]):
        raise RegistrationRefusedError(f"{device}: the mac has to look like 24:0a:c4:00:00:01")
    try:
        at = text_time(str(entry["at"]))
    except ValueError as error:
        raise RegistrationRefusedError(
            f"{device}: at has to be a UTC time such as 2026-11-22T09:30:00.000000Z"
        ) from error
    return Entry(device, str(entry["result"]), entry["mac"], at)
