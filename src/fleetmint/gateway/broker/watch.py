"""The watch on the broker: a process beside it, of the same account.

    retained messages   as they come, over MQTT: what is beyond a device's bounds is removed at once
    sessions            from the database, each time it is written: one that has grown too large is ended
    connections         from the log: whoever has not shown who they are in time is hung up on
    what is due         kept retained for operators, as the file says it
    memory and disk     told when they run short, with who takes most

Whatever it does to a device is an alarm that names it. It decides nothing by itself: the bounds are the role's.
"""

import logging
import os
import selectors
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from fleetmint.errors import PublishError, StateError
from fleetmint.gateway.broker import database, journal, sockets
from fleetmint.gateway.broker.alarms import Alarms
from fleetmint.gateway.broker.announcement import Announcement
from fleetmint.gateway.broker.database import Contents, DatabaseError, Session
from fleetmint.gateway.broker.handshakes import Handshakes, Patience
from fleetmint.gateway.broker.mqtt import KEEP_ALIVE_SECONDS, BrokerError, Connection, Message
from fleetmint.gateway.broker.retained import Bounds, Retained, cost, device_of
from fleetmint.gateway.broker.subscriptions import Subscriptions
from fleetmint.gateway.disconnect import end_session

_log = logging.getLogger(__name__)

BROKER = "the broker"
_HEAP = "$SYS/broker/heap/current"
_TICK_SECONDS = 0.2
_RETRY_SECONDS = 2.0
# A device that goes on leaving more than it may has its session ended, but not more often than this.
_FLOOD, _FLOOD_SECONDS = 20, 0.2
_RECHECK_SECONDS = 0.2
_DATABASE_SECONDS = 5.0
_NEARLY = 0.75
_TRACING = "/proc/sys/kernel/yama/ptrace_scope"


@dataclass(frozen=True)
class Limits:
    """What is allowed: retained messages, one session's subscriptions, handshakes by port, memory and database."""

    retained: Bounds
    subscriptions: int
    subscription_bytes: int
    handshakes: dict[int, Patience]
    memory: int
    database: int


@dataclass(frozen=True)
class Places:
    """Where things are on this gateway."""

    socket: Path
    disconnect_socket: Path
    database: Path
    alarms: Path
    due: Path
    journal: tuple[str, ...] = journal.JOURNAL


class Watch:
    """One watch on one broker."""

    def __init__(self, limits: Limits, places: Places, clock: Callable[[], datetime]) -> None:
        self._limits, self._places, self._clock = limits, places, clock
        self._alarms = Alarms(places.alarms)
        self._handshakes = Handshakes(limits.handshakes)
        self._subscriptions = Subscriptions(limits.subscriptions, limits.subscription_bytes)
        self._may_end = True
        self._contents = Contents()
        self._begin()

    def _begin(self) -> None:
        """Forget what was known of a broker that may have been another."""
        self._announcement = Announcement(self._places.due)
        self._retained = Retained(self._limits.retained)
        self._rechecks: dict[str, float] = {}
        self._surplus: Counter[str] = Counter()
        self._disconnected: dict[str, float] = {}
        self._seen_database = 0

    def run(self) -> None:
        """Watch until the process is ended; a broker that is away is waited for."""
        lines, cursor = journal.past(self._places.journal)
        for line in lines:
            # what the log told before may be over: it is looked at as a whole
            self._note(line, time.monotonic())
        for device in self._subscriptions.excess():
            self._end_session(device, self._subscriptions.of(device), time.monotonic())
        command = journal.following(cursor, self._places.journal)
        with subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL) as log:  # noqa: S603
            try:
                while log.stdout is not None:  # as a pipe it is there
                    try:
                        self._watch(log.stdout.fileno())
                    except BrokerError as error:
                        _log.warning("%s: trying again", error)
                        time.sleep(_RETRY_SECONDS)
            finally:
                log.kill()

    def _watch(self, log: int) -> None:
        connection = Connection(self._places.socket)
        try:
            self._begin()
            connection.subscribe(_HEAP)
            connection.subscribe("devices/+/out/#")
            # the account of a broker that has run before is in its database, and this has it written
            with suppress(ProcessLookupError):
                os.kill(connection.broker_pid(), signal.SIGUSR1)
            self._loop(connection, log)
        finally:
            connection.close()
            self._alarms.write()

    def _loop(self, connection: Connection, log: int) -> None:
        unread, pinged, looked = b"", time.monotonic(), 0.0
        with selectors.DefaultSelector() as selector:
            selector.register(connection, selectors.EVENT_READ)
            selector.register(log, selectors.EVENT_READ)
            while True:
                ready = {key.fileobj for key, _ in selector.select(_TICK_SECONDS)}
                now = time.monotonic()
                if connection in ready:
                    for message in connection.receive():
                        self._take(connection, message, now)
                if log in ready:
                    chunk = os.read(log, 65536)
                    if not chunk:
                        raise SystemExit("the journal can no longer be followed")
                    *lines, unread = (unread + chunk).split(b"\n")
                    for line in lines:
                        self._read(line.decode(errors="replace"), now)
                self._end_handshakes(connection.broker_pid(), now)
                self._recheck(connection, now)
                if now - looked >= _DATABASE_SECONDS:
                    looked = now
                    self._look_at_database(connection, now)
                    self._alarms.write()
                    self._announcement.refresh(connection)
                if now - pinged >= KEEP_ALIVE_SECONDS / 2:
                    pinged = now
                    connection.ping()

    def _read(self, line: str, now: float) -> None:
        """Read a line of the broker's log."""
        device = self._note(line, now)
        if device is not None:
            self._end_session(device, self._subscriptions.of(device), now)

    def _note(self, line: str, now: float) -> str | None:
        """Take note of a line of the broker's log; return a device that has too many subscriptions with it."""
        self._handshakes.read(line, now)
        return self._subscriptions.read(line)

    # --- retained messages ---

    def _take(self, connection: Connection, message: Message, now: float) -> None:
        if message.topic == _HEAP:
            self._look_at_memory(message.payload)
            return
        device = device_of(message.topic)
        if device is None or not message.retained:
            return
        reason = self._retained.note(message.topic, len(message.payload))
        if reason is None:
            return
        self._remove(connection, device, message.topic, reason, now)
        self._surplus[device] += 1
        if self._surplus[device] >= _FLOOD:
            self._disconnect(device, now)

    def _remove(self, connection: Connection, device: str, topic: str, reason: str, now: float) -> None:
        connection.forget(topic)
        self._alarm(device, "retained", f"{reason}: the ones beyond are removed as they come")
        # What came faster than it could be told is still there: it is looked for until nothing is found.
        self._rechecks[device] = now + _RECHECK_SECONDS

    def _recheck(self, connection: Connection, now: float) -> None:
        for device in [device for device, due in self._rechecks.items() if due <= now]:
            del self._rechecks[device]
            self._surplus.pop(device, None)
            connection.subscribe(f"devices/{device}/out/#")
            connection.unsubscribe(f"devices/{device}/out/#")

    def _disconnect(self, device: str, now: float) -> None:
        if now - self._disconnected.get(device, -_FLOOD_SECONDS) < _FLOOD_SECONDS:
            return
        self._disconnected[device] = now
        self._surplus.pop(device, None)
        try:
            end_session(self._places.disconnect_socket, device)
        except PublishError as error:
            _log.error("%s", error)

    # --- the database, memory and disk ---

    def _look_at_database(self, connection: Connection, now: float) -> None:
        try:
            found = self._places.database.stat()
        except FileNotFoundError:
            return
        if found.st_mtime_ns == self._seen_database:
            return
        self._seen_database = found.st_mtime_ns
        try:
            self._contents = database.read(self._places.database)
        except (DatabaseError, OSError) as error:
            self._alarm(BROKER, "disk", f"{error}: what its clients keep in it is not watched")
            return
        self._compare(connection, now)
        for name, session in self._contents.sessions.items():
            self._look_at_session(name, session, now)
        if found.st_size > self._limits.database:
            self._alarm(BROKER, "disk", f"its database has {found.st_size} bytes; {self._most()}")

    def _compare(self, connection: Connection, now: float) -> None:
        """Make good what was not heard of, because the broker drops what a subscriber is too slow for."""
        stored: dict[str, list[str]] = {}
        for topic in self._contents.retained:
            if (device := device_of(topic)) is not None:
                stored.setdefault(device, []).append(topic)
        counted = self._retained.counted()
        for device in stored.keys() | counted.keys():
            topics = stored.get(device, [])
            if len(topics) < counted.get(device, 0):
                self._retained.forget(device)
            for topic in topics:
                reason = self._retained.note(topic, self._contents.retained[topic])
                if reason is not None:
                    self._remove(connection, device, topic, reason, now)
            if len(topics) != counted.get(device, 0):
                self._rechecks.setdefault(device, now)

    def _look_at_session(self, name: str, session: Session, now: float) -> None:
        limits = self._limits
        # A device is its own client id, since its listener forces that; an operator chooses one, and is trusted.
        if session.user != name or (
            session.subscriptions <= limits.subscriptions and session.subscription_bytes <= limits.subscription_bytes
        ):
            return
        self._end_session(name, f"{session.subscriptions} subscriptions of {session.subscription_bytes} bytes", now)

    def _end_session(self, name: str, taken: str, now: float) -> None:
        self._alarm(name, "session", f"{taken}: its session is ended")
        self._disconnect(name, now)

    def _look_at_memory(self, payload: bytes) -> None:
        with suppress(ValueError):
            heap = int(payload)
            if heap > _NEARLY * self._limits.memory:
                self._alarm(BROKER, "memory", f"it takes {heap} of {self._limits.memory} bytes; {self._most()}")

    def _most(self) -> str:
        """Say who takes most of what the broker keeps."""
        sizes: Counter[str] = Counter()
        for topic, payload in self._contents.retained.items():
            sizes[device_of(topic) or topic] += cost(topic, payload)
        for name, session in self._contents.sessions.items():
            sizes[name] += session.queued_bytes + session.subscription_bytes
        return "most of it for " + ", ".join(f"{name} ({size})" for name, size in sizes.most_common(3))

    # --- connections ---

    def _end_handshakes(self, pid: int, now: float) -> None:
        late = self._handshakes.late(now)
        if not self._may_end or not (late or self._handshakes.crowded()):
            for peer in late:
                self._handshakes.over(peer)
            return
        try:
            surplus = self._handshakes.surplus(sockets.peers(pid)) if self._handshakes.crowded() else []
            unwanted = {*late, *surplus}
            ended = sockets.end(pid, unwanted.__contains__)
        except ProcessLookupError:
            raise BrokerError("the broker is gone") from None
        except PermissionError:
            self._may_end = False
            _log.error("connections cannot be ended before ninety seconds: %s has to be 0", _TRACING)
            return
        for peer in unwanted:
            self._handshakes.over(peer)
        if ended:
            _log.info("hung up on %d that did not show who they are, %d of them in time", len(ended), len(surplus))

    def _alarm(self, who: str, kind: str, what: str) -> None:
        if self._alarms.raise_(who, kind, what, self._clock()):
            _log.warning("%s: %s", who, what)
            with suppress(StateError):
                self._alarms.write()
