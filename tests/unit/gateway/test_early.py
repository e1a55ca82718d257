"""What a clock that ran ahead has written: found by the audit, put right by `fleetmint gateway repair-clock`."""

import hashlib
import json
from datetime import UTC, datetime, timedelta

import pytest
from click.testing import CliRunner
from cryptography import x509

from fleetmint import timekeeping
from fleetmint.cli import root
from fleetmint.errors import ClockError
from fleetmint.gateway.audit import findings
from fleetmint.gateway.device_crl import plan_device_crl
from fleetmint.ledger import early, events
from fleetmint.ledger.grants import TokenGrant
from fleetmint.ledger.issuance import reserve
from fleetmint.ledger.revocation import revoke
from fleetmint.service.enrolment import enrol, renew
from fleetmint.x509 import compat, revocation
from tests.support.gateway_site import certificate_entry, enrolment, issuing, make_csr, new_key, registration

AHEAD = timedelta(days=90)


@pytest.fixture
def requests(site, now):
    tokens = site.register(now, "lamp-000001", "lamp-000002", "lamp-000003")
    return {name: enrolment(name, token, new_key()) for name, token in tokens.items()}


@pytest.fixture
def ran_ahead(site, engine, requests, now):
    """One enrolled in time and one 90 days ahead, where a CRL was signed too; return the one that is early."""
    enrol(issuing(engine, site.device_ca, now), requests["lamp-000002"])
    issued = enrol(issuing(engine, site.device_ca, now + AHEAD), requests["lamp-000001"])
    plan_device_crl(engine, [site.device_ca], site.config.device_crl, now=now + AHEAD).apply()
    return issued


@pytest.fixture
def command(site, monkeypatch):
    monkeypatch.setenv("FLEETMINT_CONFIG", str(site.config_path))
    monkeypatch.setattr(timekeeping, "_is_guest", lambda: True)

    def run(*arguments):
        return CliRunner().invoke(root, ["gateway", *arguments])

    return run


def audit(site, now) -> list[str]:
    """The findings that are about the ledger: no CRL of this small site is published anywhere."""
    with site.reading() as connection:
        return [str(each) for each in findings(site.config, connection, now)]


def repair(site, now):
    with site.writing() as connection:
        return early.repair(connection, subject="gateway", actor="test", now=now)


def crl_of(site) -> x509.CertificateRevocationList:
    return revocation.load_crl(site.config.device_crl.read_bytes(), "the CRL")


def test_the_audit_names_device_time_and_command(site, ran_ahead, now):
    found = [each for each in audit(site, now) if "a clock ran ahead" in each]
    begins = f"{compat.not_before(x509.load_der_x509_certificate(ran_ahead.der)):%Y-%m-%d %H:%M}Z"
    certificate = next(each for each in found if f"the certificate {ran_ahead.serial:x} of lamp-000001" in each)
    assert begins in certificate
    assert "gateway repair-clock --check" in certificate
    assert any("event" in each and "(enrol) of lamp-000001" in each for each in found)
    assert not any("lamp-000002" in each for each in found)


def test_a_crl_of_the_future_is_found(site, engine, ran_ahead, now):
    plan_device_crl(engine, [site.device_ca], site.config.crl("device"), now=now + AHEAD).apply()
    assert any("device.pem was signed" in each and "a clock ran ahead" in each for each in audit(site, now))


def test_the_same_token_and_key_get_a_certificate_that_is_good_now(site, engine, requests, ran_ahead, now, openssl):
    assert repair(site, now)
    again = enrol(issuing(engine, site.device_ca, now), requests["lamp-000001"])
    assert again.serial != ran_ahead.serial
    leaf = site.root / "leaf.der"
    leaf.write_bytes(again.der)
    chain = ("-partial_chain", "-trusted", site.config.trusted("device"), "-attime", str(int(now.timestamp())))
    openssl("verify", *chain, leaf)
    with site.reading() as connection:
        assert early.find(connection, now) == ()
        assert events.broken_links(connection) == ()
    assert site.findings() == ()
    plan = plan_device_crl(engine, [site.device_ca], site.config.device_crl, now=now)
    plan.apply()
    entry = crl_of(site).get_revoked_certificate_by_serial_number(ran_ahead.serial)
    assert entry.extensions.get_extension_for_class(x509.CRLReason).value.reason == x509.ReasonFlags.superseded


@pytest.mark.parametrize("repaired", [True, False])
def test_a_renewal_of_the_future_is_asked_for_again_with_the_certificate_before(site, engine, requests, now, repaired):
    first = enrol(issuing(engine, site.device_ca, now), requests["lamp-000001"])
    csr = make_csr(new_key())
    early = renew(issuing(engine, site.device_ca, now + AHEAD), first, csr, source="")
    if repaired:
        assert [each.does for each in repair(site, now) if f"{early.serial:x}" in each.what] == [
            "revoke it: its device asks again with the one before"
        ]
    assert site.findings() == ()
    again = renew(issuing(engine, site.device_ca, now), first, csr, source="")
    assert again.serial != early.serial
    assert again.not_before < now
    repair(site, now)
    assert repair(site, now) == ()
    assert site.findings() == ()


def test_a_second_repair_changes_nothing(site, ran_ahead, now):
    repair(site, now)
    before = (site.root / "ledger.sqlite").read_bytes(), site.findings()
    assert repair(site, now) == ()
    assert before == ((site.root / "ledger.sqlite").read_bytes(), ())


def test_a_reservation_of_the_future_gets_another_serial(site, engine, requests, now):
    wanted = requests["lamp-000001"]
    spki = hashlib.sha256(b"key").hexdigest()
    with site.writing() as connection:
        grant = TokenGrant(wanted.device, wanted.token_sha256)
        values = {"spki_sha256": spki, "overlap": timedelta(hours=24)}
        reserve(connection, grant, **values, serial=0x1234, now=now + AHEAD)
    repair(site, now)
    with site.writing() as connection:
        found = reserve(connection, grant, **values, serial=0x5678, now=now)
    assert (found.status, found.reserved_at) == ("reserved", now)
    assert found.serial not in (0x1234, 0x5678)
    assert site.findings() == ()


def test_a_device_revoked_in_the_future_is_on_the_list_from_now_on(site, engine, requests, now):
    issued = enrol(issuing(engine, site.device_ca, now), requests["lamp-000001"])
    with site.writing() as connection:
        revoke(connection, "lamp-000001", reason="key_compromise", actor="test", now=now + AHEAD)
    plan_device_crl(engine, [site.device_ca], site.config.device_crl, now=now + AHEAD).apply()
    plan_device_crl(engine, [site.device_ca], site.config.device_crl, now=now).apply()
    entry = crl_of(site).get_revoked_certificate_by_serial_number(issued.serial)
    assert compat.revoked_at(entry) == now.replace(microsecond=0)
    assert not plan_device_crl(engine, [site.device_ca], site.config.device_crl, now=now).changed
    assert {each.what.split()[0] for each in repair(site, now)} == {"revoked_at", "retired_at", "event"}
    assert repair(site, now) == ()


def test_events_that_were_acknowledged_keep_nobody_out_when_their_time_comes(site, engine, requests, ran_ahead, now):
    with pytest.raises(ClockError, match="before the latest row"):
        enrol(issuing(engine, site.device_ca, now + AHEAD - timedelta(minutes=1)), requests["lamp-000003"])
    repair(site, now)
    enrol(issuing(engine, site.device_ca, now + AHEAD - timedelta(minutes=1)), requests["lamp-000003"])


def test_a_certificate_of_the_factory_is_named_with_what_helps(site, now):
    factory = site.hierarchy.authority("factory")
    leaf = factory.issue("factory-device", new_key().public_key(), "lamp-000009", now=now + AHEAD)
    site.import_(registration([certificate_entry("lamp-000009", leaf)]), now)
    (found,) = [each for each in audit(site, now) if "a clock ran ahead" in each]
    assert "token new lamp-000009" in found
    repair(site, now)
    assert site.findings() == ()  # it stays as it is until a token is used


def test_check_says_what_it_would_do_and_does_nothing(site, command, ran_ahead):
    before = (site.root / "ledger.sqlite").read_bytes()
    done = command("repair-clock", "--check", "--json")
    assert done.exit_code == 0
    found = json.loads(done.stdout)
    assert found["changed"] is True
    assert "revoke it" in next(each["does"] for each in found["found"] if "certificate" in each["what"])
    assert (site.root / "ledger.sqlite").read_bytes() == before
    with site.reading() as connection:
        assert connection.exec_driver_sql("select count(*) from certificates where status = 'revoked'").scalar() == 0


def test_the_command_signs_the_list_and_says_what_is_not_in_force(site, command, ran_ahead):
    done = command("repair-clock")
    assert "the certificate" in done.stdout
    assert "not in force yet" in done.stderr  # nothing publishes here
    assert crl_of(site).get_revoked_certificate_by_serial_number(ran_ahead.serial) is not None
    assert "nothing in the ledger" in command("repair-clock").stdout


def test_a_run_that_was_killed_before_the_list_was_signed_is_finished_by_the_next(site, command, ran_ahead, now):
    repair(site, now)
    assert crl_of(site).get_revoked_certificate_by_serial_number(ran_ahead.serial) is None
    command("repair-clock")
    assert crl_of(site).get_revoked_certificate_by_serial_number(ran_ahead.serial) is not None


def test_a_clock_that_nothing_keeps_repairs_nothing(site, command, ran_ahead, monkeypatch):
    monkeypatch.setattr(timekeeping, "_is_guest", lambda: False)
    monkeypatch.setattr(timekeeping, "_synchronised", lambda: False)
    done = command("repair-clock")
    assert (done.exit_code, done.stdout) == (1, "")
    assert "attest-clock" in done.stderr
    with site.reading() as connection:
        assert early.find(connection, datetime.now(UTC))
