# The hardware under the agent. Tests hand in their own.

from agent import nvs_keys


class Board:
    def __init__(self):
        import esp32
        import machine
        import network

        self.nvs = esp32.NVS(nvs_keys.NAMESPACE)
        self.wlan = network.WLAN(network.STA_IF)
        self.rtc = machine.RTC()
