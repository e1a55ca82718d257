"""A rollover beside a root that was made in a ceremony: its machine certifies the new CA, asked with files."""

from typing import Any

import pytest

from fleetmint.ca.ceremony import exchange
from fleetmint.ca.external_root import ExternalRoot
from fleetmint.ca.identifier import Kind, device_ca
from fleetmint.ca.rollover import plan_move
from fleetmint.ca.rollover.steps import Rollover
from fleetmint.errors import StateError
from fleetmint.x509 import keys
from fleetmint.x509.authority import load_certificate, pem
from tests.support.ceremony_site import CeremonySite

GATEWAY = "gateway"
PLACES = {"device": "device-gateway", "operator": "operator", "factory": "factory"}


@pytest.fixture
def site(tmp_path, now):
    site = CeremonySite(tmp_path, now).make_root()
    site.ask()
    site.answer()
    site.ask()
    return site


def move(site: CeremonySite, kind: str, name: str) -> Any:
    signer = ExternalRoot(site.post)
    rollover = Rollover(site.controller, Kind(kind), [GATEWAY], site.base / "issued", signer=signer)
    plan = plan_move(rollover, name, site.now)
    plan.apply()
    return plan


@pytest.mark.parametrize("kind", PLACES)
def test_a_new_ca_is_asked_for_answered_and_brought_into_service(site, kind, openssl, now, tmp_path):
    name, ca = PLACES[kind], site.controller.directory
    old = load_certificate(ca / name / "ca.crt")
    assert "carry the requests to its machine" in move(site, kind, "introduce").expected.left
    assert [path.name for path in site.post.requests.iterdir()] == [f"{name}.csr"]
    assert not move(site, kind, "introduce").changed
    assert not move(site, kind, "switch").changed
    assert load_certificate(ca / name / "ca.crt") == old

    plan = site.answer()
    assert [reason.split(" (")[0] for reason in plan.reasons[:1]] == [f"sign the {old_title(old)} G2"]
    assert "goes on to issue with it" in move(site, kind, "introduce").expected.left
    assert move(site, kind, "switch").changed
    new = ca / name / "ca.crt"
    assert load_certificate(new) != old
    assert openssl("verify", "-x509_strict", "-CAfile", ca / "root/ca.crt", new).returncode == 0
    assert openssl("x509", "-in", new, "-noout", "-subject").stdout.strip().endswith(b" G2")
    leaf = site.controller.authority(name).issue(
        {"device": "device", "operator": "operator", "factory": "factory-device"}[kind],
        keys.new_key().public_key(),
        "alice@test" if kind == "operator" else "lamp-000001",
        now=now,
    )
    (tmp_path / "leaf.pem").write_bytes(pem(leaf))
    done = openssl("verify", "-CAfile", ca / "root/ca.crt", "-untrusted", new, tmp_path / "leaf.pem")
    assert done.returncode == 0
    assert move(site, kind, "retire").changed
    assert not site.ask().changed
    assert list(site.ask().expected.waiting) == []


def old_title(certificate):
    return certificate.subject.rfc4514_string().partition("CN=")[2].partition(",")[0].removeprefix("test ")


def test_the_sealed_next_server_ca_comes_into_service_at_once_and_another_one_is_asked_for(site, openssl):
    ca = site.controller.directory
    sealed = load_certificate(ca / "server-next/ca.crt")
    assert move(site, "server", "switch").changed
    assert load_certificate(ca / "server/ca.crt") == sealed
    before = (ca / "bundle.bin").read_bytes()
    assert list(site.ask().expected.waiting) == ["server-next"]
    assert (ca / "bundle.bin").read_bytes() == before
    site.answer()
    assert list(site.ask().expected.waiting) == []
    assert (ca / "bundle.bin").read_bytes() != before
    new = ca / "server-next/ca.crt"
    assert load_certificate(new) != sealed
    assert openssl("verify", "-x509_strict", "-CAfile", ca / "root/ca.crt", new).returncode == 0
    assert openssl("x509", "-in", new, "-noout", "-subject").stdout.strip().endswith(b"test next server CA G2")
    assert not site.ask().changed


def test_the_root_goes_on_to_refuse_another_key_for_a_ca_that_is_not_replaced(site, now):
    move(site, "device", "introduce")
    site.answer()
    request = site.post.requests / "device-gateway.csr"
    for name in ("test device CA of gateway", "test device CA of gateway G2"):
        request.write_bytes(exchange.build_request("test", device_ca(GATEWAY), name, keys.new_key()))
        with pytest.raises(StateError, match="asks with another key"):
            site.answer()


@pytest.mark.parametrize("name", ["test device CA of gateway G1", "test device CA of gateway2", "test operator CA G2"])
def test_a_request_under_a_name_that_is_no_later_ca_is_refused(site, name):
    request = site.post.requests / "device-gateway.csr"
    request.parent.mkdir(exist_ok=True)
    request.write_bytes(exchange.build_request("test", device_ca(GATEWAY), name, keys.new_key()))
    with pytest.raises(StateError, match="it names"):
        site.answer()


def test_a_new_root_is_refused_before_anything_moves(site, snapshot):
    before = snapshot(site.base)
    with pytest.raises(StateError, match="made in a ceremony"):
        move(site, "root", "introduce")
    assert snapshot(site.base) == before
