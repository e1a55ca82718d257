"""The test at the end of the line: a board that was burned has to enrol and be heard of at the broker."""

import threading
import time

from fleetmint.bench.readings import Reading, readings
from fleetmint.burn_codes import BurnCode
from fleetmint.errors import BurnError, FleetmintError
from fleetmint.site.client import Gateway

# A broker that refuses the station's certificate says so within this time.
_REFUSED_SECONDS = 2


class EnrolmentCheck:
    """Listens at the operators' listener of the gateway, as the station, from `start` to the end of the process.

    A call waits until the device was heard of. Raises BurnError with NOT_HEARD when it was not within
    `seconds`, and with MONITOR_LOST when the station itself was cut off, which says nothing about the board.
    """

    def __init__(self, gateway: Gateway, seconds: float) -> None:
        self._gateway = gateway
        self._seconds = seconds
        self._news = threading.Condition()
        self._heard: dict[str, float] = {}
        self._error: FleetmintError | None = None

    def start(self) -> None:
        """Begin to listen; raise FleetmintError when the broker does not let the station in."""
        threading.Thread(target=self._listen, daemon=True, name="enrolment check").start()
        with self._news:
            self._news.wait_for(lambda: self._error is not None, _REFUSED_SECONDS)
            if self._error is not None:
                raise self._error

    def __call__(self, device: str) -> None:
        """Wait for the device."""
        since, until = time.time(), time.monotonic() + self._seconds
        with self._news:
            self._news.wait_for(
                lambda: self._error is not None or self._heard.get(device, 0) >= since, until - time.monotonic()
            )
            if self._heard.get(device, 0) >= since:
                return
            if self._error is not None:
                raise BurnError(f"{device} is burned and was not tested: {self._error}", BurnCode.MONITOR_LOST)
        raise BurnError(
            f"{device} is burned, and was not heard of at {self._gateway.host} within {self._seconds:g} s: does it get"
            " the Wi-Fi, and does it reach the gateway?",
            BurnCode.NOT_HEARD,
        )

    def _listen(self) -> None:
        try:
            for reading in readings(self._gateway, None):
                self._take(reading)
        except FleetmintError as error:
            self._lost(error)
        except Exception as error:
            # otherwise the station would blame the boards that it does not hear
            self._lost(FleetmintError(f"the listening ended on an unforeseen {type(error).__name__}"))

    def _lost(self, error: FleetmintError) -> None:
        with self._news:
            self._error = error
            self._news.notify_all()

    def _take(self, reading: Reading) -> None:
        if reading.retained:  # said by the device once upon a time, and by the broker now
            return
        with self._news:
            self._heard[reading.device] = reading.at
            self._news.notify_all()
