"""POST /v1/recover: who comes back with a certificate that has ended, and who does not."""

from datetime import timedelta

from cryptography import x509

from fleetmint.ledger.revocation import revoke
from fleetmint.service.limiter import PER_DEVICE
from fleetmint.x509 import compat
from tests.support.gateway_site import (
    der,
    engine,
    make_csr,
    make_gateway_site,
    new_key,
)
from tests.support.renewing import LAMP, YEAR, b64, chain, clock, code, enrolled, http, lamp, made, text

__all__ = ["clock", "engine", "enrolled", "http", "lamp", "made"]


def test_a_superseded_certificate_recovers_nothing_and_is_heard_of(site, lamp, clock):
    lamp.renewed(new_key()).used()
    clock.now += timedelta(days=400)
    assert (lamp.recover().status_code, lamp.recover().json) == (403, {"error": "refused"})
    assert len(chain(site, "clone-alarm")) == 1


def test_a_revoked_certificate_renews_and_recovers_nothing(site, lamp, now):
    with site.writing() as connection:
        revoke(connection, LAMP, reason="key_compromise", actor="test", now=now)
    assert code(lamp.renew()) == (403, "certificate_refused")
    assert lamp.recover().json == {"error": "refused"}


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


def test_a_stranger_leaves_few_lines_in_the_journal_and_no_event(site, lamp, caplog):
    before = (site.root / "ledger.sqlite").read_bytes()
    answers = [lamp.post("/v1/recover", certificate=b64(b"x"), csr=b64(make_csr(new_key()))) for _ in range(30)]
    assert [answer.status_code for answer in answers] == [403] * PER_DEVICE + [429] * (30 - PER_DEVICE)
    assert 0 < int(answers[-1].headers["Retry-After"]) <= 61
    assert len([record for record in caplog.records if "refused" in record.message]) == PER_DEVICE
    assert (site.root / "ledger.sqlite").read_bytes() == before


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


def test_a_wrong_clock_renews_and_recovers_nothing_and_keeps_nobody_out(site, enrolled, clock):
    lamp = enrolled()
    clock.now -= timedelta(days=400)
    for answer in (lamp.renew(), lamp.recover()):
        assert answer.status_code == 503
        assert "Retry-After" in answer.headers
    lamp.used()
    assert chain(site, "confirm") == []
