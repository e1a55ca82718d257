"""A Linux machine gets its first certificate: from a file with a token, and from nothing that the network says."""

import base64
import json
import socket
import ssl
from datetime import timedelta

import pytest
from cryptography import x509

from fleetmint.documents.registration import FORMAT_WITH_POLICY, token_row
from fleetmint.ledger import approvals
from fleetmint.ledger.devices import list_devices
from fleetmint.x509 import keys
from tests.support.firmware_site import DEVICE, make_site


def refused(result, *words):
    assert result.exit_code == 1, result.output
    for word in words:
        assert word in result.stderr, result.stderr


def greets(machine) -> bool:
    """Connect as paho does: a plain context, with three files."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(machine.path / "ca.pem")
    context.load_cert_chain(machine.path / "cert.pem", machine.path / "key.pem")
    plain = socket.create_connection(("localhost", machine.gateway.mqtt_port), timeout=10)
    with context.wrap_socket(plain, server_hostname="localhost") as connection:
        return connection.version() is not None


def test_enrolment_leaves_three_files_that_a_plain_client_can_use(machine):
    said = json.loads(machine.enrol("--json").stdout)
    assert (said["changed"], said["device"], said["problems"]) == (True, DEVICE, [])
    assert (machine.path / "key.pem").stat().st_mode & 0o777 == 0o600
    assert machine.path.stat().st_mode & 0o777 == 0o700
    about = json.loads((machine.path / "client.json").read_text())
    assert (about["name"], about["gateway"], about["mqtt_port"]) == (DEVICE, "localhost", machine.gateway.mqtt_port)
    assert greets(machine)
    with machine.gateway.gateway.reading() as connection:
        (row,) = list_devices(connection)
    assert f"{row.serial:x}" in said["serial"]


def test_other_tls_libraries_take_the_anchors_too(enrolled, openssl):
    """The issuer of ca.pem is not in it: openssl alone would not take it, and GnuTLS reads no TRUSTED CERTIFICATE."""
    chain = enrolled.gateway.gateway.root / "server/chain.pem"
    checked = openssl(
        "verify", "-CAfile", enrolled.path / "ca.pem", "-purpose", "sslserver", "-untrusted", chain, chain
    )
    assert checked.returncode == 0, checked.stderr
    # what is trusted for servers is trusted for nothing else
    assert openssl("verify", "-CAfile", enrolled.path / "ca.pem", "-purpose", "sslclient", chain).returncode != 0
    plain = (enrolled.path / "ca.pem").read_bytes()
    begin = plain.index(b"-----BEGIN CERTIFICATE")
    assert len(x509.load_pem_x509_certificates(plain[begin:])) == 2


def test_a_machine_that_has_to_be_approved_waits_with_its_key_and_says_which(machine, monkeypatch):
    gateway = machine.gateway
    head = {"site": "test", "gateway": "gateway", "batch": "lamps-1", "format": FORMAT_WITH_POLICY}
    expires = f"{gateway.now() + timedelta(days=365):%Y-%m-%dT%H:%M:%SZ}"
    entry = token_row(DEVICE, gateway.token, expires)
    gateway.gateway.import_(json.dumps({**head, "approval": "manual", "devices": [entry]}).encode(), gateway.now())
    refused(machine.enrol("--no-wait"), "waiting for approval of the key", "approve")
    naps = []

    def nap(seconds):
        naps.append(seconds)
        if len(naps) == 2:
            with gateway.gateway.writing() as connection:
                approvals.approve(connection, DEVICE, None, actor="test", now=gateway.now())

    monkeypatch.setattr("fleetmint.cli.device.enrol.time.sleep", nap)
    result = machine.enrol()
    assert result.exit_code == 0, result.output
    shown = keys.spki_sha256(machine.directory.key("a").public_key()).hex()[:16]
    assert result.stderr.count(f"waiting for approval of the key {shown}") == 1
    assert naps == [60, 60]
    assert len({x509.load_der_x509_csr(csr).public_key().public_numbers() for csr in gateway.csrs()}) == 1
    assert gateway.gateway.findings() == ()


def test_a_second_time_changes_nothing(enrolled, snapshot):
    before = snapshot(enrolled.path)
    result = enrolled.enrol()
    assert (result.exit_code, "nothing to do" in result.stdout) == (0, True)
    assert snapshot(enrolled.path) == before
    assert enrolled.gateway.csrs() == []


def test_when_the_answer_gets_lost_the_same_key_gets_the_same_certificate(machine, lose):
    lose(1)
    refused(machine.enrol(), "localhost")
    kept = machine.directory.key("a")
    assert not (machine.path / "cert.pem").exists()
    (asked,) = machine.gateway.csrs()
    assert keys.spki(x509.load_der_x509_csr(asked).public_key()) == keys.spki(kept.public_key())
    assert machine.enrol().exit_code == 0
    with machine.gateway.gateway.reading() as connection:
        (row,) = list_devices(connection)
    assert machine.directory.identities()[0].certificate.serial_number == row.serial


def test_a_certificate_that_has_carried_no_connection_is_not_in_use(machine, lose):
    lose(2)
    refused(machine.enrol(), "localhost")
    assert machine.directory.in_use() is None
    assert machine.enrol().exit_code == 0
    assert machine.directory.in_use() == "a"
    assert len(machine.gateway.csrs()) == 1


def test_a_token_is_used_once_and_a_copy_of_it_is_told_so(enrolled, tmp_path):
    result = enrolled.run("enrol", "--token-file", enrolled.token, "--to", tmp_path / "other")
    refused(result, "does not take this token", "another one is made on the controller")
    assert not (tmp_path / "other/cert.pem").exists()


def test_a_server_of_another_site_gets_nothing(machine):
    machine.give_token(make_site(machine.gateway.now()).bundle())
    refused(machine.enrol(), "does not come from a server CA that this device trusts")
    assert machine.gateway.requests == []


def test_a_gateway_by_another_name_is_not_the_gateway(machine, monkeypatch):
    honest = socket.getaddrinfo
    with monkeypatch.context() as patch:
        patch.setattr(socket, "getaddrinfo", lambda _host, *rest: honest("127.0.0.1", *rest))
        refused(machine.enrol("--gateway", "elsewhere.test"), "is for other names than elsewhere.test")
    assert machine.enrol("--gateway", "127.0.0.1").exit_code == 0
    assert json.loads((machine.path / "client.json").read_text())["gateway"] == "127.0.0.1"
    assert machine.enrol("--gateway", "127.0.0.1:99999").exit_code == 2


def test_a_directory_belongs_to_one_device(enrolled, tmp_path):
    content = json.loads(enrolled.token.read_text())
    other = tmp_path / "other.token"
    other.write_text(json.dumps({**content, "device": "pump-0002"}))
    other.chmod(0o600)
    refused(enrolled.run("enrol", "--token-file", other, "--to", enrolled.path), "holds pump-0001, not pump-0002")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"trust_bundle": None}, ("does not say whom to trust", "trust_bundle", "token new pump-0001")),
        ({"trust_bundle": "AAAA"}, ("no trust bundle of a format", "make another")),
        ({"trust_bundle": "forged"}, ("not signed by the release key", "do not use it")),
        ({"gateway": "https://x"}, ("is damaged", "is a URL")),
        ({"https_port": "many"}, ("is damaged",)),
        ({"format": "other"}, ("holds no token",)),
    ],
)
def test_a_file_that_does_not_say_whom_to_trust_is_refused(machine, pki, change, words):
    content = {**json.loads(machine.token.read_text()), **change}
    if change.get("trust_bundle") == "forged":
        forged = pki.bundle(key=keys.new_key())
        content["trust_bundle"] = base64.b64encode(forged.encode()).decode()
    machine.token.write_text(json.dumps({name: value for name, value in content.items() if value is not None}))
    refused(machine.enrol(), *words)
    assert machine.gateway.requests == []
    assert not machine.path.exists()
