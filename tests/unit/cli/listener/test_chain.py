"""A gateway has to show that its ledger goes on from what the controller has seen, at its real listener."""

import json
import shutil
from contextlib import contextmanager
from datetime import timedelta

import pytest
from sqlalchemy import select

from fleetmint.gateway import device_ca
from fleetmint.gateway.backup import make_backup
from fleetmint.gateway.device_crl import plan_device_crl
from fleetmint.gateway.restore import plan_restore
from fleetmint.ledger import events, open_ledger, schema
from fleetmint.ledger.head import head_in
from fleetmint.ledger.revocation import revoke
from fleetmint.x509 import revocation

pytestmark = pytest.mark.usefixtures("listener")
DAY = timedelta(days=1)


@pytest.fixture
def audit(fleetmint):
    """What the controller says, without what it says of boards: the same for a person as for a program."""

    def run() -> list[str]:
        asked = fleetmint("audit", "--ask-gateway", "--json")["findings"]
        return [f"{each['what']}: {each['remedy']}" for each in asked]

    return run


@pytest.fixture
def gateway(gateway_side, listener, now):
    return Gateway(gateway_side, listener, now)


class Gateway:
    """Somebody at the gateway: its own jobs, and what an intruder does."""

    def __init__(self, side, service, now):
        self.side, self.service, self.now = side, service, now
        self.path = side.root / "ledger.sqlite"

    def sign(self):
        engine = open_ledger(self.side.config.ledger)
        authorities = device_ca.authorities(self.side.config)
        plan_device_crl(engine, authorities, self.side.config.device_crl, now=self.now, force=True).apply()
        engine.dispose()

    def happen(self, number=1, at=None):
        with self.side.writing() as connection:
            for _ in range(number):
                events.append(connection, at=at or self.now, actor="a@test", kind="x", subject="y", detail={})

    def change(self, *statements):
        with self.side.writing() as connection:
            for statement in statements:
                connection.exec_driver_sql(statement)

    def rehash(self):
        with self.side.writing() as connection:
            rows = connection.execute(select(schema.events).order_by(schema.events.c.seq)).all()
            connection.execute(schema.events.delete())
            for row in rows:
                detail = json.loads(row.detail)
                events.append(connection, at=row.at, actor=row.actor, kind=row.kind, subject=row.subject, detail=detail)
            assert events.broken_links(connection) == ()

    @contextmanager
    def as_it_is(self):
        """Put the file of the ledger back to what it was, in the end."""
        with self.side.writing() as connection:
            connection.exec_driver_sql("select 1")
        kept = self.path.with_suffix(".kept")
        self.checkpoint()
        shutil.copy(self.path, kept)
        yield
        self.checkpoint()
        self.overwrite(kept.read_bytes())

    def checkpoint(self):
        engine = open_ledger(self.side.config.ledger)
        with engine.connect() as connection:
            connection.exec_driver_sql("rollback")
            connection.exec_driver_sql("pragma wal_checkpoint(truncate)")
        engine.dispose()

    def overwrite(self, data):
        """Write into the same file, which the service has open."""
        with self.path.open("r+b") as file:
            file.write(data)
            file.truncate()

    def restore(self, backup, **options):
        self.service.extensions["fleetmint"].engine.dispose()  # it is stopped meanwhile
        config, now = self.side.config, self.now + timedelta(hours=1)
        plan_restore(config, device_ca.authorities(config), backup, now, replace=True, **options).apply()


@pytest.fixture
def seen(fleetmint, audit, gateway):
    """The controller has registered a batch, and looked; the gateway has signed its list."""
    fleetmint("batch", "register", "first")
    gateway.happen(6)
    gateway.sign()
    assert audit() == []


def heads(state):
    return json.loads((state / "heads/gateway.json").read_text())["heads"]


def test_a_chain_that_goes_on_is_clean_and_what_was_checked_is_forgotten_but_for_a_few(
    fleetmint, audit, gateway, seen, state
):
    for _ in range(8):
        gateway.happen(300)
        assert audit() == []
    assert [each["seq"] for each in heads(state)] == [7 + 300 * number for number in range(4, 9)]
    assert all(each["checked"] for each in heads(state))


def test_an_answer_and_a_list_are_remembered_and_nothing_is_forgotten_until_it_is_compared(fleetmint, seen, state):
    said = fleetmint("token", "new", "lamp-000001", "--to", str(state / "token.json"))
    assert said.exit_code == 0, said.output
    newest = heads(state)[-1]
    assert (newest["seq"], newest["by"], newest["checked"]) == (8, "answer", False)
    kept = (state / "heads/gateway.crl").read_bytes()
    assert head_in(revocation.ledger_head(revocation.load_crl(kept, "kept"))).seq == 7


INTRUDERS = {
    "the newest event": (["delete from events where seq = 7"], False, "its newest events are gone: there are 6, and 7"),
    "all events": (["delete from events"], False, "all of its events are gone, and 7 were seen until"),
    "one in the middle": (["delete from events where seq = 4"], True, "event 7 is another one"),
    "a changed one": (["update events set actor = 'b@test' where seq = 8"], False, "event 8 does not follow from"),
    "a changed one and the chain anew": (
        ["update events set actor = 'b@test' where seq = 3"],
        True,
        "its events were changed and their chain computed anew",
    ),
    "the first one changed and the chain anew": (
        ["update events set actor = 'b@test' where seq = 1"],
        True,
        "all of its events are other ones, the first included: the chain was computed anew",
    ),
}


@pytest.mark.parametrize("what", INTRUDERS)
def test_what_an_intruder_does_to_the_chain_is_found_in_plain_words(audit, gateway, seen, what):
    statements, anew, words = INTRUDERS[what]
    if "8" in words:
        gateway.happen(2)
    gateway.change(*statements)
    if anew:
        gateway.rehash()
        gateway.happen(2, at=gateway.now - DAY)
    (finding,) = audit()
    assert finding.startswith("gateway: ")
    assert words in finding
    assert "restore its latest backup (docs/recovery.md), then `fleetmint audit --acknowledge gateway" in finding
    assert audit() == [finding], "it is said until somebody acts"


def test_yesterdays_copy_is_found_whether_or_not_the_gateway_went_on_with_it(audit, gateway, seen, now):
    with gateway.as_it_is():
        gateway.happen(5)
        assert audit() == []
    (finding,) = audit()
    assert "its newest events are gone: there are 7, and 12 were seen until" in finding
    assert "or an older copy of the ledger was put back" in finding
    gateway.happen(9, at=now + DAY)
    (finding,) = audit()
    assert "an older copy of its ledger was put back, and the gateway went on with it: event 12 was seen on" in finding


def test_a_new_ledger_under_the_name_of_the_old_one_is_found(audit, gateway, seen, now):
    gateway.change("delete from events")
    gateway.happen(20, at=now + DAY)
    (finding,) = audit()
    assert "another ledger was begun on" in finding


def test_an_exchange_says_at_once_that_the_ledger_went_back(fleetmint, gateway, seen, state):
    remembered = json.loads((state / "heads/gateway.json").read_text())
    remembered["heads"][-1]["seen"] = "2020-01-01T00:00:00.000000Z"
    (state / "heads/gateway.json").write_text(json.dumps(remembered))
    gateway.change("delete from events where seq > 3")
    said = fleetmint("token", "new", "lamp-000001", "--to", str(state / "token.json"))
    assert "the ledger of gateway has 4 events, and had 7 on 2020-01-01" in said.stderr


def test_a_restore_is_told_from_a_rollback_and_clean_once_a_person_has_acknowledged_it(
    fleetmint, refused, audit, gateway, seen, state
):
    backup = make_backup(gateway.side.config)
    gateway.happen(5)
    assert audit() == []
    refused(fleetmint("audit", "--acknowledge", "gateway", "--reason", "why not"), "nothing to acknowledge")
    gateway.restore(backup)
    (finding,) = audit()
    assert "its ledger was restored on" in finding
    assert "from a backup that ends with event 7, and 12 were seen until" in finding
    assert "if a person of yours did that: `fleetmint audit --acknowledge gateway --reason REASON`" in finding
    gateway.happen(9)
    assert "its ledger was restored on" in audit()[0]
    (state / "backups").mkdir(exist_ok=True)
    assert fleetmint("audit", "--acknowledge", "gateway").exit_code == 2
    done = fleetmint("audit", "--acknowledge", "gateway", "--reason", "the card died")
    assert "acknowledged of gateway: its ledger was restored on" in done.stdout
    assert audit() == []
    (note,) = json.loads((state / "heads/gateway.json").read_text())["acknowledged"]
    assert (note["reason"], note["by"]) == ("the card died", "bench@test")
    gateway.change("delete from events where seq > 12")
    assert "its newest events are gone" in audit()[0], "what comes after it is looked at as before"


def test_a_restore_that_forgets_nothing_needs_no_acknowledgement(audit, gateway, seen):
    gateway.restore(make_backup(gateway.side.config))
    assert audit() == []


def test_a_backup_on_the_controller_is_remembered_too(audit, gateway, seen, state):
    gateway.happen(4)
    (state / "backups").mkdir(mode=0o700)
    (state / "backups/gateway.tar").write_bytes(make_backup(gateway.side.config))
    gateway.change("delete from events where seq > 8")
    assert "there are 8, and 11 were seen until" in audit()[0]


def test_an_older_list_is_found_and_does_not_replace_the_controllers_copy(audit, fleetmint, gateway, seen, now, state):
    older = gateway.side.config.device_crl.read_bytes()
    with gateway.side.writing() as connection:
        revoke(connection, "lamp-000001", reason="key_compromise", actor="test", now=now)
    gateway.sign()
    assert audit() == []
    kept = (state / "heads/gateway.crl").read_bytes()
    assert kept == gateway.side.config.device_crl.read_bytes()
    gateway.side.config.device_crl.write_bytes(older)
    (finding,) = audit()
    assert "the CRL of the device CA that is in force at gateway has the number 1" in finding
    assert (state / "heads/gateway.crl").read_bytes() == kept


def test_a_gateway_that_is_off_was_not_asked_and_is_not_clean(audit, fleetmint, seen, state):
    site = json.loads((state / "site.json").read_text())
    site["gateways"]["gateway"]["https_port"] = 1
    (state / "site.json").write_text(json.dumps(site))
    (finding,) = audit()
    assert finding.startswith("gateway was not asked, and what its ledger holds is not known: nothing answers at")
    assert "not asked: gateway (--ask-gateway)" in fleetmint("audit").stdout


def test_what_the_controller_remembers_and_cannot_be_read_is_told(audit, seen, state):
    (state / "heads/gateway.json").write_text("{")
    (finding,) = audit()
    assert "gateway.json is damaged, and with it what this controller knows of the ledger of gateway" in finding
