"""What a load balancer is told: ok means that a device could enrol now."""

import base64
import logging
import shutil
from datetime import timedelta

import pytest

from fleetmint import timekeeping
from fleetmint.gateway import disk
from fleetmint.service import health
from fleetmint.service.app import create_app
from tests.support.gateway_site import environ, make_csr, new_key

OK, NOT_OK = (200, "ok\n"), (503, "not ok\n")


@pytest.fixture(autouse=True)
def _looking_each_time(monkeypatch):
    monkeypatch.setattr(health, "SECONDS", 0)


def ask(client, listener="devices", **options):
    answer = client.get("/healthz", environ_overrides=environ(listener), **options)
    return answer.status_code, answer.text


def enrols(client, token):
    body = {"device": "lamp-000001", "token": token, "csr": base64.b64encode(make_csr(new_key())).decode()}
    return client.post("/v1/enrol", json=body, environ_overrides=environ("devices")).status_code


@pytest.fixture
def token(site, now):
    return site.register(now, "lamp-000001")["lamp-000001"]


def test_a_gateway_that_can_enrol_says_ok_at_every_listener_and_nothing_else(client, token):
    assert {listener: ask(client, listener) for listener in ("devices", "operators", "local")} == dict.fromkeys(
        ("devices", "operators", "local"), OK
    )
    assert enrols(client, token) == 200


def full(site, monkeypatch):
    monkeypatch.setattr(disk, "free_bytes", lambda config: 63 * 2**20)


def no_ledger(site, monkeypatch):
    (site.root / "ledger.sqlite").unlink()


def newer_ledger(site, monkeypatch):
    with site.writing() as connection:
        connection.exec_driver_sql("update alembic_version set version_num = '9917'")


def damaged_ledger(site, monkeypatch):
    for file in site.root.glob("ledger.sqlite*"):
        file.write_bytes(b"x" * 8192)


def no_ca(site, monkeypatch):
    shutil.rmtree(site.config.device_ca)


def unkept_clock(site, monkeypatch):
    monkeypatch.setattr(timekeeping, "kept", lambda: "")


@pytest.mark.parametrize("harm", [full, no_ledger, newer_ledger, damaged_ledger, no_ca, unkept_clock])
def test_a_gateway_that_cannot_says_not_ok_and_the_journal_why_once(site, token, monkeypatch, caplog, harm):
    harm(site, monkeypatch)
    client = create_app(site.config).test_client()
    with caplog.at_level(logging.INFO):
        assert [ask(client) for _ in range(3)] == [NOT_OK] * 3
    assert len([record for record in caplog.records if "no device could enrol" in record.message]) == 1
    assert enrols(client, token) == 503


def test_a_ledger_that_is_taken_away_from_under_the_service_is_seen(client, site):
    assert ask(client) == OK
    (site.root / "ledger.sqlite").rename(site.root / "elsewhere")
    assert ask(client) == NOT_OK
    (site.root / "elsewhere").rename(site.root / "ledger.sqlite")
    assert ask(client) == OK


def test_a_clock_before_the_latest_row_is_seen(site, token, now):
    early = create_app(site.config, clock=lambda: now - timedelta(seconds=30)).test_client()
    assert ask(early) == NOT_OK
    assert enrols(early, token) == 503


def test_a_device_ca_that_has_ended_is_seen(site, now):
    late = create_app(site.config, clock=lambda: now + timedelta(days=365 * 60)).test_client()
    assert ask(late) == NOT_OK


def test_asked_often_it_looks_once_a_second(client, monkeypatch):
    monkeypatch.setattr(health, "SECONDS", 60)
    assert ask(client) == OK
    monkeypatch.setattr(health, "problems", None)
    assert [ask(client) for _ in range(50)] == [OK] * 50


def test_asking_writes_nothing_and_waits_for_no_writer(client, site, token):
    before = (site.root / "ledger.sqlite").read_bytes()
    with site.writing():
        assert ask(client) == OK
    assert (site.root / "ledger.sqlite").read_bytes() == before
