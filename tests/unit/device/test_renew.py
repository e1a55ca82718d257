"""A Linux machine keeps its certificate: renewed when due, proven before it counts, recovered, and told the truth."""

import json
import os
import shutil
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from fleetmint import files
from fleetmint.device.directory import Directory
from fleetmint.documents import client
from fleetmint.documents.reach import FirstContact, Reach
from fleetmint.trust import bundle
from fleetmint.x509 import keys
from fleetmint.x509.authority import pem
from tests.support.firmware_site import DEVICE

# Two thirds of a year, and a little.
DUE = timedelta(days=245)
ENDED = timedelta(days=366)


def serial(machine) -> int:
    return x509.load_pem_x509_certificate(machine.files()["cert.pem"]).serial_number


def test_what_is_not_due_is_left_alone(enrolled, snapshot):
    before = snapshot(enrolled.path)
    said = json.loads(enrolled.renew("--json").stdout)
    assert (said["changed"], said["changes"]) == (False, [])
    assert snapshot(enrolled.path) == before
    assert [request.line.split()[1] for request in enrolled.gateway.requests] == ["/v1/whoami"]


def test_what_is_due_is_renewed_with_the_same_key_and_proven_first(enrolled):
    before, old = enrolled.files(), serial(enrolled)
    enrolled.gateway.later = DUE
    result = enrolled.renew()
    assert (result.exit_code, "renewed" in result.stdout) == (0, True), result.output
    after = enrolled.files()
    assert after["key.pem"] == before["key.pem"]
    assert serial(enrolled) != old
    assert (enrolled.path / "slots/b/key.pem").stat().st_mode & 0o777 == 0o600
    last = enrolled.gateway.requests[-1]
    assert last.line.startswith("GET /v1/whoami")
    assert x509.load_der_x509_certificate(last.certificate).serial_number == serial(enrolled)
    assert "nothing to do" in enrolled.renew().stdout


def test_a_new_key_takes_the_place_of_the_old_one_together_with_its_certificate(enrolled):
    before = enrolled.files()
    assert enrolled.renew("--new-key").exit_code == 0
    key, certificate = enrolled.directory.key("b"), x509.load_pem_x509_certificate(enrolled.files()["cert.pem"])
    assert enrolled.files()["key.pem"] != before["key.pem"]
    assert keys.spki(key.public_key()) == keys.spki(certificate.public_key())


@pytest.mark.parametrize("new_key", [(), ("--new-key",)])
@pytest.mark.parametrize("lost", [2, 3])
def test_an_answer_that_gets_lost_costs_nothing(enrolled, lose, lost, new_key):
    """The second request is that for the certificate, the third one proves it."""
    before = enrolled.files()
    enrolled.gateway.later = DUE
    lose(lost)
    result = enrolled.renew(*new_key)
    assert (result.exit_code, "not renewed" in result.stderr) == (1, True), result.output
    assert "lasts until" in result.stderr
    assert enrolled.files() == before
    asked = len(enrolled.gateway.requests)
    assert enrolled.renew(*(new_key if lost == 2 else ())).exit_code == 0
    assert enrolled.files() != before
    if lost == 3:  # the newer one may be known already, and is tried first
        first = x509.load_der_x509_certificate(enrolled.gateway.requests[asked].certificate)
        assert first.serial_number == serial(enrolled)
    made = {x509.load_der_x509_csr(csr).public_key().public_numbers() for csr in enrolled.gateway.csrs()}
    assert len(made) == 1
    assert enrolled.gateway.gateway.findings() == ()
    assert enrolled.gateway.events("clone_alarm") == []


def test_a_machine_that_was_off_for_long_recovers(enrolled):
    old = serial(enrolled)
    enrolled.gateway.later = ENDED
    result = enrolled.renew()
    assert (result.exit_code, "recovered" in result.stdout) == (0, True), result.output
    assert serial(enrolled) != old


def test_a_machine_that_was_off_for_too_long_is_told_what_to_do_and_does_it(enrolled, pki):
    before = enrolled.files()
    enrolled.gateway.later = ENDED + timedelta(days=181)
    result = enrolled.renew()
    assert result.exit_code == 1
    assert "fleetmint token new pump-0001 --to FILE" in result.stderr
    assert enrolled.files() == before


def test_an_old_copy_of_the_directory_is_told_apart_from_a_revoked_device(enrolled, tmp_path):
    shutil.copytree(enrolled.path, tmp_path / "copy", symlinks=True)
    assert enrolled.renew("--new-key").exit_code == 0
    enrolled.gateway.later = timedelta(days=3)
    result = enrolled.run("renew", tmp_path / "copy")
    assert (result.exit_code, "was renewed elsewhere" in result.stderr) == (1, True), result.output


def test_key_and_certificate_of_the_factory_become_an_identity_of_its_own(unknown, pki):
    """What `batch export --pem` writes, or a copy of a directory without its links."""
    made = unknown.gateway.made_by_factory()
    contact = FirstContact(Reach("localhost", unknown.gateway.https_port, unknown.gateway.mqtt_port), pki.bundle())
    key = serialization.load_der_private_key(made["key0"], None)
    leaf = pem(x509.load_der_x509_certificate(made["cert0"]))
    client.write(unknown.path, client.About(DEVICE, contact.reach), contact.bundle.anchors, leaf, keys.plain_pem(key))
    (unknown.path / "bundle.bin").write_bytes(contact.bundle.encode())
    assert unknown.renew().exit_code == 0
    assert unknown.directory.in_use() == "a"
    assert unknown.files()["key.pem"] == keys.plain_pem(key)
    unknown.gateway.later = DUE
    result = unknown.renew()
    assert (result.exit_code, "renewed with a new key" in result.stdout) == (0, True), result.output
    assert unknown.files()["key.pem"] != keys.plain_pem(key)
    assert unknown.renew().exit_code == 0


def test_the_directory_without_a_device_says_how_to_get_one(machine):
    result = machine.renew()
    assert (result.exit_code, "fleetmint enrol --token-file" in result.stderr) == (1, True)
    machine.path.mkdir()
    assert "holds no device" in machine.renew().stderr


def test_a_newer_trust_bundle_is_taken_and_an_unsigned_one_is_an_error(enrolled, pki):
    offered = enrolled.gateway.gateway.config.trust_bundle
    newer = pki.bundle(2, anchors=tuple(reversed(pki.anchors)))
    offered.write_bytes(newer.encode())
    before = enrolled.files()["ca.pem"]
    result = enrolled.renew()
    assert (result.exit_code, "trust bundle 0.2 in place of 0.1" in result.stdout) == (0, True), result.output
    assert bundle.load(enrolled.path / "bundle.bin") == newer
    assert enrolled.files()["ca.pem"] != before

    stolen = keys.new_key()
    new_keys = pki.new_keys(stolen, stolen)
    offered.write_bytes(pki.bundle(3, keys=new_keys, key=stolen).encode())
    result = enrolled.renew()
    assert (result.exit_code, "not named by the spare" in result.stderr) == (1, True), result.output
    assert bundle.load(enrolled.path / "bundle.bin") == newer


def test_anchors_that_carry_no_connection_are_not_taken(enrolled, pki):
    sealed = pki.anchors[:1]
    enrolled.gateway.gateway.config.trust_bundle.write_bytes(pki.bundle(2, anchors=sealed).encode())
    before = enrolled.files()
    result = enrolled.renew()
    assert (result.exit_code, "was not taken" in result.stderr) == (1, True), result.output
    assert enrolled.files() == before
    assert bundle.load(enrolled.path / "bundle.bin").version == 1


def test_two_at_a_time_do_not_meet(enrolled):
    with Directory(enrolled.path).held():
        result = enrolled.renew()
    assert (result.exit_code, "another fleetmint is at work" in result.stderr) == (1, True)


def test_root_leaves_the_directory_of_another_account_alone(enrolled, monkeypatch):
    if os.getuid() == 0:
        os.chown(enrolled.path, 65534, 65534)
    else:
        monkeypatch.setattr(os, "geteuid", lambda: 0)
    result = enrolled.renew()
    assert (result.exit_code, "run this as its owner" in result.stderr) == (1, True), result.output


def test_the_units_name_this_program_and_the_owner(enrolled):
    text = enrolled.renew("--timer", "print", "--restart", "pump.service").stdout
    assert f"ReadWritePaths={enrolled.path}\n" in text
    assert f"fleetmint renew {enrolled.path}\n" in text
    assert f"User={enrolled.path.owner()}\n" in text
    assert "try-restart" in text
    assert "pump.service" in text
    assert "Persistent=yes" in text
    units = json.loads(enrolled.renew("--timer", "print", "--json").stdout)["units"]
    assert sorted(units) == [f"/etc/systemd/system/fleetmint-renew-pump-0001.{kind}" for kind in ("service", "timer")]
    assert "try-restart" not in "".join(units.values())
    assert enrolled.renew("--restart", "pump.service").exit_code == 2


@pytest.mark.parametrize("new_key", [(), ("--new-key",)])
def test_a_cut_between_any_two_writes_leaves_a_machine_that_works(enrolled, monkeypatch, new_key):
    """Each renewal has power for one write more than the one before, and then the machine goes on."""
    steps, done = 0, False
    while not done:
        enrolled.gateway.later += timedelta() if new_key else DUE
        before = serial(enrolled)
        done = renewed_with_power_for(steps, enrolled, monkeypatch, new_key)
        again = enrolled.renew()
        assert again.exit_code == 0, again.output
        if not new_key:
            assert serial(enrolled) != before
        key = enrolled.directory.key(enrolled.directory.in_use())
        certificate = x509.load_pem_x509_certificate(enrolled.files()["cert.pem"])
        assert keys.spki(key.public_key()) == keys.spki(certificate.public_key())
        steps += 1
    assert steps >= 3
    assert enrolled.gateway.gateway.findings() == ()


class Power(BaseException):
    """Is gone."""


def renewed_with_power_for(writes, machine, monkeypatch, options) -> bool:
    """Renew, and cut the power before one write too many; return whether there was enough of it."""
    left = [writes]
    honest = files._rename

    def rename(staged, target):
        if not left[0]:
            raise Power
        left[0] -= 1
        honest(staged, target)

    with monkeypatch.context() as patch:
        patch.setattr(files, "_rename", rename)
        try:
            machine.renew(*options)
        except Power:
            return False
    return True
