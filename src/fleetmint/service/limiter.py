"""How often one source may be wrong before it is told to wait.

A token has 128 bits, so this is not what keeps guessers out: it keeps their lines in the journal few and sends them
away. It is asked about a token that was refused and never about a right one: a whole household or a bench stands behind
one address, and a wrong neighbour is no reason to keep a device out. Looking a token up costs one query, less than the
handshake before it. In the memory of one worker process, of bounded size, forgotten at a restart.
"""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable

from fleetmint.gateway.households import household

WINDOW_SECONDS = 60.0
PER_DEVICE = 10
PER_SOURCE = 100
MAX_KEYS = 10_000


class FailureLimiter:
    """Counts failures by source, and by source and device.

    The narrow count stops one device (or a guesser of its token) early; the wide one stops a source that tries many
    names. Nothing is counted by device alone.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._failures: OrderedDict[tuple[str, str], list[float]] = OrderedDict()

    def wait(self, source: str, device: str) -> int:
        """Return how many seconds this source has to wait after a failure for this device; 0 when there were few."""
        home = household(source)
        with self._lock:
            waits = (self._wait((home, device), PER_DEVICE), self._wait((home, ""), PER_SOURCE))
        return max(waits)

    def failed(self, source: str, device: str) -> None:
        """Count a failure."""
        home = household(source)
        with self._lock:
            self._add((home, device), PER_DEVICE)
            self._add((home, ""), PER_SOURCE)

    def _wait(self, key: tuple[str, str], limit: int) -> int:
        times = self._failures.get(key, [])
        if len(times) < limit:
            return 0
        left = times[-limit] + WINDOW_SECONDS - self._clock()
        return int(left) + 1 if left > 0 else 0

    def _add(self, key: tuple[str, str], limit: int) -> None:
        times = self._failures.setdefault(key, [])
        times.append(self._clock())
        del times[:-limit]
        self._failures.move_to_end(key)
        while len(self._failures) > MAX_KEYS:
            self._failures.popitem(last=False)
