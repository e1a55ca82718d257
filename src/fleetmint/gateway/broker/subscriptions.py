"""How much devices have subscribed to since they connected, from the broker's log.

Mosquitto bounds neither their number nor their length, and what a session that is not kept has is in no database.
"""

import re
from dataclasses import dataclass

# A device's client id is its user name, since its listener forces that; an operator chooses a client id.
_CONNECTED = re.compile(r"New client connected from \S+:\d+ as (?P<name>\S+) \(.* u'(?P=name)'\)\.$")
_SUBSCRIBED = re.compile(r"(?P<name>\S+) [0-2] (?P<topics>.+)$")


@dataclass
class _Taken:
    number: int = 0
    bytes: int = 0


class Subscriptions:
    """What each device has taken of `number` subscriptions and `bytes` of topics."""

    def __init__(self, number: int, bytes_: int) -> None:
        self._number, self._bytes = number, bytes_
        self._taken: dict[str, _Taken] = {}

    def read(self, line: str) -> str | None:
        """Take note of a line of the log; return a device that has too many now."""
        if found := _CONNECTED.match(line):
            self._taken[found["name"]] = _Taken()
        elif found := _SUBSCRIBED.match(line):
            taken = self._taken.get(found["name"])
            if taken is not None:
                taken.number += 1
                taken.bytes += len(found["topics"])
                return found["name"] if self._too_many(taken) else None
        return None

    def excess(self) -> list[str]:
        """Return the devices that have too many."""
        return [name for name, taken in self._taken.items() if self._too_many(taken)]

    def of(self, name: str) -> str:
        """Say what a device has."""
        return f"{self._taken[name].number} subscriptions of {self._taken[name].bytes} bytes"

    def _too_many(self, taken: _Taken) -> bool:
        return taken.number > self._number or taken.bytes > self._bytes
