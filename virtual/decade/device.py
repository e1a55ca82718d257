"""One device of a simulated fleet: what it keeps in its flash, and what it does on a day that it is on.

It follows the agent (firmware/agent/credentials.py): a certificate is stored beside the one in use, proven on a
connection, and only then used; a key is stored before it is sent. Ways in are tried in the agent's order: what was
renewed, what is in use, recovery of either, token.
"""

import base64
import random
import ssl
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial

from cryptography import x509

from fleetmint.trust import bundle
from fleetmint.trust.bundle import Bundle
from fleetmint.x509 import compat, keys
from virtual.decade import wire
from virtual.decade.wire import Identity, NoWayError, Place, Session

# Renewals of a fleet that was burned in one hour must not fall into one hour.
JITTER_DAYS = 6
# How often something goes wrong in a renewal: its answer is lost, or the power before the proof.
MISHAPS = 0.15
TRIES, _PAUSE_SECONDS = 8, 2.0
# The answers that are about the identity, and how a listener that wants none of it hangs up.
_DENIALS = ("certificate", "401", "403")


@dataclass
class Day:
    """What a device did and met on one day. `refused` is what did not let it in, in words; empty on a good day."""

    did: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    away: bool = False
    served: bool = False


@dataclass
class Slot:
    """A key with its certificate, and when that is to be renewed."""

    identity: Identity
    renew_at: datetime | None = None

    @property
    def not_after(self) -> datetime:
        """When the certificate ends."""
        return compat.not_after(x509.load_der_x509_certificate(self.identity.certificate))


class Device:
    """One device. With `keeps_session` it stays connected for as long as the broker lets it; others leave each day."""

    def __init__(self, name: str, place: Place, trust: bytes, *, seed: int, keeps_session: bool = False) -> None:
        self.name, self._place = name, place
        self._random = random.Random(f"{seed} {name}")  # noqa: S311 - a story that can be repeated
        self._trust: Bundle = bundle.decode(trust, f"trust bundle of {name}")
        self.slot: Slot | None = None
        self._other: Slot | None = None
        self._pending: keys.PrivateKey | None = None
        self.token: str | None = None
        self._keeps_session = keeps_session
        self._session: Session | None = None
        self._new_keys = self._random.random() < 0.5
        self._due: datetime | None = None
        self._jitter = timedelta(days=self._random.uniform(0, JITTER_DAYS))
        self.ended_sessions = 0

    def made(self, key: keys.PrivateKey, certificate: bytes) -> None:
        """Have an identity of the factory."""
        self.slot = Slot(Identity(key, certificate))

    def day(self, now: datetime, *, tries: int = TRIES) -> Day:
        """Do what there is to do on a day, and connect on both listeners.

        What fails is tried again, as the agent does all day long: only a day on which nothing helps is a lock-out.
        """
        day = Day()
        for attempt in range(tries):
            if attempt:
                time.sleep(_PAUSE_SECONDS)
            self._try(day, now)
            if day.served:
                break
        if day.served and attempt:
            day.did.append("served at a later try")
        return day

    def _try(self, day: Day, now: datetime) -> None:
        day.away = False
        try:
            said = self._greet(day)
            if said is not None:
                self._learn(day, said)
                self._renew_if_due(day, now, said)
                self._speak(day, now)
                day.served = True
        except NoWayError as error:
            self._drop_session()
            if error.why == "away":
                day.away = True
            day.refused.append(str(error))

    def power_off(self) -> None:
        """Lose the power."""
        self._drop_session()

    # --- getting in ---

    def _greet(self, day: Day) -> dict[str, object] | None:
        """Return what the gateway says of this device, after the first way in that works; None when none does."""
        ended: list[Slot] = []
        for slot in filter(None, (self._other, self.slot)):
            try:
                said = self._whoami(slot)
            except NoWayError as error:
                if error.why == "away":
                    raise
                day.refused.append(f"whoami {error}")
                if error.why in _DENIALS and "superseded" not in str(error):
                    ended.insert(0, slot)
                continue
            if slot is not self.slot:
                self._switch(slot)
                day.did.append("proved later")
            return said
        ways = [("recovered", partial(self._recover, slot)) for slot in ended]
        if self.token is not None:
            ways.append(("enrolled", partial(self._enrol, self.token)))
        for did, way in ways:
            try:
                self._other = found = way()
                said = self._whoami(found)
            except NoWayError as error:
                if error.why == "away":
                    raise
                day.refused.append(f"not {did}, {error}")
                continue
            self._switch(found)
            day.did.append(did)
            return said
        return None

    def _recover(self, slot: Slot) -> Slot:
        old = slot.identity
        body = {"certificate": _text(old.certificate), "csr": _text(wire.csr(old.key))}
        return self._answer(old.key, wire.ask(self._tls(None), self._place, "POST", "/v1/recover", body))

    def _enrol(self, token: str) -> Slot:
        key = self._pending = self._pending or keys.new_key()
        body = {"device": self.name, "token": token, "csr": _text(wire.csr(key))}
        slot = self._answer(key, wire.ask(self._tls(None), self._place, "POST", "/v1/enrol", body))
        self.token = None
        return slot

    # --- staying in ---

    def _renew_if_due(self, day: Day, now: datetime, said: dict[str, object]) -> None:
        slot = self._used()
        if not (said["renew"] or (slot.renew_at is not None and now >= slot.renew_at)):
            return
        self._due = self._due or now
        if now < self._due + self._jitter:
            return
        new_key = bool(said["new_key"]) or self._new_keys
        key = self._pending or (keys.new_key() if new_key else slot.identity.key)
        # stored before it is sent: after a lost answer it is asked for again with the same
        self._pending = key
        mishap = self._random.random()
        answer = wire.ask(self._tls(slot.identity), self._place, "POST", "/v1/renew", {"csr": _text(wire.csr(key))})
        if mishap < MISHAPS:
            day.did.append("lost the answer")
            return
        self._other = self._answer(key, answer)
        if mishap > 1 - MISHAPS:
            day.did.append("lost the power before the proof")
            self._drop_session()
            return
        self._whoami(self._other)
        self._switch(self._other)
        day.did.append("renewed")

    def _learn(self, day: Day, said: dict[str, object]) -> None:
        """Take a newer trust bundle, once a connection has proven it."""
        slot = self._used()
        if said.get("trust_bundle") in (None, self._trust.label):
            return
        status, content = wire.request(self._tls(slot.identity), self._place, "GET", "/v1/trust-bundle")
        if status != 200:
            raise NoWayError(str(status), "no trust bundle")
        offered = bundle.decode(content, "what the gateway offers")
        reason = bundle.refusal(self._trust, offered)
        if reason:
            raise NoWayError("server", f"the trust bundle is refused: {reason}")
        held, self._trust = self._trust, offered
        try:
            self._whoami(slot)
        except NoWayError:
            self._trust = held
            raise
        day.did.append("trusts")

    def _speak(self, day: Day, now: datetime) -> None:
        text = f'{{"at":"{now:%Y-%m-%dT%H:%M:%SZ}"}}'
        if self._session is not None:
            try:
                self._session.reading(self.name, text)
                return
            except NoWayError:
                self._drop_session()
                self.ended_sessions += 1
                day.did.append("session ended")
        session = Session(self._tls(self._used().identity), self._place, self.name)
        session.reading(self.name, text)
        if self._keeps_session:
            self._session = session
        else:
            session.close()

    # --- what it keeps ---

    def _used(self) -> Slot:
        if self.slot is None:
            raise NoWayError("nothing", "it has no identity")
        return self.slot

    def _whoami(self, slot: Slot) -> dict[str, object]:
        said = wire.ask(self._tls(slot.identity), self._place, "GET", "/v1/whoami")
        slot.renew_at = _time(said["renew_at"])
        return said

    def _switch(self, slot: Slot) -> None:
        self.slot, self._other, self._pending, self._due = slot, None, None, None
        self._jitter = timedelta(days=self._random.uniform(0, JITTER_DAYS))
        self._drop_session()

    def _answer(self, key: keys.PrivateKey, said: dict[str, str]) -> Slot:
        return Slot(Identity(key, base64.b64decode(said["certificate"])), _time(said["renew_at"]))

    def _tls(self, identity: Identity | None) -> ssl.SSLContext:
        return wire.context(self._trust.anchors, identity)

    def _drop_session(self) -> None:
        if self._session is not None:
            self._session.cut()
            self._session = None


def _text(der: bytes) -> str:
    return base64.b64encode(der).decode()


def _time(text: object) -> datetime:
    return datetime.strptime(str(text), "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
