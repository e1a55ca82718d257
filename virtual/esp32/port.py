"""The serial port of a virtual board: a pseudo-terminal that can tell whether somebody has it open."""

import os
import select
import termios
import time
import tty
from pathlib import Path

# How often a closed port is looked at, in seconds. The kernel announces a close but not an open.
_CLOSED_INTERVAL = 0.05


class Port:
    """The board's end of the line; the other end is the device that the symlink `path` points to.

    A pseudo-terminal is as fast as memory. With `paced` each byte takes ten bit times at the speed `baud`, and
    `wire_seconds` says how long the line was busy.
    """

    def __init__(self, path: Path, *, paced: bool = False) -> None:
        self._paced = paced
        self.baud = 115200
        self.wire_seconds = 0.0
        self._master, slave = os.openpty()
        tty.setraw(slave)
        os.set_blocking(self._master, False)
        self._link(path, os.ttyname(slave))
        self._path = path
        # once opened and closed, an unused slave reads as hung up
        os.close(slave)
        self._poll = select.poll()
        self._outgoing = b""
        self.is_open = False

    def wait(self, timeout: float) -> bytes:
        """Wait up to `timeout` seconds and return what came over the line; set is_open.

        Returns at once when the port is closed. What is still under way at that moment is lost, as on a real line.
        """
        self._poll.register(self._master, select.POLLIN | (select.POLLOUT if self._outgoing else 0))
        ready = dict(self._poll.poll(timeout * 1000)).get(self._master, 0)
        if ready & select.POLLHUP:
            self._forget()
            if not self.is_open:
                time.sleep(min(timeout, _CLOSED_INTERVAL))
            self.is_open = False
            return b""
        self.is_open = True
        if ready & select.POLLOUT:
            self._flush()
        received = self._receive() if ready & select.POLLIN else b""
        self._take_time(len(received))
        return received

    def send(self, data: bytes) -> None:
        """Send `data` as the other end takes it."""
        self._take_time(len(data))
        self._outgoing += data
        self._flush()

    def close(self) -> None:
        """Remove the device and the symlink to it."""
        self._path.unlink(missing_ok=True)
        os.close(self._master)

    def _take_time(self, count: int) -> None:
        if self._paced and count:
            seconds = 10 * count / self.baud
            self.wire_seconds += seconds
            time.sleep(seconds)

    def _receive(self) -> bytes:
        try:
            return os.read(self._master, 65536)
        except OSError:
            return b""

    def _flush(self) -> None:
        try:
            sent = os.write(self._master, self._outgoing)
        except BlockingIOError:
            return
        except OSError:
            sent = len(self._outgoing)
        self._outgoing = self._outgoing[sent:]

    def _forget(self) -> None:
        self._outgoing = b""
        while self._receive():
            pass
        # what nobody read must not greet the next one who opens the port
        termios.tcflush(self._master, termios.TCIOFLUSH)

    @staticmethod
    def _link(path: Path, target: str) -> None:
        new = path.with_name(f".{path.name}.new")
        new.unlink(missing_ok=True)
        new.symlink_to(target)
        new.replace(path)
