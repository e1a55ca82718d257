"""What a gateway's ledger holds by its events alone: the rows have to say the same.

Each event says what it did to devices, tokens and certificates. Those of before migration 0008 did not say enough;
the events that this migration appended (`upgrade`) hold all there was, and the replay begins with them.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.engine import Connection

from fleetmint.ledger import events as chain
from fleetmint.ledger.schema import ACTIVE, REGISTERED, REPLACED, REVOKED, UNUSED, USED, events
from fleetmint.ledger.succession import CLONE_ALARM

UPGRADED = "upgrade"
_FLAGS = {"r": "revoked", "t": "by_token", "c": "confirmed", "s": "superseded", "a": "alarmed"}


@dataclass
class ToldCertificate:
    """A certificate as events tell of it; `seq` is the one that did last. `spki_sha256` is "" where none says it."""

    device: str
    seq: int
    spki_sha256: str = ""
    revoked: bool = False
    by_token: bool = False
    confirmed: bool = False
    superseded: bool = False
    alarmed: bool = False


@dataclass
class ToldToken:
    """A token as events tell of it."""

    device: str
    seq: int
    state: str = UNUSED


@dataclass
class Told:
    """All that events tell of: devices as their status, tokens by hash and certificates by serial as they are stored.

    `policies` are what the maker of a batch wants, by device, where that is anything; `decisions` are what people have
    said of keys that asked, as (device, key, kind of the event).

    `events` is how many were looked at, `unreadable` are those that say nothing in a form that is known, and `retired`
    the certificates whose keys were given up, each with the event.
    """

    devices: dict[str, str] = field(default_factory=dict)
    policies: dict[str, dict[str, str]] = field(default_factory=dict)
    decisions: set[tuple[str, str, str]] = field(default_factory=set)
    tokens: dict[str, ToldToken] = field(default_factory=dict)
    certificates: dict[str, ToldCertificate] = field(default_factory=dict)
    events: int = 0
    unreadable: list[int] = field(default_factory=list)
    retired: dict[str, int] = field(default_factory=dict)
    _waiting: dict[str, str] = field(default_factory=dict)
    _held: dict[str, set[str]] = field(default_factory=dict)

    def give_token(self, seq: int, device: str, token: str) -> None:
        """Let a token take the place of the unused one of its device."""
        self.void_token(seq, device)
        self.tokens[token] = ToldToken(device, seq)
        self._waiting[device] = token

    def void_token(self, seq: int, device: str, state: str = REPLACED) -> None:
        """Let the unused token of a device, if it has one, be replaced, or used."""
        token = self.tokens.get(self._waiting.pop(device, ""))
        if token is not None:
            token.state, token.seq = state, seq

    def give_certificate(self, serial: str, told: ToldCertificate) -> None:
        """Let a device have a certificate."""
        self.certificates[serial] = told
        self._held.setdefault(told.device, set()).add(serial)

    def mark(self, seq: int, device: str, serial: str, **flags: bool) -> None:
        """Set flags of a certificate; one that no event told of before is known from then on: somebody has decided."""
        if serial not in self.certificates:
            self.give_certificate(serial, ToldCertificate(device, seq))
        told = self.certificates[serial]
        told.seq = seq
        for name, value in flags.items():
            setattr(told, name, value)

    def end_certificates(self, seq: int, device: str, serials: list[str]) -> None:
        """Revoke these and all others that a device has, and give up the keys of all that it ever had."""
        held = self._held.get(device, set())
        for serial in {*serials, *(each for each in held if not self.certificates[each].revoked)}:
            self.mark(seq, device, serial, revoked=True)
        self.retired |= dict.fromkeys(self._held.get(device, set()), seq)


def replay(connection: Connection) -> Told:
    """Return what the events of a ledger tell, whether or not their chain holds."""
    told = Told()
    first = connection.execute(select(func.min(events.c.seq)).where(events.c.kind == UPGRADED)).scalar() or 0
    query = select(events.c.seq, events.c.kind, events.c.subject, events.c.detail).where(events.c.seq >= first)
    for row in connection.execute(query.order_by(events.c.seq)):
        told.events += 1
        step = _STEPS.get(row.kind)
        if step is None:
            continue
        try:
            step(told, row.seq, row.subject, json.loads(row.detail))
        except (ValueError, KeyError, TypeError, AttributeError):
            told.unreadable.append(row.seq)
    return told


def _upgraded(told: Told, seq: int, _: str, detail: Mapping[str, Any]) -> None:
    told.devices |= detail.get("devices", {})
    for token, (device, state) in detail.get("tokens", {}).items():
        told.tokens[token] = ToldToken(device, seq, state)
        if state == UNUSED:
            told._waiting[device] = token
    for serial, (device, flags) in detail.get("certificates", {}).items():
        told.mark(seq, device, serial, **{_FLAGS[flag]: True for flag in flags})


def _imported(told: Told, seq: int, _: str, detail: Mapping[str, Any]) -> None:
    for device, token in detail["tokens"].items():
        told.devices.setdefault(device, REGISTERED)
        told.give_token(seq, device, token)
    for device, serial in detail["certificates"].items():
        told.devices[device] = ACTIVE
        told.give_certificate(serial, ToldCertificate(device, seq))

    for device in (*detail.get("ruled", ()), *detail["tokens"], *detail["certificates"]):
        told.policies[device] = detail.get("policy", {})


def _decided(kind: str) -> Callable[["Told", int, str, Mapping[str, Any]], None]:
    def step(told: Told, _: int, device: str, detail: Mapping[str, Any]) -> None:
        told.decisions.add((device, detail["spki_sha256"], kind))

    return step


def _issued(told: Told, seq: int, device: str, detail: Mapping[str, Any]) -> None:
    by_token = detail.get("by_token", False)
    if by_token:
        told.devices[device] = ACTIVE
        told.void_token(seq, device, USED)
    for serial in detail["superseded"]:
        told.mark(seq, device, serial, revoked=True)
    told.give_certificate(
        detail["serial"], ToldCertificate(device, seq, spki_sha256=detail["spki_sha256"], by_token=by_token)
    )


def _enrolled(told: Told, seq: int, device: str, detail: Mapping[str, Any]) -> None:
    _issued(told, seq, device, {**detail, "by_token": True})


def _adopted(told: Told, seq: int, device: str, detail: Mapping[str, Any]) -> None:
    told.devices[device] = ACTIVE
    told.void_token(seq, device)
    _issued(told, seq, device, detail)


def _confirmed(told: Told, seq: int, device: str, detail: Mapping[str, Any]) -> None:
    told.mark(seq, device, detail["serial"], confirmed=True)
    if "supersedes" in detail:
        told.mark(seq, device, detail["supersedes"], superseded=True)


def _alarmed(told: Told, seq: int, device: str, detail: Mapping[str, Any]) -> None:
    told.mark(seq, device, detail["serial"], alarmed=True)


def _revoked(told: Told, seq: int, device: str, detail: Mapping[str, Any]) -> None:
    told.devices[device] = REVOKED
    told.void_token(seq, device)
    told.end_certificates(seq, device, detail["serials"])


def _listed(told: Told, seq: int, device: str, detail: Mapping[str, Any]) -> None:
    told.mark(seq, device, detail["serial"], revoked=True)


def _withdrawn(told: Told, seq: int, device: str, detail: Mapping[str, Any]) -> None:
    told.devices[device] = REGISTERED
    told.end_certificates(seq, device, detail["serials"])


def _given_token(told: Told, seq: int, device: str, detail: Mapping[str, Any]) -> None:
    told.give_token(seq, device, detail["token_sha256"])


def _transferred(told: Told, seq: int, device: str, detail: Mapping[str, Any]) -> None:
    told.devices[device] = REGISTERED
    told.end_certificates(seq, device, detail["revoked"])
    _given_token(told, seq, device, detail)


def _clock_repaired(told: Told, seq: int, _: str, detail: Mapping[str, Any]) -> None:
    for old, new in detail["replaced"].items():
        before = told.certificates[old]
        told.mark(seq, before.device, old, revoked=True, by_token=False)
        told.give_certificate(new, ToldCertificate(before.device, seq, before.spki_sha256, by_token=True))
    for serial in detail["revoked"]:
        told.mark(seq, told.certificates[serial].device, serial, revoked=True)


_STEPS: dict[str, Callable[[Told, int, str, Mapping[str, Any]], None]] = {
    UPGRADED: _upgraded,
    "import": _imported,
    "enrol": _enrolled,
    "renew": _issued,
    "recover": _issued,
    "adopt": _adopted,
    "confirm": _confirmed,
    CLONE_ALARM: _alarmed,
    "revoke": _revoked,
    "revoke-listed": _listed,
    "withdraw": _withdrawn,
    "approve": _decided("approve"),
    "deny": _decided("deny"),
    "token": _given_token,
    "transfer": _transferred,
    chain.CLOCK_REPAIRED: _clock_repaired,
}
