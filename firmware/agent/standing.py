# What the gateway says about an identity (GET /v1/whoami): how long it lasts, and when it is to be renewed.
#
# The times are compared with the Date of the same reply, so a wrong clock of the device renews nothing too early or
# too late.

import hashlib
import json

from agent.clock import parse_date, parse_time
from agent.errors import Problem

PATH = "/v1/whoami"
# Seconds.
_MOST_JITTER = 7 * 86_400


def jitter(device_id, serial, left):
    """Seconds after `renew_at` at which this device renews a certificate that ends `left` seconds after that.

    A share of a tenth of `left` and of a week at most: always the same for a certificate, however often the device
    starts, and another one for each device.
    """
    share = int.from_bytes(hashlib.sha256(f"{device_id} {serial}".encode()).digest()[:2], "big")
    return min(_MOST_JITTER, max(0, left) // 10) * share >> 16


class Standing:
    def __init__(self, device_id, response):
        try:
            told = json.loads(response.body)
            self.serial, self.not_after, self.renew_at = told["serial"], told["not_after"], told["renew_at"]
            wanted, self.new_key, self.bundle = told["renew"], told.get("new_key"), told.get("trust_bundle")
        except (ValueError, KeyError, TypeError, AttributeError):
            raise Problem("the gateway's answer about this device cannot be read")
        ends, begins = parse_time(self.not_after), parse_time(self.renew_at)
        now = parse_date(response.headers.get("date"))
        if ends is None or begins is None or now is None:
            raise Problem("the gateway's answer about this device has no usable times")
        # Seconds until it is to be renewed.
        self.left = 0 if wanted else max(0, begins + jitter(device_id, self.serial, ends - begins) - now)

    def __str__(self):
        return f"until {self.not_after[:10]}, to be renewed from {self.renew_at[:10]} on"
