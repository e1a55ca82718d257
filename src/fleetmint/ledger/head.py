"""The head of a ledger's chain of events: who has seen it can tell later whether the chain was cut or computed anew.

It leaves the gateway in every CRL that is signed there, in the answers to a station, and in every backup. A head stands
for all events up to it: the chain goes on from it, or it is another one.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from sqlalchemy import select
from sqlalchemy.engine import Connection

from fleetmint.ledger.schema import events

# DER: a UTF8String of more than 127 octets and at most 255.
_UTF8_STRING, _ONE_OCTET = 0x0C, 0x81
# Of an answer over HTTP: a client that does not know it passes over it.
HEADER = "Fleetmint-Ledger-Head"
_HEX = frozenset("0123456789abcdef")


@dataclass(frozen=True)
class Head:
    """The last event of a chain: its number and digest. `chain` is the digest of the first one: which chain it is.

    A ledger without events has the number 0, and neither digest.
    """

    chain: str
    seq: int
    digest: str

    def values(self) -> dict[str, object]:
        """Return it as plain data."""
        return asdict(self)

    def text(self) -> str:
        """Return it as JSON."""
        return json.dumps(self.values(), sort_keys=True, separators=(",", ":"))

    def der(self) -> bytes:
        """Return it as the value of an extension: JSON in a UTF8String, which every tool shows as text."""
        text = self.text().encode()
        length = bytes([len(text)]) if len(text) < 0x80 else bytes([_ONE_OCTET, len(text)])
        return bytes([_UTF8_STRING]) + length + text


def read_head(connection: Connection) -> Head:
    """Return the head of a ledger's chain."""
    query = select(events.c.seq, events.c.digest).limit(1)
    last = connection.execute(query.order_by(events.c.seq.desc())).first()
    if last is None:
        return Head("", 0, "")
    first = connection.execute(query.order_by(events.c.seq)).one()
    return Head(str(first.digest), int(last.seq), str(last.digest))


def digest_at(connection: Connection, seq: int) -> str | None:
    """Return the digest of an event, None when there is none of this number."""
    found: str | None = connection.execute(select(events.c.digest).where(events.c.seq == seq)).scalar()
    return found


def head_of(values: object) -> Head:
    """Return the head in plain data that came from elsewhere; raise ValueError when it is none."""
    if not isinstance(values, Mapping):
        raise ValueError("no object")
    chain, seq, digest = (values.get(name) for name in ("chain", "seq", "digest"))
    if type(seq) is not int or not 0 <= seq < 1 << 62 or not (_is_digest(chain, seq) and _is_digest(digest, seq)):
        raise ValueError("no head of a chain")
    return Head(str(chain), seq, str(digest))


def head_in(der: bytes) -> Head:
    """Return the head in the value of an extension; raise ValueError when it is none."""
    start = 3 if der[1:2] == bytes([_ONE_OCTET]) else 2
    if der[:1] != bytes([_UTF8_STRING]) or der[start - 1 : start] != bytes([len(der) - start & 0xFF]):
        raise ValueError("no UTF8String")
    return head_of(json.loads(der[start:]))


def _is_digest(value: object, seq: int) -> bool:
    return isinstance(value, str) and set(value) <= _HEX and len(value) == (64 if seq else 0)
