"""POST /v1/renew and GET /v1/whoami: who gets a successor of a certificate, and who does not."""

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from fleetmint.gateway.device_crl import plan_device_crl
from fleetmint.ledger.replacement import NewToken, add_token
from fleetmint.ledger.revocation import revoke
from fleetmint.x509 import compat, keys
from tests.support.gateway_site import (
    der,
    engine,
    environ,
    make_csr,
    new_key,
)
from tests.support.renewing import LAMP, YEAR, Device, b64, chain, clock, code, enrolled, http, lamp, made, text

__all__ = ["clock", "engine", "enrolled", "http", "lamp", "made"]


@pytest.mark.parametrize("another", [False, True], ids=["same key", "new key"])
def test_a_device_renews_with_the_same_key_or_with_a_new_one(site, lamp, clock, openssl, tmp_path, another):
    clock.now += timedelta(days=250)
    key = new_key() if another else lamp.key
    answer = lamp.renew(key)
    renewed = lamp.with_(answer, key)
    leaf = tmp_path / "leaf.crt"
    leaf.write_bytes(renewed.certificate.public_bytes(keys.serialization.Encoding.PEM))
    trust = site.config.trust
    verdict = openssl("verify", "-x509_strict", "-purpose", "sslclient", "-attime", f"{clock.now:%s}",
                      "-CAfile", trust / "root.crt", "-untrusted", trust / "device.crt", leaf)  # fmt: skip
    assert verdict.returncode == 0, verdict.stderr
    assert answer.json["not_after"] == text(compat.not_after(renewed.certificate)) == text(clock.now + YEAR)
    assert answer.json["renew_at"] == text(clock.now + YEAR - YEAR / 3)
    assert site.findings() == ()


def test_a_device_that_lost_what_it_was_given_asks_again(site, lamp):
    key = new_key()
    assert lamp.renew(key).data == lamp.renew(key).data
    first, other = lamp.renewed(key), lamp.renewed()
    assert code(first.get("/v1/whoami")) == (403, "certificate_refused")
    assert first.recover().json == {"error": "refused"}
    assert other.get("/v1/whoami").status_code == 200
    assert site.findings() == ()


def test_the_old_certificate_is_good_until_the_new_one_was_in_use_for_some_hours(site, lamp, clock):
    renewed = lamp.renewed(new_key())
    clock.now += timedelta(days=100)
    lamp.used()
    renewed.used()
    clock.now += timedelta(hours=23)
    lamp.used()
    clock.now += timedelta(hours=1)
    assert code(lamp.get("/v1/trust-bundle")) == (403, "superseded")
    assert lamp.get("/").status_code == 403
    renewed.used()
    assert site.findings() == ()


def test_what_is_superseded_is_on_the_list_from_then_on(site, engine, lamp, clock):
    lamp.renewed(new_key()).used()

    def listed() -> set[int]:
        plan_device_crl(engine, [site.device_ca], site.config.device_crl, now=clock.now).apply()
        crl = x509.load_pem_x509_crl(site.config.device_crl.read_bytes())
        return {entry.serial_number for entry in crl}

    clock.now += timedelta(hours=23)
    assert listed() == set()
    clock.now += timedelta(hours=1)
    assert listed() == {lamp.certificate.serial_number}
    assert not plan_device_crl(engine, [site.device_ca], site.config.device_crl, now=clock.now).changed
    assert site.findings() == ()


def test_a_request_confirms_a_certificate_once_and_nobody_waits_for_the_writers_later(site, enrolled, monkeypatch):
    lamp = enrolled()
    assert chain(site, "confirm") == []
    lamp.used()
    assert [each["serial"] for each in chain(site, "confirm")] == [f"{lamp.certificate.serial_number:x}"]
    monkeypatch.setattr("fleetmint.ledger.group.GroupWriter.write", None)
    assert [lamp.get(route).status_code for route in ("/", "/v1/whoami", "/v1/trust-bundle")] == [200, 200, 404]


def test_both_copies_of_a_device_renew_and_the_second_is_refused_and_heard_of(site, lamp, caplog):
    copy = Device(lamp.http, lamp.name, lamp.key, lamp.certificate)
    first = lamp.renewed(new_key()).used()
    for _ in range(3):
        assert code(copy.renew(new_key())) == (403, "superseded")
    assert code(copy.get("/v1/whoami")) == (403, "superseded")
    serials = {"serial": f"{lamp.certificate.serial_number:x}", "successor": f"{first.certificate.serial_number:x}"}
    assert chain(site, "clone-alarm") == [serials | {"source": "192.0.2.1"}]
    first.used()
    (finding,) = site.findings()
    assert f"somebody asked with the certificate {lamp.certificate.serial_number:x} of {LAMP}" in finding
    with site.writing() as connection:
        revoke(connection, LAMP, reason="key_compromise", actor="test", now=datetime.now(UTC))
    assert site.findings() == ()


def test_of_two_copies_the_one_that_uses_its_certificate_first_goes_on(site, lamp):
    one, other = new_key(), new_key()
    first, second = lamp.renewed(one), lamp.renewed(other)
    assert code(first.get("/v1/whoami")) == (403, "certificate_refused")
    second.used()
    assert code(lamp.renew(one)) == (403, "superseded")
    assert len(chain(site, "clone-alarm")) == 1
    assert len(site.findings()) == 1


def test_a_token_settles_whose_the_name_is(site, lamp, clock):
    copy = Device(lamp.http, lamp.name, lamp.key, lamp.certificate)
    lamp.renewed(new_key()).used()
    copy.renew()
    token = NewToken(LAMP, keys.hashlib.sha256(b"new").hexdigest(), clock.now + timedelta(9))
    with site.writing() as connection:
        add_token(connection, token, actor="bench@test", now=clock.now)
    assert len(site.findings()) == 1
    clock.now += timedelta(minutes=1)
    key = new_key()
    lamp.with_(lamp.post("/v1/enrol", device=LAMP, token="new", csr=b64(make_csr(key))), key).used()  # noqa: S106
    assert site.findings() == ()


def test_a_renewal_without_a_certificate_is_a_401(lamp):
    assert code(lamp.post("/v1/renew", csr=b64(make_csr(new_key())))) == (401, "certificate_needed")


def test_the_keys_of_others_are_refused(site, lamp, enrolled):
    other = enrolled("lamp-000002")
    assert code(lamp.renew(other.key)) == (400, "key_in_use")
    assert code(lamp.renew(site.device_ca.key)) == (400, "key_in_use")
    stranger = lamp.post("/v1/recover", certificate=b64(der(other.certificate)), csr=b64(make_csr(lamp.key)))
    assert (stranger.status_code, stranger.json) == (403, {"error": "refused"})
    named = lamp.post("/v1/renew", lamp.certificate, csr=b64(make_csr(new_key(), other.name)))
    assert code(named) == (400, "bad_name")


def test_a_connection_that_outlives_its_certificate_opens_nothing(lamp, clock):
    clock.now = compat.not_after(lamp.certificate)
    for route in ("/v1/whoami", "/v1/trust-bundle"):
        assert code(lamp.get(route)) == (403, "certificate_refused")
    assert code(lamp.renew()) == (403, "certificate_refused")


@pytest.mark.parametrize("body", [{}, {"csr": 1}, {"certificate": "a"}, {"certificate": [], "csr": None}, []])
def test_a_body_that_is_none_is_a_400(lamp, body):
    for route, certificate in (("/v1/renew", lamp.certificate), ("/v1/recover", None)):
        answer = lamp.http.post(route, json=body, environ_overrides=environ("devices", certificate))
        assert code(answer) == (400, "bad_request")


def test_a_body_that_is_too_large_is_a_413(lamp):
    for route, certificate in (("/v1/renew", lamp.certificate), ("/v1/recover", None)):
        answer = lamp.http.post(route, data=b"x" * 9000, environ_overrides=environ("devices", certificate))
        assert answer.status_code == 413


def test_they_are_not_there_on_the_operators_listener(lamp):
    for route in ("/v1/renew", "/v1/recover"):
        assert lamp.http.post(route, json={}, environ_overrides=environ("operators")).status_code == 404
    assert lamp.http.get("/v1/whoami", environ_overrides=environ("operators")).status_code == 404


def test_a_key_of_the_factory_has_to_be_replaced_at_the_first_renewal(site, made, clock):
    who = made.get("/v1/whoami").json
    assert (who["renew"], who["new_key"]) == (False, True)
    assert code(made.renew()) == (409, "new_key_needed")
    own = made.renewed(new_key()).used()
    assert own.get("/v1/whoami").json["new_key"] is False
    assert compat.not_before(own.certificate) > compat.not_before(site.device_ca.certificate)
    assert own.certificate.issuer == site.device_ca.certificate.subject
    assert site.findings() == ()


def test_after_a_transfer_no_earlier_key_is_certified_again(site, lamp, now):
    own = lamp.renewed(new_key()).used()
    token = NewToken(LAMP, keys.hashlib.sha256(b"new").hexdigest(), now + timedelta(9), "Bob")
    with site.writing() as connection:
        add_token(connection, token, actor="bench@test", now=now)
    for key in (lamp.key, own.key):
        answer = lamp.post("/v1/enrol", device=LAMP, token="new", csr=b64(make_csr(key)))  # noqa: S106
        assert code(answer) == (400, "key_retired")
        assert own.recover().json == {"error": "refused"}
    key = new_key()
    fresh = lamp.with_(lamp.post("/v1/enrol", device=LAMP, token="new", csr=b64(make_csr(key))), key)  # noqa: S106
    assert code(fresh.used().renew(lamp.key)) == (400, "key_retired")
    assert site.findings() == ()


@pytest.mark.parametrize(
    "scalar",
    [
        1,
        3,
        0xC9AFA9D845BA75166B5C215767B1D6934E50C3DB36E89B127B8A622B120F6721,
        int.from_bytes(b"\x42" * 32, "big"),
        # N - 3
        0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551 - 3,
    ],
)
def test_a_key_that_everybody_knows_is_refused(lamp, scalar):
    key = ec.derive_private_key(scalar, ec.SECP256R1())
    assert code(lamp.renew(key)) == (400, "weak_key")


def test_whoami_says_when_to_renew_and_which_trust_bundle_there_is(site, lamp, clock):
    who = lamp.get("/v1/whoami").json
    due = clock.now + YEAR - YEAR / 3
    assert who == {
        "device": LAMP, "status": "active", "serial": f"{lamp.certificate.serial_number:x}",
        "not_after": text(compat.not_after(lamp.certificate)), "renew_at": text(due), "renew": False, "new_key": False,
        "trust_bundle": None,
    }  # fmt: skip
    clock.now = due + timedelta(seconds=1)
    assert lamp.get("/v1/whoami").json["renew"] is True


def test_a_certificate_that_its_ca_cut_short_is_renewed_at_two_thirds_of_its_own_life(site, enrolled, clock):
    end = compat.not_after(site.device_ca.certificate)
    clock.now = end - timedelta(days=90)
    lamp = enrolled("lamp-000004")
    assert lamp.get("/v1/whoami").json["renew_at"] == text(end - timedelta(days=30))


def test_times_are_those_of_the_contract(lamp):
    assert datetime.strptime(lamp.renew().json["renew_at"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
