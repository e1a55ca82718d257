# The module `network` of a virtual board. It reaches the world through the kernel; what is played is the joining.

import time

STA_IF, AP_IF = 0, 1
STAT_IDLE, STAT_CONNECTING, STAT_GOT_IP = 1000, 1001, 1010
STAT_NO_AP_FOUND, STAT_WRONG_PASSWORD = 201, 202

# Set by the boot script: name and passphrase of the one network in range, None where any will do.
ssid = None
passphrase = None

_JOINING_MS = 50


class WLAN:
    IF_STA, IF_AP = STA_IF, AP_IF

    def __init__(self, interface=STA_IF):
        self._active = False
        self._asked = None
        self._since = 0

    def active(self, value=None):
        if value is not None:
            self._active = bool(value)
            if not value:
                self._asked = None
        return self._active

    def connect(self, name, key="", bssid=None):
        if not self._active:
            raise OSError("Wifi Not Started")
        if self._asked:
            raise OSError("Wifi Internal Error")
        self._asked = (name, key)
        self._since = time.ticks_ms()

    def disconnect(self):
        self._asked = None

    def isconnected(self):
        return self.status() == STAT_GOT_IP

    def status(self, what=None):
        if what == "rssi":
            return -50
        if not self._asked:
            return STAT_IDLE
        if time.ticks_diff(time.ticks_ms(), self._since) < _JOINING_MS:
            return STAT_CONNECTING
        name, key = self._asked
        if ssid not in (None, name):
            return STAT_NO_AP_FOUND
        return STAT_GOT_IP if passphrase in (None, key) else STAT_WRONG_PASSWORD

    def config(self, *what, **values):
        return None

    def ifconfig(self):
        return "127.0.0.1", "255.0.0.0", "127.0.0.1", "127.0.0.1"
