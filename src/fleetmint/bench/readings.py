"""Readings as they arrive at the gateway's operator listener."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from fleetmint.errors import FleetmintError
from fleetmint.printable import printable, shortened
from fleetmint.site.broker import Session
from fleetmint.site.client import Gateway

TOPIC = "devices/+/out/readings"
# For a person; --json has all of it.
LARGEST_SHOWN = 1000
# Deeper lists in lists than these say nothing and cannot be written again everywhere.
_DEEPEST = 32
# How long the answer to who is revoked is good: after a reconnect the broker says everything again that it keeps.
_REVOKED_SECONDS = 10


@dataclass(frozen=True)
class Reading:
    """One message: which device, when it arrived (seconds since the epoch), and what it said.

    One that is `retained` was kept by the broker, and nobody knows since when.
    """

    device: str
    at: float
    values: dict[str, Any]
    retained: bool = False


def values_of(payload: bytes) -> dict[str, Any]:
    """Return the JSON object that a device sent; what is none, or could not be written again, comes under `raw`."""
    try:
        values = json.loads(payload)
        # NaN and infinities are read, and are no JSON
        json.dumps(values, allow_nan=False)
    except (ValueError, RecursionError):
        values = None
    if isinstance(values, dict) and _is_flat(values):
        return values
    return {"raw": payload.decode(errors="backslashreplace")}


def text_of(values: dict[str, Any], gap: str = "  ", largest: int = LARGEST_SHOWN) -> str:
    """Return what a device said as one line for a person, of at most `largest` characters."""
    return shortened(printable(gap.join(f"{key} {value}" for key, value in values.items())), largest)


def readings(gateway: Gateway, seconds: float | None) -> Iterator[Reading]:
    """Yield readings until `seconds` have passed, for ever when that is None; what the broker keeps comes first.

    Raises FleetmintError when the broker cannot be reached or refuses the certificate.
    """
    with Session(gateway, [TOPIC]) as session:
        for message in session.messages(seconds):
            device = message.topic.split("/")[1]
            yield Reading(device, message.at, values_of(message.payload), message.retained)


def of_the_fleet(messages: Iterable[Reading], gateway: Gateway, warn: Callable[[str], None]) -> Iterator[Reading]:
    """Leave out what the broker keeps of devices that are revoked: they would be heard at each start for ever.

    The gateway is asked who that is, and only when the broker keeps anything; `warn` hears that it did not say.
    """
    asked, revoked = -float("inf"), frozenset[str]()
    for message in messages:
        if message.retained:
            if time.monotonic() - asked > _REVOKED_SECONDS:
                asked, revoked = time.monotonic(), _revoked(gateway, warn)
            if message.device in revoked:
                continue
        yield message


def _revoked(gateway: Gateway, warn: Callable[[str], None]) -> frozenset[str]:
    try:
        rows = gateway.get("/v1/devices")["devices"]
    except FleetmintError as error:  # what is said now is heard nevertheless
        warn(f"kept readings of revoked devices are shown, too: {printable(str(error))}")
        return frozenset()
    return frozenset(row["device"] for row in rows if row["status"] == "revoked")


def _is_flat(values: dict[str, Any]) -> bool:
    level: list[Any] = [values]
    for _ in range(_DEEPEST):
        level = [inner for each in level for inner in _inside(each)]
        if not level:
            return True
    return False


def _inside(value: Any) -> Iterable[Any]:
    return value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
