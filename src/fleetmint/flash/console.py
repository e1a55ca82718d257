"""What a board says on its serial port while its program runs: lines at 115,200 baud, made fit for a person's eyes."""

import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import suppress

import serial

from fleetmint.printable import printable, shortened

BAUD = 115200
# A board that was let go resets when its port is closed, and a native USB goes away and comes back with it.
_SETTLE_SECONDS = 0.2
_LINES = 5
_WIDTH = 160
# A reset: EN low for so long.
_RESET_SECONDS = 0.1


def open_console(port: str, *, reset: bool = False) -> serial.Serial:
    """Open a port to listen, without resetting the board unless that is asked for. Raises OSError.

    A board with the usual two transistors is reset while RTS is on and DTR is off, and the system switches both on: so
    RTS goes off first.
    """
    line = serial.Serial(port, BAUD, timeout=0.2, exclusive=True)
    with suppress(OSError):  # a port without these lines
        line.rts = False
        line.dtr = False
        if reset:
            line.rts = True
            time.sleep(_RESET_SECONDS)
            line.rts = False
    return line


def lines(line: serial.Serial, until: float | None = None) -> Iterator[str]:
    """Yield each line that comes, escaped, until this time of the monotonic clock. Raises OSError when it is pulled."""
    rest = b""
    while until is None or time.monotonic() < until:
        *whole, rest = (rest + line.read(max(1, line.in_waiting))).split(b"\n")
        for each in whole:
            yield printable(each.rstrip(b"\r"))
        if len(rest) > 1 << 12:  # noise without end
            yield printable(rest)
            rest = b""
    if rest:
        yield printable(rest)


class Eavesdropper:
    """Keeps the last lines that the board at `port` says, from a reset to the end of the `with` block."""

    def __init__(self, port: str) -> None:
        self._port = port
        self._said: deque[str] = deque(maxlen=_LINES)
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._listen, daemon=True, name=f"console {port}")

    def __enter__(self) -> "Eavesdropper":
        self._thread.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self._end.set()
        self._thread.join()

    def quote(self) -> str:
        """Return what the board said, for the end of a sentence."""
        said = [shortened(text, _WIDTH) for text in list(self._said)]
        return f"; its console said last: {' | '.join(said)}" if said else "; its console said nothing"

    def _listen(self) -> None:
        while not self._end.wait(_SETTLE_SECONDS):
            with suppress(OSError), open_console(self._port) as line:
                while not self._end.is_set():
                    self._said += [text for text in lines(line, time.monotonic() + 1) if text.strip()]
