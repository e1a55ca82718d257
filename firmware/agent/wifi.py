# Joining the network the factory named.

import asyncio
import time

from agent.errors import Problem

# Statuses of the ESP32 port, by number: their names differ between releases.
_REASONS = {
    15: "the passphrase may be wrong",
    200: "the access point fell silent",
    201: "no such network in range",
    202: "wrong passphrase",
    203: "the access point refuses",
    204: "the passphrase may be wrong",
    205: "connection failed",
}
# The radio tries so often by itself. Without a limit it never tells why it fails.
_TRIES = 3
_IDLE = 1000
_CONNECTING = 1001


# `wlan` is a network.WLAN in station mode.


class Wifi:
    def __init__(self, wlan, ssid, passphrase, say, within=20_000):
        self._wlan = wlan
        self._ssid = ssid
        self._passphrase = passphrase
        self._say = say
        self._within = within

    def up(self):
        """Whether the device is on the network."""
        return self._wlan.isconnected()

    async def join(self):
        """Be on the network. Raises Problem with the reason when that does not work."""
        if self.up():
            return
        self._wlan.active(True)
        try:
            self._wlan.config(reconnects=_TRIES)
            self._wlan.connect(self._ssid, self._passphrase)
            await self._joined()
        except (OSError, Problem) as error:
            # The radio is switched off so that the driver starts afresh and does not go on by itself.
            self._wlan.active(False)
            if isinstance(error, Problem):
                raise
            raise Problem(f"Wi-Fi {self._ssid}: the radio fails with error {error.errno}")
        self._say(f"joined Wi-Fi {self._ssid}")

    async def _joined(self):
        deadline = time.ticks_add(time.ticks_ms(), self._within)
        while not self._wlan.isconnected():
            status = self._wlan.status()
            if status not in (_IDLE, _CONNECTING) or time.ticks_diff(deadline, time.ticks_ms()) <= 0:
                raise Problem(f"Wi-Fi {self._ssid}: {_REASONS.get(status, 'no connection in time')}")
            await asyncio.sleep_ms(100)
