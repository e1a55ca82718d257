"""Hostile bodies at the real nginx and uWSGI, on every route that takes a certificate request.

tests/unit/service/test_hostile.py sends many more of them, to the application alone.
"""

import base64
import contextlib
import http.client
import json
import ssl
import time

import pytest
from cryptography import x509

from tests.e2e.site import PURPOSE
from tests.support import vectors
from tests.support.gateway_site import make_csr, new_key
from tests.support.mutants import der_of
from virtual.pi import container

BATCH = "prefix: probe\nchip: linux\ndevices:\n  - count: 2\n"
ENROLLING, ENROLLED = "probe-000001", "probe-000002"
ROUTES = ("/v1/enrol", "/v1/renew", "/v1/recover", "/.well-known/est/simpleenroll", "/.well-known/est/simplereenroll")
ROWS = """import sqlite3
ledger = sqlite3.connect("file:/var/lib/fleetmint/ledger.sqlite?mode=ro", uri=True)
tables = ("certificates", "public_keys", "tokens", "approvals")
print([ledger.execute(f"select count(*) from {table}").fetchone() for table in tables], ledger.execute(
    "select count(*) from events where subject like 'probe-%'").fetchone())
"""


class Prober:
    """Two devices of the fleet: one with a token, and one with a certificate."""

    def __init__(self, site):
        self.site = site
        (site.scratch / "probes.yml").write_text(BATCH)
        for command in (("new", str(site.scratch / "probes.yml")), ("register", "probes")):
            done = site.fleetmint("batch", *command, "--state", str(site.state))
            assert done.returncode == 0, done.stderr
        self.token, other = self._token(ENROLLING), self._token(ENROLLED)
        key = new_key()
        status, answer = site.enrol(ENROLLED, other, key)
        assert status == 200, answer
        self.certificate = base64.b64decode(json.loads(answer)["certificate"])
        self.client = site.client(ENROLLED, key, x509.load_der_x509_certificate(self.certificate))

    def _token(self, device):
        path = self.site.scratch / f"{device}.token"
        done = self.site.fleetmint(
            "batch", "export", "probes", "--token", device, "--out", str(path), "--state", str(self.site.state)
        )
        assert done.returncode == 0, done.stderr
        return json.loads(path.read_text())["token"]

    def form(self, path: str, csr: str) -> tuple[bytes, dict[str, str]]:
        """Return body and headers with good credentials."""
        values = {
            "/v1/enrol": {"device": ENROLLING, "token": self.token},
            "/v1/renew": {},
            "/v1/recover": {"certificate": base64.b64encode(self.certificate).decode()},
        }
        if path in values:
            return json.dumps({**values[path], "csr": csr}).encode(), {"Content-Type": "application/json"}
        basic = base64.b64encode(f"{ENROLLING}:{self.token}".encode()).decode()
        headers = {} if path.endswith("simplereenroll") else {"Authorization": f"Basic {basic}"}
        return csr.encode(), {"Content-Type": "application/pkcs10", **headers}

    def connection(self, path: str) -> http.client.HTTPSConnection:
        context = ssl.create_default_context(cafile=self.site.server_ca)
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        if path in ("/v1/renew", "/.well-known/est/simplereenroll"):
            context.load_cert_chain(self.client.certificate, self.client.key)
        return http.client.HTTPSConnection("localhost", self.site.ports["https"], timeout=20, context=context)


def rows():
    return container.of(PURPOSE.name).execute("python3", "-c", ROWS)


@pytest.fixture(scope="module")
def prober(site):
    """The two, and nothing of what was sent has left a row when the last test of this file has run."""
    found = Prober(site)
    before = rows()
    yield found
    assert rows() == before
    # and what was used for it is still good
    for path in ("/.well-known/est/simpleenroll", "/.well-known/est/simplereenroll"):
        connection = found.connection(path)
        body, headers = found.form(path, base64.b64encode(make_csr(new_key())).decode())
        connection.request("POST", path, body, headers)
        assert connection.getresponse().status == 200
        connection.close()


@pytest.mark.parametrize("path", ROUTES)
def test_every_vector_is_refused(prober, path):
    connection = prober.connection(path)
    sent = list(vectors.requests().values())
    if "renew" in path or "reenroll" in path:
        sent = sent[:4]  # nginx lets one certificate ask ten times at once
    for csr in sent:
        body, headers = prober.form(path, base64.b64encode(der_of(csr)).decode())
        connection.request("POST", path, body, headers)
        answer = connection.getresponse()
        said = answer.read()
        assert answer.status == 400, (csr, said)
    connection.close()


def in_pieces(size: int):
    for _ in range(0, size, 50_000):
        yield b"M" * min(size, 50_000)


@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
@pytest.mark.parametrize("size", [1, 20_000, 10_000_000])
@pytest.mark.parametrize("path", ROUTES)
def test_a_body_of_any_size_is_refused(prober, path, size, chunked):
    _, headers = prober.form(path, "")
    connection = prober.connection("")  # without a certificate: its number of renewals is for the vectors
    with contextlib.suppress(OSError):  # it has heard enough, and has answered
        connection.request("POST", path, in_pieces(size) if chunked else b"M" * size, headers, encode_chunked=chunked)
    answer = connection.getresponse()
    assert answer.status in ((400, 401) if size == 1 else (401, 413)), answer.read()
    connection.close()


def test_slow_bodies_are_told_so_and_keep_nobody_waiting(site, prober):
    with contextlib.ExitStack() as held:
        slow = {"Content-Length: 500": [], "Transfer-Encoding: chunked": []}
        for number in range(30):  # many times what answers requests
            head, connections = list(slow.items())[number % 2]
            connections.append(held.enter_context(site.connect("https")))
            body = "1f4\r\n{" if "chunked" in head else "{"
            request = f"POST {ROUTES[number % 5]} HTTP/1.1\r\nHost: x\r\n{head}\r\n\r\n{body}"
            connections[-1].sendall(request.encode())
        for path, status in (("/v1/enrol", 400), ("/.well-known/est/simpleenroll", 400)):
            begun = time.monotonic()
            connection = prober.connection("")
            connection.request("POST", path, *prober.form(path, "!"))
            assert connection.getresponse().status == status
            connection.close()
            assert time.monotonic() - begun < 3
        # nginx itself waits for the end of chunks, and hangs up later without a word
        answers = {each.recv(4096).split(b"\r\n")[0] for each in slow["Content-Length: 500"]}
        assert answers == {b"HTTP/1.1 408 Request Timeout"}
