"""POST /v1/renew, POST /v1/recover and GET /v1/whoami: who gets a successor of a certificate, and who does not."""

import base64
import json
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from sqlalchemy import select

from fleetmint.gateway.device_crl import plan_device_crl
from fleetmint.ledger.replacement import NewToken, add_token
from fleetmint.ledger.revocation import revoke
from fleetmint.ledger.schema import events
from fleetmint.service.app import create_app
from fleetmint.service.limiter import PER_DEVICE
from fleetmint.x509 import compat, keys
from tests.support.gateway_site import (
    certificate_entry,
    der,
    engine,
    environ,
    make_csr,
    make_gateway_site,
    new_key,
    registration,
)

__all__ = ["engine"]

LAMP = "lamp-000001"
YEAR = timedelta(days=365)


class Clock:
    def __init__(self, now: datetime) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock(now):
    return Clock(now)


@pytest.fixture
def http(site, clock):
    app = create_app(site.config, clock=clock)
    yield app.test_client()
    engine = vars(app.extensions["fleetmint"]).get("engine")
    if engine is not None:
        engine.dispose()


class Device:
    """What a device does, with a key and a certificate at a time."""

    def __init__(self, http, name: str, key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate | None) -> None:
        self.http = http
        self.name = name
        self.key = key
        self.certificate = certificate

    def post(self, route: str, shown=None, /, **body):
        return self.http.post(route, json=body, environ_overrides=environ("devices", shown))

    def get(self, route: str):
        return self.http.get(route, environ_overrides=environ("devices", self.certificate))

    def renew(self, key=None):
        return self.post("/v1/renew", self.certificate, csr=b64(make_csr(key or self.key)))

    def recover(self, key=None):
        return self.post("/v1/recover", certificate=b64(der(self.certificate)), csr=b64(make_csr(key or self.key)))

    def with_(self, answer, key=None) -> "Device":
        assert answer.status_code == 200, answer.text
        certificate = x509.load_der_x509_certificate(base64.b64decode(answer.json["certificate"]))
        wanted = key or self.key
        assert keys.spki(certificate.public_key()) == keys.spki(wanted.public_key())
        assert int(answer.json["serial"], 16) == certificate.serial_number
        return Device(self.http, self.name, wanted, certificate)

    def renewed(self, key=None) -> "Device":
        return self.with_(self.renew(key), key)

    def used(self) -> "Device":
        assert self.get("/").status_code == 200
        return self


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


@pytest.fixture
def enrolled(site, http, clock):
    """Return what enrols a device of this name, which has not used its certificate yet."""

    def run(name: str = LAMP) -> Device:
        token, key = site.register(clock.now, name)[name], new_key()
        device = Device(http, name, key, None)
        return device.with_(device.post("/v1/enrol", device=name, token=token, csr=b64(make_csr(key))))

    return run


@pytest.fixture
def lamp(enrolled):
    return enrolled().used()


@pytest.fixture
def made(site, http, now):
    """A device whose key the factory has made."""
    key = new_key()
    leaf = site.hierarchy.authority("factory").issue("factory-device", key.public_key(), "lamp-000009", now=now)
    site.import_(registration([certificate_entry("lamp-000009", leaf)]), now)
    return Device(http, "lamp-000009", key, leaf)


def chain(site, kind: str) -> list[dict]:
    with site.reading() as connection:
        rows = connection.execute(select(events.c.detail).where(events.c.kind == kind).order_by(events.c.seq))
        return [json.loads(row.detail) for row in rows]


def code(answer) -> tuple[int, str]:
    return answer.status_code, answer.json["error"]


def text(time: datetime) -> str:
    return f"{time:%Y-%m-%dT%H:%M:%SZ}"


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
    monkeypatch.setattr("fleetmint.service.devices.writing", None)
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


def test_a_superseded_certificate_recovers_nothing_and_is_heard_of(site, lamp, clock):
    lamp.renewed(new_key()).used()
    clock.now += timedelta(days=400)
    assert (lamp.recover().status_code, lamp.recover().json) == (403, {"error": "refused"})
    assert len(chain(site, "clone-alarm")) == 1


def test_a_renewal_without_a_certificate_is_a_401(lamp):
    assert code(lamp.post("/v1/renew", csr=b64(make_csr(new_key())))) == (401, "certificate_needed")


def test_a_revoked_certificate_renews_and_recovers_nothing(site, lamp, now):
    with site.writing() as connection:
        revoke(connection, LAMP, reason="key_compromise", actor="test", now=now)
    assert code(lamp.renew()) == (403, "certificate_refused")
    assert lamp.recover().json == {"error": "refused"}


def test_the_keys_of_others_are_refused(site, lamp, enrolled):
    other = enrolled("lamp-000002")
    assert code(lamp.renew(other.key)) == (400, "key_in_use")
    assert code(lamp.renew(site.device_ca.key)) == (400, "key_in_use")
    stranger = lamp.post("/v1/recover", certificate=b64(der(other.certificate)), csr=b64(make_csr(lamp.key)))
    assert (stranger.status_code, stranger.json) == (403, {"error": "refused"})
    named = lamp.post("/v1/renew", lamp.certificate, csr=b64(make_csr(new_key(), other.name)))
    assert code(named) == (400, "bad_name")


def test_a_device_whose_certificate_has_ended_recovers_with_its_key(site, lamp, clock):
    clock.now += YEAR + timedelta(days=100)
    answer = lamp.recover()
    assert answer.data == lamp.recover().data
    back = lamp.with_(answer).used()
    assert answer.json["not_after"] == text(clock.now + YEAR)
    assert back.get("/v1/whoami").json["renew"] is False
    assert [each["predecessor"] for each in chain(site, "recover")] == [f"{lamp.certificate.serial_number:x}"]
    assert site.findings() == ()


def test_recovery_ends_with_the_grace(lamp, clock):
    end = compat.not_after(lamp.certificate)
    clock.now = end + timedelta(days=180)
    assert lamp.recover().json == {"error": "refused"}
    clock.now = end + timedelta(days=180) - timedelta(seconds=1)
    assert lamp.recover().status_code == 200


def test_a_connection_that_outlives_its_certificate_opens_nothing(lamp, clock):
    clock.now = compat.not_after(lamp.certificate)
    for route in ("/v1/whoami", "/v1/trust-bundle"):
        assert code(lamp.get(route)) == (403, "certificate_refused")
    assert code(lamp.renew()) == (403, "certificate_refused")


def test_a_certificate_that_was_never_used_recovers_too(site, enrolled, clock):
    lamp = enrolled()
    clock.now += YEAR + timedelta(days=1)
    lamp.with_(lamp.recover()).used()
    assert site.findings() == ()


def test_every_refusal_of_a_recovery_is_the_same_answer(site, tmp_path, tmp_path_factory, lamp, enrolled, clock, now):
    template = tmp_path_factory.mktemp("other") / "template"
    other_fleet = make_gateway_site(tmp_path / "other", template).device_ca
    revoked, ended = enrolled("lamp-000002"), enrolled("lamp-000003")
    with site.writing() as connection:
        revoke(connection, "lamp-000002", reason="unspecified", actor="test", now=now)
    alike = site.device_ca.issue("device", lamp.key.public_key(), LAMP, now=now)
    again = site.device_ca.issue("device", lamp.key.public_key(), LAMP, now=now, serial=lamp.certificate.serial_number)
    foreign = other_fleet.issue("device", lamp.key.public_key(), LAMP, now=now)
    wrong = {
        "of another fleet": (b64(der(foreign)), lamp.key),
        "signed here and not in the ledger": (b64(der(alike)), lamp.key),
        "signed here once more": (b64(der(again)), lamp.key),
        "of another device": (b64(der(ended.certificate)), lamp.key),
        "revoked": (b64(der(revoked.certificate)), revoked.key),
        "no certificate": (b64(b"certificate"), lamp.key),
        "no base64": ("certificate", lamp.key),
        "cut off": (b64(der(lamp.certificate)[:-1]), lamp.key),
        "with something behind": (b64(der(lamp.certificate) + b"\0"), lamp.key),
    }
    answers = {
        name: lamp.post("/v1/recover", certificate=certificate, csr=b64(make_csr(key)))
        for name, (certificate, key) in wrong.items()
    }
    assert {(answer.status_code, answer.data) for answer in answers.values()} == {(403, b'{"error":"refused"}\n')}
    clock.now += 3 * YEAR
    assert ended.recover().data == b'{"error":"refused"}\n'


def test_what_is_wrong_with_a_request_is_said_without_a_word_of_the_certificate(lamp, enrolled):
    bad = b64(make_csr(new_key(), extensions=[x509.BasicConstraints(True, 0)]))
    for certificate in (b64(der(lamp.certificate)), b64(b"none")):
        assert code(lamp.post("/v1/recover", certificate=certificate, csr=bad)) == (400, "bad_extension")


@pytest.mark.parametrize("body", [{}, {"csr": 1}, {"certificate": "a"}, {"certificate": [], "csr": None}, []])
def test_a_body_that_is_none_is_a_400(lamp, body):
    for route, certificate in (("/v1/renew", lamp.certificate), ("/v1/recover", None)):
        answer = lamp.http.post(route, json=body, environ_overrides=environ("devices", certificate))
        assert code(answer) == (400, "bad_request")


def test_a_body_that_is_too_large_is_a_413(lamp):
    for route, certificate in (("/v1/renew", lamp.certificate), ("/v1/recover", None)):
        answer = lamp.http.post(route, data=b"x" * 9000, environ_overrides=environ("devices", certificate))
        assert answer.status_code == 413


def test_a_stranger_leaves_few_lines_in_the_journal_and_no_event(site, lamp, caplog):
    before = (site.root / "ledger.sqlite").read_bytes()
    answers = [lamp.post("/v1/recover", certificate=b64(b"x"), csr=b64(make_csr(new_key()))) for _ in range(30)]
    assert [answer.status_code for answer in answers] == [403] * PER_DEVICE + [429] * (30 - PER_DEVICE)
    assert 0 < int(answers[-1].headers["Retry-After"]) <= 61
    assert len([record for record in caplog.records if "refused" in record.message]) == PER_DEVICE
    assert (site.root / "ledger.sqlite").read_bytes() == before


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


def test_a_factory_identity_that_has_ended_recovers_and_is_asked_for_a_key_of_its_own(site, made, clock):
    clock.now += YEAR + timedelta(days=1)
    answer = made.recover()
    back = made.with_(answer)
    assert answer.json["renew_at"] == text(clock.now)
    who = back.get("/v1/whoami").json
    assert (who["renew"], who["new_key"]) == (True, True)
    assert code(back.renew()) == (409, "new_key_needed")
    assert back.renewed(new_key()).get("/v1/whoami").json["new_key"] is False
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


def test_a_wrong_clock_renews_and_recovers_nothing_and_keeps_nobody_out(site, enrolled, clock):
    lamp = enrolled()
    clock.now -= timedelta(days=400)
    for answer in (lamp.renew(), lamp.recover()):
        assert answer.status_code == 503
        assert "Retry-After" in answer.headers
    lamp.used()
    assert chain(site, "confirm") == []


def test_times_are_those_of_the_contract(lamp):
    assert datetime.strptime(lamp.renew().json["renew_at"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
