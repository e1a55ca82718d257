"""Hostile input over HTTP for every route that takes a certificate request; `make campaign` sends 10,000 to each.

test_debian.py runs this file with the libraries that a gateway has.
"""

import base64
import json
import random

import pytest

from tests.support.hostile import ENROLLED, ENROLLING, Route, storm, target
from tests.support.mutants import mutants

ROUTES = ("enrol", "renew", "recover", "simpleenroll", "simplereenroll")
EST = ("simpleenroll", "simplereenroll")
# cryptography calls names of odd lengths odd, and takes them
pytestmark = pytest.mark.filterwarnings("ignore:Attribute's length")


@pytest.fixture(scope="module")
def gateway(tmp_path_factory):
    with target(tmp_path_factory.mktemp("hostile")) as found:
        yield found


@pytest.fixture(autouse=True)
def _nothing_is_left(gateway):
    before = gateway.ledger()
    yield
    assert gateway.ledger() == before
    assert gateway.site.findings() == ()


@pytest.mark.parametrize("name", ROUTES)
def test_every_vector_and_some_mutants_are_refused(gateway, name):
    seen = storm(gateway, name, 150, seed=2)
    # they got to different places
    assert {"bad_encoding", "bad_key", "bad_name", "bad_extension"} <= seen.keys()


def in_pieces(body: bytes):
    for at in range(0, len(body), 65536):
        yield body[at : at + 65536]


@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
@pytest.mark.parametrize("size", [1, 100, 8192, 8193, 70_000, 1_000_000, 10_000_000])
@pytest.mark.parametrize("name", ROUTES)
def test_a_body_of_any_size_is_refused(gateway, name, size, chunked):
    route, body = gateway.routes[name], b"M" * size
    status, _ = gateway.ask(route.path, in_pieces(body) if chunked else body, route.headers)
    assert status == (400 if size <= 8192 else 413)


HEADERS = {
    "nothing": "",
    "no base64": "Basic \x7f!",
    "no colon": "Basic bGFtcA==",
    "nothing but a colon": "Basic Og==",
    "bytes that are no text": "Basic //46//4=",
    "base64 of half a byte": "Basic bGFtcA",
    "8 bits": "Basic \xe4\xf6",
    "a long one": "Basic " + base64.b64encode(b"a" * 40_000).decode(),
    "a name of lines": "Basic " + base64.b64encode(b"lamp-000001\nx:0").decode(),
    "a name with a nought": "Basic " + base64.b64encode(b"lamp-000001\0:0").decode(),
    "two of them": "Basic bGFtcDow, Basic bGFtcDow",
    "another scheme": "Negotiate YII=",
}


@pytest.mark.parametrize("header", HEADERS.values(), ids=HEADERS)
@pytest.mark.parametrize("name", EST)
def test_credentials_of_any_form_are_refused(gateway, name, header):
    body = base64.b64encode(gateway.good("simpleenroll"))
    status, said = gateway.ask(gateway.routes[name].path, body, {"Authorization": header})
    assert status in (400, 401, 403), said


def test_bent_credentials_are_refused(gateway):
    chance = random.Random(3)  # noqa: S311
    good = gateway.routes["simpleenroll"].headers["Authorization"].encode()
    body = base64.b64encode(gateway.good("simpleenroll"))
    for bent in (each for each in (bytes(_bent(good, chance)) for _ in range(200)) if each != good):
        text = bent.decode("latin-1").translate({10: "n", 13: "r", 0: "0"})
        status, said = gateway.ask(gateway.routes["simpleenroll"].path, body, {"Authorization": text})
        assert status in (400, 401, 403, 429), (text, said)


def _bent(data: bytes, chance: random.Random) -> bytearray:
    found = bytearray(data)
    # behind "Basic ", and not in the padding, where base64 has bits that count for nothing
    found[chance.randrange(6, len(found) - 4)] = chance.randrange(256)
    return found


def test_bent_documents_are_refused(gateway):
    chance = random.Random(4)  # noqa: S311
    for name in ("enrol", "renew", "recover"):
        route = gateway.routes[name]
        good = route.body(base64.b64encode(gateway.good(name)).decode())
        for _ in range(60):
            # cut off, so that it is none any more whatever else is bent in it
            bent = bytearray(good[: chance.randrange(len(good))])
            for _ in range(min(len(bent), 3)):
                bent[chance.randrange(len(bent))] = chance.randrange(256)
            status, said = gateway.ask(route.path, bytes(bent), route.headers)
            assert 400 <= status < 500, (bent, said)


def test_bent_certificates_recover_nothing(gateway):
    chance = random.Random(5)  # noqa: S311
    shown = json.loads(gateway.routes["recover"].body(""))["certificate"]
    csr = base64.b64encode(gateway.good("recover")).decode()
    for bent in mutants([base64.b64decode(shown)], 200, chance):
        body = {"certificate": base64.b64encode(bent).decode(), "csr": csr}
        status, said = gateway.ask("/v1/recover", json.dumps(body).encode(), {})
        assert status in (403, 429), (bent, said)


@pytest.mark.parametrize("path", ["/v1/renew", "/.well-known/est/simplereenroll"])
def test_a_certificate_is_not_had_from_a_header(gateway, path):
    route = Route(path, ENROLLED, str.encode)
    body = base64.b64encode(gateway.good("renew"))
    for header in ("Ssl-Client-Cert", "Fleetmint-Cert", "Fleetmint_Cert", "Client-Cert", "X-Forwarded-Client-Cert"):
        status, _ = gateway.ask(route.path, body, {header: ENROLLING, "Fleetmint-Verify": "SUCCESS"})
        assert status == 401
