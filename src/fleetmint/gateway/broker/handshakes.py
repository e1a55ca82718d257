"""Who has connected to the broker and not yet shown who they are.

Mosquitto 2.0 gives such a connection ninety seconds, counts it like a session, and after a reload counts none at all.
Its log says when one begins and when somebody is let in; between the two it is judged here.
"""

import re
from collections import Counter
from dataclasses import dataclass

from fleetmint.gateway.households import household

_BEGUN = re.compile(r"New connection from (?P<address>\S+):(?P<port>\d+) on port (?P<listener>\d+)\.$")
_LET_IN = re.compile(r"New client connected from (?P<address>\S+):(?P<port>\d+) as ")

Peer = tuple[str, int]


@dataclass(frozen=True)
class Patience:
    """How long somebody may take to be let in, in seconds, and how many may be at it: of one source, and of all."""

    seconds: float
    per_source: int
    total: int


class Handshakes:
    """Connections to each listener that nobody has been let in on yet, the oldest first."""

    def __init__(self, patience: dict[int, Patience]) -> None:
        self._patience = patience
        self._begun: dict[int, dict[Peer, float]] = {listener: {} for listener in patience}

    def read(self, line: str, now: float) -> None:
        """Take note of a line of the broker's log."""
        if found := _BEGUN.match(line):
            begun = self._begun.get(int(found["listener"]))
            if begun is not None:
                peer = (found["address"], int(found["port"]))
                begun.pop(peer, None)  # the port is used again, and its place is at the end
                begun[peer] = now
        elif found := _LET_IN.match(line):
            self.over((found["address"], int(found["port"])))

    def over(self, peer: Peer) -> None:
        """Take note that somebody was let in or has gone."""
        for begun in self._begun.values():
            begun.pop(peer, None)

    def crowded(self) -> bool:
        """Whether there are more than there may be, as far as the log tells: those that have gone are still counted."""
        return any(
            len(begun) > patience.total or any(n > patience.per_source for n in _sources(begun).values())
            for begun, patience in self._of_each()
        )

    def late(self, now: float) -> list[Peer]:
        """Return those who have had their time."""
        return [
            peer for begun, patience in self._of_each() for peer, at in begun.items() if now - at >= patience.seconds
        ]

    def surplus(self, present: set[Peer]) -> list[Peer]:
        """Return whom to end so that the others fit, when `present` are all connections that there are.

        The oldest of the source that has most: whoever floods loses first, and an honest client has as long as it takes
        the flood to come round.
        """
        for begun, _ in self._of_each():
            for peer in [peer for peer in begun if peer not in present]:
                del begun[peer]
        found = []
        for begun, patience in self._of_each():
            waiting, sources = list(begun), _sources(begun)
            while sources and (sum(sources.values()) > patience.total or max(sources.values()) > patience.per_source):
                source = max(sources, key=lambda name: sources[name])
                peer = next(peer for peer in waiting if household(peer[0]) == source)
                waiting.remove(peer)
                sources[source] -= 1
                found.append(peer)
        return found

    def _of_each(self) -> list[tuple[dict[Peer, float], Patience]]:
        return [(self._begun[listener], patience) for listener, patience in self._patience.items()]


def _sources(begun: dict[Peer, float]) -> Counter[str]:
    return Counter(household(address) for address, _ in begun)
