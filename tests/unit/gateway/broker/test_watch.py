"""The watch, beside a broker that says what the test wants and keeps what it is told."""

import contextlib
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time

import pytest

from fleetmint import files
from fleetmint.errors import FleetmintError
from fleetmint.gateway.broker import alarms
from fleetmint.gateway.broker.mqtt import BrokerError, Connection

CONNACK = bytes([0x20, 3, 0, 0, 0])


def text(value: str) -> bytes:
    return struct.pack(">H", len(value)) + value.encode()


def packet(kind: int, body: bytes) -> bytes:
    length, digits = len(body), b""
    while True:
        length, digit = divmod(length, 128)
        digits += bytes([digit | (0x80 if length else 0)])
        if not length:
            return bytes([kind]) + digits + body


def published(topic: str, payload: bytes, retain: bool = True, properties: bytes = b"") -> bytes:
    return packet(0x30 | retain, text(topic) + bytes([len(properties)]) + properties + payload)


class Broker:
    """A Unix socket with one session at a time; `heard` is all that the session said."""

    def __init__(self, path, answer=CONNACK, *, stays=True):
        self.heard, self.session = b"", None
        self._answer, self._stays = answer, stays
        self._server = socket.socket(socket.AF_UNIX)
        self._server.bind(str(path))
        self._server.listen()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self):
        with contextlib.suppress(OSError):
            while True:
                self.session, _ = self._server.accept()
                self.session.sendall(self._answer)
                if not self._stays:
                    self.session.shutdown(socket.SHUT_WR)
                with self.session, contextlib.suppress(ConnectionError):
                    while data := self.session.recv(4096):
                        self.heard += data

    def wait_for(self, what: bytes):
        wait_until(lambda: what in self.heard)

    def close(self):
        self._server.shutdown(socket.SHUT_RDWR)
        if self.session is not None:
            with contextlib.suppress(OSError):
                self.session.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self._thread.join()


@pytest.fixture
def broker(tmp_path):
    broker = Broker(tmp_path / "watch.sock")
    yield broker
    broker.close()


# --- the client ---


def test_messages_come_as_they_were_published(broker, tmp_path):
    connection = Connection(tmp_path / "watch.sock")
    connection.subscribe("devices/+/out/#")
    broker.wait_for(text("devices/+/out/#") + b"\x08")  # with the flag that they were published with
    many = published("a/b", b"x" * 70_000) + published("c", b"", retain=False, properties=b"\x01\x00")
    threading.Thread(target=broker.session.sendall, args=(many,)).start()
    found = []
    while len(found) < 2:
        found += connection.receive()
    connection.close()
    assert [(each.topic, len(each.payload), each.retained) for each in found] == [
        ("a/b", 70_000, True),
        ("c", 0, False),
    ]


def test_an_empty_retained_message_is_what_removes_one(broker, tmp_path):
    connection = Connection(tmp_path / "watch.sock")
    connection.forget("devices/x/out/y")
    broker.wait_for(published("devices/x/out/y", b""))
    connection.close()


@pytest.mark.parametrize("answer", [b"", bytes([0x20, 3, 0, 0x87, 0]), b"\x30\x03\x00\x01a"])
def test_a_broker_that_refuses_is_an_error(tmp_path, answer):
    broker = Broker(tmp_path / "watch.sock", answer, stays=False)
    with pytest.raises(BrokerError, match=r"a session|does not answer"):
        Connection(tmp_path / "watch.sock")
    broker.close()


def test_no_broker_is_an_error(tmp_path):
    with pytest.raises(FleetmintError, match="does not answer"):
        Connection(tmp_path / "watch.sock")


# --- the watch ---


RUN = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from fleetmint.gateway.broker.handshakes import Patience
from fleetmint.gateway.broker.retained import Bounds
from fleetmint.gateway.broker.watch import Limits, Places, Watch
root = Path(sys.argv[1])
names = ("watch.sock", "kick.sock", "mosquitto.db", "alarms.json", "due.json")
places = Places(*(root / name for name in names), journal=(str(root / "journal"),))
limits = Limits(Bounds(2, 5000, 8000), 3, 100, {8883: Patience(30, 9, 9)}, 1000, 100_000)
Watch(limits, places, lambda: datetime.now(UTC)).run()
"""


@pytest.fixture
def asked_to_write():
    """The broker is in this process, and is asked by a signal to write its database."""
    asked = []
    before = signal.signal(signal.SIGUSR1, lambda *_: asked.append(1))
    yield asked
    signal.signal(signal.SIGUSR1, before)


# What journalctl does of what it is asked for here: the lines before with their cursor, or the ones behind it.
JOURNAL = """#!/bin/sh
case "$*" in
"--lines=5000 --show-cursor") cat "$0.before"; echo "-- cursor: s=1;i=2" ;;
"--follow --no-tail --after-cursor=s=1;i=2") cat "$0.after"; exec sleep 60 ;;
*) exit 64 ;;
esac
"""


@pytest.fixture
def journal(tmp_path):
    """The broker's log: lines from before the watch began, and from after."""
    script = tmp_path / "journal"
    script.write_text(JOURNAL)
    script.chmod(0o755)
    files = {name: tmp_path / f"journal.{name}" for name in ("before", "after")}
    for file in files.values():
        file.touch()
    return files


@pytest.fixture
def watch(broker, tmp_path, asked_to_write, journal):
    """A watch that has begun."""
    with subprocess.Popen([sys.executable, "-c", RUN, str(tmp_path)], start_new_session=True) as process:
        broker.wait_for(text("devices/+/out/#"))
        wait_until(lambda: asked_to_write)
        yield process
        os.killpg(process.pid, signal.SIGKILL)


def wait_until(what, seconds=10):
    end = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < end
        time.sleep(0.01)
    return found


def alarm_of(root, who, kind="retained"):
    def found():
        return [each for each in alarms.load(root / "alarms.json") if (each.who, each.kind) == (who, kind)]

    return wait_until(found)[0]


@pytest.mark.usefixtures("watch")
def test_what_a_device_retains_beyond_its_bounds_is_removed_and_told(broker, tmp_path):
    for n in range(3):
        broker.session.sendall(published(f"devices/lamp-1/out/{n}", b"x"))
    broker.wait_for(published("devices/lamp-1/out/2", b""))
    assert published("devices/lamp-1/out/1", b"") not in broker.heard
    assert "more than 2 retained messages" in alarm_of(tmp_path, "lamp-1").what
    # and it is looked for what came faster than it was told
    broker.wait_for(text("devices/lamp-1/out/#"))


@pytest.mark.usefixtures("watch")
def test_what_is_not_retained_is_nobodys_business(broker):
    for n in range(9):
        broker.session.sendall(published(f"devices/lamp-1/out/{n}", b"x", retain=False))
    broker.session.sendall(published("devices/lamp-2/out/large", b"x" * 6000))
    broker.wait_for(published("devices/lamp-2/out/large", b""))
    assert text("devices/lamp-1") not in broker.heard


@pytest.mark.usefixtures("watch")
def test_a_device_that_goes_on_has_its_session_ended(broker, tmp_path):
    disconnect = Broker(tmp_path / "kick.sock", bytes([0x20, 2, 0, 0]))
    for n in range(30):
        broker.session.sendall(published(f"devices/lamp-1/out/{n}", b"x"))
    disconnect.wait_for(text("lamp-1"))
    disconnect.close()


def connected(device):
    return f"New client connected from 192.0.2.7:4711 as {device} (p2, c1, k60, u'{device}').\n"


def subscribed(device, number):
    return "".join(f"{device} 1 devices/{device}/in/{each}\n" for each in range(number))


def test_what_the_log_told_before_the_watch_began_may_be_over(broker, tmp_path, journal, request):
    over = connected("lamp-1") + subscribed("lamp-1", 9) + connected("lamp-1")
    journal["before"].write_text(over + connected("lamp-2") + subscribed("lamp-2", 4) + connected("lamp-3"))
    journal["after"].write_text(subscribed("lamp-3", 4))
    disconnect = Broker(tmp_path / "kick.sock", bytes([0x20, 2, 0, 0]))
    request.getfixturevalue("watch")
    assert alarm_of(tmp_path, "lamp-2", "session").what.startswith("4 subscriptions")
    assert alarm_of(tmp_path, "lamp-3", "session").what.startswith("4 subscriptions")
    disconnect.close()
    assert "lamp-1" not in {alarm.who for alarm in alarms.load(tmp_path / "alarms.json")}


@pytest.mark.usefixtures("watch")
def test_a_broker_that_is_short_of_memory_is_told(broker, tmp_path):
    broker.session.sendall(
        published("$SYS/broker/heap/current", b"700") + published("$SYS/broker/heap/current", b"800")
    )
    assert alarm_of(tmp_path, "the broker", "memory").what.startswith("it takes 800 of 1000 bytes")


@pytest.mark.usefixtures("watch")
def test_it_comes_back_after_the_broker_was_away(broker):
    broker.session.shutdown(socket.SHUT_RDWR)
    broker.heard = b""
    broker.wait_for(text("devices/+/out/#"))


@pytest.mark.usefixtures("watch")
def test_what_is_due_is_kept_for_operators_and_taken_away_when_nothing_is(broker, tmp_path):
    due = b'{"due": [{"what": "x"}]}'
    files.write_atomically(tmp_path / "due.json", due + b"\n")
    broker.wait_for(published("fleet/alarms", due))
    files.write_atomically(tmp_path / "due.json", b'{"due": []}\n')
    broker.wait_for(published("fleet/alarms", b""))
