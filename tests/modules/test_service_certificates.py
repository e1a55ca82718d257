"""The play renews what `fleetmint service-cert` was asked for, and gives no gateway a name of a service."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from fleetmint.ca.create import plan_hierarchy
from fleetmint.ca.hierarchy import Hierarchy
from fleetmint.ca.services import Service, plan_service
from fleetmint.passphrases import open_source
from fleetmint.x509 import keys
from fleetmint.x509.authority import load_certificate
from tests.support.gateway_site import make_csr


@pytest.fixture
def issued(cas, tmp_path):
    """A site in which a service has a certificate that is not young any more."""
    then = datetime.now(UTC) - timedelta(days=100)
    hierarchy = Hierarchy(Path(cas["directory"]), cas["site"], open_source(cas["passphrases"]))
    plan_hierarchy(hierarchy, ["gateway"], then).apply()
    place = tmp_path / "state/issued"
    plan_service(hierarchy, place, Service("grafana", ("grafana.example",)), then).apply()
    return place


def test_what_is_no_longer_young_is_renewed_for_the_same_key_once(module, cas, issued, snapshot):
    before, serial = snapshot(), load_certificate(issued / "services/grafana.crt").serial_number
    asked = {**cas, "issued": str(issued)}
    assert module("service_certificates", "--check", **asked)[0]["changed"]
    assert snapshot() == before
    found, _ = module("service_certificates", "--diff", **asked)
    assert "it ends on" in found["reasons"][0]
    assert load_certificate(issued / "services/grafana.crt").serial_number != serial
    assert (issued / "services/grafana.key").read_bytes() == before[issued / "services/grafana.key"]
    assert not module("service_certificates", **asked)[0]["changed"]


def test_a_gateway_gets_no_name_of_a_service(module, cas, issued, tmp_path):
    (issued / "gateway").mkdir()
    (tmp_path / "nginx.csr").write_bytes(make_csr(keys.new_key()))
    wanted = {
        **cas,
        "request": str(tmp_path / "nginx.csr"),
        "certificate": str(issued / "gateway/nginx.crt"),
        "common_name": "gateway",
        "names": ["pi.example", "grafana.example"],
    }
    failed, _ = module("certificate", **wanted)
    assert "grafana.example is a name of the service grafana" in failed["msg"]
    assert not (issued / "gateway/nginx.crt").exists()
    assert module("certificate", **wanted | {"names": ["pi.example"]})[0]["changed"]
