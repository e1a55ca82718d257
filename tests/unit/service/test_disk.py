"""A disk that is nearly full: nothing new is begun, and what ends something still is."""

import base64
import os
from datetime import timedelta
from types import SimpleNamespace

import pytest
from cryptography import x509

from fleetmint.gateway.config import load_config
from fleetmint.service.app import create_app
from tests.support.gateway_site import board, environ, handover, make_csr, new_key, registration, token_entry

LAMP, MAC = "lamp-000001", "24:0a:c4:00:00:01"


@pytest.fixture
def free(monkeypatch):
    """Let so many MiB be free, by what the system says of the place of the ledger."""
    asked = []

    def leave(mebibytes):
        def statvfs(place):
            asked.append(place)
            return SimpleNamespace(f_bavail=mebibytes * 256, f_frsize=4096)

        monkeypatch.setattr(os, "statvfs", statvfs)
        return asked

    return leave


@pytest.fixture
def enrol(client):
    def run(token, key):
        body = {"device": LAMP, "token": token, "csr": base64.b64encode(make_csr(key)).decode()}
        return client.post("/v1/enrol", json=body, environ_overrides=environ("devices"))

    return run


@pytest.fixture
def post(client, site, now):
    bench = site.hierarchy.authority("operator").issue("station", new_key().public_key(), "bench@test", now=now)

    def run(path, data):
        body = {"json": data} if isinstance(data, dict) else {"data": data, "content_type": "application/json"}
        return client.post(path, **body, environ_overrides=environ("operators", bench))

    return run


def test_nobody_enrols_or_renews_until_there_is_room_again(client, site, enrol, free, now, caplog):
    token, key = site.register(now, LAMP)[LAMP], new_key()
    asked = free(63)
    answer = enrol(token, key)
    assert (answer.status_code, answer.json["error"]) == (503, "unavailable")
    assert int(answer.headers["Retry-After"]) > 0
    assert "63 MiB are free for the ledger, and 64 are kept" in caplog.text
    assert asked == [site.root]
    free(64)
    issued = x509.load_der_x509_certificate(base64.b64decode(enrol(token, key).json["certificate"]))
    free(63)
    csr = base64.b64encode(make_csr(new_key())).decode()
    renewal = client.post("/v1/renew", json={"csr": csr}, environ_overrides=environ("devices", issued))
    assert renewal.status_code == 503
    whoami = client.get("/v1/whoami", environ_overrides=environ("devices", issued))
    assert whoami.status_code == 200
    assert site.findings() == ()


def test_a_station_registers_nothing_and_revokes_hands_over_and_takes_back(post, site, free, now):
    site.register(now, LAMP, "lamp-000002")
    free(1)
    more = registration([token_entry("lamp-000003", "t", now + timedelta(days=9))])
    assert post("/v1/registrations", more).status_code == 503
    assert post("/v1/revocations", {"devices": [LAMP]}).json["changed"]
    back = handover([board("lamp-000002", MAC, now, "returned")])
    assert post("/v1/handovers", back).json["revoked"] == 1
    with site.reading() as connection:
        states = connection.exec_driver_sql("select status from devices order by device").scalars().all()
    assert states == ["revoked", "revoked"]


def test_how_much_is_kept_is_a_matter_of_the_configuration(site, now, free):
    site.config_path.write_text(site.config_path.read_text() + "disk_reserve_mib = 0\n")
    client = create_app(load_config(site.config_path)).test_client()
    token = site.register(now, LAMP)[LAMP]
    free(0)
    body = {"device": LAMP, "token": token, "csr": base64.b64encode(make_csr(new_key())).decode()}
    assert client.post("/v1/enrol", json=body, environ_overrides=environ("devices")).status_code == 200
