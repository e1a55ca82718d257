"""A key in a PKCS #11 token: put there, used for all that a plain one is, and a PIN that never locks the token."""

import json
import subprocess
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils

from fleetmint import notices
from fleetmint.errors import StateError
from fleetmint.gateway import audit, device_ca
from fleetmint.gateway.ca_key import keeping
from fleetmint.gateway.ca_key.pin import PinError
from fleetmint.gateway.device_crl import plan_device_crl
from fleetmint.ledger import open_ledger
from fleetmint.service.counters import Counters
from fleetmint.service.resources import Resources
from fleetmint.x509 import keys
from fleetmint.x509.authority import pem
from tests.support.gateway_site import new_key
from tests.support.softhsm import forget_modules, make_token


@pytest.fixture
def config(keep, token):
    """The configuration of a gateway whose key is to be in the token, with the PIN brought."""
    found = keep(token.url())
    keeping.plan_pin(found, token.pin.encode()).apply()
    return found


@pytest.fixture
def installed(config, data):
    device_ca.plan_install(config, data).apply()
    return config


@pytest.fixture
def another(site, now):
    """Another device CA of this gateway, as a rollover makes one."""
    key = new_key()
    certificate = site.hierarchy.authority("root").issue("device-ca", key.public_key(), "another", now=now)
    return pem(certificate) + keys.plain_pem(key)


def private_keys(token):
    return token.objects().count("Private Key Object")


def names_in(config):
    return sorted(path.name for path in config.device_ca.rglob("*") if path.is_file())


def test_the_key_is_in_the_token_alone_and_does_not_leave_it(installed, token):
    assert names_in(installed) == ["ca.crt", "ca.pkcs11", "pin.cred"]
    said = token.objects()
    assert "sensitive" in said
    assert "never extractable" not in said  # it came from outside
    assert "extractable" not in said
    assert private_keys(token) == 1
    key = device_ca.authorities(installed)[0].key
    for take in (key.private_numbers, lambda: keys.plain_pem(key)):
        with pytest.raises(StateError, match="does not leave it"):
            take()


def test_a_second_installation_changes_nothing(installed, data, token):
    assert not device_ca.plan_install(installed, data).changed
    assert private_keys(token) == 1


def test_a_service_issues_and_signs_lists_with_it_and_openssl_agrees(site, installed, tmp_path, now):
    issued = Resources(installed, Counters()).authority.issue("device", new_key().public_key(), "lamp-000001", now=now)
    command = ["openssl", "verify", "-partial_chain", "-trusted", str(installed.trust / "device.crt")]
    assert subprocess.run(command, input=pem(issued), capture_output=True, check=False).stdout == b"stdin: OK\n"
    ledger = open_ledger(installed.ledger)
    plan_device_crl(ledger, device_ca.authorities(installed), installed.device_crl, now=now).apply()
    ledger.dispose()
    command = ["openssl", "crl", "-noout", "-verify", "-CAfile", str(installed.trust / "device.crt"), "-in"]
    said = subprocess.run([*command, str(installed.device_crl)], capture_output=True, text=True, check=True)
    assert "verify OK" in said.stderr


def test_what_signs_is_taken_by_the_library_and_by_who_signs_bytes(site, installed):
    key = device_ca.authorities(installed)[0].key
    algorithm = ec.ECDSA(hashes.SHA256())
    key.public_key().verify(key.sign(b"tbs", algorithm), b"tbs", algorithm)
    hashed = ec.ECDSA(utils.Prehashed(hashes.SHA256()))
    key.public_key().verify(key.sign(bytes(32), hashed), bytes(32), hashed)
    request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, hashes.SHA256())
    assert request.is_signature_valid
    assert (key.curve.name, key.key_size) == ("secp256r1", 256)


@pytest.mark.parametrize("wanted", ["plain", "sealed"])
def test_to_another_way_and_back_leaves_one_key_in_one_place(keep, installed, data, token, wanted):
    other = keep(wanted)
    device_ca.plan_install(other, data).apply()
    assert names_in(other) == sorted(["ca.crt", {"plain": "ca.key", "sealed": "ca.cred"}[wanted], "pin.cred"])
    assert private_keys(token) == 0
    again = keep(token.url())
    assert device_ca.status(again).as_wanted is False
    device_ca.plan_install(again, data).apply()
    assert device_ca.status(again).key == token.url()
    assert private_keys(token) == 1


def test_to_another_token_takes_the_key_out_of_the_first(keep, installed, data, token):
    forget_modules()
    second = make_token("attic", token.pin)
    moved = keep(second.url())
    device_ca.plan_install(moved, data).apply()
    assert (private_keys(token), private_keys(second)) == (0, 1)


def test_from_a_token_that_is_lost_the_way_is_open_and_what_may_be_left_is_said(keep, installed, data, token):
    config = keep("sealed")
    (config.device_ca / "ca.pkcs11").chmod(0o600)
    (config.device_ca / "ca.pkcs11").write_text(token.url().replace("workshop", "lost"))
    device_ca.plan_install(config, data).apply()
    assert device_ca.status(config).key == "sealed (host key)"
    assert any("may be in its token still" in each for each in notices.take())


def test_both_cas_of_a_rollover_are_in_the_token_and_the_old_one_goes(installed, data, another, token):
    device_ca.plan_install_crl_only(installed, data).apply()
    device_ca.plan_install_crl_only(installed, another).apply()
    assert private_keys(token) == 2
    device_ca.plan_install(installed, another).apply()
    assert len(device_ca.authorities(installed)) == 2
    mine = device_ca.status(installed).spki_sha256
    (old,) = [spki for spki in device_ca.crl_only(installed) if spki != mine]
    device_ca.plan_retire(installed, old, ()).apply()
    assert private_keys(token) == 1
    device_ca.plan_retire(installed, mine, ()).apply()  # a copy of the one that issues
    assert private_keys(token) == 1
    assert device_ca.status(installed).installed


def test_a_key_that_is_in_the_token_already_is_used_and_not_put_there_again(site, config, data, token, tmp_path):
    der = tmp_path / "key.der"
    der.write_bytes(keys.device_der(site.device_ca.key))
    command = ["pkcs11-tool", "--module", tokens_module(config), "--token-label", token.label, "--pin", token.pin]
    write = ["--write-object", str(der), "--type", "privkey", "--id", "07", "--label", "fleetmint-device-ca"]
    subprocess.run([*command, *write], capture_output=True, check=True)
    device_ca.plan_install(config, data).apply()
    assert private_keys(token) == 1


def tokens_module(config):
    return config.device_ca_key.partition("module-path=")[2]


def test_an_id_that_another_key_has_is_refused(keep, installed, data, another, token):
    narrow = keep(token.url(";id=%07"))
    device_ca.plan_install(narrow, data).apply()
    with pytest.raises(StateError, match="leave the id out"):
        device_ca.plan_install_crl_only(narrow, another).apply()


def test_a_token_that_was_pulled_and_is_back_is_used_without_a_restart(installed, token, now):
    resources = Resources(installed, Counters())
    resources.authority.issue("device", new_key().public_key(), "lamp-000001", now=now)
    token.close_sessions()
    resources.authority.issue("device", new_key().public_key(), "lamp-000002", now=now)


def test_threads_of_one_process_sign_beside_each_other(installed):
    key = device_ca.authorities(installed)[0].key
    algorithm = ec.ECDSA(hashes.SHA256())
    with ThreadPoolExecutor(8) as pool:
        signed = list(pool.map(lambda number: key.sign(bytes([number]), algorithm), range(200)))
    for number, signature in enumerate(signed):
        key.public_key().verify(signature, bytes([number]), algorithm)


def test_a_token_that_is_not_there_is_named_with_those_that_are(keep, installed, token):
    (installed.device_ca / "ca.pkcs11").chmod(0o600)
    (installed.device_ca / "ca.pkcs11").write_text(token.url().replace("workshop", "attic"))
    with pytest.raises(StateError, match=r"there is no token \(token attic\).*sees: workshop \(serial .*Plug it in"):
        device_ca.authorities(installed)


def test_a_module_that_is_not_installed_is_named(keep, token):
    with pytest.raises(StateError, match=r"module /nowhere\.so cannot be loaded .*signing_service_token_packages"):
        keeping.plan_pin(keep("pkcs11:token=x?module-path=/nowhere.so"), b"1234").apply()


@pytest.fixture
def logins(monkeypatch):
    """Every PIN that a token was asked with."""
    import PyKCS11

    tried = []
    login = PyKCS11.Session.login
    monkeypatch.setattr(
        PyKCS11.Session, "login", lambda self, pin, *rest: (tried.append(pin), login(self, pin, *rest))[1]
    )
    return tried


def test_a_wrong_pin_is_tried_once_whoever_asks_and_however_often(keep, token, data, logins):
    config = keep(token.url())
    with pytest.raises(PinError, match=r"refuses the PIN in .*pin\.cred; it is not tried again"):
        keeping.plan_pin(config, b"9999").apply()
    for _ in range(5):
        forget_modules()  # another process: a worker, the timer, a command
        with pytest.raises(PinError, match=r"was given a wrong PIN|was refused by the token"):
            device_ca.plan_install(config, data).apply()
        with pytest.raises(PinError, match="is not tried again"):
            keeping.plan_pin(config, b"9999").apply()
    assert logins == ["9999"]


def test_a_wrong_pin_is_remembered_for_a_token_that_does_not_remember_it(keep, token, data, logins):
    config = keep(token.url())
    with pytest.raises(PinError):
        keeping.plan_pin(config, b"9999").apply()
    subprocess.run(["pkcs11-tool", "--module", tokens_module(config), "--token-label", token.label, "--pin", token.pin,
                    "--login", "--list-objects"], check=True, capture_output=True)  # fmt: skip
    forget_modules()
    assert config.state.joinpath("pin-refused").stat().st_mode & 0o777 == 0o644  # whoever asked: root, or the service
    with pytest.raises(PinError, match="was refused by the token, and is not tried again"):
        device_ca.plan_install(config, data).apply()
    assert logins == ["9999"]


def test_that_nothing_can_be_noted_is_no_reason_to_say_something_else(keep, token, data):
    config = replace(keep(token.url()), published=Path("/proc/nowhere/published.json"))
    with pytest.raises(PinError, match="refuses the PIN"):
        keeping.plan_pin(config, b"9999").apply()


def test_the_right_pin_brought_by_a_person_mends_it(keep, token, data):
    config = keep(token.url())
    with pytest.raises(PinError):
        keeping.plan_pin(config, b"9999").apply()
    keeping.plan_pin(config, token.pin.encode()).apply()
    device_ca.plan_install(config, data).apply()
    assert device_ca.status(config).installed
    assert not keeping.plan_pin(config, token.pin.encode()).changed


def test_a_pin_in_a_file_of_the_url_is_read_there_unless_others_may(keep, token, data, tmp_path):
    file = tmp_path / "pin"
    file.write_text(f"{token.pin}\n")
    file.chmod(0o644)
    config = keep(token.url(query=f"&pin-source=file:{file}"))
    with pytest.raises(StateError, match="the PIN of the token is not used"):
        device_ca.plan_install(config, data).apply()
    file.chmod(0o400)
    device_ca.plan_install(config, data).apply()
    assert names_in(config) == ["ca.crt", "ca.pkcs11"]
    with pytest.raises(StateError, match="write it there"):
        keeping.plan_pin(config, b"1")


def test_without_a_pin_the_way_to_bring_it_is_said(keep, token, data):
    with pytest.raises(StateError, match=r"there is no PIN for the token in .*signing_service_token_pin"):
        device_ca.plan_install(keep(token.url()), data).apply()


def test_the_commands_bring_a_pin_and_say_how_the_key_is_kept_and_never_the_pin(keep, token, gateway, data):
    keep(token.url())
    said = [gateway("install-pin", "--json", "--check", data=token.pin.encode())]
    assert json.loads(said[0].stdout)["changed"] is True
    said.append(gateway("install-pin", "--json", data=f"{token.pin}\n".encode()))
    said.append(gateway("install-pin", "--json", data=token.pin.encode()))
    assert [json.loads(each.stdout)["changed"] for each in said[1:]] == [True, False]
    said.append(gateway("install-ca", "--json", data=data))
    said.append(gateway("ca-status", "--json"))
    found = json.loads(said[-1].stdout)
    assert (found["key"], found["as_wanted"], found["wanted"]) == (token.url(), True, token.url())
    said.append(gateway("ca-status"))
    assert f"its key: {token.url()}\n" in said[-1].stdout
    assert [each.output for each in said if token.pin in each.output] == []


def test_the_audit_finds_a_plain_copy_beside_the_token_and_a_token_that_does_not_open(site, installed, token, now):
    def said():
        with site.reading() as connection:
            return [str(each) for each in audit.findings(installed, connection, now) if "CRL" not in str(each)]

    before = said()
    (installed.device_ca / "ca.key").write_bytes(keys.plain_pem(site.device_ca.key))
    found = set(said()) - set(before)
    assert any("lies unencrypted in" in each for each in found)
    (installed.device_ca / "ca.key").unlink()
    (installed.device_ca / "pin.cred").unlink()
    forget_modules()
    assert any("there is no PIN for the token" in each for each in said())


def test_another_ca_in_its_place_is_refused_as_with_a_plain_key(installed, another):
    with pytest.raises(StateError, match="another device CA is installed"):
        device_ca.plan_install(installed, another)
    device_ca.plan_install(replace(installed), another, replace=True).apply()
