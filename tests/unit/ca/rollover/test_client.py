"""The CAs of clients: device CAs, the operator CA and the factory CA."""

from datetime import timedelta

import pytest

from fleetmint.ca.crls import plan_authority_crl, plan_crls
from fleetmint.ca.leaves import plan_client
from fleetmint.ca.operators import find_client, plan_revoked_client
from fleetmint.ca.rollover.steps import Leaf
from fleetmint.errors import StateError
from fleetmint.x509 import names
from fleetmint.x509.authority import load_certificate
from fleetmint.x509.profiles import PROFILES
from tests.support.rollover_world import MOVES, common_names

# What a listener trusts, and what people call the CA.
TITLES = {"device": "device CA of gateway", "operator": "operator CA", "factory": "factory CA"}
ISSUES = {
    "device": ("device-gateway", "device", "lamp-000009", "devices"),
    "operator": ("operator", "station", "bench@test", "operators"),
    "factory": ("factory", "factory-device", "lamp-000009", "devices"),
}


def test_a_name_that_a_retired_ca_had_does_not_come_again(world):
    for move in MOVES["device"] * 2:
        world.move("device", move)
    found = [names.common_name(load_certificate(path).subject) for path in world.ca.rglob("*device-gateway*/ca.crt")]
    assert sorted(found) == [f"test device CA of gateway{number}" for number in ("", " G2", " G3")]


@pytest.mark.parametrize("kind", TITLES)
def test_a_listener_trusts_both_cas_before_the_new_one_issues_and_the_new_one_alone_after_the_old_is_retired(
    world, kind
):
    old, new = f"test {TITLES[kind]}", f"test {TITLES[kind]} G2"
    world.move(kind, "introduce")
    assert common_names(world, kind) == [old, new]
    world.move(kind, "switch")
    assert common_names(world, kind) == [new, old]
    world.move(kind, "retire")
    assert common_names(world, kind) == [new]


@pytest.mark.parametrize("kind", TITLES)
def test_who_has_a_certificate_of_the_old_ca_is_let_in_until_it_is_retired_and_who_has_one_of_the_new_from_then_on(
    world, kind
):
    ca, profile, name, listener = ISSUES[kind]
    old = world.issue(ca, profile, name)
    for move in ("introduce", "switch"):
        world.move(kind, move)
        world.make()
        assert world.lets_in(old, listener), move
        assert world.lets_in(world.issue(ca, profile, name), listener), move
    new = world.issue(ca, profile, name)
    world.move(kind, "retire")
    world.make()
    assert not world.lets_in(old, listener)
    assert world.lets_in(new, listener)


@pytest.mark.parametrize("kind", ["operator", "factory"])
def test_a_certificate_of_the_old_ca_is_revoked_on_the_list_of_the_old_ca(world, kind):
    ca, profile, name, listener = ISSUES[kind]
    old = world.issue(ca, profile, name)
    for move in ("introduce", "switch"):
        world.move(kind, move)
    issuer = world.hierarchy.store.issuer_of(old)
    assert str(issuer) == f"outgoing/{ca}"
    plan_authority_crl(world.hierarchy, issuer, [old.serial_number], world.now).apply()
    assert not world.lets_in(old, listener)
    assert world.lets_in(world.issue(ca, profile, name), listener)


def test_a_serial_number_alone_is_revoked_whichever_of_the_two_cas_issued_it(world):
    ca, profile, name, listener = ISSUES["factory"]
    old = world.issue(ca, profile, name)
    for move in ("introduce", "switch"):
        world.move("factory", move)
    new = world.issue(ca, profile, name)
    for leaf in (old, new):
        plan = plan_crls(world.hierarchy, "factory", [leaf.serial_number], world.now, "superseded")
        assert plan.reasons == (f"revoke {leaf.serial_number:x}",)
        plan.apply()
        assert not world.lets_in(leaf, listener)
        assert not plan_crls(world.hierarchy, "factory", [leaf.serial_number], world.now, "superseded").changed


def test_an_operator_gets_a_certificate_of_the_new_ca_and_a_revocation_finds_both(world, operator):
    place = world.state / "issued/operators"
    for move in ("introduce", "switch"):
        world.move("operator", move)
    plan = plan_client(world.hierarchy, "operator", "alice@test", place, world.now)
    assert "issued by another CA" in plan.reasons[0]
    plan.apply()
    new = load_certificate(place / "alice@test.crt")
    assert world.lets_in(operator, "operators")
    assert world.lets_in(new, "operators")
    alice = find_client(world.hierarchy, place, "alice@test", world.now)
    plan_revoked_client(world.hierarchy, alice, "key_compromise", world.now).apply()
    assert not world.lets_in(operator, "operators")
    assert not world.lets_in(new, "operators")
    assert find_client(world.hierarchy, place, "alice@test", world.now).status == "revoked"


@pytest.mark.parametrize("kind", ["operator", "factory"])
def test_the_lists_of_both_cas_last_as_long_as_these_while_they_overlap(world, kind, openssl):
    for move in ("introduce", "switch"):
        world.move(kind, move)
    world.now += timedelta(days=120)
    world.make()
    for place in (kind, f"outgoing/{kind}"):
        listed = openssl("crl", "-in", world.ca / place / "crl.pem", "-noout", "-nextupdate").stdout
        ca = openssl("x509", "-in", world.ca / place / "ca.crt", "-noout", "-enddate").stdout
        assert listed.partition(b"=")[2] == ca.partition(b"=")[2], place


@pytest.mark.parametrize("kind", ["operator", "factory"])
def test_an_old_ca_is_not_retired_while_a_certificate_of_it_is_in_use(world, kind):
    ca, profile, name, _ = ISSUES[kind]
    leaf = Leaf(name, world.issue(ca, profile, name))
    for move in ("introduce", "switch"):
        world.move(kind, move)
    with pytest.raises(StateError, match=rf"still needed by 1 certificate, the last of which, of {name}, ends on"):
        world.move(kind, "retire", leaves=[leaf])
    assert world.lets_in(leaf.certificate, ISSUES[kind][3])
    assert world.move(kind, "retire", leaves=[leaf], force=True).changed


@pytest.mark.parametrize("kind", ["operator", "factory"])
def test_a_revoked_certificate_keeps_no_old_ca_in_service(world, kind):
    ca, profile, name, _ = ISSUES[kind]
    leaf = Leaf(name, world.issue(ca, profile, name))
    for move in ("introduce", "switch"):
        world.move(kind, move)
    issuer = world.hierarchy.store.issuer_of(leaf.certificate)
    plan_authority_crl(world.hierarchy, issuer, [leaf.certificate.serial_number], world.now).apply()
    assert world.move(kind, "retire", leaves=[leaf]).changed


@pytest.mark.parametrize("kind", ["operator", "factory"])
def test_an_old_ca_is_retired_when_its_certificates_have_ended(world, kind):
    ca, profile, name, _ = ISSUES[kind]
    leaf = Leaf(name, world.issue(ca, profile, name))
    for move in ("introduce", "switch"):
        world.move(kind, move)
    world.now += PROFILES[profile].lifetime + timedelta(days=1)
    assert world.move(kind, "retire", leaves=[leaf]).changed
