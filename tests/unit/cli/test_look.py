"""The commands that only look: `ca show`, `inspect` and `verify`."""

import re
from datetime import timedelta

import pytest

from fleetmint.nvs.crypt import NvsKeys
from fleetmint.nvs.encode import encode
from fleetmint.x509 import compat, revocation
from fleetmint.x509.inspect import time_text


@pytest.fixture
def no_passphrase(state, hierarchy):
    for path in hierarchy.source.directory.iterdir():
        path.unlink()


@pytest.mark.usefixtures("no_passphrase")
def test_the_tree_of_cas_needs_no_passphrase_and_begins_with_the_root(fleetmint, hierarchy):
    said = fleetmint("ca", "show", "--json")
    assert said["site"] == "test"
    rows = said["authorities"]
    assert rows[0]["title"] == "test root"
    assert {row["name"] for row in rows} == {path.parent.name for path in hierarchy.directory.glob("*/ca.crt")}
    assert [row["depth"] for row in rows] == [0, 1, 1, 1, 1, 1]
    by_name = {row["name"]: row for row in rows}
    assert (by_name["root"]["key"], by_name["factory"]["key"]) == ("EC P-384", "EC P-256")
    crl = hierarchy.directory / "operator/crl.pem"
    listed = revocation.load_crl(crl.read_bytes(), "x")
    assert by_name["operator"]["crl"]["next_update"] == time_text(compat.next_update(listed))
    assert by_name["device-gateway"]["crl"] is None


def test_a_key_that_is_not_here_is_told(fleetmint, hierarchy):
    (hierarchy.directory / "root/ca.key").unlink()
    assert fleetmint("ca", "show", "--json")["authorities"][0]["key_here"] is False
    assert "EC P-384, not here" in fleetmint("ca", "show").stdout


def test_the_expiries_hold_everything_that_ends_and_what_renews_it(fleetmint, state):
    rows = fleetmint("ca", "show", "--json")["expiries"]
    assert [row["ends"] for row in rows] == sorted(row["ends"] for row in rows)
    kinds = [row["kind"] for row in rows]
    assert {kind: kinds.count(kind) for kind in set(kinds)} == {
        "CA": 6, "CRL": 3, "anchor": 2, "operator": 3, "server": 1, "factory device": 1,
    }  # fmt: skip
    by_name = {(row["kind"], row["name"]): row for row in rows}
    assert "playbooks/gateway.yml" in by_name["server", "gateway (nginx)"]["renewed_by"]
    assert "fleetmint operator add alice@test" in by_name["operator", "alice@test"]["renew_with"]
    text = fleetmint("ca", "show").stdout
    assert "is renewed by" not in text
    assert all(row["name"] in text for row in rows)


def test_what_ends_soon_is_followed_by_the_commands_that_renew_it(fleetmint, monkeypatch):
    monkeypatch.setattr("fleetmint.site.expiries.is_due", lambda begins, ends, now: ends - now < timedelta(days=4000))
    text = fleetmint("ca", "show").stdout
    _, _, below = text.partition("What will lock somebody out before long is renewed by:\n")
    lines = below.splitlines()
    assert "  fleetmint operator add alice@test" in lines
    assert "  ansible-playbook playbooks/gateway.yml" in lines
    assert len(lines) == len(set(lines))


def test_what_is_revoked_is_left_out_of_the_expiries(fleetmint):
    fleetmint("revoke", "alice@test")
    fleetmint("operator", "replace", "bob@test")
    fleetmint("revoke", "lamp-000002")
    names = [row["name"] for row in fleetmint("ca", "show", "--json")["expiries"]]
    assert "alice@test" not in names
    assert "lamp-000002" not in names
    assert names.count("bob@test") == 1


def test_inspect_names_every_file_and_prints_no_key(fleetmint, state, hierarchy):
    paths = [state / "issued/operators/alice@test.key", hierarchy.directory / "root/ca.crt"]
    text = fleetmint("inspect", *paths).stdout
    assert "a private key, EC P-256, not encrypted" in text
    assert "the root CA called 'test root'" in text
    assert paths[0].read_text().splitlines()[1] not in text
    found = fleetmint("inspect", *paths, "--json")["found"]
    assert [row["file"] for row in found] == [str(path) for path in paths]


def test_inspect_asks_for_the_password_of_a_pkcs12(fleetmint, refused, state, tmp_path):
    (tmp_path / "password").write_text("correct-horse-battery\n")
    p12 = fleetmint("operator", "add", "alice@test", "--p12", "--password-file", tmp_path / "password", "--json")["p12"]
    asked = fleetmint("inspect", p12, input="correct-horse-battery\n")
    assert "a certificate of the operator alice@test" in asked.stdout
    assert "correct-horse" not in asked.stdout
    assert fleetmint("inspect", p12, "--password-file", tmp_path / "password").exit_code == 0
    (tmp_path / "password").write_text("another-password\n")
    refused(fleetmint("inspect", p12, "--password-file", tmp_path / "password"), "does not open")


def test_inspect_refuses_what_it_does_not_know_or_cannot_read(fleetmint, refused, tmp_path):
    (tmp_path / "x").write_text("hello")
    refused(fleetmint("inspect", tmp_path / "x"), "nothing that this command knows")
    refused(fleetmint("inspect", tmp_path / "none"), "cannot read")
    assert fleetmint("inspect").exit_code == 2


def test_inspect_opens_an_encrypted_nvs_with_its_keys_only(fleetmint, refused, tmp_path):
    key, image, plain = bytes(range(32)), tmp_path / "nvs.bin", tmp_path / "plain.bin"
    values = {"fleetmint": {"device_id": b"lamp-000001", "wifi_psk": b"correct horse battery"}}
    image.write_bytes(encode(values, 0x3000, NvsKeys.of_hmac_key(key)))
    plain.write_bytes(encode(values, 0x3000))
    (tmp_path / "hmac.key").write_bytes(key)
    (tmp_path / "other.key").write_bytes(bytes(32))
    opened = fleetmint("inspect", image, "--nvs-keys", tmp_path / "hmac.key")
    assert "the device lamp-000001" in opened.stdout
    assert "correct horse" not in opened.stdout
    assert "encrypted (--nvs-keys opens it)" in fleetmint("inspect", image).stdout
    refused(fleetmint("inspect", image, "--nvs-keys", tmp_path / "other.key"), "nvs.bin: the keys do not open this NVS")
    refused(fleetmint("inspect", plain, "--nvs-keys", tmp_path / "hmac.key"), "no encrypted NVS in", "plain.bin")
    refused(fleetmint("inspect", image, "--nvs-keys", plain), "plain.bin holds no keys of an NVS")


def test_a_file_without_an_end_is_refused(fleetmint, refused, state, monkeypatch):
    monkeypatch.setattr("fleetmint.files.LARGEST_FOREIGN", 1 << 20)
    good = state / "issued/operators/alice@test.crt"
    refused(fleetmint("inspect", "/dev/zero"), "file /dev/zero has more than 1 MiB")
    refused(fleetmint("verify", "/dev/zero", "--as", "operator"), "certificate /dev/zero has more than 1 MiB")
    refused(fleetmint("verify", good, "--as", "operator", "--crl", "/dev/zero"), "CRL /dev/zero has more than 1 MiB")


def test_verify_exits_with_1_and_says_why(fleetmint, state):
    path = state / "issued/operators/alice@test.crt"
    good = fleetmint("verify", path, "--as", "operator")
    assert good.exit_code == 0
    assert "accepted as operator" in good.stdout
    bad = fleetmint("verify", path, "--as", "device")
    assert bad.exit_code == 1
    assert "no CRL of test operator CA" in bad.stdout
    fleetmint("revoke", "alice@test")
    said = fleetmint("verify", path, "--as", "operator", "--json")
    assert said["accepted"] is False
    assert "revoked since" in said["reasons"][0]


def test_verify_calls_something_else_what_it_is(fleetmint, refused, state, hierarchy):
    key, crl = state / "issued/operators/alice@test.key", hierarchy.directory / "operator/crl.pem"
    refused(fleetmint("verify", key, "--as", "operator"), "alice@test.key is no certificate, but a private key")
    refused(fleetmint("verify", crl, "--as", "operator"), "crl.pem is no certificate, but a CRL")
    good = state / "issued/operators/alice@test.crt"
    refused(fleetmint("verify", good, "--as", "operator", "--crl", good), "is no CRL, but a certificate")


def test_verify_takes_the_crl_of_the_gateway(fleetmint, state, hierarchy, tmp_path, now):
    from datetime import timedelta

    from cryptography.hazmat.primitives import serialization

    from fleetmint.x509 import keys
    from fleetmint.x509.authority import pem

    authority = hierarchy.authority("device-gateway")
    leaf = authority.issue("device", keys.new_key().public_key(), "lamp-000001", now=now)
    (tmp_path / "leaf.crt").write_bytes(pem(leaf))
    crl = revocation.build_crl(authority, [], number=1, now=now, lifetime=timedelta(days=7))
    (tmp_path / "device.crl").write_bytes(crl.public_bytes(serialization.Encoding.DER))
    assert fleetmint("verify", tmp_path / "leaf.crt", "--as", "device").exit_code == 1
    assert fleetmint("verify", tmp_path / "leaf.crt", "--as", "device", "--crl", tmp_path / "device.crl").exit_code == 0


def test_verify_a_server_by_the_name_that_devices_use(fleetmint, state):
    path = state / "issued/gateway/nginx.crt"
    assert fleetmint("verify", path, "--as", "server", "--host", "gateway.local").exit_code == 0
    wrong = fleetmint("verify", path, "--as", "server", "--host", "other.local")
    assert wrong.exit_code == 1
    assert "not for the host 'other.local'" in wrong.stdout
    assert fleetmint("verify", path, "--as", "device", "--host", "x").exit_code == 2


@pytest.mark.parametrize("command", ["ca", "inspect", "operator", "revoke", "verify"])
def test_every_command_shows_examples_in_its_help(fleetmint, command):
    arguments = ["ca", "show"] if command == "ca" else [command]
    text = fleetmint(*arguments, "--help").stdout
    assert re.search(rf"Examples:\n +fleetmint {command} ", text)
