"""The listeners of nginx, from outside."""

# ruff: noqa: S603 - fixed programs, found on the PATH

import subprocess

import pytest


def test_the_device_listener_answers_401_with_a_reason_to_a_client_without_certificate(gateway):
    status, body = gateway.curl("https")
    assert status == 401
    assert body.count("Hello") == 1
    assert "certificate" in body


def test_the_operator_listener_answers_401_to_a_client_without_certificate(gateway):
    assert gateway.curl("operators")[0] == 401


@pytest.mark.parametrize("listener", ["https", "operators"])
def test_a_certificate_of_another_fleet_is_refused_with_a_reason(gateway, stranger, listener):
    status, body = gateway.curl(listener, "/", stranger)
    assert status == 401
    assert "refused" in body


def test_a_device_is_refused_at_the_operator_listener_before_the_service_sees_it(gateway, lamp):
    status, body = gateway.curl("operators", "/v1/devices", lamp)
    assert status == 401
    assert "refused" in body


def test_a_device_with_an_operators_name_is_refused_at_the_operator_listener(gateway, impostor):
    assert gateway.curl("operators", "/v1/devices", impostor)[0] == 401


def test_an_operator_is_refused_at_the_device_listener(gateway, alice):
    assert gateway.curl("https", "/", alice)[0] == 401


def test_an_operator_sees_the_devices(gateway, alice):
    status, body = gateway.curl("operators", "/v1/devices", alice)
    assert (status, body.strip()) == (200, '{"devices":[],"next":null}')


def test_a_genuine_certificate_that_the_ledger_does_not_know_is_refused(gateway, lamp):
    assert gateway.curl("https", "/", lamp)[0] == 403


def test_identity_headers_of_a_client_are_nothing(gateway, alice):
    forged = [f"{name}: SUCCESS" for name in ("FLEETMINT_VERIFY", "FLEETMINT-VERIFY", "HTTP_FLEETMINT_VERIFY")]
    status, _ = gateway.curl("operators", "/v1/devices", None, *[word for text in forged for word in ("-H", text)])
    assert status == 401


def test_enrolment_needs_no_certificate_and_a_chunked_body_arrives(gateway):
    options = ("-H", "Content-Type: application/json", "-H", "Transfer-Encoding: chunked", "--data", '{"device": 1}')
    status, body = gateway.curl("https", "/v1/enrol", None, *options)
    assert status == 400
    assert "error" in body


def test_a_body_beyond_the_limit_is_413(gateway, tmp_path):
    (tmp_path / "big").write_bytes(b"x" * 70_000)
    assert gateway.curl("https", "/v1/enrol", None, "--data-binary", f"@{tmp_path / 'big'}")[0] == 413


@pytest.mark.parametrize(("listener", "version", "accepted"), [
    ("https", "-tls1_1", False), ("https", "-tls1_2", True), ("https", "-tls1_3", True),
    ("operators", "-tls1_2", False), ("operators", "-tls1_3", True),
    ("mqtt", "-tls1_1", False), ("mqtt", "-tls1_2", True), ("mqtt", "-tls1_3", True),
    ("mqtt_operators", "-tls1_2", False), ("mqtt_operators", "-tls1_3", True),
])  # fmt: skip
def test_each_listener_speaks_its_versions_of_tls(gateway, listener, version, accepted):
    done = gateway.handshake(listener, version, "-cipher", "ALL:@SECLEVEL=0")
    assert ("Cipher is (NONE)" not in done.stdout) == accepted, done.stderr


@pytest.mark.parametrize("listener", ["https", "mqtt"])
@pytest.mark.parametrize("cipher", ["ECDHE-ECDSA-AES128-SHA256", "ECDHE-ECDSA-AES128-SHA", "AES128-GCM-SHA256"])
def test_no_cipher_that_is_not_aead_with_forward_secrecy_is_accepted(gateway, listener, cipher):
    assert gateway.handshake(listener, "-tls1_2", "-cipher", f"{cipher}:@SECLEVEL=0").returncode != 0


@pytest.mark.parametrize(
    ("listener", "version"), [("https", "-tls1_2"), ("https", "-tls1_3"), ("operators", "-tls1_3")]
)
def test_no_session_can_be_resumed(gateway, listener, version, tmp_path):
    session = tmp_path / "session"
    first = gateway.handshake(listener, version, "-sess_out", str(session))
    assert "New, TLSv1" in first.stdout
    if session.exists():
        assert "New, TLSv1" in gateway.handshake(listener, version, "-sess_in", str(session)).stdout


def test_nobody_is_told_to_keep_off_plain_http_and_not_which_server_this_is(gateway):
    for path in ("/", "/v1/enrol"):
        _, headers = gateway.curl("https", path, None, "-D", "-", "-o", "/dev/null")
        assert "Strict-Transport-Security" not in headers
        assert "Server: nginx\n" in headers.replace("\r", "")


def test_the_plain_port_answers_people_and_gives_out_crls_and_cas(gateway):
    status, page = gateway.plain("/")
    assert status == 200
    assert f'href="https://localhost:{gateway.ports["operators"]}/"' in page
    root = gateway.state / "ca/root/ca.crt"
    command = ["openssl", "x509", "-noout", "-fingerprint", "-sha256", "-in", str(root)]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert printed.partition("=")[2].strip() in page.replace("<wbr>", "")
    status, body = gateway.plain("/v1/enrol")
    assert (status, "/v1/" in body) == (404, False)
    for file, kind in (("device.crl", "application/pkix-crl"), ("root-ca.crt", "application/x-x509-ca-cert")):
        _, said = gateway.plain(f"/{file}", "-o", "/dev/null", "-D", "-")
        assert f"Content-Type: {kind}" in said.replace("\r", ""), said
