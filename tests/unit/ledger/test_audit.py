"""The invariant checker notices what it is there to notice."""

import hashlib

import pytest

from fleetmint.ledger import open_ledger
from fleetmint.service.body import Enrolment
from fleetmint.service.enrolment import enrol
from tests.support.gateway_site import issuing, make_csr, new_key


@pytest.fixture
def enrolled(site, now):
    tokens = site.register(now, "lamp-000001", "lamp-000002", "lamp-000003")
    engine = open_ledger(site.config.ledger)
    for device in ("lamp-000001", "lamp-000002"):
        request = Enrolment(device, hashlib.sha256(tokens[device].encode()).hexdigest(), make_csr(new_key()))
        enrol(issuing(engine, site.device_ca, now), request)
    engine.dispose()


def test_a_ledger_after_ordinary_work_has_no_findings(site, enrolled):
    assert site.findings() == ()


@pytest.mark.parametrize(
    ("tampering", "word"),
    [
        ("update certificates set der = (select der from certificates order by serial limit 1)", "not the one"),
        ("update tokens set state = 'unused' where device = 'lamp-000001'", "is unused and has 1 certificates"),
        ("update certificates set token_sha256 = null where device = 'lamp-000001'", "is used and has 0 certificates"),
        ("update devices set status = 'registered' where device = 'lamp-000001'", "lamp-000001 is registered"),
        ("update devices set status = 'revoked' where device = 'lamp-000002'", "lamp-000002 is revoked"),
        ("update devices set status = 'active' where device = 'lamp-000003'", "lamp-000003 is active"),
        ("delete from events where seq = 2", "event 3"),
        (
            "drop index ix_certificates_unconfirmed; update certificates set device = 'lamp-000001',"
            " token_sha256 = null, spki_sha256 = (select spki_sha256 from public_keys where device = 'lamp-000001')",
            "lamp-000001 has 2 certificates at once",
        ),
    ],
)
def test_what_was_tampered_with_is_found(site, enrolled, tampering, word):
    with site.writing() as connection:
        for statement in tampering.split("; "):
            connection.exec_driver_sql(statement)
    assert any(word in finding for finding in site.findings()), site.findings()
