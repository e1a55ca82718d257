"""What a station may tell the gateway at the operators' listener, and that nobody else may."""

import base64
import hashlib
import json
from datetime import timedelta

import pytest

from fleetmint.ledger.devices import list_devices
from fleetmint.ledger.schema import events
from fleetmint.x509.authority import self_signed
from tests.support.gateway_site import board, environ, handover, make_csr, new_key, registration, token_entry

MAC = "24:0a:c4:00:00:01"


@pytest.fixture
def certificate(site, now):
    def make(name, profile="station"):
        return site.hierarchy.authority("operator").issue(profile, new_key().public_key(), name, now=now)

    return make


@pytest.fixture
def post(client, certificate):
    bench = certificate("bench@test")

    def run(path, data, who=bench, listener="operators", content_type="application/json"):
        return client.post(path, data=data, content_type=content_type, environ_overrides=environ(listener, who))

    return run


@pytest.fixture
def look(site):
    def run():
        with site.reading() as connection:
            rows = {each.device: each for each in list_devices(connection)}
            return rows, connection.execute(events.select()).all()

    return run


@pytest.fixture
def document(now):
    return registration([token_entry("lamp-000001", "t", now + timedelta(days=30))])


def requests(now, document):
    token = {"token_sha256": "a" * 64, "token_expires": f"{now + timedelta(days=9):%Y-%m-%dT%H:%M:%SZ}"}
    return [
        ("/v1/registrations", document),
        ("/v1/handovers", handover([board("lamp-000001", MAC, now)])),
        ("/v1/devices/lamp-000001/token", json.dumps(token)),
    ]


def test_a_station_registers_hands_over_and_gives_a_token_and_is_named_in_the_events(post, look, site, document, now):
    for path, data in requests(now, document):
        first, again = post(path, data), post(path, data)
        assert (first.status_code, first.json["changed"]) == (200, True), first.text
        assert (again.status_code, again.json["changed"]) == (200, False)
    rows, written = look()
    assert (rows["lamp-000001"].status, rows["lamp-000001"].mac) == ("registered", MAC)
    assert [(row.kind, row.actor) for row in written] == [
        (kind, "bench@test") for kind in ("import", "handover", "token")
    ]
    assert site.findings() == ()


def test_check_says_what_would_come_of_it_and_changes_nothing(post, look, document):
    answer = post("/v1/registrations?check=1", document)
    assert (answer.status_code, answer.json["changed"], answer.json["added"]) == (200, True, 1)
    assert look() == ({}, [])


@pytest.mark.parametrize(
    ("who", "status"),
    [
        ("operator", 403),
        ("dashboard", 403),
        ("nobody", 401),
        ("device", 403),
        ("other site", 403),
        ("other station", 403),
    ],
)
def test_only_the_station_may(post, look, site, certificate, document, now, who, status):
    device = site.device_ca.issue("device", new_key().public_key(), "lamp-000009", now=now)
    stranger = self_signed("test", "stranger", new_key(), now)
    shown = {
        "operator": certificate("alice@test", "operator"),
        "dashboard": certificate("wall@test", "dashboard"),
        "nobody": None,
        "device": device,
        "other site": stranger.issue("station", new_key().public_key(), "bench@test", now=now),
        # the profile alone is not enough: this gateway knows its stations by name
        "other station": certificate("second@test"),
    }[who]
    for path, data in requests(now, document):
        assert post(path, data, shown).status_code == status
    assert look() == ({}, [])


def test_at_the_devices_listener_there_is_no_such_route(post, document, now):
    for path, data in requests(now, document):
        assert post(path, data, listener="devices").status_code == 404


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", None])
def test_what_a_strangers_page_can_make_a_browser_send_is_refused(post, look, document, now, content_type):
    for path, data in requests(now, document):
        assert post(path, data, content_type=content_type).status_code == 415
    assert look() == ({}, [])


def test_what_is_refused_is_a_409_with_the_sentence_and_leaves_nothing(post, look, document, now):
    for path, data, words in [
        ("/v1/registrations", b"{", "not JSON"),
        ("/v1/registrations", registration([], site="other"), "site"),
        ("/v1/handovers", handover([board("lamp-000001", MAC, now)]), "register the batch first"),
        ("/v1/devices/lamp-000001/token", b"{}", "a token needs"),
        ("/v1/devices/LAMP/token", b'{"token_sha256": "a", "token_expires": "2027-11-22T00:00:00Z"}', "a token needs"),
        (
            "/v1/devices/lamp-000001/token",
            b'{"token_sha256": "a", "token_expires": "2027-11-22T00:00:00Z"}',
            "no device",
        ),
    ]:
        answer = post(path, data)
        assert answer.status_code == 409
        assert answer.json["error"] == "document_refused"
        assert words in answer.json["message"]
    assert post("/v1/registrations", b"x" * 70_000).status_code == 413
    assert look() == ({}, [])


@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_locked_ledger_is_no_refusal(post, site, document, now, monkeypatch, number):
    monkeypatch.setattr("fleetmint.ledger.engine.BUSY_SECONDS", 0.1)
    path, data = requests(now, document)[number]
    with site.writing():
        answer = post(path, data)
    assert (answer.status_code, answer.json["error"]) == (503, "unavailable")


def test_a_token_that_came_over_the_api_enrols(post, site, document, now, client):
    post("/v1/registrations", document)
    digest = hashlib.sha256(b"secret").hexdigest()
    expires = f"{now + timedelta(days=9):%Y-%m-%dT%H:%M:%SZ}"
    post("/v1/devices/lamp-000001/token", json.dumps({"token_sha256": digest, "token_expires": expires}))
    csr = base64.b64encode(make_csr(new_key())).decode()
    body = {"device": "lamp-000001", "token": "secret", "csr": csr}
    assert client.post("/v1/enrol", json=body, environ_overrides=environ("devices")).status_code == 200
