"""`fleetmint operator`, as a person uses it."""

import json
import os
import pty
import re
import ssl
import subprocess
import sys

import pytest

from fleetmint.ca.identifier import OPERATOR
from fleetmint.ca.leaves import revoked
from fleetmint.x509.authority import load_certificate

PASSWORD = "correct-horse-battery"  # noqa: S105 - of a file in a temporary directory


@pytest.fixture
def issued(state):
    return state / "issued/operators"


@pytest.fixture
def password_file(tmp_path):
    path = tmp_path / "password"
    path.write_text(f"{PASSWORD}\n")
    return path


def snapshot(directory):
    return {path: path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def test_add_makes_key_certificate_and_pkcs12_for_their_owner_only(fleetmint, issued, password_file, openssl):
    said = fleetmint("operator", "add", "carol@test", "--p12", "--password-file", password_file, "--json")
    assert said["reasons"] == ["make key and certificate of carol@test"]
    assert load_certificate(issued / "carol@test.crt").serial_number == int(said["serial"], 16)
    for name in ("carol@test.key", "carol@test.p12"):
        assert (issued / name).stat().st_mode & 0o777 == 0o600
    opened = openssl("pkcs12", "-in", said["p12"], "-noout", "-passin", f"pass:{PASSWORD}")
    assert opened.returncode == 0, opened.stderr
    assert PASSWORD not in str(said)


def test_an_operator_whose_programs_need_rsa_gets_a_pkcs12_too(fleetmint, password_file, openssl):
    options = ["--profile", "operator-rsa", "--p12", "--password-file", password_file, "--json"]
    said = fleetmint("operator", "add", "carol@test", *options)
    key = openssl("pkcs12", "-in", said["p12"], "-nocerts", "-nodes", "-passin", f"pass:{PASSWORD}").stdout
    assert b"Private-Key: (3072 bit" in openssl("pkey", "-noout", "-text", data=key).stdout


def test_an_operator_with_an_rsa_key_is_replaced_by_one_with_an_rsa_key(fleetmint, issued):
    fleetmint("operator", "add", "carol@test", "--profile", "operator-rsa")
    first = load_certificate(issued / "carol@test.crt")
    fleetmint("operator", "replace", "carol@test")
    second = load_certificate(issued / "carol@test.crt")
    assert second.serial_number != first.serial_number
    assert (second.public_key().key_size, first.public_key().key_size) == (3072, 3072)
    fleetmint("operator", "replace", "alice@test")
    assert load_certificate(issued / "alice@test.crt").public_key().key_size == 256


def test_adding_again_changes_nothing(fleetmint, issued):
    fleetmint("operator", "add", "carol@test")
    before = snapshot(issued)
    assert fleetmint("operator", "add", "carol@test", "--json")["changed"] is False
    assert snapshot(issued) == before


def test_a_random_password_is_shown_on_the_terminal_and_opens_the_file(state, issued, openssl):
    """A real terminal, since that is what decides."""
    reader, writer = pty.openpty()
    program = "import sys; from fleetmint.cli import main; sys.exit(main())"
    command = [sys.executable, "-c", program, "operator", "add", "carol@test", "--p12"]
    done = subprocess.run(
        command, env={**os.environ, "FLEETMINT_STATE": str(state)}, stdout=subprocess.PIPE, stderr=writer, check=False
    )
    os.close(writer)
    shown = os.read(reader, 4096).decode()
    os.close(reader)
    assert done.returncode == 0, shown
    password = re.search(r"shown this once: (\S+)", shown)[1]
    assert password not in done.stdout.decode()
    opened = openssl("pkcs12", "-in", issued / "carol@test.p12", "-noout", "-passin", f"pass:{password}")
    assert opened.returncode == 0, opened.stderr


def test_without_a_terminal_and_a_password_nothing_is_made(fleetmint, refused, issued):
    before = snapshot(issued)
    refused(fleetmint("operator", "add", "carol@test", "--p12"), "no terminal", "--password-file")
    refused(fleetmint("operator", "replace", "alice@test", "--p12"), "no terminal")
    assert snapshot(issued) == before


@pytest.mark.parametrize("text", ["", "short\n"])
def test_a_password_that_is_too_short_stops_everything(fleetmint, refused, issued, password_file, text):
    password_file.write_text(text)
    before = snapshot(issued)
    refused(fleetmint("operator", "add", "carol@test", "--p12", "--password-file", password_file), "at least 12")
    assert snapshot(issued) == before


def test_a_password_can_come_through_a_file_descriptor(fleetmint, issued, openssl):
    reader, writer = os.pipe()
    os.write(writer, f"{PASSWORD}\n".encode())
    os.close(writer)
    fleetmint("operator", "add", "carol@test", "--p12", "--password-fd", reader)
    os.close(reader)
    opened = openssl("pkcs12", "-in", issued / "carol@test.p12", "-noout", "-passin", f"pass:{PASSWORD}")
    assert opened.returncode == 0


@pytest.mark.parametrize(
    "arguments",
    [
        ["--password-file", "x"],
        ["--p12", "--p12-encryption", "legacy", "--password-file", "x"],
        ["--p12", "--password-file", "x", "--password-fd", "0"],
        ["--profile", "device"],
    ],
)
def test_wrong_usage_exits_with_2(fleetmint, arguments):
    assert fleetmint("operator", "add", "carol@test", *arguments).exit_code == 2


@pytest.mark.parametrize("name", ["carol", "Carol@test", "../carol@test", "carol@test\n"])
def test_names_outside_the_grammar_are_refused(fleetmint, refused, name):
    for command in ("add", "revoke", "replace"):
        refused(fleetmint("operator", command, name), "operator name")


def test_list_shows_everybody_and_who_is_revoked(fleetmint):
    fleetmint("operator", "revoke", "bob@test")
    rows = {row["name"]: row for row in fleetmint("operator", "list", "--json")["operators"]}
    assert {name: row["status"] for name, row in rows.items()} == {
        "alice@test": "valid",
        "bench@test": "valid",
        "bob@test": "revoked",
    }
    assert rows["bench@test"]["station"] is True
    assert rows["bob@test"]["key_here"] is False
    text = fleetmint("operator", "list").stdout
    assert rows["alice@test"]["serial"] in text


def test_revoke_says_what_ships_it_and_is_the_same_twice(fleetmint, hierarchy, issued):
    said = fleetmint("operator", "revoke", "alice@test", "--reason", "key_compromise")
    assert "playbooks/gateway.yml" in said.stdout
    entry = revoked(hierarchy, OPERATOR, load_certificate(issued / "alice@test.crt").serial_number)
    assert entry is not None
    assert entry.reason == "key_compromise"
    assert fleetmint("operator", "revoke", "alice@test", "--json")["changed"] is False


def test_a_revoked_operator_is_not_added_but_replaced(fleetmint, refused):
    fleetmint("operator", "revoke", "alice@test")
    refused(fleetmint("operator", "add", "alice@test"), "operator replace alice@test")
    assert fleetmint("operator", "replace", "alice@test", "--json")["changed"] is True
    assert fleetmint("operator", "add", "alice@test", "--json")["changed"] is False


def test_the_replaced_bench_still_works_for_the_other_commands(fleetmint, issued):
    old = (issued / "bench@test.key").read_bytes()
    fleetmint("operator", "replace", "bench@test")
    assert (issued / "bench@test.key").read_bytes() != old


def test_an_old_or_damaged_site_file_says_what_writes_it(fleetmint, refused, state):
    for content in ("{}", "[]", "{", '{"site": "test", "ca": {"directory": "/nowhere"}}'):
        (state / "site.json").write_text(content)
        refused(fleetmint("operator", "list"), "site.json", "playbooks/ca.yml")


def test_the_wrong_passphrase_is_told_and_nothing_changes(fleetmint, refused, hierarchy, issued):
    (hierarchy.source.directory / "issuing").write_bytes(b"A" * 32)
    before = snapshot(issued.parent) | snapshot(hierarchy.directory)
    for command in ("add", "replace", "revoke"):
        name = "carol@test" if command == "add" else "alice@test"
        refused(fleetmint("operator", command, name), "does not open")
    assert snapshot(issued.parent) | snapshot(hierarchy.directory) == before


def test_a_damaged_certificate_is_named(fleetmint, refused, issued):
    (issued / "alice@test.crt").write_text("garbage")
    refused(fleetmint("operator", "add", "alice@test"), "alice@test.crt is damaged")


def test_export_writes_what_a_program_takes_and_no_more_than_its_owner_may_read(state, fleetmint, tmp_path, refused):
    content = json.loads((state / "site.json").read_text())
    content["gateways"] = {"gateway": {"host": "gateway.local", "https_port": 8443, "mqtt_port": 8884}}
    (state / "site.json").write_text(json.dumps(content))
    said = fleetmint("operator", "export", "alice@test", "--to", tmp_path / "alice", "--json")
    assert (said["name"], said["directory"]) == ("alice@test", str(tmp_path / "alice"))
    assert (tmp_path / "alice/key.pem").stat().st_mode & 0o777 == 0o600
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(tmp_path / "alice/ca.pem")
    context.load_cert_chain(tmp_path / "alice/cert.pem", tmp_path / "alice/key.pem")
    about = json.loads((tmp_path / "alice/client.json").read_text())
    assert (about["name"], about["gateway"], about["mqtt_port"]) == ("alice@test", "gateway.local", 8884)
    called = ("operator", "export", "alice@test", "--to", tmp_path / "alice", "--host")
    assert fleetmint(*called, "192.0.2.7").exit_code == 0
    assert json.loads((tmp_path / "alice/client.json").read_text())["gateway"] == "192.0.2.7"
    refused(fleetmint(*called, "https://pi"), "is a URL")
    fleetmint("operator", "revoke", "alice@test")
    refused(fleetmint("operator", "export", "alice@test", "--to", tmp_path / "again"), "is revoked", "operator replace")
    assert not (tmp_path / "again").exists()
