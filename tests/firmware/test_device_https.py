"""The HTTPS client against real TLS servers: what it accepts, and what it refuses and why."""

import contextlib
import time
from dataclasses import replace
from datetime import timedelta

import pytest

from fleetmint.x509.authority import Authority, pem
from tests.support.firmware_site import issuing
from tests.support.gateway_double import http, reply, server_context, serving

pytestmark = pytest.mark.micropython

GET = """
import asyncio
from agent import https, stream
from agent.errors import *
certificate, key = [bytes.fromhex(part) for part in identity] if identity else (None, None)
try:
    context = stream.context([bytes.fromhex(anchor) for anchor in anchors], certificate, key)
    r = asyncio.run(https.request(context, host, port, "GET", "/", within=within))
    result([r.status, r.body.decode(), r.headers.get("retry-after")])
except Problem as error:
    result([type(error).__name__, str(error)])
"""


def get(board, site, port, *, host="localhost", identity=None, within=5000):
    material = [identity.der.hex(), identity.key_der.hex()] if identity else None
    given = {
        "anchors": [anchor.hex() for anchor in site.anchors],
        "host": host,
        "port": port,
        "identity": material,
        "within": within,
    }
    return board.run(GET, **given)


@pytest.fixture
def server(site, tmp_path):
    """Serve one raw reply over TLS with a certificate for `names`."""
    with contextlib.ExitStack() as stack:

        def start(raw, *names, client_ca=None, ask=False, **dates):
            chain, key = site.server(*(names or ("localhost", "127.0.0.1")), **dates).files(tmp_path / "server")
            trust = None
            if client_ca is not None:
                trust = tmp_path / "trust.pem"
                trust.write_bytes(pem(client_ca))
            answer = raw if callable(raw) else lambda request: raw
            return stack.enter_context(serving(server_context(chain, key, trust, ask=ask), http(answer, [])))

        yield start


def test_a_reply_with_a_length_arrives(board, site, server):
    assert get(board, site, server(reply("200 OK", b"hello"))) == [200, "hello", None]


def test_a_chunked_reply_arrives(board, site, server):
    raw = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2;x=y\r\nlo\r\n0\r\nTrailer: 1\r\n\r\n"
    assert get(board, site, server(raw)) == [200, "hello", None]


def test_an_interim_reply_is_skipped(board, site, server):
    raw = b"HTTP/1.1 100 Continue\r\n\r\n" + reply("200 OK", b"hello")
    assert get(board, site, server(raw)) == [200, "hello", None]


def test_a_reply_without_a_body_arrives(board, site, server):
    assert get(board, site, server(b"HTTP/1.1 204 No Content\r\n\r\n")) == [204, "", None]


def test_an_error_is_a_reply_too(board, site, server):
    raw = reply("503 Service Unavailable", b"later", "Retry-After: 17")
    assert get(board, site, server(raw)) == [503, "later", "17"]


def test_a_server_named_by_its_address_is_accepted(board, site, server):
    assert get(board, site, server(reply("200 OK", b"hello")), host="127.0.0.1")[0] == 200


SAYS = """
import asyncio
from agent import https
class Stream:
    @staticmethod
    async def open(context, host, port, within):
        return Stream()
    async def write(self, data, within):
        result([data.decode().split("\\r\\n")[1]])
        raise SystemExit
    def close(self):
        pass
https.Stream = Stream
asyncio.run(https.request(None, host, 443, "GET", "/"))
"""


@pytest.mark.parametrize(("host", "name"), [("pi.example", "pi.example"), ("2001:db8::7", "[2001:db8::7]")])
def test_a_server_is_called_as_it_is_in_a_url(board, host, name):
    assert board.run(SAYS, host=host) == [f"Host: {name}:443"]


def test_a_server_of_another_ca_is_refused(board, foreign_site, server):
    kind, text = get(board, foreign_site, server(reply("200 OK")))
    assert kind == "Problem"
    assert "not trusted" in text
    assert "trusted CA" in text


def test_a_server_of_another_ca_under_the_same_root_is_refused(board, site, server):
    # What devices trust is the server CA: another CA of the same root is none of them.
    other = replace(site, server_ca=issuing(site.root, "server-ca", site.made))
    assert "trusted CA" in get(board, other, server(reply("200 OK")))[1]


def test_a_server_that_a_stolen_device_ca_made_is_refused(board, site, tmp_path):
    stolen = replace(site, server_ca=Authority(site.device_ca.certificate, site.device_ca.key))
    chain, key = stolen.server("localhost").files(tmp_path / "forged")
    with serving(server_context(chain, key), http(lambda request: reply("200 OK"), [])) as port:
        assert "not trusted" in get(board, site, port)[1]


def test_a_server_of_another_name_is_refused(board, site, server):
    kind, text = get(board, site, server(reply("200 OK"), "gateway.example"))
    assert kind == "Problem"
    assert "does not match" in text


def test_a_name_is_not_matched_by_the_common_name_alone(board, site, server):
    # The CN of this certificate is the other name; only the alternative names count.
    assert "does not match" in get(board, site, server(reply("200 OK"), "gateway.example", "127.0.0.1"))[1]


def test_an_expired_server_is_refused_as_a_matter_of_time(board, site, server):
    port = server(reply("200 OK"), now=site.made - timedelta(days=500), lifetime=timedelta(days=396))
    kind, text = get(board, site, port)
    assert kind == "WrongTime"
    assert "expired" in text


def test_a_server_of_the_future_is_refused_as_a_matter_of_time(board, site, server):
    kind, text = get(board, site, server(reply("200 OK"), now=site.made + timedelta(days=5)))
    assert kind == "WrongTime"
    assert "future" in text


def test_the_device_shows_its_certificate(board, site, tmp_path):
    chain, key = site.server("localhost").files(tmp_path / "server")
    trust = tmp_path / "trust.pem"
    trust.write_bytes(pem(site.device_ca.certificate))
    seen = []
    with serving(server_context(chain, key, trust), http(lambda request: reply("200 OK"), seen)) as port:
        assert get(board, site, port, identity=site.device())[0] == 200
    assert [request.client for request in seen] == ["pump-0001"]


def test_a_refused_client_certificate_is_a_closed_connection(board, site, foreign_site, server):
    port = server(reply("200 OK"), client_ca=site.device_ca.certificate)
    assert get(board, site, port, identity=foreign_site.device())[0] == "Dropped"


def test_a_missing_client_certificate_is_a_closed_connection(board, site, server):
    port = server(reply("200 OK"), client_ca=site.device_ca.certificate)
    assert get(board, site, port)[0] == "Dropped"


def test_a_certificate_that_cannot_be_read_is_told_before_connecting(board, site):
    class Damaged:
        der = key_der = b"\x30\x03\x02\x01\x00"

    assert get(board, site, 1, identity=Damaged) == ["Refused", "the certificate or key in the NVS cannot be read"]


@pytest.mark.parametrize(
    "raw",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Le",
        b"",
    ],
    ids=["body", "chunk", "last chunk", "head", "nothing"],
)
def test_a_truncated_reply_is_refused(board, site, server, raw):
    kind, text = get(board, site, server(raw))
    # Where the reply and the end arrive together, what follows is seen as a closed connection.
    assert (kind, text) in [
        ("Problem", "the gateway's reply ends early"),
        ("Dropped", "the gateway closed the connection"),
    ]


@pytest.mark.parametrize(
    "raw",
    [
        b"HTTP/1.1 200 OK\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1_0\r\n\r\n0123456789",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0x5\r\nhello\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhello\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        b"SSH-2.0-OpenSSH\r\n\r\n",
        b"HTTP/1.1 2x0 OK\r\n\r\n",
    ],
)
def test_a_reply_of_unclear_length_or_form_is_refused(board, site, server, raw):
    assert get(board, site, server(raw))[0] == "Problem"


@pytest.mark.parametrize(
    "raw",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1000\r\n" + b"x" * 4096 + b"\r\n1001\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 5000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: x\r\n" * 2000 + b"\r\n",
        b"x" * 100000,
    ],
)
def test_a_reply_that_is_too_long_is_refused(board, site, server, raw):
    kind, text = get(board, site, server(raw))
    assert kind == "Problem"
    assert "too long" in text


def test_a_server_that_never_answers_is_given_up(board, site, server):
    port = server(lambda request: time.sleep(3) or b"")
    started = time.monotonic()
    assert get(board, site, port, within=300) == ["Problem", "the gateway does not answer"]
    assert time.monotonic() - started < 2


def test_a_server_that_never_shakes_hands_is_given_up(board, site):
    with serving(None, lambda connection: time.sleep(3)) as port:
        assert get(board, site, port, within=300) == ["Problem", "the gateway does not answer"]


def test_a_closed_port_is_told(board, site):
    assert "connection refused" in get(board, site, 1)[1]


def test_a_name_that_does_not_exist_is_told(board, site):
    kind, text = get(board, site, 443, host="no-such-host.invalid")
    assert kind == "Problem"
    assert text == "the network does not know the name no-such-host.invalid"
