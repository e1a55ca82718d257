# What the device says, each line with the seconds since its start.

import time


def shown(data):
    """What of `data` a console does not obey."""
    return "".join(chr(c) for c in data if 32 <= c < 127)


class Console:
    def __init__(self, output=print):
        self._output = output
        self._last = time.ticks_ms()
        self._uptime_ms = 0

    def uptime(self):
        """Seconds since the start."""
        # Ticks wrap around after some days; the sum does not.
        now = time.ticks_ms()
        self._uptime_ms += time.ticks_diff(now, self._last)
        self._last = now
        return self._uptime_ms // 1000

    def say(self, text):
        self._output(f"fleetmint {self.uptime()}s: {text}")
