"""What the benchmarks measure alike."""

import time
from collections.abc import Callable


def cpu_seconds(work: Callable[[], object], count: int) -> float:
    """Return the CPU time of one call, as the mean of `count`."""
    start = time.process_time()
    for _ in range(count):
        work()
    return (time.process_time() - start) / count
