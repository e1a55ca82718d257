"""Two gateways with ledgers of their own are told each other's keys."""

import base64
import json
from dataclasses import replace
from types import SimpleNamespace

import pytest

from fleetmint.service.app import create_app
from fleetmint.site import shared_keys
from tests.support.gateway_site import environ, make_csr, make_gateway_site, new_key

LAMP, SENSOR = "lamp-000001", "sensor-000001"


class Double:
    """A gateway as the controller reaches it, without the network in between."""

    def __init__(self, name, there, now):
        self.name, self.there, self.now = name, there, now
        self.app = create_app(replace(there.config, gateway=name))
        station = there.hierarchy.authority("operator").issue("station", new_key().public_key(), "bench@test", now=now)
        self._environ = environ("operators", station)

    def get(self, path):
        return self._said(self.app.test_client().get(path, environ_overrides=self._environ))

    def post(self, path, document):
        answer = self.app.test_client().post(
            path, data=document, content_type="application/json", environ_overrides=self._environ
        )
        return self._said(answer)

    @staticmethod
    def _said(answer):
        assert answer.status_code == 200, answer.text
        return json.loads(answer.data)

    def enrol(self, device, key):
        token = self.there.register(self.now, device)[device]
        body = {"device": device, "token": token, "csr": base64.b64encode(make_csr(key)).decode()}
        answer = self.app.test_client().post("/v1/enrol", json=body, environ_overrides=environ("devices"))
        return answer.status_code, answer.json.get("error")


@pytest.fixture
def gateways(tmp_path, tmp_path_factory, now, monkeypatch):
    template = tmp_path_factory.getbasetemp() / "gateway-template"
    found = {name: Double(name, make_gateway_site(tmp_path / name, template), now) for name in ("attic", "cellar")}
    monkeypatch.setattr(shared_keys, "open_gateway", lambda site, operator, name: found[name])
    yield found
    for each in found.values():
        each.app.extensions["fleetmint"].close()


def share(*names):
    return [
        (each.gateway, each.added, each.conflicts) for each in shared_keys.share(SimpleNamespace(gateways=names), None)
    ]


def test_a_key_that_one_gateway_has_certified_is_refused_by_the_other(gateways, monkeypatch):
    monkeypatch.setattr(shared_keys, "_PAGE", 1)
    monkeypatch.setattr(shared_keys, "_AT_ONCE", 1)
    keys = [new_key(), new_key()]
    for number, key in enumerate(keys):
        assert gateways["attic"].enrol(f"lamp-00000{number}", key) == (200, None)
    assert share("attic", "cellar") == [("attic", 0, ()), ("cellar", 2, ())]
    assert share("attic", "cellar") == [("attic", 0, ()), ("cellar", 0, ())]
    assert [gateways["cellar"].enrol(SENSOR, key) for key in keys] == [(400, "key_in_use")] * 2


def test_what_was_certified_twice_before_is_said_of_both(gateways):
    key = new_key()
    assert gateways["attic"].enrol(LAMP, key) == (200, None)
    assert gateways["cellar"].enrol(SENSOR, key) == (200, None)
    (_, _, (first,)), (_, _, (second,)) = share("attic", "cellar")
    assert f"{LAMP} at attic and {SENSOR} at cellar" in first
    assert f"{SENSOR} at cellar and {LAMP} at attic" in second


def test_one_gateway_has_nobody_to_share_with(gateways):
    gateways["attic"].enrol(LAMP, new_key())
    assert share("attic") == [("attic", 0, ())]
