# The module `machine` of a virtual board.

import sys
import time

# The exit code that asks whoever started this board to start it again.
RESET = 64

PWRON_RESET, HARD_RESET, WDT_RESET, DEEPSLEEP_RESET, SOFT_RESET = 1, 2, 3, 4, 5

# Set by the boot script: six bytes.
mac = bytes(6)


def reset():
    sys.exit(RESET)


soft_reset = reset


def reset_cause():
    return PWRON_RESET


def unique_id():
    return mac


# The clock is the kernel's and cannot be set from here, as TLS uses it too.


class RTC:
    def datetime(self, value=None):
        if value is not None:
            return None
        year, month, day, hour, minute, second, weekday = time.gmtime()[:7]
        return year, month, day, weekday, hour, minute, second, 0


# It bites late: when a loop that stood still for too long feeds it again.


class WDT:
    def __init__(self, id=0, timeout=5000):  # noqa: A002 - the name in MicroPython
        self._timeout = timeout
        self._fed = time.ticks_ms()

    def feed(self):
        now = time.ticks_ms()
        if time.ticks_diff(now, self._fed) > self._timeout:
            print("board: the watchdog resets it")
            reset()
        self._fed = now
