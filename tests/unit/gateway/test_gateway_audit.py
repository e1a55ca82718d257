"""What a gateway's audit looks at beside the ledger: revocation lists and keys."""

import hashlib
from datetime import timedelta

import pytest

from fleetmint.gateway.audit import findings
from fleetmint.gateway.device_crl import plan_device_crl
from fleetmint.ledger import open_ledger, writing
from fleetmint.ledger.devices import find_certificate
from fleetmint.ledger.events import append
from fleetmint.ledger.revocation import revoke
from fleetmint.ledger.succession import confirm, supersede_due
from fleetmint.service.body import Enrolment
from fleetmint.service.enrolment import enrol, renew
from fleetmint.x509 import keys
from fleetmint.x509.authority import Authority
from tests.support import handmade
from tests.support.gateway_site import certificate_entry, issuing, make_csr, new_key, registration


@pytest.fixture
def audit(site, now):
    def run(later=timedelta(0)) -> list[str]:
        with site.reading() as connection:
            return [str(each) for each in findings(site.config, connection, now + later)]

    return run


@pytest.fixture
def sign(site, now):
    def run():
        engine = open_ledger(site.config.ledger)
        plan_device_crl(engine, [site.device_ca], site.config.device_crl, now=now).apply()
        engine.dispose()

    return run


@pytest.fixture
def leaf(site, now):
    factory = site.hierarchy.authority("factory")
    leaf = factory.issue("factory-device", new_key().public_key(), "lamp-000002", now=now)
    site.import_(registration([certificate_entry("lamp-000002", leaf)]), now)
    (site.config.device_ca / "ca.key").chmod(0o400)
    return leaf


def test_a_gateway_after_ordinary_work_has_no_findings(audit, sign, leaf):
    sign()
    assert audit() == []


def test_a_missing_or_ended_list_is_found(audit, sign, leaf):
    assert any("device.pem" in each for each in audit())
    sign()
    assert ["ended" in each for each in audit(timedelta(days=8))] == [True]


def test_a_revocation_that_the_list_lacks_is_found_with_what_brings_it(audit, sign, leaf, site, now):
    sign()
    with site.writing() as connection:
        revoke(connection, "lamp-000002", reason="unspecified", actor="test", now=now)
    (finding,) = audit()
    assert f"does not revoke {leaf.serial_number:x} of lamp-000002" in finding
    assert f"fleetmint revoke {leaf.serial_number:x} --ca factory" in finding


def test_a_certificate_of_the_factory_that_a_renewal_superseded_is_not_missed_on_the_list_of_the_controller(
    audit, sign, leaf, site, now
):
    sign()
    engine = open_ledger(site.config.ledger)
    with engine.connect() as connection:
        shown = find_certificate(connection, leaf.serial_number)
    renewed = renew(issuing(engine, site.device_ca, now), shown, make_csr(new_key()), source="192.0.2.1")
    with writing(engine) as connection:
        confirm(connection, renewed.serial, overlap=timedelta(hours=1), now=now)
    with writing(engine) as connection:
        supersede_due(connection, now + timedelta(hours=2))
    with engine.connect() as connection:
        assert find_certificate(connection, leaf.serial_number).status == "revoked"
    engine.dispose()
    assert audit(timedelta(days=3)) == []


def test_what_another_request_of_its_device_replaced_may_wait_for_the_timer_but_not_for_days(
    audit, sign, leaf, site, now
):
    sign()
    engine = open_ledger(site.config.ledger)
    with engine.connect() as connection:
        shown = find_certificate(connection, leaf.serial_number)
    first, _ = (renew(issuing(engine, site.device_ca, now), shown, make_csr(new_key()), source="") for _ in "12")
    engine.dispose()
    assert audit() == []
    (finding,) = audit(timedelta(days=1, minutes=1))
    assert f"does not revoke {first.serial:x} of lamp-000002" in finding


def test_what_another_gateway_on_the_same_ledger_revoked_is_on_its_list_and_not_on_ours(audit, sign, leaf, site, now):
    key = keys.new_key()
    root = site.hierarchy.authority("root")
    second = Authority(root.issue("device-ca", key.public_key(), "test device CA of second", now=now), key)
    token = site.register(now, "lamp-000003")["lamp-000003"]
    engine = open_ledger(site.config.ledger)
    wanted = Enrolment("lamp-000003", hashlib.sha256(token.encode()).hexdigest(), make_csr(new_key()))
    enrol(issuing(engine, second, now), wanted)
    engine.dispose()
    with site.writing() as connection:
        revoke(connection, "lamp-000003", reason="unspecified", actor="test", now=now)
    sign()
    assert audit() == []


@pytest.mark.parametrize(
    ("tampering", "words"),
    [
        ("delete from events where seq > 2", "was signed when there were 4 events, and there are 2: the chain"),
        ("update events set digest = 'x' where seq = 4", "were 4 events, and event 4 is another one now: the chain"),
    ],
)
def test_a_list_tells_what_the_chain_of_events_was_when_it_was_signed(audit, sign, leaf, site, now, tampering, words):
    with site.writing() as connection:
        for _ in range(3):
            append(connection, at=now, actor="a@test", kind="x", subject="y", detail={})
    sign()
    assert audit() == []
    with site.writing() as connection:
        connection.exec_driver_sql(tampering)
    (finding,) = [each for each in audit() if "was signed when" in each]
    assert words in finding
    assert "fleetmint audit --ask-gateway" in finding


def test_keys_that_others_may_read_or_that_do_not_belong_here_are_found(audit, sign, leaf, site):
    sign()
    (site.config.device_ca / "ca.key").chmod(0o644)
    (site.config.trust / "root.key").write_bytes(keys.plain_pem(keys.new_key()))
    assert [each.split(str(site.root))[0] for each in audit()] == ["others may read ", "there is a private key in "]


def test_a_list_without_a_number_is_found(audit, sign, leaf, site, now):
    site.config.device_crl.parent.mkdir(exist_ok=True)
    site.config.device_crl.write_bytes(handmade.crl(site.device_ca, now, handmade.key_id(site.device_ca)))
    assert ["no CRL number of at most 20 octets" in each for each in audit()] == [True]
    sign()
    assert audit() == []
