"""POST /v1/enrol, from the listener to the ledger."""

import base64
import json
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from fleetmint.ledger.revocation import revoke
from fleetmint.service.app import create_app
from fleetmint.service.limiter import PER_DEVICE, PER_SOURCE
from fleetmint.x509 import compat, keys
from tests.support.gateway_site import environ, make_csr, new_key


def post(client, device, token, csr: bytes | str, **overrides):
    body = {"device": device, "token": token, "csr": csr if isinstance(csr, str) else base64.b64encode(csr).decode()}
    return client.post("/v1/enrol", json=body, environ_overrides=environ("devices") | overrides)


@pytest.fixture
def lamp(site, now):
    """The token of a registered device."""
    return site.register(now, "lamp-000001")["lamp-000001"]


def certificate_of(answer) -> x509.Certificate:
    assert answer.status_code == 200, answer.text
    return x509.load_der_x509_certificate(base64.b64decode(answer.json["certificate"]))


def certificates_in(site) -> int:
    with site.reading() as connection:
        return connection.exec_driver_sql("select count(*) from certificates").scalar()


def test_a_registered_device_gets_a_certificate_that_openssl_verifies(client, site, lamp, openssl, tmp_path):
    key = new_key()
    answer = post(client, "lamp-000001", lamp, make_csr(key))
    certificate = certificate_of(answer)
    assert certificate.public_key().public_numbers() == key.public_key().public_numbers()
    assert int(answer.json["serial"], 16) == certificate.serial_number
    assert answer.json["not_after"] == f"{compat.not_after(certificate):%Y-%m-%dT%H:%M:%SZ}"
    leaf = tmp_path / "leaf.crt"
    leaf.write_bytes(openssl("x509", "-inform", "DER", data=base64.b64decode(answer.json["certificate"])).stdout)
    trust = site.config.trust
    verdict = openssl("verify", "-x509_strict", "-purpose", "sslclient", "-CAfile", trust / "root.crt",
                      "-untrusted", trust / "device.crt", leaf)  # fmt: skip
    assert verdict.returncode == 0, verdict.stderr
    subject = openssl("x509", "-noout", "-subject", "-nameopt", "RFC2253", "-in", leaf).stdout.decode()
    assert subject.strip() == "subject=CN=lamp-000001,OU=devices,O=test"
    assert site.findings() == ()


def test_the_request_may_be_pem_and_may_name_the_device(client, lamp):
    key = new_key()
    pem = x509.load_der_x509_csr(make_csr(key, "lamp-000001")).public_bytes(keys.serialization.Encoding.PEM)
    assert post(client, "lamp-000001", lamp, pem.decode()).status_code == 200


def test_the_same_token_and_key_get_the_same_certificate_again(client, site, lamp):
    key = new_key()
    first = post(client, "lamp-000001", lamp, make_csr(key))
    again = post(client, "lamp-000001", lamp, make_csr(key, "lamp-000001"))
    assert certificate_of(first) == certificate_of(again)
    assert certificates_in(site) == 1


def test_every_refusal_of_a_token_is_the_same_answer(client, site, now, lamp):
    other = site.register(now, "lamp-000002")["lamp-000002"]
    used = site.register(now, "lamp-000003")["lamp-000003"]
    revoked = site.register(now, "lamp-000004")["lamp-000004"]
    with site.writing() as connection:
        revoke(connection, "lamp-000004", reason="unspecified", actor="test", now=now)
    assert post(client, "lamp-000003", used, make_csr(new_key())).status_code == 200
    csr = make_csr(new_key())
    answers = [
        post(client, "lamp-000001", "0" * 32, csr),
        post(client, "lamp-000001", other, csr),
        post(client, "lamp-000001", lamp.upper() + "A", csr),
        post(client, "lamp-000001", "", csr),
        post(client, "lamp-000001", "\ud800", csr),
        post(client, "lamp-999999", lamp, csr),
        post(client, "lamp-000003", used, csr),
        post(client, "lamp-000004", revoked, csr),
    ]
    assert {(answer.status_code, answer.data) for answer in answers} == {(403, b'{"error":"refused"}\n')}
    assert certificates_in(site) == 1
    assert site.findings() == ()


def test_an_expired_token_is_refused(site, now, lamp):
    app = create_app(site.config, clock=lambda: now + timedelta(days=366))
    answer = post(app.test_client(), "lamp-000001", lamp, make_csr(new_key()))
    app.extensions["fleetmint"].engine.dispose()
    assert (answer.status_code, answer.json) == (403, {"error": "refused"})


def test_a_revoked_device_does_not_get_its_certificate_again(client, site, now, lamp):
    key = new_key()
    assert post(client, "lamp-000001", lamp, make_csr(key)).status_code == 200
    with site.writing() as connection:
        revoke(connection, "lamp-000001", reason="key_compromise", actor="test", now=now)
    assert post(client, "lamp-000001", lamp, make_csr(key)).status_code == 403


def bad_requests(device_ca_key):
    good = make_csr(new_key())
    pem = x509.load_der_x509_csr(good).public_bytes(keys.serialization.Encoding.PEM).decode()
    flipped = bytearray(good)
    flipped[-1] ^= 1
    point = good.index(b"\x03\x42\x00\x04") + 4
    off_curve = bytearray(good)
    off_curve[point + 40] ^= 1
    san = x509.SubjectAlternativeName([x509.DNSName("gateway")])
    ca = x509.BasicConstraints(ca=True, path_length=None)
    server = x509.ExtendedKeyUsage([x509.ExtendedKeyUsageOID.SERVER_AUTH])
    return {
        "another name": ("bad_name", make_csr(new_key(), "lamp-000002")),
        "a wildcard": ("bad_name", make_csr(new_key(), "*")),
        "an operator's name": ("bad_name", make_csr(new_key(), "alice@test")),
        "an empty name": ("bad_encoding", b""),
        "a SAN": ("bad_extension", make_csr(new_key(), extensions=[san])),
        "CA:TRUE": ("bad_extension", make_csr(new_key(), extensions=[ca])),
        "serverAuth": ("bad_extension", make_csr(new_key(), extensions=[server])),
        "RSA": ("bad_key", make_csr(rsa.generate_private_key(65537, 2048))),
        "P-384": ("bad_key", make_csr(ec.generate_private_key(ec.SECP384R1()))),
        "off the curve": ("bad_encoding", bytes(off_curve)),
        "a bad signature": ("bad_signature", bytes(flipped)),
        "trailing bytes": ("bad_encoding", good + b"\0"),
        "two blocks": ("bad_encoding", pem + pem),
        "text around the block": ("bad_encoding", pem + "and more"),
        "a certificate's label": ("bad_encoding", pem.replace("CERTIFICATE REQUEST", "CERTIFICATE")),
        "no base64": ("bad_encoding", "!!!!"),
        "not ASCII": ("bad_encoding", "-----é"),
        "the CA's own key": ("key_in_use", make_csr(device_ca_key)),
    }


@pytest.mark.parametrize("what", bad_requests(new_key()))
def test_a_request_that_asks_too_much_is_refused_with_a_reason_and_leaves_the_token_alone(client, site, lamp, what):
    code, csr = bad_requests(site.device_ca.key)[what]
    answer = post(client, "lamp-000001", lamp, csr)
    assert (answer.status_code, answer.json["error"]) == (400, code), answer.json
    assert answer.json["message"]
    assert certificates_in(site) == 0
    assert post(client, "lamp-000001", lamp, make_csr(new_key())).status_code == 200
    assert site.findings() == ()


def test_a_key_on_a_weak_curve_is_refused(client, lamp, openssl):
    request = openssl("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime192v1", "-nodes",
                      "-keyout", "/dev/null", "-subj", "/")  # fmt: skip
    answer = post(client, "lamp-000001", lamp, request.stdout.decode())
    assert answer.status_code == 400
    assert answer.json["error"] in ("bad_key", "bad_encoding")  # newer libraries cannot even read it


def test_the_key_of_another_device_is_refused(client, site, now, lamp):
    other = site.register(now, "lamp-000002")["lamp-000002"]
    key = new_key()
    assert post(client, "lamp-000002", other, make_csr(key)).status_code == 200
    answer = post(client, "lamp-000001", lamp, make_csr(key))
    assert (answer.status_code, answer.json["error"]) == (400, "key_in_use")
    assert certificates_in(site) == 1


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"null", b"[" * 8000, b'{"device": 1, "token": "a", "csr": "b"}', b'{"device": "lamp-000001"}',
     b"\xff\xfe", b'{"n": 1' + b"0" * 5000 + b"}", json.dumps({"device": "A B", "token": "", "csr": ""}).encode(),
     json.dumps({"device": "lamp-000001\n", "token": "", "csr": ""}).encode()],
)  # fmt: skip
def test_a_body_that_is_no_enrolment_is_a_400(client, body):
    answer = client.post("/v1/enrol", data=body, environ_overrides=environ("devices"))
    assert answer.status_code == 400
    assert answer.json["error"] in ("bad_request", "bad_name")


@pytest.mark.parametrize("size", [8193, 100_000, 10_000_000])
def test_a_large_body_is_a_413(client, size):
    answer = client.post("/v1/enrol", data=b"x" * size, environ_overrides=environ("devices"))
    assert (answer.status_code, answer.json["error"]) == (413, "request_entity_too_large")


# who shares what with the one that has the right token
NEIGHBOURS = {
    "one address behind a router": ("192.0.2.1", "192.0.2.1"),
    "one household's IPv6": ("2001:db8::a", "2001:db8::b"),
}


@pytest.mark.parametrize(("neighbour", "rightful"), NEIGHBOURS.values(), ids=NEIGHBOURS)
@pytest.mark.parametrize("names", [["lamp-000001"], [f"lamp-{n:06}" for n in range(2, 40)]], ids=["its name", "many"])
def test_who_guesses_has_to_wait_and_a_right_token_never(client, lamp, neighbour, rightful, names):
    csr = make_csr(new_key())
    tries = [names[n % len(names)] for n in range(PER_SOURCE + 5)]
    answers = [post(client, name, "0" * 32, csr, REMOTE_ADDR=neighbour) for name in tries]
    assert answers[0].status_code == 403
    assert answers[-1].status_code == 429
    assert 0 < int(answers[-1].headers["Retry-After"]) <= 61
    key = new_key()
    first = certificate_of(post(client, "lamp-000001", lamp, make_csr(key), REMOTE_ADDR=rightful))
    # and when its answer got lost
    assert certificate_of(post(client, "lamp-000001", lamp, make_csr(key), REMOTE_ADDR=rightful)) == first


def test_a_token_that_gives_no_right_any_more_is_limited_like_one_that_never_was(client, lamp):
    assert post(client, "lamp-000001", lamp, make_csr(new_key())).status_code == 200
    for token in (lamp, "0" * 32) * (PER_DEVICE // 2):
        assert post(client, "lamp-000001", token, make_csr(new_key())).status_code == 403
    for token in (lamp, "0" * 32):
        assert post(client, "lamp-000001", token, make_csr(new_key())).status_code == 429


def test_a_guesser_leaves_few_lines_in_the_journal(client, lamp, caplog):
    for _ in range(5 * PER_DEVICE):
        post(client, "lamp-000001", "0" * 32, make_csr(new_key()))
    assert len([record for record in caplog.records if "refused" in record.message]) == PER_DEVICE


def test_enrolment_is_not_there_on_the_operators_listener_nor_without_a_listener(client, lamp):
    csr = make_csr(new_key())
    assert post(client, "lamp-000001", lamp, csr, FLEETMINT_LISTENER="operators").status_code == 404
    assert post(client, "lamp-000001", lamp, csr, FLEETMINT_LISTENER="").status_code == 404


def test_the_listener_is_known_by_what_nginx_of_the_version_before_calls_it(client, lamp):
    """Between the service's restart and nginx's reload; a header cannot say it, those have HTTP_ before their names."""
    csr, before = make_csr(new_key()), {"FLEETMINT_LISTENER": "", "HTTP_FLEETMINT_DOOR": "devices"}
    assert post(client, "lamp-000001", lamp, csr, **before).status_code == 404
    assert post(client, "lamp-000001", lamp, csr, **before, FLEETMINT_DOOR="operators").status_code == 404
    certificate_of(post(client, "lamp-000001", lamp, csr, **before, FLEETMINT_DOOR="devices"))
