"""Why a gateway was not heard, by real servers: each cause by its name, and "is the gateway up?" for silence alone."""

import errno
import socket
import ssl
from datetime import timedelta

import pytest

from fleetmint.bench.readings import readings
from fleetmint.ca.leaves import plan_client
from fleetmint.errors import FleetmintError
from fleetmint.site.client import Gateway
from fleetmint.site.state import Site
from fleetmint.site.unreachable import why
from fleetmint.x509 import keys
from fleetmint.x509.authority import pem, self_signed
from tests.support.gateway_double import http, reply, server_context, serving

# paho leaves its socket to the garbage when a handshake fails
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
UP = "is the gateway up"


@pytest.fixture
def asked(hierarchy, tmp_path, now):
    """What a command says of a server; the operator's own files are in order."""
    plan_client(hierarchy, "operator", "alice@test", tmp_path / "issued/operators", now).apply()

    def run(port, host="127.0.0.1", mqtt=False):
        gateway = Gateway(Site(tmp_path), "gateway", "alice@test", host, port, port)
        with pytest.raises(FleetmintError) as caught:
            list(readings(gateway, 20)) if mqtt else gateway.get("/v1/devices")
        return str(caught.value)

    return run


@pytest.fixture
def server(hierarchy, tmp_path, now):
    """A context for a server whose certificate is of this CA, for these names, and was made then."""

    def make(authority=None, names=("127.0.0.1", "localhost"), then=timedelta(), client_ca=None):
        authority, key = authority or hierarchy.authority("server"), keys.new_key()
        leaf = authority.issue("server", key.public_key(), names[0], now=now + then, sans=names)
        (tmp_path / "leaf.pem").write_bytes(pem(leaf))
        (tmp_path / "leaf.key").write_bytes(keys.plain_pem(key))
        return server_context(tmp_path / "leaf.pem", tmp_path / "leaf.key", client_ca)

    return make


@pytest.mark.parametrize("mqtt", [False, True], ids=["https", "mqtt"])
def test_silence_alone_asks_whether_the_gateway_is_up(asked, mqtt):
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        port = nobody.getsockname()[1]
    said = asked(port, mqtt=mqtt)
    assert f"nothing answers at 127.0.0.1:{port} (connection refused)" in said
    assert UP in said


@pytest.mark.parametrize("mqtt", [False, True], ids=["https", "mqtt"])
def test_a_name_that_nobody_knows_is_told(asked, mqtt):
    said = asked(1, host="gateway.invalid", mqtt=mqtt)
    assert "does not know the name gateway.invalid" in said
    assert UP not in said


@pytest.mark.parametrize("mqtt", [False, True], ids=["https", "mqtt"])
@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("early", "is not valid yet: the clock of this computer says"),
        ("ended", "has ended: the clock of this computer says"),
        ("name", "is for other names than 127.0.0.1: put this one into fleet_gateway_names"),
        ("ca", "does not come from a server CA of this site"),
        ("plain", "does not speak TLS"),
    ],
)
def test_a_certificate_that_is_not_right_is_told_with_what_to_do(asked, server, now, mqtt, kind, words):
    context = None
    if kind == "ca":
        context = server(self_signed("test", "another CA", keys.new_key(), now))
    elif kind != "plain":
        options = {"name": {"names": ("gateway.local",)}}.get(kind, {})
        context = server(**options)
    handle = (
        (lambda connection: connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n"))
        if kind == "plain"
        else (lambda _: None)
    )
    with serving(context, handle) as port:
        if kind in ("early", "ended"):
            error = ssl.SSLCertVerificationError("x")
            error.verify_code, error.verify_message = {"early": 9, "ended": 10}[kind], "x"
            said = why(error, Gateway(None, "gateway", "alice@test", "127.0.0.1", port, port), port)
        else:
            said = asked(port, mqtt=mqtt)
    assert words in said
    assert UP not in said


def test_a_broker_that_does_not_know_the_operators_ca_is_told_by_its_alert(asked, server, hierarchy):
    with serving(server(client_ca=hierarchy.directory / "factory/ca.crt"), lambda c: c.recv(1)) as port:
        said = asked(port, mqtt=True)
    assert "the certificate of alice@test comes from a CA that it does not know" in said
    assert "operator list" in said


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (
            "401 Unauthorized",
            b"<title>Refused</title>\n<p>Hello, the client certificate was refused: certificate revoked.</p>",
            "was refused: certificate revoked",
        ),
        (
            "403 Forbidden",
            b'{"error": "x", "message": "alice is no \\u001b[2Jstation"}',
            r"answered 403 to alice@test: alice is no",
        ),
        ("404 Not Found", b"{}", "an older version"),
        ("500 Internal Server Error", b"", "answered 500"),
        (
            "503 Service Unavailable",
            b'{"message": "not now, try again later"}',
            "not now, try again later; try again in 5 s",
        ),
        ("200 OK", b"<html>", "sends no JSON"),
    ],
)
def test_an_answer_is_told_as_what_it_is(asked, server, status, body, words):
    with serving(server(), http(lambda _: reply(status, body, "Retry-After: 5"), [])) as port:
        said = asked(port)
    assert words in said
    assert UP not in said


def test_what_speaks_no_http_or_hangs_up_is_told(asked, server):
    with serving(server(), lambda c: c.sendall(b"220 smtp ready\r\n")) as port:
        assert "does not speak HTTP" in asked(port)
    with serving(server(), lambda c: c.recv(1000)) as port:
        assert "hangs up" in asked(port)


@pytest.mark.parametrize("number", [errno.EHOSTUNREACH, errno.ENETUNREACH, errno.ETIMEDOUT])
def test_no_route_and_time_out_are_silence(number):
    gateway = Gateway(None, "gateway", "alice@test", "192.0.2.1", 8443, 8884)
    assert UP in why(OSError(number, "No route to host"), gateway, 8443)
    assert "timed out" in why(TimeoutError(), gateway, 8443)


@pytest.mark.parametrize(("host", "name"), [("pi.example", "pi.example"), ("2001:db8::7", "[2001:db8::7]")])
def test_an_address_is_called_as_urls_have_it(tmp_path, host, name):
    gateway = Gateway(Site(tmp_path), "gateway", "alice@test", host, 8443, 8884)
    assert gateway.url("/v1/devices") == f"https://{name}:8443/v1/devices"
