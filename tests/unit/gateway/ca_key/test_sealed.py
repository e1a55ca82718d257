"""A key that is sealed for its machine: never in clear on the disk, good for all that a plain one is good for."""

import json
import os
import subprocess
from dataclasses import replace

import pytest

from fleetmint.errors import StateError
from fleetmint.gateway import audit, device_ca
from fleetmint.gateway.ca_key import keeping
from fleetmint.gateway.ca_key.sealed import sealed_with
from fleetmint.gateway.config import load_config
from fleetmint.service.counters import Counters
from fleetmint.service.resources import Resources
from fleetmint.x509 import keys
from fleetmint.x509.authority import pem
from tests.support.gateway_site import new_key


@pytest.fixture
def sealed(keep):
    """The configuration of a gateway that had a plain key so far."""
    return keep("sealed")


def secret_lines(site):
    return [line for line in keys.plain_pem(site.device_ca.key).splitlines() if b"-----" not in line]


def test_a_plain_key_is_sealed_by_the_next_installation_and_leaves_no_copy(site, sealed, data):
    plan = device_ca.plan_install(sealed, data)
    assert plan.reasons == (f"keep the key of the device CA sealed in {sealed.device_ca}",)
    plan.apply()
    assert sorted(path.name for path in sealed.device_ca.iterdir()) == ["ca.cred", "ca.crt"]
    assert not device_ca.plan_install(sealed, data).changed
    held = [path.read_bytes() for path in sealed.device_ca.rglob("*") if path.is_file()]
    assert [line for line in secret_lines(site) for content in held if line in content] == []
    assert (sealed.device_ca / "ca.cred").stat().st_mode & 0o777 == 0o400


def test_systemd_itself_opens_what_was_sealed(site, machine, sealed, data):
    device_ca.plan_install(sealed, data).apply()
    command = ["systemd-creds", "decrypt", "--name=fleetmint-device-ca-key", sealed.device_ca / "ca.cred", "-"]
    environment = os.environ | {"SYSTEMD_CREDENTIAL_SECRET": str(machine.secret)}
    opened = subprocess.run(command, env=environment, capture_output=True, check=True)
    assert opened.stdout == keys.plain_pem(site.device_ca.key)


def test_a_sealed_key_is_never_written_in_clear_while_it_is_installed(site, sealed, data, monkeypatch):
    for path in list(sealed.device_ca.iterdir()):
        path.unlink()
    written = []
    write = os.write
    monkeypatch.setattr(
        os, "write", lambda handle, content: (written.append(bytes(content)), write(handle, content))[1]
    )
    real = keeping.files.write_atomically
    monkeypatch.setattr(
        keeping.files,
        "write_atomically",
        lambda path, content, mode=0o600: (written.append(content), real(path, content, mode))[1],
    )
    device_ca.plan_install(sealed, data).apply()
    assert len(written) >= 2
    assert [line for line in secret_lines(site) for content in written if line in content] == []


def test_back_to_a_plain_key_is_the_same_step(site, sealed, data):
    device_ca.plan_install(sealed, data).apply()
    plain = replace(sealed, device_ca_key="plain")
    device_ca.plan_install(plain, data).apply()
    assert sorted(path.name for path in plain.device_ca.iterdir()) == ["ca.crt", "ca.key"]
    assert not device_ca.plan_install(plain, data).changed


def test_ca_status_says_how_the_key_is_kept_and_how_it_should_be(sealed, gateway, data):
    found = json.loads(gateway("ca-status", "--json").stdout)
    assert (found["key"], found["as_wanted"], found["wanted"]) == ("plain", False, "sealed")
    assert "its key: plain, and is to be sealed: " in gateway("ca-status").stdout
    assert gateway("install-ca", data=data).exit_code == 0
    found = json.loads(gateway("ca-status", "--json").stdout)
    assert (found["key"], found["as_wanted"]) == ("sealed (host key)", True)


@pytest.mark.parametrize(("begin", "said"), [
    ("Whxqht+dQJax1aZeCGLxmiAAAAAB", "host key"),
    # what systemd 257 makes with swtpm and --with-key=host+tpm2
    ("k6iUCUh0RJCQyvL8k8q1UyAAAAAB", "TPM 2 and host key"),
    ("!", "damaged"),
])  # fmt: skip
def test_a_credential_says_what_opens_it(begin, said):
    assert sealed_with(begin.encode()) == said


def test_a_service_takes_a_sealed_key_up_without_a_restart_and_signs(site, sealed, data, now, monkeypatch):
    monkeypatch.setattr("fleetmint.service.resources._LOOK_AGAIN", 0)
    resources = Resources(sealed, Counters())
    before = resources.authority
    device_ca.plan_install(sealed, data).apply()
    leaf = resources.authority.issue("device", new_key().public_key(), "lamp-000001", now=now)
    assert resources.authority is not before
    judged = ["openssl", "verify", "-partial_chain", "-trusted", str(sealed.trust / "device.crt")]
    said = subprocess.run(judged, input=pem(leaf), capture_output=True, check=False)
    assert said.stdout == b"stdin: OK\n", said


def test_both_cas_of_a_rollover_are_sealed_and_the_old_one_goes_whole(sealed, data):
    device_ca.plan_install_crl_only(sealed, data).apply()
    device_ca.plan_install(sealed, data).apply()
    assert [each.key for each in device_ca.crl_only(sealed).values()] == ["sealed (host key)"]
    (spki,) = device_ca.crl_only(sealed)
    device_ca.plan_retire(sealed, spki, ()).apply()
    assert sorted(path.name for path in sealed.device_ca.rglob("*") if path.is_file()) == ["ca.cred", "ca.crt"]


def test_a_key_that_another_machine_sealed_is_no_ca_and_the_next_installation_mends_it(sealed, machine, data):
    device_ca.plan_install(sealed, data).apply()
    machine.replace_host_key()
    with pytest.raises(StateError, match=r"Another machine has sealed it.*gateway\.yml.* brings the key again"):
        device_ca.authorities(sealed)
    assert not device_ca.status(sealed).installed
    device_ca.plan_install(sealed, data).apply()
    assert device_ca.status(sealed).installed


def test_a_ca_that_is_kept_for_its_list_and_does_not_open_is_not_left_out_in_silence(sealed, site, machine, data, now):
    key = new_key()
    certificate = site.hierarchy.authority("root").issue("device-ca", key.public_key(), "another", now=now)
    device_ca.plan_install_crl_only(sealed, pem(certificate) + keys.plain_pem(key)).apply()
    assert len(device_ca.authorities(sealed)) == 2
    (place,) = device_ca.directories(sealed)[1:]
    (place / "ca.cred").chmod(0o600)
    (place / "ca.cred").write_bytes(b"")
    with pytest.raises(StateError, match="does not open"):
        device_ca.authorities(sealed)
    (place / "ca.cred").unlink()
    assert len(device_ca.authorities(sealed)) == 1


def test_without_anybody_who_seals_nothing_is_written(site, sealed, data):
    alone = replace(sealed, seal_socket=site.root / "nobody.sock")
    with pytest.raises(StateError, match=r"nobody\.sock does not seal .* `systemctl status fleetmint-key\.socket`"):
        device_ca.plan_install(alone, data).apply()
    assert sorted(path.name for path in sealed.device_ca.iterdir()) == ["ca.crt", "ca.key"]


def test_the_audit_finds_a_plain_copy_and_a_key_that_does_not_open(site, sealed, machine, data, now):
    def said():
        with site.reading() as connection:
            return [
                str(each) for each in audit.findings(sealed, connection, now) if "key of the device CA" in str(each)
            ]

    device_ca.plan_install(sealed, data).apply()
    assert said() == []
    (sealed.device_ca / "ca.key").write_bytes(keys.plain_pem(site.device_ca.key))
    assert ["lies unencrypted in" in each and "ca.key" in each for each in said()] == [True]
    device_ca.plan_install(sealed, data).apply()
    machine.replace_host_key()
    assert ["does not open" in each for each in said()] == [True]


@pytest.mark.parametrize("value", ["", "open", "tpm", "sealed "])
def test_another_word_for_how_a_key_is_kept_is_refused(site, value):
    site.config_path.write_text(site.config_path.read_text() + f'device_ca_key = "{value}"\n')
    with pytest.raises(StateError, match=r"gateway\.toml: device_ca_key has to be"):
        load_config(site.config_path)
