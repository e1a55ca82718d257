"""`fleetmint revoke`: every kind of certificate, and what cannot be revoked here."""

import pytest
from cryptography import x509

from fleetmint.batch import secrets
from fleetmint.ca.identifier import FACTORY, OPERATOR, ROOT, Kind
from fleetmint.ca.leaves import revoked
from fleetmint.ca.rollover import plan_move
from fleetmint.ca.rollover.steps import Rollover
from fleetmint.x509 import keys, revocation
from fleetmint.x509.authority import load_certificate, pem


@pytest.fixture
def factory_made(state, hierarchy):
    """The certificate of lamp-000002, whose key the factory made."""
    found = secrets.load(state / "batches/first", hierarchy.source).devices["lamp-000002"].certificate
    return x509.load_der_x509_certificate(found)


def alice(state):
    return load_certificate(state / "issued/operators/alice@test.crt")


def crls(hierarchy):
    return {path: path.read_bytes() for path in hierarchy.directory.glob("*/crl.pem")}


@pytest.mark.parametrize("form", ["name", "serial", "serial with colons", "file"])
def test_an_operator_by_name_serial_or_file(fleetmint, hierarchy, state, tmp_path, form):
    certificate = alice(state)
    serial = f"{certificate.serial_number:040x}"
    (tmp_path / "stolen.crt").write_bytes(pem(certificate))
    target = {
        "name": "alice@test",
        "serial": serial.upper(),
        "serial with colons": ":".join(serial[at : at + 2] for at in range(0, 40, 2)),
        "file": tmp_path / "stolen.crt",
    }[form]
    said = fleetmint("revoke", target, "--reason", "key_compromise", "--json")
    assert said["changed"] is True
    assert said["revoked"] == [{"name": "alice@test", "serial": f"{certificate.serial_number:x}", "ca": "operator"}]
    entry = revoked(hierarchy, OPERATOR, certificate.serial_number)
    assert entry is not None
    assert entry.reason == "key_compromise"
    assert not (state / "issued/operators/alice@test.key").exists()
    assert fleetmint("revoke", target, "--json")["changed"] is False


def test_the_sentence_says_which_playbook_ships_it(fleetmint):
    text = fleetmint("revoke", "alice@test").stdout
    assert "CRL number 2 of the operator CA" in text
    assert "playbooks/gateway.yml --tags service,certificates" in text
    assert "restarts the broker" in text


def test_check_changes_nothing(fleetmint, hierarchy, state):
    before = crls(hierarchy)
    assert fleetmint("revoke", "alice@test", "--check", "--json")["changed"] is True
    assert crls(hierarchy) == before
    assert (state / "issued/operators/alice@test.key").exists()


def test_a_device_whose_key_the_factory_made(fleetmint, hierarchy, factory_made):
    text = fleetmint("revoke", "lamp-000002").stdout
    assert revoked(hierarchy, FACTORY, factory_made.serial_number) is not None
    assert "playbooks/revoke.yml -e device=lamp-000002" in text  # for the ledger


def test_a_device_of_a_gateways_ca_is_the_gateways_to_revoke(fleetmint, refused, hierarchy, tmp_path, now):
    before = crls(hierarchy)
    leaf = hierarchy.authority("device-gateway").issue("device", keys.new_key().public_key(), "lamp-000001", now=now)
    (tmp_path / "device.crt").write_bytes(pem(leaf))
    for target in ("lamp-000001", tmp_path / "device.crt"):
        refused(fleetmint("revoke", target), "lamp-000001 was not revoked", "no gateway that could know it")
        assert fleetmint("revoke", target, "--check").stdout == "revoke lamp-000001 on its gateway\n"
    assert crls(hierarchy) == before


def test_a_server_certificate_is_refused_with_what_to_do_instead(fleetmint, refused, state, hierarchy):
    before = crls(hierarchy)
    for target in ("gateway", state / "issued/gateway/nginx.crt"):
        refused(fleetmint("revoke", target), "devices look at no CRL", "next server CA")
    refused(fleetmint("revoke", hierarchy.directory / "server/ca.crt", "--whole-ca"), "devices look at no CRL")
    assert crls(hierarchy) == before


@pytest.mark.parametrize("ca", ["factory", "operator", "device-gateway"])
def test_a_ca_is_revoked_on_demand_only(fleetmint, refused, hierarchy, ca):
    path = hierarchy.directory / ca / "ca.crt"
    refused(fleetmint("revoke", path), "everything it issued ends with it", "--whole-ca")
    said = fleetmint("revoke", path, "--whole-ca", "--json")
    assert said["revoked"][0]["ca"] == "root"
    assert revoked(hierarchy, ROOT, load_certificate(path).serial_number) is not None


@pytest.mark.parametrize("moves", [1, 2], ids=["before the switch", "after it"])
@pytest.mark.parametrize("file", ["ca.crt", "the other one"])
def test_while_a_root_is_replaced_a_ca_is_revoked_by_both(fleetmint, hierarchy, state, now, moves, file):
    for move in ("introduce", "switch")[:moves]:
        plan_move(Rollover(hierarchy, Kind.ROOT, ["gateway"], state / "issued"), move, now).apply()
    place = hierarchy.directory / "device-gateway"
    other = place / ("ca.incoming.crt" if moves == 1 else "ca.outgoing.crt")
    path = place / "ca.crt" if file == "ca.crt" else other
    said = fleetmint("revoke", path, "--whole-ca", "--json")
    assert [row["name"] for row in said["revoked"]] == ["device-gateway"] * 2
    listed = {
        entry.serial
        for root in hierarchy.store.generations(ROOT)
        for entry in revocation.entries(hierarchy.store.record(root))
    }
    assert listed == {load_certificate(place / "ca.crt").serial_number, load_certificate(other).serial_number}
    assert fleetmint("revoke", path, "--whole-ca", "--json")["changed"] is False


def test_the_root_cannot_be_revoked(fleetmint, refused, hierarchy):
    refused(fleetmint("revoke", hierarchy.directory / "root/ca.crt", "--whole-ca"), "root cannot be revoked")


def test_a_serial_number_that_nobody_knows_needs_its_ca(fleetmint, refused, hierarchy):
    serial = "5c517c308e2e59beb76579424526"
    refused(fleetmint("revoke", serial), "--ca operator")
    assert fleetmint("revoke", serial, "--ca", "factory", "--json")["changed"] is True
    assert revoked(hierarchy, FACTORY, int(serial, 16)) is not None


def test_what_a_replacement_put_aside_does_not_take_the_new_key_with_it(fleetmint, state):
    old = f"{alice(state).serial_number:040x}"
    fleetmint("operator", "replace", "alice@test")
    assert fleetmint("revoke", old, "--json")["changed"] is False
    assert (state / "issued/operators/alice@test.key").exists()


@pytest.mark.parametrize("target", ["No!", "nobody@test", "x" * 99, "x" * 9999])
def test_what_means_nothing_is_refused(fleetmint, refused, target):
    refused(fleetmint("revoke", target), target)


def test_files_of_others_are_refused(fleetmint, refused, tmp_path, now):
    from fleetmint.x509.authority import self_signed

    other = self_signed("other", "other root", keys.new_key("P-384"), now)
    (tmp_path / "other.crt").write_bytes(pem(other.certificate))
    refused(fleetmint("revoke", tmp_path / "other.crt"), "only its own CA can revoke it")
    (tmp_path / "garbage.crt").write_text("garbage")
    refused(fleetmint("revoke", tmp_path / "garbage.crt"), "is no certificate")
    refused(fleetmint("revoke", tmp_path), "device id")


def test_the_ca_of_another_site_signs_nothing(fleetmint, refused, state, hierarchy):
    site = state / "site.json"
    site.write_text(site.read_text().replace('"site": "test"', '"site": "other"'))
    before = crls(hierarchy)
    refused(fleetmint("revoke", "alice@test"), "belongs to the site 'test', not to 'other'")
    assert crls(hierarchy) == before
    assert (state / "issued/operators/alice@test.key").exists()
