"""Events and rows tell the same after whatever happens to a fleet, and whoever deletes one of them is found out."""

import hashlib
import json
import sqlite3
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

from fleetmint.ledger import (
    approvals,
    audit,
    early,
    events,
    grants,
    open_factory_ledger,
    open_ledger,
    reading,
    replacement,
    revocation,
    schema,
    succession,
    writing,
)
from fleetmint.ledger.devices import find_certificate
from fleetmint.service.body import Enrolment, Recovery
from fleetmint.service.enrolment import enrol, recover, renew
from tests.support.gateway_site import (
    certificate_entry,
    issuing,
    make_csr,
    new_key,
    registration,
    token_entry,
)

HOUR = timedelta(hours=1)


@pytest.fixture
def engine(site):
    engine = open_ledger(site.config.ledger)
    yield engine
    engine.dispose()


class Fleet:
    """Devices that do what devices do, at a time that passes."""

    def __init__(self, site, engine, now):
        self.site, self.engine, self.now, self.keys = site, engine, now, {}

    @property
    def at(self):
        return issuing(self.engine, self.site.device_ca, self.now)

    def enrol(self, device, token):
        self.keys[device] = new_key()
        asked = Enrolment(device, hashlib.sha256(token.encode()).hexdigest(), make_csr(self.keys[device]))
        return enrol(self.at, asked)

    def renew(self, shown):
        return renew(self.at, self.row(shown.serial), make_csr(new_key()), source="192.0.2.1")

    def recover(self, shown):
        asked = Recovery(self.row(shown.serial).der, make_csr(self.keys[shown.device]))
        return recover(self.at, asked, grace=HOUR, source="192.0.2.1")

    def row(self, serial):
        with reading(self.engine) as connection:
            return find_certificate(connection, serial)

    def write(self, function, *arguments, **options):
        self.now += HOUR
        with writing(self.engine) as connection:
            return function(connection, *arguments, now=self.now, **options)

    def confirm(self, issued):
        self.write(succession.confirm, issued.serial, overlap=HOUR)

    def revoke(self, device):
        self.write(revocation.revoke, device, reason="key_compromise", actor="test")

    def token(self, device, text, owner=None):
        token = replacement.NewToken(
            device, hashlib.sha256(text.encode()).hexdigest(), self.now + timedelta(days=30), owner
        )
        self.write(replacement.add_token, token, actor="test")


@pytest.fixture
def fleet(site, engine, now):
    return Fleet(site, engine, now)


@pytest.fixture
def lived(site, fleet):
    """A fleet in which everything has happened that can happen to a device."""
    tokens = site.register(fleet.now, *(f"lamp-00000{number}" for number in range(1, 8)))
    site.register(fleet.now, "lamp-000007")  # once more: its token is replaced
    factory = site.hierarchy.authority("factory")
    made = [factory.issue("factory-device", new_key().public_key(), f"sign-{n}", now=fleet.now) for n in "123"]
    entries = [certificate_entry(f"sign-{n}", leaf) for n, leaf in zip("123", made, strict=True)]
    site.import_(registration(entries, batch="signs-1"), fleet.now)
    issued = {device: fleet.enrol(device, tokens[device]) for device in list(tokens)[:5]}
    fleet.confirm(fleet.renew(issued["lamp-000001"]))
    fleet.write(lambda connection, now: succession.supersede_due(connection, now))
    fleet.renew(issued["lamp-000002"])
    fleet.renew(issued["lamp-000002"])  # the one before was lost
    fleet.recover(issued["lamp-000003"])
    fleet.write(succession.raise_alarm, issued["lamp-000001"].serial, source="192.0.2.2")
    fleet.token("lamp-000003", "another")
    fleet.enrol("lamp-000003", "another")
    fleet.token("lamp-000004", "sold", owner="Bob")
    fleet.enrol("lamp-000004", "sold")
    fleet.revoke("lamp-000005")
    fleet.revoke("lamp-000006")
    fleet.renew(fleet.row(made[0].serial_number))
    listed = {made[1].serial_number: "key_compromise", made[0].serial_number: "superseded"}
    fleet.write(revocation.revoke_listed, listed, actor="test")
    site.import_(registration([certificate_entry("sign-3", made[2])], batch="signs-1"), fleet.now)
    return issued


def told(site):
    """What the audit says, without the alarm that a person has to decide about."""
    return [finding for finding in site.findings() if not finding.startswith("somebody asked with")]


def test_after_everything_that_can_happen_events_and_rows_tell_the_same(site, lived):
    assert told(site) == []


def test_a_clock_that_ran_ahead_and_was_repaired_leaves_no_contradiction(site, fleet):
    tokens = site.register(fleet.now, "lamp-000001", "lamp-000002")
    now, fleet.now = fleet.now, fleet.now + timedelta(days=100)
    issued = fleet.enrol("lamp-000001", tokens["lamp-000001"])
    fleet.renew(issued)
    fleet.now = now
    fleet.write(early.repair, subject="gateway", actor="test")
    assert told(site) == []


def change(fleet, *statements):
    """Write as somebody does who has the file."""
    fleet.engine.dispose()
    with fleet.site.writing() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)


def rehash(fleet):
    """Let the whole chain hold again, as an intruder does who has read this program."""
    with fleet.site.writing() as connection:
        rows = connection.execute(select(schema.events).order_by(schema.events.c.seq)).all()
        connection.execute(schema.events.delete())
        for row in rows:
            events.append(
                connection,
                at=row.at,
                actor=row.actor,
                kind=row.kind,
                subject=row.subject,
                detail=json.loads(row.detail),
            )
        assert events.broken_links(connection) == ()


LAST = "delete from events where seq = (select max(seq) from events where kind {})"
COPY = "insert into {0} select {1} from {0} where device = 'lamp-000003' limit 1"  # what a row is, under another name
TAMPERING = {
    "the newest event": ([LAST.format("= 'recover'"), "delete from events where seq > 20"], "is in no event"),
    "all events": (["delete from events"], "10 devices and no events: somebody has deleted them"),
    "a revocation": (
        ["delete from events where kind = 'revoke' and subject = 'lamp-000005'"],
        "lamp-000005 is active by the events",
    ),
    "a confirmation": ([LAST.format("= 'confirm'")], "its row says that it is in use, and no event does"),
    "a transfer": ([LAST.format("= 'transfer'")], "no event says that it was given out"),
    "a token": ([LAST.format("= 'token'")], "no event says that it was given out"),
    "an import": ([LAST.format("= 'import'")], "no event says that it was registered"),
    "an alarm": ([LAST.format("= 'clone-alarm'")], "asked with after that, and no event does"),
    "a revocation by the factory's list": (
        ["delete from events where kind = 'revoke-listed' and subject = 'sign-1'"],
        "is revoked, and no event",
    ),
    "a certificate's row": (
        ["delete from certificates where device = 'lamp-000005'"],
        "tells of the certificate",
    ),
    "a device's row": (
        ["delete from tokens where device = 'lamp-000007'", "delete from devices where device = 'lamp-000007'"],
        "lamp-000007 is registered by the events, and the ledger does not have it",
    ),
    "a revocation in the row": (
        ["update devices set status = 'registered', revoked_at = null where device = 'lamp-000006'"],
        "lamp-000006 is revoked by the events, and its row says registered",
    ),
    "a revoked certificate": (
        ["update certificates set status = 'active', revoked_at = null where device = 'lamp-000005'"],
        "says that it is revoked, and its row does not",
    ),
    "a token that was used": (
        ["update tokens set state = 'unused', used_at = null where device = 'lamp-000002'"],
        "a token of lamp-000002 is used by the event",
    ),
    "a key that was given up": (
        ["update public_keys set retired_at = null where device = 'lamp-000004'"],
        "may be used again",
    ),
    "another key": (
        ["update events set detail = replace(detail, 'spki_sha256\":\"', 'spki_sha256\":\"0')"],
        "public key",
    ),
    "an event that says nothing": (["update events set detail = '{}' where kind = 'revoke'"], "does not say what"),
}


@pytest.mark.parametrize("what", TAMPERING)
def test_what_was_deleted_or_changed_is_found_even_when_the_chain_holds_again(site, fleet, lived, what):
    statements, word = TAMPERING[what]
    change(fleet, "PRAGMA foreign_keys=OFF", *statements)
    rehash(fleet)
    assert any(word in finding for finding in told(site)), "\n".join(told(site))


def test_a_certificate_that_nobody_issued_is_found_until_its_device_is_revoked(site, fleet, lived):
    change(
        fleet,
        "insert into public_keys (spki_sha256, device) values (lower(hex(zeroblob(32))), 'lamp-000007')",
        "insert into certificates (serial, issuer, device, spki_sha256, status, reserved_at)"
        " select '1234', 'device', device, lower(hex(zeroblob(32))), 'reserved', registered_at from devices"
        " where device = 'lamp-000007'",
    )
    found = [finding for finding in told(site) if "no event" in finding]
    assert len(found) == 1
    assert "the certificate 1234 of lamp-000007 is in no event: somebody has written it" in found[0]
    fleet.revoke("lamp-000007")
    assert told(site) == []


def test_a_decision_and_a_policy_that_no_event_tells_of_are_found(site, fleet):
    site.register(fleet.now, "lamp-000001")
    sha256 = hashlib.sha256(b"its token").hexdigest()
    policy = {"approval": "manual", "token_binding": "none"}
    expires = fleet.now + timedelta(days=30)
    site.import_(registration([token_entry("sign-1", "its token", expires)], batch="signs-1", policy=policy), fleet.now)
    for key in ("11" * 32, "22" * 32):
        token = fleet.write(lambda connection, now: grants.find_token(connection, "sign-1", sha256))
        fleet.write(approvals.enter, token, key, source="192.0.2.1")
    fleet.write(approvals.approve, "sign-1", "11" * 32, actor="test")
    assert told(site) == []
    change(
        fleet,
        "update approvals set state = 'approved' where state = 'denied'",
        "update devices set approval = 'auto' where device = 'sign-1'",
    )
    assert [finding.partition(", and")[0] for finding in told(site)] == [
        "the events want approval manual and tokens none of sign-1",
        "a request of sign-1 with the key 22222222… is approved",
    ]


def test_many_findings_of_a_kind_are_counted(site, fleet, now):
    site.register(now, *(f"lamp-{number:06}" for number in range(50)))
    change(fleet, "update tokens set state = 'replaced'")
    assert any("events and rows differ in 30 more tokens" in finding for finding in told(site))


@pytest.mark.parametrize("later", [False, True])
def test_a_row_of_a_ledger_from_before_is_missed_when_it_is_gone(tmp_path, later):
    path = tmp_path / "ledger.sqlite"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript((Path(__file__).parent / "dumps/0007.sqlite.sql").read_text())
    engine = open_factory_ledger(f"sqlite:///{path}")
    with writing(engine) as connection:
        if later:
            now = max(connection.execute(select(schema.events.c.at)).scalars()) + HOUR
            revocation.revoke(connection, "lamp-000001", reason="unspecified", actor="test", now=now)
        assert audit.findings(connection) == ()
        connection.exec_driver_sql("delete from certificates where device = 'lamp-000001'")
        assert any("tells of the certificate" in str(each) for each in audit.findings(connection))
