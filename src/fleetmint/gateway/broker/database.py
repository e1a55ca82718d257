"""What the broker has written to its card, client by client: mosquitto.db, version 6, as 2.0.x writes it.

A file of chunks, each with its kind and length; numbers are in network order except for the ids of messages, which are
only compared. See src/persist.h of mosquitto.
"""

import struct
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from fleetmint.errors import FleetmintError

_MAGIC = b"\x00\xb5\x00mosquitto db"
_VERSION = 6
_HEADER = struct.Struct(">II")
_STORE, _QUEUED, _RETAINED, _SUBSCRIPTION, _CLIENT = 2, 3, 4, 5, 6
# id, expiry, payload, (source's) mid, id, user name, topic, port, QoS, retain
_STORE_FIELDS = struct.Struct(">8s8xI2xHHH2xBB")
_QUEUED_FIELDS = struct.Struct(">8s2xH4x")
_SUBSCRIPTION_FIELDS = struct.Struct(">4xHH2x2x")
# (expiry, interval, mid,) id, (port,) user name, padding
_CLIENT_FIELDS = struct.Struct(">8x4x2xH2xH4x")


class DatabaseError(FleetmintError):
    """The file is not one that this version can read."""


@dataclass
class Session:
    """What the broker keeps for one client: who that is, its subscriptions, and the messages that wait for it."""

    user: str = ""
    subscriptions: int = 0
    subscription_bytes: int = 0
    queued: int = 0
    queued_bytes: int = 0


@dataclass
class Contents:
    """Sizes of the payloads that are retained, by topic, and the sessions by client id."""

    retained: dict[str, int] = field(default_factory=dict)
    sessions: dict[str, Session] = field(default_factory=lambda: defaultdict(Session))


def read(path: Path) -> Contents:
    """Read the database; raise DatabaseError when it is of another version or damaged."""
    found, stored = Contents(), dict[bytes, tuple[str, int]]()
    try:
        with path.open("rb") as file:
            begin = file.read(23)
            if begin[:15] != _MAGIC or int.from_bytes(begin[19:], "big") != _VERSION:
                raise DatabaseError(f"{path} is no database of mosquitto 2.0")
            while header := file.read(_HEADER.size):
                kind, length = _HEADER.unpack(header)
                end = file.tell() + length
                _chunk(file, kind, found, stored)
                file.seek(end)
    except (struct.error, UnicodeDecodeError) as error:
        raise DatabaseError(f"{path} cannot be read: {error}") from error
    return found


def _chunk(file: BinaryIO, kind: int, found: Contents, stored: dict[bytes, tuple[str, int]]) -> None:
    if kind == _STORE:
        key, payload, source, user, topic, _, _ = _fields(file, _STORE_FIELDS)
        file.seek(source + user, 1)
        stored[key] = (file.read(topic).decode(), payload)
    elif kind == _RETAINED:
        topic_and_payload = stored.get(file.read(8))
        if topic_and_payload is not None:
            found.retained[topic_and_payload[0]] = topic_and_payload[1]
    elif kind == _QUEUED:
        key, name = _fields(file, _QUEUED_FIELDS)
        session = found.sessions[file.read(name).decode()]
        session.queued += 1
        session.queued_bytes += stored.get(key, ("", 0))[1]
    elif kind == _SUBSCRIPTION:
        name, topic = _fields(file, _SUBSCRIPTION_FIELDS)
        session = found.sessions[file.read(name).decode()]
        session.subscriptions += 1
        session.subscription_bytes += topic
    elif kind == _CLIENT:
        name, user = _fields(file, _CLIENT_FIELDS)
        found.sessions[file.read(name).decode()].user = file.read(user).decode()


def _fields(file: BinaryIO, fields: struct.Struct) -> tuple[Any, ...]:
    return fields.unpack(file.read(fields.size))
