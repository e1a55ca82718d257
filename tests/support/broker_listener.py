"""A broker's local listener, its rules, and programs that write down how they were called."""

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.gateway_site import GatewaySite

RECORDING = """#!/bin/sh
echo "$(basename "$0") $*" >> {calls}
if [ "$1" = is-active ]; then cat {state}/$2 2>/dev/null || echo active; fi
exit $(cat {state}/$(basename "$0")-$1-exit 2>/dev/null || echo 0)
"""


ACCEPTED = b"\x20\x02\x00\x00"


class Broker(threading.Thread):
    """The listener of a broker: takes sessions over and writes down whose."""

    def __init__(self, path: Path, answer: bytes = ACCEPTED) -> None:
        super().__init__(daemon=True)
        self.disconnected: list[str] = []
        self.kept: list[str] = []
        self.left: list[bytes] = []
        self._answer = answer
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.bind(str(path))
        self._socket.listen()

    def run(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            with connection:
                connection.settimeout(5)
                packet = connection.recv(200)
                assert packet[0] == 0x10
                assert packet[1] == len(packet) - 2
                assert packet[2:9] == b"\x00\x04MQTT\x04"
                assert packet[9] in (0x02, 0)  # a clean session or the one that is there, no user, no will
                self.kept += [packet[14:].decode()] * (packet[9] == 0)
                assert int.from_bytes(packet[12:14], "big") == len(packet) - 14
                self.disconnected.append(packet[14:].decode())
                connection.sendall(self._answer)
                if self._answer == ACCEPTED:
                    self.left.append(connection.recv(10))

    def close(self) -> None:
        with contextlib.suppress(OSError):  # closed before
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self.join(5)


@pytest.fixture
def calls(site: GatewaySite) -> Callable[[], list[str]]:
    """What the programs were called with; `state` next to it says how they answer."""
    (site.root / "state").mkdir()
    for name in ("systemctl", "nginx-program"):
        program = site.root / name
        program.write_text(RECORDING.format(calls=site.root / "calls", state=site.root / "state"))
        program.chmod(0o755)

    def read() -> list[str]:
        path = site.root / "calls"
        lines = path.read_text().splitlines() if path.exists() else []
        path.unlink(missing_ok=True)
        return [line for line in lines if "is-active" not in line]

    return read


@pytest.fixture
def broker(site: GatewaySite) -> Iterator[Broker]:
    broker = Broker(site.config.disconnect_socket)
    broker.start()
    yield broker
    broker.close()


RULES = "pattern write devices/%u/out/#\npattern read devices/%u/in/#\n"


@pytest.fixture
def rules(site: GatewaySite) -> Path:
    """The rules of the broker's listener for devices, as the play has written them."""
    path = site.config.mosquitto / "devices.acl"
    path.write_text(RULES)
    path.chmod(0o400)
    return path
