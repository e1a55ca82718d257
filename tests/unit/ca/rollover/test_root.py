import shutil

import pytest

from fleetmint.ca.create import plan_hierarchy
from fleetmint.ca.crls import plan_authority_crl
from fleetmint.ca.gateway_files import gateway_file
from fleetmint.ca.leaves import plan_client, plan_host_certificate
from fleetmint.errors import StateError
from fleetmint.x509 import names
from fleetmint.x509.authority import load_certificate, public_key_bytes
from fleetmint.x509.chain import issued_by
from tests.support.rollover_world import GATEWAY, MOVES, write_request


def test_a_new_root_certifies_the_same_keys_under_the_same_names(world):
    before = {path.parent.name: load_certificate(path) for path in world.ca.glob("*/ca.crt")}
    for move in MOVES["root"]:
        world.move("root", move)
    for name, old in before.items():
        new = load_certificate(world.ca / name / "ca.crt")
        if name == "root":
            assert new.subject != old.subject
            continue
        assert new.subject == old.subject
        assert public_key_bytes(new) == public_key_bytes(old)
        assert names.common_name(new.issuer) == "test root G2"


def test_who_has_only_the_old_root_is_served_until_the_switch_and_who_has_only_the_new_one_from_then_on(world, openssl):
    request, certificate = world.state / "gateway.csr", world.state / f"issued/{GATEWAY}/nginx.crt"
    write_request(request)

    def served(root) -> bool:
        plan_host_certificate(world.hierarchy, request, certificate, "gateway", ["gateway.test"], world.now).apply()
        done = openssl(
            "verify", "-x509_strict", "-purpose", "sslserver", "-no-CApath", "-no-CAstore",
            "-CAfile", root, "-untrusted", certificate, certificate,
        )  # fmt: skip
        return done.returncode == 0

    old, new = world.state / "old.pem", world.state / "new.pem"
    shutil.copy(world.ca / "root/ca.crt", old)
    assert served(old)
    leaf = load_certificate(certificate)
    world.move("root", "introduce")
    shutil.copy(world.ca / "incoming/root/ca.crt", new)
    assert (served(old), served(new)) == (True, False)
    world.move("root", "switch")
    assert (served(old), served(new)) == (False, True)
    assert load_certificate(certificate) == leaf
    both = world.state / "both.pem"
    both.write_bytes(old.read_bytes() + new.read_bytes())
    assert served(both)


def test_a_gateway_that_came_meanwhile_is_certified_before_the_switch(world, snapshot):
    world.move("root", "introduce")
    plan_hierarchy(world.hierarchy, [GATEWAY, "second"], world.now).apply()
    before = snapshot(world.ca)
    with pytest.raises(StateError, match="has not certified everything yet"):
        world.move("root", "switch")
    assert snapshot(world.ca) == before
    world.move("root", "introduce")
    world.move("root", "switch")
    assert issued_by(load_certificate(world.ca / "device-second/ca.crt"), load_certificate(world.ca / "root/ca.crt"))


def test_a_new_root_does_not_certify_a_ca_that_the_old_one_has_revoked(world, snapshot):
    device_ca = world.ca / "device-gateway"
    serial = load_certificate(device_ca / "ca.crt").serial_number
    plan_authority_crl(world.hierarchy, "root", [serial], world.now, "key_compromise").apply()
    before = snapshot(world.ca)
    with pytest.raises(StateError, match=r"device CA of gateway is revoked.*move .*device-gateway away"):
        world.move("root", "introduce")
    assert snapshot(world.ca) == before
    device_ca.rename(world.state / "stolen")
    world.move("root", "introduce")


def test_an_operators_file_gets_the_new_certificate_of_its_ca_and_keeps_the_leaf(world, operator):
    place = world.state / "issued/operators"
    for move in ("introduce", "switch"):
        world.move("root", move)
    plan = plan_client(world.hierarchy, "operator", "alice@test", place, world.now)
    assert plan.reasons == ("alice@test.crt: the CA above it has a new certificate",)
    plan.apply()
    assert load_certificate(place / "alice@test.crt") == operator
    assert (world.ca / "operator/ca.crt").read_bytes() in (place / "alice@test.crt").read_bytes()
    assert not (place / "superseded").exists()
    assert not plan_client(world.hierarchy, "operator", "alice@test", place, world.now).changed


def test_the_old_root_is_not_put_away_before_the_listeners_have_let_it_go(world):
    for move in ("introduce", "switch"):
        world.move("root", move)
    with pytest.raises(StateError, match="still trusted"):
        world.move("root", "retire")
    world.move("root", "leave")
    assert gateway_file(world.ca, GATEWAY, "devices.ca").count(b"BEGIN") == 3
    assert gateway_file(world.ca, GATEWAY, "root.crl").count(b"BEGIN") == 2
    assert gateway_file(world.ca, GATEWAY, "roots").count(b"BEGIN") == 2
    world.move("root", "retire")
    assert gateway_file(world.ca, GATEWAY, "root.crl").count(b"BEGIN") == 1
