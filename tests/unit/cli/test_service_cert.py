"""`fleetmint service-cert`, as a person and a script use it."""

import json
import socket
import ssl

import pytest

from fleetmint.x509 import keys
from fleetmint.x509.authority import load_certificate
from tests.support.gateway_double import server_context, serving
from tests.support.gateway_site import make_csr

ASKED = ("service-cert", "grafana", "--san", "grafana.example", "--san", "192.0.2.9")


@pytest.fixture
def issued(state):
    content = json.loads((state / "site.json").read_text())
    content["gateways"] = {"gateway": {"host": "pi.example", "https_port": 8443, "mqtt_port": 8884}}
    (state / "site.json").write_text(json.dumps(content))
    return state / "issued/services"


def greeted_as(name, tls) -> bool:
    """Serve with the files in `tls`, and call it as a client that trusts ca.pem, without options of OpenSSL."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(tls / "ca.pem")
    with serving(server_context(tls / "cert.pem", tls / "key.pem"), lambda _connection: None) as port:
        plain = socket.create_connection(("127.0.0.1", port), timeout=10)
        with context.wrap_socket(plain, server_hostname=name) as connection:
            return connection.version() is not None


def test_it_is_made_without_a_question_and_again_without_a_change(fleetmint, issued, tmp_path_factory):
    tls = tmp_path_factory.mktemp("web") / "tls"
    said = fleetmint(*ASKED, "--to", tls, "--json")
    assert (said["changed"], said["sans"]) == (True, ["grafana.example", "192.0.2.9"])
    assert greeted_as("grafana.example", tls)
    with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
        greeted_as("gateway.example", tls)
    assert (tls / "key.pem").stat().st_mode & 0o777 == 0o600
    assert (tls / "ca.pem").read_bytes().startswith(b"-----BEGIN TRUSTED CERTIFICATE-----")
    again = fleetmint("service-cert", "grafana", "--json")
    assert (again["changed"], again["sans"], again["certificate"]) == (False, said["sans"], said["certificate"])
    assert fleetmint("audit", "--json")["findings"] == []
    rows = {row["name"]: row for row in fleetmint("ca", "show", "--json")["expiries"] if row["kind"] == "service"}
    assert "service-cert grafana" in rows["grafana"]["renew_with"][0]


def test_a_look_ahead_makes_nothing(fleetmint, issued):
    said = fleetmint(*ASKED, "--check", "--json")
    assert (said["changed"], said["reasons"]) == (True, ["grafana.crt: there is no grafana.crt yet"])
    assert not issued.exists()


def test_a_request_brings_its_own_key(fleetmint, issued, tmp_path):
    key = keys.new_key()
    (tmp_path / "web.csr").write_bytes(make_csr(key))
    said = fleetmint(
        "service-cert", "web", "--san", "web.example", "--csr", tmp_path / "web.csr", "--days", "90", "--json"
    )
    assert said["key"] is None
    assert keys.spki(load_certificate(issued / "web.crt").public_key()) == keys.spki(key.public_key())


def test_names_of_gateways_are_refused(fleetmint, issued, refused):
    for name in ("pi.example", "gateway.local"):  # what the site says, and what a certificate says
        refused(fleetmint("service-cert", "web", "--san", name), f"{name} is a name of a gateway", "name of its own")
    refused(fleetmint("service-cert", "web"), "there is no service web yet", "--san")
    assert not issued.exists()
