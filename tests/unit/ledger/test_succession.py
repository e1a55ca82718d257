"""One line of certificates for each device: held by the schema, and checked row by row."""

from datetime import timedelta

import pytest
from sqlalchemy.exc import IntegrityError

from fleetmint.ledger import open_ledger, writing
from fleetmint.ledger.succession import confirm
from fleetmint.service.enrolment import enrol, renew
from tests.support.gateway_site import enrolment, issuing, make_csr, new_key

HOUR = timedelta(hours=1)


@pytest.fixture
def renewed(site, now):
    """Two devices that have renewed, and one uses its new certificate; return the serials, the older ones first."""
    tokens = site.register(now, "lamp-000001", "lamp-000002")
    engine = open_ledger(site.config.ledger)
    found = {}
    for device, token in tokens.items():
        first = enrol(issuing(engine, site.device_ca, now), enrolment(device, token, new_key()))
        later = issuing(engine, site.device_ca, now + HOUR)
        second = renew(later, first, make_csr(new_key()), source="")
        found[device] = f"{first.serial:x}", f"{second.serial:x}"
        if device == "lamp-000001":
            with writing(engine) as connection:
                confirm(connection, second.serial, overlap=24 * HOUR, now=now + HOUR)
    engine.dispose()
    return found


def test_devices_that_have_renewed_are_as_they_should_be(site, renewed):
    assert site.findings() == ()


def change(site, renewed, statement):
    (used, heir), (kept, unseen) = renewed["lamp-000001"], renewed["lamp-000002"]
    named = {"used": used, "heir": heir, "kept": kept, "unseen": unseen}
    with site.writing() as connection:
        for each in statement.split("; "):
            connection.exec_driver_sql(each.format(**named))


TWO_IN_USE = "update certificates set superseded_at = null where serial = '{used}'"
TWO_UNSEEN = "update certificates set confirmed_at = null where serial = '{kept}'"
TWO_HEIRS = (
    "insert into certificates (serial, issuer, device, spki_sha256, status, reserved_at, revoked_at, confirmed_at,"
    " predecessor) select 'abcd', issuer, device, spki_sha256, 'revoked', reserved_at, reserved_at, confirmed_at,"
    " predecessor from certificates where serial = '{heir}'"
)
AT_ONCE = "update certificates set confirmed_at = reserved_at where serial = '{unseen}'"


@pytest.mark.parametrize(
    "statement",
    [
        TWO_IN_USE,
        TWO_UNSEEN,
        TWO_HEIRS,
        AT_ONCE,
        "update certificates set predecessor = '{used}' where serial = '{unseen}'",
        "update certificates set predecessor = 'abcd' where serial = '{unseen}'",
        "update certificates set superseded_at = reserved_at where serial = '{unseen}'",
        "update certificates set status = 'reserved' where serial = '{heir}'",
    ],
    ids=["two in use", "two unseen", "two heirs", "both used", "of another device", "of none", "unseen and superseded",
         "reserved and in use"],
)  # fmt: skip
def test_the_schema_lets_no_second_line_begin(site, renewed, statement):
    with pytest.raises(IntegrityError):
        change(site, renewed, statement)
    assert site.findings() == ()


@pytest.mark.parametrize(
    ("statement", "word"),
    [
        (f"drop index ix_certificates_current; {TWO_IN_USE}", "has 2 certificates at once|is not superseded"),
        (f"drop index ix_certificates_unconfirmed; {TWO_UNSEEN}", "lamp-000002 has 2 certificates at once"),
        (f"drop index ix_certificates_current; {AT_ONCE}", "and the one before it is not superseded"),
        (f"drop index ix_certificates_heir; {TWO_HEIRS}", "lamp-000001 has used 2 successors of its certificate"),
        ("update certificates set predecessor = null where serial = '{heir}'", "uses no successor of its certificate"),
        ("update certificates set predecessor = serial where serial = '{unseen}'", "before the one that it follows"),
        ("update certificates set reserved_at = '2020-01-01T00:00:00.000000Z' where serial = '{heir}'",
         "before the one that it follows"),
        ("update public_keys set retired_at = '2020-01-01T00:00:00.000000Z'", "of a key that was given up"),
    ],
)  # fmt: skip
def test_what_was_tampered_with_is_found(site, renewed, statement, word):
    change(site, renewed, statement)
    found = site.findings()
    assert any(each in finding for each in word.split("|") for finding in found), found
