"""`fleetmint gateway superseded`: what a renewal has replaced of the factory's, and is not on its list yet."""

import json
from datetime import timedelta

import pytest
from click.testing import CliRunner

from fleetmint.ca.crls import plan_crls
from fleetmint.cli import root
from fleetmint.ledger import open_ledger, writing
from fleetmint.ledger.devices import find_certificate
from fleetmint.ledger.succession import confirm
from fleetmint.service.enrolment import renew
from tests.support.gateway_site import (
    certificate_entry,
    issuing,
    make_csr,
    make_gateway_site,
    new_key,
    registration,
)

HOUR = timedelta(hours=1)


@pytest.fixture
def site(tmp_path, tmp_path_factory):
    return make_gateway_site(tmp_path / "gateway", tmp_path_factory.getbasetemp() / "gateway-template")


@pytest.fixture
def leaf(site, now):
    """The certificate of a device with a key of the factory, which has renewed and used what it got two hours ago."""
    leaf = site.hierarchy.authority("factory").issue("factory-device", new_key().public_key(), "lamp-000003", now=now)
    site.import_(registration([certificate_entry("lamp-000003", leaf)]), now)
    engine = open_ledger(site.config.ledger)
    with writing(engine) as connection:
        held = find_certificate(connection, leaf.serial_number)
    assert held is not None
    heir = renew(issuing(engine, site.device_ca, now), held, make_csr(new_key()), source="")
    with writing(engine) as connection:
        assert confirm(connection, heir.serial, overlap=HOUR, now=now - 2 * HOUR)
    engine.dispose()
    return leaf


def asked(site) -> list[str]:
    done = CliRunner().invoke(root, ["gateway", "--config", str(site.config_path), "superseded", "--json"])
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)["factory"]


def test_what_a_renewal_has_replaced_is_named_until_the_list_of_the_factory_holds_it(site, leaf, now):
    assert asked(site) == [f"{leaf.serial_number:x}"]
    plan_crls(site.hierarchy, "factory", [leaf.serial_number], now, "superseded").apply()
    (site.root / "crls/factory.pem").write_bytes((site.hierarchy.directory / "factory/crl.pem").read_bytes())
    assert asked(site) == []


@pytest.mark.parametrize(
    "change",
    [
        "update certificates set superseded_at = '2999-01-01T00:00:00.000000Z' where issuer = 'factory'",
        "update certificates set not_after = '2001-01-01T00:00:00.000000Z' where issuer = 'factory'",
        "update certificates set status = 'revoked', revoked_at = superseded_at, revoke_reason = 'key_compromise'"
        " where issuer = 'factory'",
    ],
    ids=["it still has hours", "it has ended", "the controller revoked it"],
)
def test_nothing_else_is_named(site, leaf, change):
    with site.writing() as connection:
        connection.exec_driver_sql(change)
    assert asked(site) == []


def test_it_is_named_too_once_the_timer_has_revoked_it_in_the_ledger(site, leaf):
    with site.writing() as connection:
        connection.exec_driver_sql(
            "update certificates set status = 'revoked', revoked_at = superseded_at, revoke_reason = 'superseded'"
            " where issuer = 'factory'"
        )
    assert asked(site) == [f"{leaf.serial_number:x}"]
