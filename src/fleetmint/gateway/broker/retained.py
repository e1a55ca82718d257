"""What devices leave in the broker for whoever comes later, and how much of it is theirs to leave.

Mosquitto bounds the size of one message and nothing else of what is retained: a device may use as many topics below its
own name as it likes, and all of it is kept in memory and written to the card every five minutes.
"""

from dataclasses import dataclass

# What a message costs the broker beside its payload: its record, and a node of the tree for each level of its topic.
RECORD_BYTES = 200
LEVEL_BYTES = 150


@dataclass(frozen=True)
class Bounds:
    """How many messages and bytes of one device are kept, and how many bytes of all together."""

    messages: int
    bytes: int
    total: int


def device_of(topic: str) -> str | None:
    """Return the device that `topic` belongs to; None when it is none's."""
    parts = topic.split("/")
    return parts[1] if len(parts) > 3 and parts[0] == "devices" and parts[2] == "out" else None


def cost(topic: str, payload: int) -> int:
    """Return how many bytes of memory and disk a message takes."""
    return payload + 2 * len(topic.encode()) + RECORD_BYTES + LEVEL_BYTES * (topic.count("/") + 1)


class Retained:
    """The account of what is retained, device by device."""

    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds
        self._costs: dict[str, dict[str, int]] = {}
        self._sums: dict[str, int] = {}
        self._total = 0

    def note(self, topic: str, payload: int) -> str | None:
        """Note a retained message; return why it must not stay, or None when it may.

        Without payload it is one that was removed. What must not stay is not in the account: what was there before it
        is, so that a device that floods keeps what it had within its bounds.
        """
        device = device_of(topic)
        if device is None:
            return None
        self._drop(device, topic)
        if payload == 0:
            return None
        costs = self._costs.setdefault(device, {})
        price = cost(topic, payload)
        reason = self._too_much(device, len(costs) + 1, price)
        if reason is None:
            costs[topic] = price
            self._sums[device] = self._sums.get(device, 0) + price
            self._total += price
        return reason

    def _too_much(self, device: str, messages: int, price: int) -> str | None:
        if messages > self._bounds.messages:
            return f"more than {self._bounds.messages} retained messages"
        if self._sums.get(device, 0) + price > self._bounds.bytes:
            return f"more than {self._bounds.bytes} bytes of retained messages"
        if self._total + price > self._bounds.total:
            return f"the retained messages of all devices have more than {self._bounds.total} bytes"
        return None

    def _drop(self, device: str, topic: str) -> None:
        price = self._costs.get(device, {}).pop(topic, 0)
        self._total -= price
        if price:
            self._sums[device] -= price
        if not self._costs.get(device):
            self._costs.pop(device, None)
            self._sums.pop(device, None)

    def forget(self, device: str) -> None:
        """Begin the account of a device anew."""
        for topic in list(self._costs.get(device, {})):
            self._drop(device, topic)

    def counted(self) -> dict[str, int]:
        """Return the number of messages of each device."""
        return {device: len(costs) for device, costs in self._costs.items()}
