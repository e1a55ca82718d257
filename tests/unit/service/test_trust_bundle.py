"""The route of the trust bundle: for devices with a certificate, and never another file than the controller's."""

import shutil

import pytest

from tests.support.gateway_site import certificate_entry, environ, new_key, registration

PATH = "/v1/trust-bundle"


@pytest.fixture
def lamp(site, now):
    leaf = site.hierarchy.authority("factory").issue("factory-device", new_key().public_key(), "lamp-000001", now=now)
    site.import_(registration([certificate_entry("lamp-000001", leaf)]), now)
    return leaf


@pytest.fixture
def bundle(site) -> bytes:
    shutil.copy(site.hierarchy.directory / "bundle.bin", site.config.trust_bundle)
    return site.config.trust_bundle.read_bytes()


def get(client, listener, certificate=None, path=PATH, **headers):
    return client.get(path, environ_overrides=environ(listener, certificate), headers=headers)


def test_a_device_gets_the_bundle_bit_for_bit_with_its_version(client, lamp, bundle):
    answer = get(client, "devices", lamp)
    assert (answer.status_code, answer.data) == (200, bundle)
    assert answer.headers["Fleetmint-Trust-Bundle"] == "0.1"
    assert answer.headers["ETag"] == '"0.1"'
    assert answer.mimetype == "application/octet-stream"


def test_a_device_that_has_it_gets_a_304(client, lamp, bundle):
    answer = get(client, "devices", lamp, **{"If-None-Match": '"0.1"'})
    assert (answer.status_code, answer.data) == (304, b"")
    assert get(client, "devices", lamp, **{"If-None-Match": '"0.2"'}).status_code == 200


def test_the_greeting_tells_a_device_which_bundle_there_is_and_nobody_else(client, lamp, bundle):
    assert get(client, "devices", lamp, "/").headers["Fleetmint-Trust-Bundle"] == "0.1"
    assert "Fleetmint-Trust-Bundle" not in get(client, "devices", None, "/").headers


def test_it_takes_the_certificate_of_a_device(client, site, now, lamp, bundle):
    alice = site.hierarchy.authority("operator").issue("operator", new_key().public_key(), "alice@test", now=now)
    assert get(client, "devices").status_code == 401
    assert get(client, "devices", alice).status_code == 403
    assert get(client, "operators", alice).status_code == 404


def test_without_a_bundle_the_answer_is_a_404_with_a_sentence_and_the_greeting_still_works(client, lamp):
    answer = get(client, "devices", lamp)
    assert (answer.status_code, answer.json["error"]) == (404, "no_trust_bundle")
    assert "this gateway has no trust bundle" in answer.json["message"]
    greeting = get(client, "devices", lamp, "/")
    assert greeting.status_code == 200
    assert "Fleetmint-Trust-Bundle" not in greeting.headers


def test_a_damaged_bundle_is_not_delivered_and_the_greeting_still_works(client, site, lamp, bundle, caplog):
    site.config.trust_bundle.write_bytes(bundle[:-1])
    assert get(client, "devices", lamp).status_code == 404
    assert get(client, "devices", lamp, "/").status_code == 200
    assert "bundle.bin ends early" in caplog.text


def test_a_new_bundle_is_delivered_without_a_restart(client, site, now, lamp, bundle):
    from fleetmint.trust.bundle import plan_bundle

    get(client, "devices", lamp)
    plan_bundle(site.hierarchy.directory, "test", site.hierarchy.source, now, force=True).apply()
    shutil.copy(site.hierarchy.directory / "bundle.bin", site.config.trust_bundle)
    assert get(client, "devices", lamp).headers["ETag"] == '"0.2"'
