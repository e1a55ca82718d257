"""Devices whose gateway was restored from before they renewed, enrolled, changed owners or ended."""

import re
from datetime import timedelta

import pytest
from click.testing import CliRunner
from cryptography import x509

from fleetmint.ca.crls import plan_authority_crl
from fleetmint.choices import REASONS
from fleetmint.cli import root
from fleetmint.errors import StateError
from fleetmint.gateway import in_force, publish
from fleetmint.gateway.backup import make_backup
from fleetmint.gateway.device_crl import plan_device_crl
from fleetmint.gateway.restore import plan_restore
from fleetmint.ledger import adoption, audit, open_ledger, reading, replacement, revocation, succession
from fleetmint.ledger.devices import find_certificate, list_devices
from fleetmint.ledger.grants import GrantRefusedError
from fleetmint.service.adoption import _shown
from fleetmint.service.app import create_app
from fleetmint.service.body import Recovery
from fleetmint.service.enrolment import enrol, recover, renew
from fleetmint.service.identity import Peer
from fleetmint.x509 import revocation as lists
from fleetmint.x509.listeners import DEVICES
from tests.support.broker_listener import broker, calls, rules
from tests.support.gateway_site import (
    certificate_entry,
    enrolment,
    environ,
    issuing,
    make_csr,
    new_key,
    registration,
)

__all__ = ["broker", "calls", "rules"]

HOUR = timedelta(hours=1)
LAMP = "lamp-000001"


class Fleet:
    """A gateway with a lamp that has enrolled and one that has not, and a time that passes."""

    def __init__(self, site, now):
        self.site, self.now = site, now
        self.engine = open_ledger(site.config.ledger)
        self.key = new_key()
        self.tokens = site.register(now, LAMP, "lamp-000002")
        self.first = self.enrol(LAMP, self.key)
        self.write(succession.confirm, self.first.serial, overlap=HOUR)
        self.sign()
        self.backup = make_backup(site.config)
        self.now += HOUR

    @property
    def at(self):
        return issuing(self.engine, self.site.device_ca, self.now)

    def enrol(self, device, key):
        return enrol(self.at, enrolment(device, self.tokens[device], key))

    def renew(self, serial, key=None):
        """A renewal that is in use, and the hours beside it are over."""
        renewed = renew(self.at, self.row(serial), make_csr(key or new_key()), source="")
        self.write(succession.confirm, renewed.serial, overlap=HOUR)
        self.now += 2 * HOUR
        self.sign()
        return renewed

    def row(self, serial):
        with reading(self.engine) as connection:
            return find_certificate(connection, serial)

    def write(self, function, *arguments, **options):
        with self.site.writing() as connection:
            return function(connection, *arguments, now=self.now, **options)

    def revoke(self, device):
        self.write(revocation.revoke, device, reason="key_compromise", actor="test")
        self.sign()

    def give_token(self, device, text, owner=None):
        self.tokens[device] = text
        sha256 = enrolment(device, text, new_key()).token_sha256
        token = replacement.NewToken(device, sha256, self.now + 24 * HOUR, owner)
        self.write(replacement.add_token, token, actor="test")

    def sign(self):
        plan_device_crl(
            self.engine, [self.site.device_ca], self.site.config.device_crl, now=self.now, force=True
        ).apply()

    def restore(self, **options):
        """Put the backup back, while the newest lists are there; return what it came to."""
        self.engine.dispose()
        self.now += HOUR
        plan = plan_restore(self.site.config, [self.site.device_ca], self.backup, self.now, replace=True, **options)
        plan.apply()
        self.engine = open_ledger(self.site.config.ledger)
        return plan

    def status(self):
        with reading(self.engine) as connection:
            return {each.device: each.status for each in list_devices(connection)}

    def findings(self):
        with reading(self.engine) as connection:
            return audit.findings(connection)

    def listed(self):
        crl = lists.load_crl(self.site.config.device_crl.read_bytes(), "CRL")
        return {each.serial: each.reason for each in lists.entries(crl)}

    def whoami(self, issued):
        client = create_app(self.site.config, clock=lambda: self.now).test_client()
        shown = x509.load_der_x509_certificate(issued.der)
        return client.get("/v1/whoami", environ_base=environ(DEVICES, shown))


@pytest.fixture
def fleet(site, now):
    return Fleet(site, now + 3 * HOUR)


def strip_head(fleet, monkeypatch):
    """Let lists be signed as the version before did it."""
    built = lists.build_crl

    def before(*arguments, ledger_head, **options):
        return built(*arguments, **options)

    monkeypatch.setattr(lists, "build_crl", before)
    fleet.sign()


def test_who_has_renewed_is_not_ended_and_its_newer_certificate_is_adopted_when_it_is_shown(fleet):
    renewed = fleet.renew(fleet.first.serial)
    assert fleet.listed() == {fleet.first.serial: "superseded"}
    done = fleet.restore()
    assert (done.expected.revoked, done.expected.withdrawn) == ((), ())
    assert fleet.status()[LAMP] == "active"
    assert fleet.row(renewed.serial) is None
    answer = fleet.whoami(renewed)
    assert (answer.status_code, answer.json["device"]) == (200, LAMP), answer.json
    assert fleet.row(renewed.serial).confirmed_at is not None
    assert fleet.row(fleet.first.serial).superseded_at is not None
    assert fleet.findings() == ()
    assert renew(fleet.at, fleet.row(renewed.serial), make_csr(new_key()), source="").device == LAMP
    fleet.revoke(LAMP)
    assert fleet.listed()[renewed.serial] == "key_compromise", "what was not known could not be revoked"
    assert fleet.whoami(renewed).status_code == 403
    assert fleet.findings() == ()


def test_the_command_restores_with_the_list_that_is_published_and_says_what_comes_of_it(fleet, monkeypatch, tmp_path):
    renewed = fleet.renew(fleet.first.serial)
    (tmp_path / "backup.tar").write_bytes(fleet.backup)
    monkeypatch.setattr("fleetmint.cli.gateway.backup.utc_now", lambda: fleet.now)
    command = ["gateway", "--config", str(fleet.site.config_path), "restore", "--replace", str(tmp_path / "backup.tar")]
    fleet.engine.dispose()
    said = CliRunner().invoke(root, command)
    assert said.stdout.splitlines() == [
        "restore the ledger with 2 devices",
        "forget the events 4 to 5, and whatever happened later",
        "end 1 unused tokens, which may have been used since",
    ]
    assert fleet.status()[LAMP] == "active"
    assert fleet.listed() == {fleet.first.serial: "superseded"}
    assert fleet.whoami(renewed).json["device"] == LAMP
    assert fleet.findings() == ()


def test_who_has_lost_the_newer_one_recovers_with_the_one_before(fleet):
    fleet.renew(fleet.first.serial)
    fleet.restore()
    asked = Recovery(fleet.first.der, make_csr(fleet.key))
    assert recover(fleet.at, asked, grace=HOUR, source="").device == LAMP
    assert fleet.findings() == ()


def test_who_has_enrolled_since_comes_back_and_its_token_is_worth_nothing(fleet):
    enrolled = fleet.enrol("lamp-000002", new_key())
    fleet.sign()
    fleet.restore()
    assert fleet.status()["lamp-000002"] == "registered"
    assert fleet.whoami(enrolled).json["device"] == "lamp-000002"
    assert fleet.status()["lamp-000002"] == "active"
    assert fleet.findings() == ()


def test_who_renewed_and_was_then_revoked_stays_revoked_though_nobody_here_knows_its_last_certificate(fleet):
    renewed = fleet.renew(fleet.first.serial)
    fleet.revoke(LAMP)
    assert fleet.listed() == {fleet.first.serial: "key_compromise", renewed.serial: "key_compromise"}
    done = fleet.restore()
    assert done.expected.revoked == (LAMP,)
    assert "keep out 1 certificates that have ended since and that this ledger does not know" in done.reasons
    assert fleet.status()[LAMP] == "revoked"
    assert fleet.whoami(renewed).status_code == 403
    assert fleet.findings() == ()


def test_who_changed_its_owner_waits_for_a_token_and_the_one_before_stays_out(fleet):
    renewed = fleet.renew(fleet.first.serial)
    fleet.give_token(LAMP, "sold", owner="Bob")
    sold = fleet.enrol(LAMP, new_key())
    fleet.now += HOUR
    fleet.sign()
    done = fleet.restore()
    assert (done.expected.revoked, done.expected.withdrawn) == ((), (LAMP,))
    assert f"have {LAMP} wait for a new token, because it has changed its owner" in done.reasons
    assert fleet.status()[LAMP] == "registered"
    assert fleet.findings() == ()
    for one in (renewed, fleet.first):
        assert fleet.whoami(one).status_code == 403
    asked = Recovery(fleet.first.der, make_csr(fleet.key))
    with pytest.raises(Exception, match="revoked"):
        recover(fleet.at, asked, grace=HOUR, source="")
    assert fleet.whoami(sold).json["device"] == LAMP
    assert fleet.findings() == ()


@pytest.mark.parametrize("back", ["by its newer certificate", "by a token"])
def test_where_an_older_list_leaves_it_open_nobody_gets_in_by_the_old_certificate(fleet, monkeypatch, back):
    renewed = fleet.renew(fleet.first.serial)
    gone = fleet.enrol("lamp-000002", new_key())
    fleet.now += HOUR
    fleet.revoke("lamp-000002")
    strip_head(fleet, monkeypatch)
    # who enrolled and ended since is known to the list only
    done = fleet.restore()
    assert (done.expected.revoked, done.expected.withdrawn) == ((), (LAMP,))
    assert any(f"{LAMP} wait for a new token, because it went on, and what it had" in each for each in done.reasons)
    assert fleet.findings() == ()
    assert fleet.whoami(fleet.first).status_code == fleet.whoami(gone).status_code == 403
    if back == "by a token":
        fleet.give_token(LAMP, "another")
        fleet.now += HOUR
        assert fleet.enrol(LAMP, new_key()).device == LAMP
        assert fleet.whoami(renewed).status_code == 403, "it has a newer one"
    else:
        assert fleet.whoami(renewed).json["device"] == LAMP
    assert fleet.findings() == ()


def test_on_the_factorys_list_what_was_renewed_gets_the_reason_of_the_end(site, now):
    factory = site.hierarchy.authority("factory")
    leaf = factory.issue("factory-device", new_key().public_key(), "sign-1", now=now)
    site.import_(registration([certificate_entry("sign-1", leaf)], batch="signs-1"), now)
    for reason in ("superseded", "key_compromise", "superseded"):
        plan_authority_crl(site.hierarchy, "factory", [leaf.serial_number], now, reason).apply()
    crl = lists.load_crl((site.hierarchy.directory / "factory/crl.pem").read_bytes(), "CRL")
    assert [each.reason for each in lists.entries(crl)] == ["key_compromise"]
    assert lists.crl_number(crl) == 3


def test_unused_tokens_stay_good_only_if_the_gateway_had_ended_its_work(fleet):
    fleet.renew(fleet.first.serial)
    with pytest.raises(StateError, match="it ends with the event 3, and the newest CRL was signed when there were 5"):
        fleet.restore(keep_tokens=True)
    fleet.backup = make_backup(fleet.site.config)
    assert fleet.restore(keep_tokens=True).expected.void == 0


def test_a_certificate_from_another_time_is_not_adopted(fleet):
    renewed = fleet.renew(fleet.first.serial)
    fleet.restore()
    begin = fleet.now + 24 * HOUR
    later = fleet.site.device_ca.issue("device", new_key().public_key(), LAMP, now=begin)
    earlier = fleet.site.device_ca.issue("device", new_key().public_key(), LAMP, now=fleet.now - 6 * HOUR)
    factory = fleet.site.hierarchy.authority("factory")
    others = factory.issue("factory-device", new_key().public_key(), LAMP, now=fleet.now - 2 * HOUR)
    stranger = fleet.site.device_ca.issue("device", new_key().public_key(), "lamp-000009", now=fleet.now - 2 * HOUR)
    client = create_app(fleet.site.config, clock=lambda: begin + HOUR).test_client()
    for shown in (later, earlier, others, stranger):
        answer = client.get("/v1/whoami", environ_base=environ(DEVICES, shown))
        assert answer.status_code == 403
        assert re.search(r"not in (this gateway's|the) ledger", answer.text)
    assert fleet.whoami(renewed).status_code == 200
    assert fleet.findings() == ()


@pytest.mark.parametrize("known", [True, False])
def test_the_owner_before_stays_out_also_with_a_certificate_that_the_restore_has_forgotten(fleet, known):
    if known:
        device, forgotten = LAMP, fleet.renew(fleet.first.serial)
    else:
        device, forgotten = "lamp-000002", fleet.enrol("lamp-000002", new_key())
    fleet.restore()
    fleet.now += HOUR
    fleet.give_token(device, "5" * 32, owner="somebody else")
    assert fleet.whoami(forgotten).status_code == 403
    assert fleet.enrol(device, new_key()).device == device


def test_a_forgotten_certificate_that_comes_twice_at_once_is_adopted_once(fleet):
    renewed = fleet.renew(fleet.first.serial)
    fleet.restore()
    shown = _shown(Peer(LAMP, x509.load_der_x509_certificate(renewed.der)))
    for _ in range(2):
        fleet.write(adoption.adopt, shown, overlap=HOUR)
    assert fleet.row(renewed.serial).status == "active"


def test_who_is_revoked_after_a_restore_is_shut_out_of_the_broker_whatever_it_holds(site, now, calls, broker, rules):
    fleet = Fleet(site, now)
    renewed = fleet.renew(fleet.first.serial)
    fleet.restore()
    assert publish.publish(site.config, now=fleet.now).problems == ()
    calls()
    fleet.write(revocation.revoke, LAMP, reason="key_compromise", actor="test")
    fleet.sign()
    assert renewed.serial not in fleet.listed()
    done = publish.publish(site.config, now=fleet.now)
    assert (done.disconnected, done.problems) == ((LAMP,), ())
    assert rules.read_text().endswith(f"\nuser {LAMP}\ntopic deny #\n")
    assert publish.publish(site.config, now=fleet.now) == publish.Published()


@pytest.mark.parametrize("reason", REASONS)
def test_a_device_that_was_revoked_stays_so_in_a_restored_ledger_whatever_the_reason_was(site, now, reason):
    fleet = Fleet(site, now)
    fleet.write(revocation.revoke, LAMP, reason=reason, actor="test")
    fleet.sign()
    fleet.restore()
    assert fleet.status()[LAMP] == "revoked"
    with pytest.raises(GrantRefusedError):
        recover(fleet.at, Recovery(fleet.first.der, make_csr(fleet.key)), grace=HOUR, source="")


def test_a_list_that_is_refused_keeps_the_gateway_from_signing_none_of_its_own(site, now, monkeypatch):
    fleet = Fleet(site, now)
    done = in_force.revoke_devices(
        fleet.engine, site.config, [LAMP], {"factory": b"garbage"}, reason="key_compromise", now=fleet.now, actor="test"
    )
    assert fleet.first.serial in fleet.listed()
    assert any("factory" in problem or "list" in problem for problem in done.in_force.problems)
