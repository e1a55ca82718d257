"""A CA whose key does not open."""

from fleetmint.errors import StateError
from fleetmint.service import resources
from tests.support.gateway_site import environ


def test_a_key_that_does_not_open_is_not_tried_again_with_each_request_of_a_stranger(client, monkeypatch):
    tries = []

    def load(*_):
        tries.append(1)
        raise StateError("it does not open")

    monkeypatch.setattr(resources.keeping, "load", load)
    monkeypatch.setattr(resources, "_TRY_AGAIN", 60.0)
    for _ in range(20):
        body = {"device": "lamp-000001", "token": "x", "csr": "AA=="}
        assert client.post("/v1/enrol", json=body, environ_overrides=environ("devices")).status_code == 503
    assert len(tries) == 1
