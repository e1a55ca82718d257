"""For Python under faketime, which fakes the time of day alone here: a sleep that it does not break.

Python sleeps until a time of the monotonic clock (clock_nanosleep with TIMER_ABSTIME). libfaketime 0.9.10 takes that
for one of the faked clock, and answers EINVAL. With the monotonic clock faked, too, every wait with a time-out would
last as long as the dates are apart, since it leaves sem_clockwait to the system.
"""

import select
import time
from typing import SupportsIndex


def _sleep(seconds: float | SupportsIndex, /) -> None:
    seconds = float(seconds)
    if seconds < 0:
        raise ValueError("sleep length must be non-negative")
    select.select([], [], [], seconds)


time.sleep = _sleep
