"""Enrollment over Secure Transport: /.well-known/est/, judged by openssl. An independent client is in tests/e2e."""

import base64
import re
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from fleetmint.ledger.revocation import revoke
from fleetmint.service.app import create_app
from fleetmint.service.limiter import PER_DEVICE
from fleetmint.x509 import names
from tests.support import handmade
from tests.support.gateway_site import certificate_entry, environ, make_csr, new_key, registration

ROOT = Path(__file__).parents[3]
DEVICE = "lamp-000001"
ROUTES = ("simpleenroll", "simplereenroll")


@pytest.fixture
def token(site, now):
    return site.register(now, DEVICE)[DEVICE]


def basic(user: str, password: str) -> dict[str, str]:
    return {"Authorization": f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"}


def post(client, route, csr: bytes | str, *, token=None, certificate=None, device=DEVICE, headers=(), **overrides):
    return client.post(
        f"/.well-known/est/{route}",
        data=base64.b64encode(csr) if isinstance(csr, bytes) else csr.encode(),
        headers={"Content-Type": "application/pkcs10", **dict(headers), **(basic(device, token) if token else {})},
        environ_overrides=environ("devices", certificate) | overrides,
    )


def get(client, route, listener="devices"):
    return client.get(f"/.well-known/est/{route}", environ_overrides=environ(listener))


def certificates_of(openssl, answer) -> list[x509.Certificate]:
    """What openssl finds in a certs-only answer."""
    assert answer.status_code == 200, answer.text
    assert answer.headers["Content-Type"] == "application/pkcs7-mime; smime-type=certs-only"
    assert not re.search(rb"\s", answer.data)
    printed = openssl("pkcs7", "-inform", "DER", "-print_certs", data=base64.b64decode(answer.data)).stdout
    blocks = re.findall(rb"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", printed, re.DOTALL)
    return [x509.load_pem_x509_certificate(block) for block in blocks]


def refused(answer) -> tuple[int, str]:
    assert answer.mimetype == "text/plain"
    return answer.status_code, answer.text.partition(":")[0].strip()


def own_subject(key) -> bytes:
    """A request with the whole subject of the device's certificate, as RFC 7030 (4.2.2) wants it for a renewal."""
    subject = names.subject("test", names.DEVICES_UNIT, DEVICE)
    csr = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    return csr.public_bytes(serialization.Encoding.DER)


@pytest.fixture
def enrolled(client, openssl, token):
    key = new_key()
    (certificate,) = certificates_of(openssl, post(client, "simpleenroll", make_csr(key), token=token))
    return key, certificate


def test_a_device_enrols_with_its_id_and_token_and_openssl_verifies_its_chain(client, site, token, openssl, tmp_path):
    key = new_key()
    (leaf,) = certificates_of(openssl, post(client, "simpleenroll", make_csr(key), token=token))
    assert leaf.public_key().public_numbers() == key.public_key().public_numbers()
    (tmp_path / "leaf.crt").write_bytes(leaf.public_bytes(serialization.Encoding.PEM))
    chain = certificates_of(openssl, get(client, "cacerts"))
    (tmp_path / "ca.pem").write_bytes(b"".join(each.public_bytes(serialization.Encoding.PEM) for each in chain))
    # the answer of cacerts alone builds the chain: the root is in it, and whatever is between
    verdict = openssl("verify", "-x509_strict", "-purpose", "sslclient", "-CAfile", tmp_path / "ca.pem",
                      tmp_path / "leaf.crt")  # fmt: skip
    assert verdict.returncode == 0, verdict.stderr
    assert site.findings() == ()


def test_it_is_the_same_ledger_as_that_of_v1(client, site, token, openssl):
    csr = make_csr(new_key())
    (leaf,) = certificates_of(openssl, post(client, "simpleenroll", csr, token=token))
    body = {"device": DEVICE, "token": token, "csr": base64.b64encode(csr).decode()}
    again = client.post("/v1/enrol", json=body, environ_overrides=environ("devices"))
    assert base64.b64decode(again.json["certificate"]) == leaf.public_bytes(serialization.Encoding.DER)
    (third,) = certificates_of(openssl, post(client, "simpleenroll", csr, token=token))
    assert third == leaf


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("another", [False, True], ids=["same key", "new key"])
def test_a_certificate_renews_at_either_route(client, site, enrolled, openssl, route, another):
    key, certificate = enrolled
    key = new_key() if another else key
    (renewed,) = certificates_of(openssl, post(client, route, own_subject(key), certificate=certificate))
    assert renewed.serial_number != certificate.serial_number
    assert renewed.subject == certificate.subject
    assert renewed.public_key().public_numbers() == key.public_key().public_numbers()
    assert site.findings() == ()


def test_the_subject_may_be_that_of_the_certificate_and_of_no_other_site_or_unit(client, token, openssl):
    for site, unit in (("other", "devices"), ("test", "operators")):
        subject = names.subject(site, unit, DEVICE)
        csr = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(new_key(), hashes.SHA256())
        der = csr.public_bytes(serialization.Encoding.DER)
        assert refused(post(client, "simpleenroll", der, token=token)) == (400, "bad_name")
    assert certificates_of(openssl, post(client, "simpleenroll", own_subject(new_key()), token=token))


def lines(csr: bytes, width: int, end: str) -> str:
    text = base64.b64encode(csr).decode()
    return "".join(text[at : at + width] + end for at in range(0, len(text), width))


@pytest.mark.parametrize(
    "body",
    [
        lambda csr: lines(csr, 64, "\n"),
        lambda csr: lines(csr, 76, "\r\n"),
        lambda csr: lines(csr, 10, " \t"),
        lambda csr: "\r\n" + base64.b64encode(csr).decode() + "\n\n",
        lambda csr: x509.load_der_x509_csr(csr).public_bytes(serialization.Encoding.PEM).decode(),
    ],
)
@pytest.mark.parametrize("encoding", [None, "base64", "binary", "7bit"])
def test_base64_is_taken_however_it_is_broken_and_whatever_its_transfer_encoding_says(client, token, body, encoding):
    headers = {} if encoding is None else {"Content-Transfer-Encoding": encoding}
    answer = post(client, "simpleenroll", body(make_csr(new_key())), token=token, headers=headers)
    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize(
    "header",
    [None, "", "Basic", "Basic !!!!", "Basic bm9jb2xvbg==", "Bearer abc", "Digest username=x", "Basic \xff",
     "Basic /zp4", "basic"],
)  # fmt: skip
def test_without_credentials_the_answer_says_which(client, site, token, route, header):
    answer = post(client, route, make_csr(new_key()), headers={} if header is None else {"Authorization": header})
    assert refused(answer) == (401, "credentials_needed")
    assert answer.headers["WWW-Authenticate"] == 'Basic realm="enrolment"'
    assert b"token" in answer.data


def test_a_scheme_is_known_by_any_case(client, token):
    shown = {name: value.replace("Basic", "bAsIC") for name, value in basic(DEVICE, token).items()}
    assert post(client, "simpleenroll", make_csr(new_key()), headers=shown).status_code == 200


def test_every_refusal_of_a_token_is_the_same_answer(client, site, now, token):
    used = site.register(now, "lamp-000003")["lamp-000003"]
    assert post(client, "simpleenroll", make_csr(new_key()), token=used, device="lamp-000003").status_code == 200
    csr = make_csr(new_key())
    not_utf8 = {"Authorization": f"Basic {base64.b64encode(DEVICE.encode() + b':' + bytes([255, 254])).decode()}"}
    answers = [
        post(client, "simpleenroll", csr, token="0" * 32),
        post(client, "simpleenroll", csr, token=used),
        post(client, "simpleenroll", csr, token=token + ":"),
        post(client, "simpleenroll", csr, token=token, device="lamp-999999"),
        post(client, "simpleenroll", csr, token=used, device="lamp-000003"),
        post(client, "simpleenroll", csr, headers=not_utf8),
    ]
    assert {(answer.status_code, answer.data) for answer in answers} == {(403, b"refused\n")}
    assert site.findings() == ()


def test_who_guesses_has_to_wait_here_and_at_v1_together_and_a_right_token_never(client, token):
    csr = make_csr(new_key())
    body = {"device": DEVICE, "token": "0" * 32, "csr": base64.b64encode(csr).decode()}
    for _ in range(PER_DEVICE // 2):
        assert post(client, "simpleenroll", csr, token="0" * 32).status_code == 403
        assert client.post("/v1/enrol", json=body, environ_overrides=environ("devices")).status_code == 403
    answer = post(client, "simpleenroll", csr, token="0" * 32)
    assert refused(answer) == (429, "too_many_failures")
    assert 0 < int(answer.headers["Retry-After"]) <= 61
    assert post(client, "simpleenroll", csr, token=token).status_code == 200


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ("", 400, "bad_encoding"),
        ("!!!!", 400, "bad_encoding"),
        ("\u00e4", 400, "bad_encoding"),
        ("MIIB", 400, "bad_encoding"),
        ("x" * 8193, 413, "request_entity_too_large"),
    ],
)
def test_what_is_no_request_is_refused_with_its_code(client, site, token, body, status, code):
    assert refused(post(client, "simpleenroll", body, token=token)) == (status, code)
    assert post(client, "simpleenroll", make_csr(new_key()), token=token).status_code == 200


@pytest.mark.parametrize("route", ROUTES)
def test_a_certificate_does_not_open_the_parser_either(client, enrolled, route):
    _, certificate = enrolled
    assert refused(post(client, route, "!!!!", certificate=certificate)) == (400, "bad_encoding")
    assert refused(post(client, route, make_csr(new_key(), "lamp-000002"), certificate=certificate)) == (
        400,
        "bad_name",
    )


def test_a_request_that_is_bound_to_a_connection_is_refused_since_nobody_here_sees_that(client, token):
    password = handmade.tlv(0x31, handmade.tlv(0x0C, b"tls-unique"))
    attribute = handmade.tlv(0x30, bytes.fromhex("06092a864886f70d010907") + password)
    csr = handmade.request(new_key(), attributes=attribute)
    for body in (csr, handmade.pem("CERTIFICATE REQUEST", csr)):
        assert refused(post(client, "simpleenroll", body, token=token)) == (400, "bad_attribute")


def test_a_device_id_that_is_none_is_a_400(client, token):
    assert refused(post(client, "simpleenroll", make_csr(new_key()), token=token, device="A B")) == (400, "bad_name")


def test_a_revoked_device_is_refused_with_either_proof(client, site, now, enrolled, token):
    key, certificate = enrolled
    with site.writing() as connection:
        revoke(connection, DEVICE, reason="key_compromise", actor="test", now=now)
    assert refused(post(client, "simpleenroll", make_csr(key), token=token)) == (403, "refused")
    assert refused(post(client, "simplereenroll", make_csr(key), certificate=certificate))[0] == 403


def test_a_key_of_the_factory_is_not_renewed(client, site, now):
    key = new_key()
    leaf = site.hierarchy.authority("factory").issue("factory-device", key.public_key(), "lamp-000002", now=now)
    site.import_(registration([certificate_entry("lamp-000002", leaf)]), now)
    answer = post(client, "simplereenroll", make_csr(key), certificate=leaf)
    assert refused(answer) == (409, "new_key_needed")
    assert post(client, "simplereenroll", make_csr(new_key()), certificate=leaf).status_code == 200


def test_ca_certificates_are_the_root_and_the_device_ca_for_anybody(client, site, openssl):
    found = certificates_of(openssl, get(client, "cacerts"))
    wanted = {site.hierarchy.authority(name).certificate for name in ("device-gateway",)}
    wanted.add(x509.load_pem_x509_certificate((site.config.trust / "root.crt").read_bytes()))
    assert set(found) == wanted


def test_during_a_rollover_the_device_ca_of_before_is_there_too(client, site, openssl):
    another = site.hierarchy.authority("factory").certificate
    path = site.config.trust / "device.crt"
    path.write_bytes(path.read_bytes() + another.public_bytes(serialization.Encoding.PEM))
    assert another in certificates_of(openssl, get(client, "cacerts"))


def parsed(openssl, der: bytes) -> list[tuple[int, str]]:
    """The elements that openssl sees: depth, and type with value."""
    printed = openssl("asn1parse", "-inform", "DER", data=der).stdout.decode()
    return [
        (int(depth), f"{kind.strip()} {value.strip()}".strip())
        for depth, kind, value in re.findall(r"d=(\d+) .*?(?:prim|cons): ([^:\n]+):?(.*)", printed)
    ]


def test_the_attributes_say_key_hash_and_subject_in_the_old_form_and_in_the_new_one(client, openssl):
    answer = get(client, "csrattrs")
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "application/csrattrs")
    assert parsed(openssl, base64.b64decode(answer.data)) == [
        (0, "SEQUENCE"),
        (1, "SEQUENCE"),
        (2, "OBJECT id-ecPublicKey"),
        (2, "SET"),
        (3, "OBJECT prime256v1"),
        (1, "OBJECT ecdsa-with-SHA256"),
        # RFC 9908, 3.4
        (1, "SEQUENCE"),
        (2, "OBJECT 1.2.840.113549.1.9.16.2.61"),
        (2, "SET"),
        (3, "SEQUENCE"),
        (4, "INTEGER 00"),
        (4, "SEQUENCE"),
        (5, "SET"),
        (6, "SEQUENCE"),
        (7, "OBJECT organizationName"),
        (7, "UTF8STRING test"),
        (5, "SET"),
        (6, "SEQUENCE"),
        (7, "OBJECT organizationalUnitName"),
        (7, "UTF8STRING devices"),
        (5, "SET"),
        (6, "SEQUENCE"),
        (7, "OBJECT commonName"),
        (4, "cont [ 0 ]"),
        (5, "SEQUENCE"),
        (6, "OBJECT id-ecPublicKey"),
        (6, "OBJECT prime256v1"),
        (4, "cont [ 1 ]"),
    ]


@pytest.mark.parametrize("route", ["serverkeygen", "fullcmc"])
def test_what_is_not_offered_says_why(client, token, route):
    assert refused(post(client, route, make_csr(new_key()), token=token)) == (404, "not_offered")


@pytest.mark.parametrize("route", ["label/simpleenroll", "simpleenrol", ""])
def test_what_is_not_there_is_a_404_in_words(client, route):
    assert refused(get(client, route)) == (404, "not_found")


def test_another_method_is_a_405_that_says_which(client):
    answer = get(client, "simpleenroll")
    assert refused(answer) == (405, "method_not_allowed")
    assert "POST" in answer.headers["Allow"]


@pytest.mark.parametrize("route", ["cacerts", "csrattrs", *ROUTES, "serverkeygen"])
def test_nothing_of_it_is_at_the_operators_listener(client, token, route):
    method = get if route in ("cacerts", "csrattrs") else None
    if method is not None:
        assert get(client, route, listener="operators").status_code == 404
    else:
        answer = post(client, route, make_csr(new_key()), token=token, FLEETMINT_LISTENER="operators")
        assert answer.status_code == 404


def test_a_wrong_clock_is_a_503_that_says_when_to_come_back(site, now, token):
    app = create_app(site.config, clock=lambda: now - timedelta(days=4000))
    answer = post(app.test_client(), "simpleenroll", make_csr(new_key()), token=token)
    app.extensions["fleetmint"].engine.dispose()
    assert refused(answer) == (503, "unavailable")
    assert int(answer.headers["Retry-After"]) > 0


def test_neither_token_nor_header_gets_into_the_journal(client, site, token, caplog):
    caplog.set_level(0)
    wrong = "f" * 31
    post(client, "simpleenroll", make_csr(new_key()), token=wrong)
    assert post(client, "simpleenroll", make_csr(new_key()), token=token).status_code == 200
    for secret in (wrong, token):
        assert secret not in caplog.text
        assert base64.b64encode(f"{DEVICE}:{secret}".encode()).decode() not in caplog.text


def test_the_codes_in_the_document_are_those_of_the_service():
    table = re.search(r"^\| status \|.*?\n\n", (ROOT / "docs/est.md").read_text(), re.MULTILINE | re.DOTALL)[0]
    codes = {code for row in table.split("\n")[2:-2] for code in re.findall(r"`(\w+)`", row.split("|")[2])}
    source = "".join(path.read_text() for path in (ROOT / "src/fleetmint").rglob("*.py"))
    assert len(codes) > 15
    assert {code for code in codes if f'"{code}"' not in source} == set()
