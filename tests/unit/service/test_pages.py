"""Who is let in at which listener, and what the pages say."""

import pytest
from cryptography import x509
from flask import render_template

from fleetmint.ledger.revocation import revoke
from fleetmint.x509 import compat, names
from fleetmint.x509.authority import Authority, self_signed
from tests.support.gateway_site import certificate_entry, environ, new_key, registration


@pytest.fixture
def lamp(site, now) -> x509.Certificate:
    """The certificate of a registered device, as the factory made it."""
    leaf = site.hierarchy.authority("factory").issue("factory-device", new_key().public_key(), "lamp-000001", now=now)
    site.import_(registration([certificate_entry("lamp-000001", leaf)]), now)
    return leaf


@pytest.fixture
def alice(site, now) -> x509.Certificate:
    return site.hierarchy.authority("operator").issue("operator", new_key().public_key(), "alice@test", now=now)


def get(client, listener, certificate=None, path="/", **kwargs):
    return client.get(path, environ_overrides=environ(listener, certificate), **kwargs)


def test_without_a_certificate_the_page_is_a_401_with_one_hello_and_the_reason(client):
    answer = get(client, "devices")
    assert answer.status_code == 401
    assert answer.mimetype == "text/html"
    assert answer.text.count("Hello") == 1
    assert "a client certificate is needed here" in answer.text


def test_with_a_certificate_the_page_says_hello_to_the_device_once(client, lamp):
    answer = get(client, "devices", lamp)
    assert answer.status_code == 200
    assert answer.text.count("Hello") == 1
    assert "Hello lamp-000001" in answer.text


def test_the_pages_carry_their_security_headers(client, lamp, alice):
    for answer in (get(client, "devices"), get(client, "devices", lamp), get(client, "operators", alice)):
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["X-Frame-Options"] == "DENY"


def test_a_certificate_that_nginx_refused_is_a_401(client, lamp):
    refused = environ("devices", lamp) | {"FLEETMINT_VERIFY": "FAILED:certificate revoked"}
    answer = client.get("/", environ_overrides=refused)
    assert answer.status_code == 401
    assert "the certificate was refused" in answer.text


def test_a_device_revoked_in_the_ledger_is_refused_before_any_crl_says_so(client, site, now, lamp):
    with site.writing() as connection:
        revoke(connection, "lamp-000001", reason="unspecified", actor="test", now=now)
    answer = get(client, "devices", lamp)
    assert answer.status_code == 403
    assert "the certificate is revoked" in answer.text


def test_a_certificate_that_the_ledger_does_not_know_is_refused(client, site, now, lamp):
    stranger = site.device_ca.issue("device", new_key().public_key(), "lamp-000001", now=now)
    assert get(client, "devices", stranger).status_code == 403
    twin = site.device_ca.issue("device", new_key().public_key(), "lamp-000001", now=now, serial=lamp.serial_number)
    assert get(client, "devices", twin).status_code == 403


def test_the_certificate_of_another_fleet_is_refused(client, now, lamp):
    theirs = self_signed("test", "theirs", new_key(), now)
    leaf = theirs.issue("device", new_key().public_key(), "lamp-000001", now=now, serial=lamp.serial_number)
    assert get(client, "devices", leaf).status_code == 403


def test_a_fleet_that_names_its_ca_like_ours_is_refused(client, site, now, lamp):
    ours = site.hierarchy.authority("factory")
    forged = Authority(ours.certificate, new_key())
    leaf = forged.issue("factory-device", lamp.public_key(), "lamp-000001", now=now, serial=lamp.serial_number)
    assert get(client, "devices", leaf).status_code == 403


def test_each_listener_refuses_the_certificates_of_the_other(client, lamp, alice):
    assert get(client, "devices", alice).status_code == 403
    assert get(client, "operators", lamp).status_code == 403
    assert get(client, "operators", lamp, "/v1/devices").status_code == 403


def test_a_device_named_like_an_operator_is_refused_by_the_operators(client, site, now):
    """The device CA is in a thief's hands, and signs what it likes."""
    subject = names.subject("test", names.OPERATORS_UNIT, "alice@test")
    template = site.device_ca.issue("device", new_key().public_key(), "lamp-000001", now=now)
    builder = x509.CertificateBuilder(
        template.issuer, subject, template.public_key(), 7, now, now.replace(year=now.year + 1)
    )
    forged = builder.sign(site.device_ca.key, template.signature_hash_algorithm)
    assert get(client, "operators", forged).status_code == 403
    assert get(client, "devices", forged).status_code == 403


def test_a_client_that_calls_itself_a_ca_is_refused(client, site, lamp, alice):
    for listener, template, ca in (
        ("devices", lamp, site.hierarchy.authority("factory")),
        ("operators", alice, site.hierarchy.authority("operator")),
    ):
        builder = x509.CertificateBuilder().subject_name(template.subject).issuer_name(template.issuer)
        builder = builder.public_key(new_key().public_key()).serial_number(x509.random_serial_number())
        builder = builder.not_valid_before(compat.not_before(template)).not_valid_after(compat.not_after(template))
        for extension in template.extensions:
            value = extension.value
            if isinstance(value, x509.BasicConstraints):
                value = x509.BasicConstraints(ca=True, path_length=None)
            builder = builder.add_extension(value, extension.critical)
        answer = get(client, listener, builder.sign(ca.key, template.signature_hash_algorithm))
        assert answer.status_code == 403
        assert "of another kind" in answer.text


def test_identity_headers_of_a_client_say_nothing(client, lamp):
    pem = environ("devices", lamp)["FLEETMINT_CERT"]
    headers = {
        "FLEETMINT-VERIFY": "SUCCESS",
        "Fleetmint_Verify": "SUCCESS",
        "FLEETMINT-CERT": pem,
        "X-SSL-Client-Verify": "SUCCESS",
        "X-Forwarded-For": "192.0.2.9",
        "SSL-CLIENT-CERT": pem,
    }
    assert get(client, "devices", headers=headers).status_code == 401


def test_a_certificate_that_cannot_be_read_is_a_403(client):
    for text in ("", "%", "-----BEGIN CERTIFICATE-----", "%ff%fe", "x" * 5000):
        broken = environ("devices") | {"FLEETMINT_VERIFY": "SUCCESS", "FLEETMINT_CERT": text}
        assert client.get("/", environ_overrides=broken).status_code == 403


def test_the_operators_see_the_devices(client, site, now, lamp, alice):
    site.register(now, "lamp-000002")
    page = get(client, "operators", alice)
    assert page.status_code == 200
    assert "alice@test" in page.text
    assert page.text.index("lamp-000001") < page.text.index("lamp-000002")
    rows = get(client, "operators", alice, "/v1/devices").json["devices"]
    assert [(row["device"], row["status"], row["issuer"]) for row in rows] == [
        ("lamp-000001", "active", "factory"),
        ("lamp-000002", "registered", None),
    ]
    assert int(rows[0]["serial"], 16) == lamp.serial_number


def test_the_list_of_devices_needs_an_operator(client, lamp):
    assert get(client, "operators", path="/v1/devices").status_code == 401
    assert get(client, "devices", lamp, "/v1/devices").status_code == 404


def test_what_a_page_shows_is_escaped(app):
    with app.test_request_context():
        text = render_template("devices.html", operator="<b>", devices=[{"device": "<i>"}], gateway="&")
    assert "&lt;b&gt;" in text
    assert "&lt;i&gt;" in text
    assert "<i>" not in text


@pytest.mark.parametrize("listener", ["devices", "operators"])
def test_options_are_refused_with_what_is_allowed(app, listener):
    allowed: dict[str, set[str]] = {}
    for rule in app.url_map.iter_rules():
        path = rule.build(dict.fromkeys(rule.arguments, "x"))[1]
        allowed.setdefault(path, set()).update(rule.methods)
    for path, methods in allowed.items():
        answer = app.test_client().options(path, environ_overrides=environ(listener))
        assert answer.status_code == 405, path
        assert set(answer.headers["Allow"].split(", ")) == methods
    assert app.test_client().options("/nothing", environ_overrides=environ(listener)).status_code == 404


def test_what_a_page_shows_cannot_turn_its_words_round(app):
    with app.test_request_context():
        page = render_template("hello.html", name="x\u202e\ud83d\x1b<b>")
    assert r"Hello x\u202e\ud83d\x1b&lt;b&gt;" in page


def test_what_is_not_there_is_a_404_and_what_is_not_allowed_a_405(client):
    assert get(client, "devices", path="/nothing").status_code == 404
    wrong = get(client, "devices", path="/v1/enrol")
    assert (wrong.status_code, wrong.json["error"]) == (405, "method_not_allowed")
    assert "POST" in wrong.headers["Allow"]
    assert client.get("/").status_code == 404


def test_a_mistake_in_the_code_is_a_500_without_a_word_of_it(app, monkeypatch):
    def broken(_):
        raise RuntimeError("secret detail")

    monkeypatch.setattr("fleetmint.service.devices.read_enrolment", broken)
    answer = app.test_client().post("/v1/enrol", data=b"{}", environ_overrides=environ("devices"))
    assert answer.status_code == 500
    assert "secret" not in answer.text
    assert answer.json["error"] == "internal_error"


def test_an_operators_name_has_to_be_one(client, site, now):
    authority = site.hierarchy.authority("operator")
    template = authority.issue("operator", new_key().public_key(), "alice@test", now=now)
    subject = names.subject("test", names.OPERATORS_UNIT, "lamp-000001")
    builder = x509.CertificateBuilder(
        template.issuer, subject, template.public_key(), 7, now, now.replace(year=now.year + 1)
    )
    named_like_a_device = builder.sign(authority.key, template.signature_hash_algorithm)
    assert get(client, "operators", named_like_a_device).status_code == 403
