"""Whatever devices, thieves, operators and crashes do to a gateway, in any order: its ledger keeps its promises.

A state machine of hypothesis over the real application and a real ledger. Every step may be taken by whoever has the
token, key or certificate that it needs, the right device or not, and after each the audit has to find nothing.
"""

import base64
import hashlib
import itertools
import json
import re
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from unittest import mock

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import create_engine, func, select, text
from werkzeug.test import TestResponse

from fleetmint.ledger import audit, create_schema, early, issuance, open_ledger, reading, succession, writing
from fleetmint.ledger.devices import serial_text
from fleetmint.ledger.revocation import revoke
from fleetmint.ledger.schema import REVOKED, certificates, devices
from fleetmint.service.app import create_app
from fleetmint.x509 import compat
from fleetmint.x509.authority import Authority, public_key_bytes
from fleetmint.x509.keys import spki
from tests.support.gateway_site import (
    GatewaySite,
    board,
    der,
    environ,
    handover,
    make_csr,
    make_gateway_site,
    new_key,
    registration,
    token_entry,
)
from virtual import postgres

DEVICES = ("lamp-000001", "lamp-000002", "lamp-000003")
MACS = {device: f"02:00:00:00:00:0{number}" for number, device in enumerate(DEVICES, 1)}
# What a client may be told; a 5xx is a mistake.
ANSWERS = {200, 202, 400, 401, 403, 409, 429}
_STEPS: tuple[tuple[Any, str], ...] = ((issuance, "reserve"), (Authority, "issue"), (issuance, "store_signed"))
# Where a request is cut: before or after one of these steps, or when all is done and the answer is lost.
_LOST = "the answer"
Crash = tuple[int, bool] | str | None
_CUTS: tuple[Crash, ...] = (*((number, after) for number in range(len(_STEPS)) for after in (False, True)), _LOST)
# mostly none
CRASHES = st.one_of(st.none(), st.none(), st.none(), st.sampled_from(_CUTS))
_CLONE = re.compile(r"somebody asked with the certificate (\w+) of ")
# a new key mostly, or one that somebody had before
KEYS = st.one_of(st.none(), st.none(), st.integers(0, 9))
# CAs end, too, and that is for other tests.
_LONGEST = timedelta(days=4 * 365)


class CrashError(BaseException):
    """As good as kill -9 for what is in memory."""


@contextmanager
def crashing(crash: Crash) -> Iterator[None]:
    """Cut what runs there."""
    if not isinstance(crash, tuple):
        yield
        return
    (owner, name), after = _STEPS[crash[0]], crash[1]
    step = getattr(owner, name)

    def die(*args: Any, **options: Any) -> None:
        if after:
            step(*args, **options)
        raise CrashError

    with mock.patch.object(owner, name, die):
        yield


@dataclass(frozen=True)
class Request:
    """What was asked, with the key that it was for, so that it can be asked again."""

    route: str
    device: str
    key: ec.EllipticCurvePrivateKey
    shown: x509.Certificate | None
    body: dict[str, str]
    with_: x509.Certificate | None


@dataclass(frozen=True)
class Held:
    """A certificate that somebody has, with its key."""

    device: str
    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey


@dataclass(frozen=True)
class Token:
    device: str
    secret: str

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.secret.encode()).hexdigest()


class IssuingMachine(RuleBasedStateMachine):
    """`make_site` gives a fresh gateway for each run."""

    make_site: Callable[[], GatewaySite]

    tokens = Bundle("tokens")
    held = Bundle("held")

    def __init__(self) -> None:
        super().__init__()
        self.site = type(self).make_site()
        self.begun = self.now = datetime.now(UTC).replace(microsecond=0)
        operators = self.site.hierarchy.authority("operator")
        self.station = operators.issue("station", new_key().public_key(), "bench@test", now=self.now)
        self.app = create_app(self.site.config, clock=self.clock)
        self.http = self.app.test_client()
        self.engine = open_ledger(self.site.config.ledger)
        self.answered: dict[str, bytes] = {}
        self.keys: list[ec.EllipticCurvePrivateKey] = []
        # the newest token of each device, which of them were ever shown, and which were replaced before
        self.newest: dict[str, str] = {}
        self.shown: set[str] = set()
        self.void: set[str] = set()
        self.waits = False
        self.refused: set[str] = set()
        self.last: Request | None = None

    def clock(self) -> datetime:
        return self.now

    def teardown(self) -> None:
        try:
            if self.newest:
                for device in DEVICES:
                    self.bring_back(device)
                self.the_ledger_keeps_its_promises()
        finally:
            self.close()

    def bring_back(self, device: str) -> None:
        """Whatever came before, another token brings a device back that is not revoked."""
        token = self.give(device, None)
        if token is None:
            with reading(self.engine) as connection:
                status = connection.execute(select(devices.c.status).where(devices.c.device == device)).scalar()
            assert status == REVOKED
            return
        self.operate("/v1/handovers", data=handover([board(device, MACS[device], self.now)], batch=_batch(device)))
        key, body = new_key(), {"token": token.secret, "device": device, "mac": MACS[device]}
        back = self.ask("/v1/enrol", device, key, None, None, body)
        if not isinstance(back, Held):
            self.decide(device, "approve")
            assert self.last is not None
            back = self.send(self.last, None)
        assert isinstance(back, Held), f"{device} does not come back"
        where = environ("devices", back.certificate)
        assert self.http.get("/v1/whoami", environ_overrides=where).status_code == 200

    def close(self) -> None:
        self.app.extensions["fleetmint"].close()
        self.engine.dispose()

    # --- what the factory, operators and time do ---

    @initialize(target=tokens)
    def register(self) -> Any:
        made = [Token(device, secrets.token_hex(16)) for device in DEVICES]
        ends = self.now + timedelta(days=400)
        for token, policy in zip(made, ({}, {"approval": "manual"}, {"token_binding": "mac"}), strict=True):
            document = registration([token_entry(token.device, token.secret, ends)], batch=_batch(token.device))
            self.operate("/v1/registrations", data=json.dumps(json.loads(document) | policy))
            self.newest[token.device] = token.secret
        return multiple(*made)

    @rule(device=st.sampled_from(DEVICES), seconds=st.integers(1, 30))
    def hand_over(self, device: str, seconds: int) -> None:
        entry = board(device, MACS[device], self.now - timedelta(seconds=seconds))
        self.operate("/v1/handovers", data=handover([entry], batch=_batch(device)))

    @rule(target=tokens, device=st.sampled_from(DEVICES), owner=st.sampled_from((None, "somebody else")))
    def give_token(self, device: str, owner: str | None) -> Any:
        """Bring a new token; with an owner the device changes hands."""
        return self.give(device, owner) or multiple()

    def give(self, device: str, owner: str | None) -> Token | None:
        token = Token(device, secrets.token_hex(16))
        wanted = {"token_sha256": token.sha256, "token_expires": f"{self.now + timedelta(days=300):%Y-%m-%dT%H:%M:%SZ}"}
        answer = self.operate(f"/v1/devices/{device}/token", json=wanted | ({} if owner is None else {"owner": owner}))
        if answer.status_code != 200:
            return None
        self.void |= {self.newest[device]} - self.shown
        self.newest[device] = token.secret
        return token

    @precondition(lambda self: self.waits)
    @rule(device=st.sampled_from(DEVICES), decision=st.sampled_from(("approve", "deny")))
    def decide(self, device: str, decision: str) -> None:
        waiting = self.http.get("/v1/approvals", environ_overrides=environ("operators", self.station))
        mine = [each["key"] for each in json.loads(waiting.data)["approvals"] if each["device"] == device]
        self.operate("/v1/approvals", json={"device": device, "decision": decision, "key": (mine or [None])[0]})

    @rule(device=st.sampled_from(DEVICES), often=st.integers(0, 3))
    def end_device(self, device: str, often: int) -> None:
        # or nothing would be left to do
        if often == 0:
            with writing(self.engine) as connection:
                revoke(connection, device, reason="unspecified", actor="test", now=self.now)

    @rule(step=st.sampled_from((timedelta(minutes=5), timedelta(days=1), timedelta(days=130), timedelta(days=300))))
    def wait(self, step: timedelta) -> None:
        if self.now + step < self.begun + _LONGEST:
            self.now += step
        # as the timer does when it looks after the list of its CA
        with writing(self.engine) as connection:
            succession.supersede_due(connection, self.now)

    # --- what devices do, and whoever has what is theirs ---

    @rule(target=held, token=tokens, key=KEYS, other=st.sampled_from((None, None, None, *DEVICES)), crash=CRASHES)
    def enrol(self, token: Token, key: int | None, other: str | None, crash: Crash) -> Any:
        name = other or token.device
        body = {"token": token.secret, "device": name, "mac": MACS[name]}
        return self.ask("/v1/enrol", name, self.key(key), None, crash, body)

    @rule(target=held, old=held, key=KEYS, same=st.booleans(), crash=CRASHES)
    def renew(self, old: Held, key: int | None, same: bool, crash: Crash) -> Any:
        if self.ended(old):
            return multiple()  # nginx refuses it
        return self.ask("/v1/renew", old.device, old.key if same else self.key(key), old.certificate, crash, {})

    @rule(target=held, old=held, crash=CRASHES)
    def recover(self, old: Held, crash: Crash) -> Any:
        shown = base64.b64encode(der(old.certificate)).decode()
        return self.ask("/v1/recover", old.device, old.key, None, crash, {"certificate": shown}, old.certificate)

    @rule(shown=held)
    def use(self, shown: Held) -> None:
        if not self.ended(shown):
            where = environ("devices", shown.certificate)
            self.judge(self.http.get("/v1/whoami", environ_overrides=where), shown.certificate)

    @precondition(lambda self: self.last is not None)
    @rule(target=held)
    def repeat(self) -> Any:
        """Ask the same again: the answer was lost, or a crash was in between."""
        assert self.last is not None
        return self.send(self.last, None)

    @precondition(lambda self: self.last is not None)
    @rule(target=held, key=KEYS)
    def rival(self, key: int | None) -> Any:
        """Ask the same with another key: a copy of the device, or one that has lost its own."""
        assert self.last is not None
        rival = self.key(key)
        csr = base64.b64encode(make_csr(rival)).decode()
        return self.send(replace(self.last, key=rival, body=self.last.body | {"csr": csr}), None)

    # --- how it is done ---

    def key(self, number: int | None) -> ec.EllipticCurvePrivateKey:
        """Return a new key, or one that somebody had before."""
        if number is None or not self.keys:
            self.keys.append(new_key())
            return self.keys[-1]
        return self.keys[number % len(self.keys)]

    def ask(
        self,
        route: str,
        device: str,
        key: ec.EllipticCurvePrivateKey,
        shown: x509.Certificate | None,
        crash: Crash,
        body: dict[str, str],
        with_: x509.Certificate | None = None,
    ) -> Any:
        csr = base64.b64encode(make_csr(key)).decode()
        self.last = Request(route, device, key, shown, body | {"csr": csr}, with_ or shown)
        return self.send(self.last, crash)

    def send(self, request: Request, crash: Crash) -> Any:
        where, token = environ("devices", request.shown), request.body.get("token", "")
        self.shown.add(token)
        try:
            with crashing(crash):
                answer = self.http.post(request.route, json=request.body, environ_overrides=where)
        except CrashError:
            return multiple()
        self.judge(answer, request.with_)
        if answer.status_code != 200 or crash == _LOST:
            return multiple()
        signed = base64.b64decode(json.loads(answer.data)["certificate"])
        certificate = x509.load_der_x509_certificate(signed)
        assert public_key_bytes(certificate) == spki(request.key.public_key())
        assert compat.not_after(certificate) > self.now
        assert token not in self.void, "a token that was replaced"
        if token:
            assert self.answered.setdefault(token, signed) == signed, "two certificates for a token"
        return Held(request.device, certificate, request.key)

    def judge(self, answer: TestResponse, with_: x509.Certificate | None) -> None:
        assert answer.status_code in ANSWERS, answer.text
        self.waits |= answer.status_code == 202
        if answer.status_code == 403 and with_ is not None:
            self.refused.add(serial_text(with_.serial_number))

    def operate(self, path: str, **body: Any) -> TestResponse:
        where = environ("operators", self.station)
        answer = self.http.post(path, environ_overrides=where, content_type="application/json", **body)
        assert answer.status_code in (200, 409), answer.text
        return answer

    def ended(self, held: Held) -> bool:
        return compat.not_after(held.certificate) <= self.now

    @invariant()
    def the_ledger_keeps_its_promises(self) -> None:
        with reading(self.engine) as connection:
            found = [str(each) for each in audit.findings(connection)]
            assert early.find(connection, self.now) == ()
            shared = (
                select(certificates.c.token_sha256)
                .where(certificates.c.token_sha256.is_not(None))
                .group_by(certificates.c.token_sha256)
                .having(func.count() > 1)
            )
            assert connection.execute(shared).all() == []
        # somebody did ask with what had been replaced, and that is what the audit is for
        clones = [each for each in found if _CLONE.match(each)]
        assert [each for each in found if each not in clones] == []
        assert {match[1] for each in clones if (match := _CLONE.match(each))} <= self.refused


def _batch(device: str) -> str:
    return f"batch-{device[-1]}"


@contextmanager
def fresh_sites(root: Path, database: str) -> Iterator[Callable[[], GatewaySite]]:
    """Give what makes a gateway with a ledger in this database: `sqlite` or `postgresql`."""
    numbers = itertools.count()

    def make() -> GatewaySite:
        return make_gateway_site(root / f"gateway-{next(numbers)}", root / "template")

    if database == "sqlite":
        yield make
        return
    with postgres.cluster() as url:

        def make_there() -> GatewaySite:
            site, name = make(), f"d{next(numbers)}"
            admin = create_engine(url, isolation_level="AUTOCOMMIT")
            with admin.connect() as connection:
                connection.execute(text(f"CREATE DATABASE {name}"))
            admin.dispose()
            config = replace(site.config, ledger=url.replace("@/postgres?", f"@/{name}?"))
            engine = open_ledger(config.ledger)
            create_schema(engine, site="test", owner="")
            engine.dispose()
            return replace(site, config=config)

        yield make_there


def run(root: Path, database: str, *, examples: int, steps: int, again: bool) -> None:
    """Let the machine run so often with so many steps each; `again`: the same each time, and short when it fails."""
    phases = [Phase.generate] if again else [Phase.generate, Phase.shrink]
    with fresh_sites(root, database) as make_site:
        run_state_machine_as_test(
            type("Machine", (IssuingMachine,), {"make_site": staticmethod(make_site)}),
            settings=settings(
                max_examples=examples,
                stateful_step_count=steps,
                deadline=None,
                database=None,
                derandomize=again,
                phases=phases,
                suppress_health_check=list(HealthCheck),
            ),
        )
