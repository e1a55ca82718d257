"""A public key of a device at another gateway of the site is certified for nobody else here."""

import base64
from datetime import timedelta

import pytest
from cryptography import x509

from fleetmint.errors import RegistrationRefusedError
from fleetmint.x509.keys import spki_sha256
from tests.support.gateway_site import certificate_entry, environ, make_csr, new_key, registration

LAMP = "lamp-000001"


@pytest.fixture
def post(client, site, now):
    def run(data, who="bench@test", profile="station"):
        shown = site.hierarchy.authority("operator").issue(profile, new_key().public_key(), who, now=now)
        return client.post("/v1/public-keys", json=data, environ_overrides=environ("operators", shown))

    return run


@pytest.fixture
def enrol(client, site, now):
    def run(key, device=LAMP):
        token = site.register(now, device)[device]
        body = {"device": device, "token": token, "csr": base64.b64encode(make_csr(key)).decode()}
        return client.post("/v1/enrol", json=body, environ_overrides=environ("devices"))

    return run


def key_of(key, device, retired=False):
    return {"spki_sha256": spki_sha256(key.public_key()).hex(), "device": device, "retired": retired}


def brought(*keys, of="attic"):
    return {"of": of, "keys": list(keys)}


def test_the_key_of_a_device_at_another_gateway_is_refused_and_its_own_device_may_bring_it(post, enrol, site):
    theirs, moved = new_key(), new_key()
    first = post(brought(key_of(theirs, "sensor-000001"), key_of(moved, "lamp-000002")))
    assert (first.status_code, first.json) == (200, {"changed": True, "added": 2, "conflicts": []})
    assert not post(brought(key_of(theirs, "sensor-000001"), key_of(moved, "lamp-000002"))).json["changed"]
    refused = enrol(theirs)
    assert (refused.status_code, refused.json["error"]) == (400, "key_in_use")
    assert enrol(new_key()).status_code == 200
    assert enrol(moved, "lamp-000002").status_code == 200
    assert site.findings() == ()


def test_a_renewal_cannot_bring_it_either(post, enrol, client, site, now):
    key, theirs = new_key(), new_key()
    answer = enrol(key)
    post(brought(key_of(theirs, "sensor-000001")))
    issued = _certificate(answer)
    csr = base64.b64encode(make_csr(theirs)).decode()
    renewal = client.post("/v1/renew", json={"csr": csr}, environ_overrides=environ("devices", issued))
    assert (renewal.status_code, renewal.json["error"]) == (400, "key_in_use")


def _certificate(answer):
    return x509.load_der_x509_certificate(base64.b64decode(answer.json["certificate"]))


def test_a_key_that_was_retired_elsewhere_serves_its_own_device_no_more(post, enrol):
    key = new_key()
    assert post(brought(key_of(key, LAMP))).json["added"] == 1
    assert post(brought(key_of(key, LAMP, retired=True))).json["added"] == 1
    assert not post(brought(key_of(key, LAMP))).json["changed"]
    refused = enrol(key)
    assert (refused.status_code, refused.json["error"]) == (400, "key_retired")


def test_a_key_that_two_devices_have_already_is_told_and_found_by_the_audit(post, enrol, site):
    key = new_key()
    assert enrol(key).status_code == 200
    (conflict,) = post(brought(key_of(key, "sensor-000001"))).json["conflicts"]
    assert (conflict["here"], conflict["there"]) == (LAMP, "sensor-000001")
    (finding,) = site.findings()
    assert "sensor-000001" in finding
    assert "revoke" in finding


def test_the_factory_cannot_register_it(post, site, now):
    key = new_key()
    post(brought(key_of(key, "sensor-000001")))
    leaf = site.hierarchy.authority("factory").issue("factory-device", key.public_key(), LAMP, now=now)
    with pytest.raises(RegistrationRefusedError, match="sensor-000001"):
        site.import_(registration([certificate_entry(LAMP, leaf)]), now + timedelta(seconds=1))


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"of": "attic"},
        {"of": "attic", "keys": {}},
        {"of": "A", "keys": []},
        {"of": "gateway", "keys": []},
        {"of": "attic", "keys": [1]},
        {"of": "attic", "keys": [{"spki_sha256": "x", "device": LAMP, "retired": False}]},
        {"of": "attic", "keys": [{"spki_sha256": "a" * 64, "device": "A", "retired": False}]},
        {"of": "attic", "keys": [{"spki_sha256": "a" * 64, "device": LAMP, "retired": 0}]},
    ],
)
def test_what_are_no_keys_is_refused_whole(post, data):
    answer = post(data)
    assert (answer.status_code, answer.json["error"]) == (409, "document_refused")


def test_only_a_station_brings_keys(post):
    assert post(brought(), who="alice@test", profile="operator").status_code == 403
