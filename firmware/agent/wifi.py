# Joining one of the networks that the device knows.

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


# `wlan` is a network.WLAN in station mode, `networks()` a list of names with their passphrases, the best first. A scan
# would hold up everything for two seconds; one that is not there is noticed as soon.


class Wifi:
    def __init__(self, wlan, networks, say, within=20_000):
        self._wlan = wlan
        self._networks = networks
        self._say = say
        self._within = within
        # How many of the best to pass over: from there the gateway was not reached.
        self._passed = 0
        self.joined = None

    def up(self):
        """Whether the device is on a network."""
        return self._wlan.isconnected()

    def leave(self, passing=False):
        """Leave the network; the next `join` begins at the best one, or at another one than this when `passing`."""
        self._passed = self._passed + 1 if passing else 0
        self._wlan.active(False)

    async def join(self):
        """Be on a network. Raises Problem with the reasons when that does not work."""
        if self.up():
            return
        networks = self._networks()
        reasons = []
        for at in range(len(networks)):
            ssid, passphrase = networks[(self._passed + at) % len(networks)]
            try:
                await self._join(ssid, passphrase)
            except Problem as error:
                reasons.append(str(error))
            else:
                self.joined = ssid
                self._say(f"joined Wi-Fi {ssid}")
                return
        raise Problem("; ".join(reasons))

    async def _join(self, ssid, passphrase):
        self._wlan.active(True)
        try:
            self._wlan.config(reconnects=_TRIES)
            self._wlan.connect(ssid, passphrase)
            await self._connected(ssid)
        except (OSError, Problem) as error:
            # The radio is switched off so that the driver starts afresh and does not go on by itself.
            self._wlan.active(False)
            if isinstance(error, Problem):
                raise
            raise Problem(f"Wi-Fi {ssid}: the radio fails with error {error.errno}")

    async def _connected(self, ssid):
        deadline = time.ticks_add(time.ticks_ms(), self._within)
        while not self._wlan.isconnected():
            status = self._wlan.status()
            if status not in (_IDLE, _CONNECTING) or time.ticks_diff(deadline, time.ticks_ms()) <= 0:
                raise Problem(f"Wi-Fi {ssid}: {_REASONS.get(status, 'no connection in time')}")
            await asyncio.sleep_ms(100)
