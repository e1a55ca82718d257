# The hardware under the agent. Tests hand in their own.

import binascii

from agent import nvs_keys

_CAUSES = {
    "PWRON_RESET": "power on",
    "HARD_RESET": "hard reset",
    "WDT_RESET": "watchdog",
    "DEEPSLEEP_RESET": "deep sleep",
    "SOFT_RESET": "soft reset",
}


class Board:
    def __init__(self):
        import esp32
        import machine
        import network

        self._machine = machine
        self.nvs = esp32.NVS(nvs_keys.NAMESPACE)
        self.wlan = network.WLAN(network.STA_IF)
        self.rtc = machine.RTC()

    def mac(self):
        """The address that the factory knows the board by, as 24:0a:c4:00:00:01."""
        return binascii.hexlify(self._machine.unique_id(), ":").decode()

    def reset_cause(self):
        """Why the board started, in words."""
        cause = self._machine.reset_cause()
        for name, words in _CAUSES.items():
            # Not every port has every name.
            if getattr(self._machine, name, None) == cause:
                return words
        return "unknown"

    def watchdog(self, milliseconds):
        """A hardware watchdog that resets the board unless it is fed at least so often; there is no way back."""
        return self._machine.WDT(timeout=milliseconds)
