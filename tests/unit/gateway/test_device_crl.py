"""The CRL of the device CA."""

import subprocess
from datetime import timedelta

import pytest
from cryptography import x509
from pkilint.bin import lint_crl

from fleetmint import files
from fleetmint.errors import ClockError, StateError
from fleetmint.gateway.device_crl import plan_device_crl
from fleetmint.ledger import reading
from fleetmint.ledger.head import head_in, read_head
from fleetmint.ledger.revocation import revoke
from fleetmint.service.enrolment import enrol
from fleetmint.x509 import compat, revocation
from fleetmint.x509.authority import pem
from tests.support import handmade
from tests.support.gateway_site import enrolment, issuing, new_key


def sign(site, engine, now, **options):
    plan = plan_device_crl(engine, [site.device_ca], site.config.device_crl, now=now, **options)
    plan.apply()
    return plan


def crl_of(site) -> x509.CertificateRevocationList:
    return revocation.load_crl(site.config.device_crl.read_bytes(), "the CRL")


def serials(crl) -> set[int]:
    return {entry.serial_number for entry in crl}


def revoked_device(site, engine, now, device) -> int:
    token = site.register(now, device)[device]
    wanted = enrolment(device, token, new_key())
    issued = enrol(issuing(engine, site.device_ca, now), wanted)
    with site.writing() as connection:
        revoke(connection, device, reason="key_compromise", actor="test", now=now)
    return issued.serial


def test_the_first_crl_is_empty_and_signed_by_the_device_ca(site, engine, now, openssl):
    plan = sign(site, engine, now)
    assert plan.changed
    verdict = openssl(
        "crl", "-in", site.config.device_crl, "-noout", "-verify", "-CAfile", site.config.trusted("device")
    )
    assert b"verify OK" in verdict.stderr
    assert serials(crl_of(site)) == set()
    assert revocation.crl_number(crl_of(site)) == plan.expected == 1


def test_the_head_of_the_chain_of_events_is_signed_in_and_no_judge_minds(site, engine, now, openssl):
    site.register(now, "lamp-000001")
    sign(site, engine, now)
    path, trusted = site.config.device_crl, site.config.trusted("device")
    with reading(engine) as connection:
        head = read_head(connection)
    assert head.seq == 1
    assert head_in(revocation.ledger_head(crl_of(site))) == head
    text = openssl("crl", "-in", path, "-noout", "-text").stdout.decode()
    assert f"{revocation.LEDGER_HEAD.dotted_string}: \n" in text, "it is not critical"
    assert f'"digest":"{head.digest}","seq":1' in "".join(text.split())
    leaf = site.device_ca.issue("device", new_key().public_key(), "lamp-000001", now=now)
    (site.root / "leaf.crt").write_bytes(pem(leaf))
    checked = ["-partial_chain", "-trusted", trusted, "-CRLfile", path, "-crl_check", "-attime", int(now.timestamp())]
    assert b"leaf.crt: OK" in openssl("verify", *checked, site.root / "leaf.crt").stdout
    certtool = subprocess.run(["certtool", "--crl-info", "--infile", path], capture_output=True, text=True, check=True)
    assert f"Unknown extension {revocation.LEDGER_HEAD.dotted_string} (not critical)" in certtool.stdout
    verdict = ["certtool", "--verify-crl", "--load-ca-certificate", trusted, "--infile", path]
    assert "Verified" in subprocess.run(verdict, capture_output=True, text=True, check=True).stdout


def test_a_second_signing_changes_nothing_until_it_is_two_days_old(site, engine, now):
    sign(site, engine, now)
    before = site.config.device_crl.read_bytes()
    assert not sign(site, engine, now + timedelta(days=1, hours=23)).changed
    assert site.config.device_crl.read_bytes() == before
    assert sign(site, engine, now + timedelta(days=2)).changed
    assert revocation.crl_number(crl_of(site)) == 2


# pkilint's command leaves the closing of its file to the garbage collector
@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")
def test_a_revoked_device_is_in_the_next_crl_with_its_reason(site, engine, now, openssl):
    sign(site, engine, now)
    serial = revoked_device(site, engine, now, "lamp-000001")
    assert sign(site, engine, now).expected == 2
    text = openssl("crl", "-in", site.config.device_crl, "-noout", "-text").stdout.decode()
    assert f"{serial:X}" in text
    assert "Key Compromise" in text
    assert (
        lint_crl.main(["lint", "--type", "CRL", "--profile", "PKIX", "-s", "WARNING", str(site.config.device_crl)]) == 0
    )


def test_force_signs_again_with_a_higher_number(site, engine, now):
    sign(site, engine, now)
    assert sign(site, engine, now, force=True).expected == 2
    assert revocation.crl_number(crl_of(site)) == 2


def test_a_crash_between_number_and_file_only_skips_a_number(site, engine, now, monkeypatch):
    sign(site, engine, now)
    with monkeypatch.context() as patch:
        patch.setattr(files, "write_atomically", lambda *_: (_ for _ in ()).throw(StateError("the disk is full")))
        with pytest.raises(StateError):
            sign(site, engine, now, force=True)
    plan = sign(site, engine, now)
    assert plan.changed
    assert revocation.crl_number(crl_of(site)) == plan.expected == 3


def test_a_lost_file_is_signed_again_with_a_number_never_used(site, engine, now):
    sign(site, engine, now)
    site.config.device_crl.unlink()
    assert sign(site, engine, now).expected == 2


def test_what_a_restored_older_ledger_forgot_stays_revoked_and_the_number_rises(site, engine, now):
    backup = (site.root / "ledger.sqlite").read_bytes()
    serial = revoked_device(site, engine, now, "lamp-000001")
    sign(site, engine, now)
    sign(site, engine, now, force=True)
    engine.dispose()
    for path in site.root.glob("ledger.sqlite*"):
        path.unlink()
    (site.root / "ledger.sqlite").write_bytes(backup)
    plan = sign(site, engine, now, force=True)
    assert plan.expected == 3
    assert revocation.crl_number(crl_of(site)) == 3
    assert serials(crl_of(site)) == {serial}


def test_a_clock_before_the_ca_signs_nothing(site, engine, now):
    with pytest.raises(ClockError, match="set it, or wait for NTP"):
        sign(site, engine, now - timedelta(days=400))
    assert not site.config.device_crl.exists()


def test_the_crl_of_another_ca_is_not_overwritten(site, engine, now):
    site.config.device_crl.parent.mkdir()
    site.config.device_crl.write_bytes((site.config.crls / "factory.pem").read_bytes())
    with pytest.raises(StateError, match="signed by another CA"):
        sign(site, engine, now, force=True)


def test_a_damaged_crl_is_replaced_only_by_force(site, engine, now):
    sign(site, engine, now)
    site.config.device_crl.write_bytes(b"garbage")
    with pytest.raises(StateError, match="is no CRL"):
        sign(site, engine, now)
    assert sign(site, engine, now, force=True).expected == 2


def test_the_crl_lives_a_week(site, engine, now):
    sign(site, engine, now)
    assert compat.next_update(crl_of(site)) == now + timedelta(days=7)


@pytest.mark.parametrize("ahead", [timedelta(minutes=30), timedelta(hours=2), timedelta(days=90)])
def test_a_crl_that_an_early_clock_has_signed_is_signed_again(site, engine, now, ahead):
    serial = revoked_device(site, engine, now, "lamp-000001")
    sign(site, engine, now + ahead)
    plan = sign(site, engine, now)
    assert "which is still to come" in plan.reasons[0]
    assert compat.last_update(crl_of(site)) <= now
    assert serials(crl_of(site)) == {serial}
    assert revocation.crl_number(crl_of(site)) == 2
    assert not sign(site, engine, now).changed


@pytest.mark.parametrize(
    "numbers", [[], [x509.CRLNumber(1 << 159)], [x509.CRLNumber(1 << 64)]], ids=["none", "21 octets", "9 octets"]
)
def test_a_crl_with_a_number_that_cannot_be_counted_on_from_is_signed_again(site, engine, now, numbers):
    sign(site, engine, now)
    ca = site.device_ca
    site.config.device_crl.write_bytes(handmade.crl(ca, now, handmade.key_id(ca), *numbers))
    plan = sign(site, engine, now)
    assert "has no CRL number" in plan.reasons[0]
    assert revocation.crl_number(crl_of(site)) == 2
    assert not sign(site, engine, now).changed


def test_of_two_that_sign_at_the_same_time_neither_leaves_out_what_the_other_has_revoked(site, engine, now):
    sign(site, engine, now)
    one = revoked_device(site, engine, now, "lamp-000001")
    slow = plan_device_crl(engine, [site.device_ca], site.config.device_crl, now=now)
    other = revoked_device(site, engine, now, "lamp-000002")
    sign(site, engine, now)
    slow.apply()
    assert serials(crl_of(site)) == {one, other}
