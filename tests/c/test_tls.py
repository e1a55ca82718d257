"""TLS of the C core by BearSSL and mbedTLS: whom it believes, whom it shows its certificate, and what it then says."""

import contextlib
import socket
import ssl
import threading
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest

from fleetmint.x509.authority import pem
from tests.support import c_bearssl, c_esp32
from tests.support.c_build import run
from tests.support.firmware_site import make_site
from tests.support.gateway_double import http, reply, server_context, serving

# The results of port.h.
OK, REFUSED, CLOSED, TRUST, HOST, TIME, REVOKED = 0, -5, -6, -7, -8, -9, -10
YEAR = timedelta(days=365)
# The type of a TLS record.
APPLICATION_DATA = 23


@pytest.fixture(scope="session", params=[c_bearssl, c_esp32], ids=["bearssl", "mbedtls"])
def tls(build, request):
    return request.param.program(build, "test/tls.c")


@pytest.fixture(scope="session")
def pki():
    return make_site(datetime.now(UTC).replace(microsecond=0))


@pytest.fixture
def client(tls, pki, tmp_path):
    """Ask a server for a page: the result and what it says."""
    device = pki.device()
    (tmp_path / "cert").write_bytes(device.der)
    (tmp_path / "key").write_bytes(device.key_der)

    def get(port, host="localhost", *, anchors=pki.anchors, now=pki.made, shown=True, again=""):
        paths = []
        for number, anchor in enumerate(anchors):
            paths.append(tmp_path / f"anchor{number}")
            paths[-1].write_bytes(anchor)
        seconds = int((now - datetime(2000, 1, 1, tzinfo=UTC)).total_seconds())
        arguments = [host, str(port), str(seconds), ",".join(map(str, paths))]
        arguments += [str(tmp_path / "cert"), str(tmp_path / "key")] if shown else []
        arguments += [again] if again else []
        lines = run(tls, *arguments).decode().splitlines()
        return [(int(line.split()[0]), line.split(" ", 2)[2]) for line in lines]

    return get


@contextlib.contextmanager
def server(pki, directory, *sans, ask=False):
    """A server of this site that greets whoever has shown a certificate; its context can be changed."""
    chain, key = pki.server(*(sans or ("localhost", "127.0.0.1"))).files(directory / "server")
    trust = directory / "devices.pem"
    trust.write_bytes(pem(pki.device_ca.certificate))
    made = SimpleNamespace(context=server_context(chain, key, trust, ask=ask), seen=[])

    def greet(request):
        return reply("200 OK", f"Hello {request.client}".encode())

    with serving(made.context, http(greet, made.seen)) as made.port:
        yield made


def test_a_device_shows_its_certificate_and_is_greeted(client, pki, tmp_path):
    with server(pki, tmp_path) as made:
        assert client(made.port) == [(OK, "Hello pump-0001")]


def test_without_a_certificate_nobody_is_greeted_by_name(client, pki, tmp_path):
    with server(pki, tmp_path, ask=True) as made:
        assert client(made.port, shown=False) == [(OK, "Hello None")]


def test_a_server_that_wants_a_certificate_turns_away_who_has_none(client, pki, tmp_path):
    with server(pki, tmp_path) as made:
        assert client(made.port, shown=False)[0][0] in (CLOSED, REVOKED, -13)
        assert made.seen == []


@pytest.mark.parametrize("suite", ["ECDHE-ECDSA-CHACHA20-POLY1305", "ECDHE-ECDSA-AES128-GCM-SHA256"])
def test_both_suites_of_the_gateways_work(client, pki, tmp_path, suite):
    with server(pki, tmp_path) as made:
        made.context.set_ciphers(suite)
        assert client(made.port) == [(OK, "Hello pump-0001")]


def test_records_are_small(client, pki, tmp_path):
    """A page of 3,000 bytes comes through a buffer for records of 512."""
    page = http(lambda request: reply("200 OK", b"x" * 3000), [])
    with server(pki, tmp_path) as made, serving(made.context, page) as port:
        assert client(port) == [(OK, "x" * 3000)]


@pytest.mark.parametrize(
    ("sans", "host", "result"),
    [
        (("localhost",), "localhost", OK),
        (("gateway.local",), "localhost", HOST),
        # addresses, which BearSSL itself does not know
        (("gateway.local", "127.0.0.1"), "127.0.0.1", OK),
        (("gateway.local", "10.1.2.3", "127.0.0.1"), "127.0.0.1", OK),
        (("localhost", "127.0.0.2"), "127.0.0.1", HOST),
        (("localhost",), "127.0.0.1", HOST),
        # an address of 16 bytes that begins or ends like the one of 4
        (("localhost", "7f00:1::"), "127.0.0.1", HOST),
        (("localhost", "::7f00:1"), "127.0.0.1", HOST),
    ],
)
def test_a_server_has_to_have_the_name_or_address_that_was_asked_for(client, pki, tmp_path, sans, host, result):
    with server(pki, tmp_path, *sans) as made:
        assert client(made.port, host)[0][0] == result


def test_a_server_of_another_ca_is_refused(client, pki, tmp_path):
    other = make_site(pki.made)
    with server(other, tmp_path) as made:
        assert client(made.port)[0][0] == TRUST
        assert made.seen == []


def test_another_ca_of_the_site_is_no_reason_to_believe_a_server(client, pki, tmp_path):
    with server(pki, tmp_path) as made:
        assert client(made.port, anchors=pki.anchors[:1])[0][0] == TRUST


@pytest.mark.parametrize("now", [-timedelta(days=9000), -2 * YEAR, 5 * YEAR], ids=["2002", "early", "late"])
def test_a_server_outside_its_dates_is_refused(client, pki, tmp_path, now):
    with server(pki, tmp_path) as made:
        assert client(made.port, now=pki.made + now)[0][0] == TIME
        assert made.seen == []


def test_a_certificate_that_has_ended_is_turned_away_by_the_server(client, pki, tmp_path):
    with server(pki, tmp_path) as made:
        made.context.verify_flags |= ssl.VERIFY_CRL_CHECK_LEAF  # there is no list: nobody's certificate is good
        assert client(made.port)[0][0] == REVOKED


def test_a_session_is_taken_up_again(client, pki, tmp_path):
    with server(pki, tmp_path) as made:
        made.context.options |= ssl.OP_NO_TICKET
        assert client(made.port, again="again") == [(OK, "Hello pump-0001")] * 2
        assert made.context.session_stats()["hits"] == 1


def without_answer(port):
    """Carry connections to a server, and cut each where the handshake is over and the server answers."""

    def carry(connection):
        with socket.create_connection(("127.0.0.1", port)) as there:
            threading.Thread(target=copy, args=(connection, there), daemon=True).start()
            records = there.makefile("rb")
            while len(header := records.read(5)) == 5:
                body = records.read(int.from_bytes(header[3:], "big"))
                if header[0] == APPLICATION_DATA:
                    return
                connection.sendall(header + body)

    def copy(source, target):
        with contextlib.suppress(OSError):
            while data := source.recv(4096):
                target.sendall(data)

    return serving(None, carry)


def test_a_session_is_taken_up_again_after_a_connection_that_was_cut(client, pki, tmp_path):
    with server(pki, tmp_path) as made, without_answer(made.port) as port:
        made.context.options |= ssl.OP_NO_TICKET
        assert [result for result, _ in client(port, again="again")] == [CLOSED] * 2
        assert made.context.session_stats()["hits"] == 1


def test_a_session_is_not_taken_up_again_by_who_trusts_that_server_no_more(client, pki, tmp_path):
    with server(pki, tmp_path) as made:
        assert client(made.port, again="less") == [(OK, "Hello pump-0001"), (TRUST, "")]
        assert made.context.session_stats()["hits"] == 0


def test_a_network_that_moves_little_at_a_time_is_enough(client, pki, tmp_path, monkeypatch):
    """Three bytes at most, and every other time none: records, requests and replies come in pieces."""
    monkeypatch.setenv("TRICKLE", "1")
    page = http(lambda request: reply("200 OK", f"Hello {request.client} ".encode() * 150), [])
    with server(pki, tmp_path) as made, serving(made.context, page) as port:
        assert client(port) == [(OK, "Hello pump-0001 " * 150)]
