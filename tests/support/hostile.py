"""Hostile input for every route that takes a certificate request: over HTTP, at the real application behind a socket.

    python -m tests.support.hostile 10000     that many mutants for each route, with the libraries of here and of Debian

Whatever comes, the answer is a 4xx, and nothing of it is in the ledger.
"""

import argparse
import base64
import collections
import http.client
import json
import random
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from werkzeug.serving import WSGIRequestHandler, make_server

from fleetmint.service.app import create_app
from tests.support import handmade, vectors
from tests.support.debian import VERSIONS, interpreter
from tests.support.gateway_site import GatewaySite, environ, make_csr, make_gateway_site, new_key
from tests.support.mutants import der_of, mutants, signed_mutants

ENROLLING, ENROLLED = "lamp-000001", "lamp-000002"
# says with which certificate a request comes, as nginx would
_CLIENT = "X-Test-Client"
_PATIENCE = 30
# Extensions with a subjectAltName
_ALTERNATIVE_NAME = bytes.fromhex("3010300e0603551d11040730058203782e79")


class _Quiet(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        pass


@dataclass(frozen=True)
class Route:
    """How a request reaches a route: with the credentials of `device`, which are good."""

    path: str
    device: str
    body: Callable[[str], bytes]
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Target:
    """A gateway with one device that has a token and another one that has a certificate, at `port`."""

    site: GatewaySite
    port: int
    routes: Mapping[str, Route]
    keys: Mapping[str, ec.EllipticCurvePrivateKey]

    def ask(self, path: str, body: bytes | Iterable[bytes], headers: Mapping[str, str]) -> tuple[int, bytes]:
        """Return status and body; over a connection of its own, since some answers come before the body is read."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=_PATIENCE)
        try:
            with suppress(BrokenPipeError, ConnectionResetError):  # it has heard enough, and has answered
                connection.request("POST", path, body, dict(headers), encode_chunked=not isinstance(body, bytes))
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def send(self, name: str, csr: str) -> tuple[int, bytes]:
        """Ask a route with this text in the place of the request."""
        route = self.routes[name]
        return self.ask(route.path, route.body(csr), route.headers)

    def good(self, name: str) -> bytes:
        """Return a request that this route would take."""
        return make_csr(self.keys[self.routes[name].device])

    def ledger(self) -> dict[str, list[Any]]:
        """Return everything that is in the ledger."""
        with self.site.reading() as connection:
            tables = connection.exec_driver_sql("select name from sqlite_master where type = 'table'").scalars().all()
            return {
                table: [tuple(row) for row in connection.exec_driver_sql(f"select * from {table}")]  # noqa: S608
                for table in tables
            }


@contextmanager
def target(root: Path) -> Iterator[Target]:
    """Give a gateway below `root` that answers."""
    site = make_gateway_site(root / "gateway", root / "template")
    now = datetime.now(UTC).replace(microsecond=0)
    tokens = site.register(now, ENROLLING, ENROLLED)
    keys = {ENROLLING: new_key(), ENROLLED: new_key()}
    clients: dict[str, x509.Certificate] = {}
    app = create_app(site.config)

    def behind_nginx(variables: dict[str, Any], start: Any) -> Any:
        shown = clients.get(variables.pop("HTTP_X_TEST_CLIENT", ""))
        variables.update(environ("devices", shown))
        return app(variables, start)

    server = make_server("127.0.0.1", 0, behind_nginx, threaded=True, request_handler=_Quiet)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        routes = dict(_routes(tokens[ENROLLING], b""))
        found = Target(site, server.server_port, routes, keys)
        body = {"device": ENROLLED, "token": tokens[ENROLLED], "csr": _base64(make_csr(keys[ENROLLED]))}
        status, answer = found.ask("/v1/enrol", json.dumps(body).encode(), {})
        assert status == 200, answer
        der = base64.b64decode(json.loads(answer)["certificate"])
        clients[ENROLLED] = x509.load_der_x509_certificate(der)
        routes.update(_routes(tokens[ENROLLING], der))
        yield found
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
        engine = vars(app.extensions["fleetmint"]).get("engine")
        if engine is not None:
            engine.dispose()


def _routes(token: str, certificate: bytes) -> Iterator[tuple[str, Route]]:
    shown = {_CLIENT: ENROLLED}
    basic = {"Authorization": f"Basic {_base64(f'{ENROLLING}:{token}'.encode())}"}

    def document(**more: str) -> Callable[[str], bytes]:
        return lambda csr: json.dumps({**more, "csr": csr}).encode()

    est = "/.well-known/est/"
    yield "enrol", Route("/v1/enrol", ENROLLING, document(device=ENROLLING, token=token))
    yield "renew", Route("/v1/renew", ENROLLED, document(), shown)
    yield "recover", Route("/v1/recover", ENROLLED, document(certificate=_base64(certificate)))
    yield "simpleenroll", Route(f"{est}simpleenroll", ENROLLING, str.encode, basic)
    yield "simplereenroll", Route(f"{est}simplereenroll", ENROLLED, str.encode, shown)


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def texts(found: Target, name: str, count: int, chance: random.Random) -> Iterator[str]:
    """Give every vector, and `count` mutants in the forms in which a request can come."""
    known = [der_of(data) for data in vectors.requests().values()]
    for data in vectors.requests().values():
        yield data.decode() if data.startswith(b"-----") else _base64(data)
    device = found.routes[name].device
    # What it says is refused for two reasons, and one bend takes away one.
    attribute = handmade.tlv(0x30, handmade.EXTENSION_REQUEST + handmade.tlv(0x31, _ALTERNATIVE_NAME))
    two_reasons = handmade.request(found.keys[device], handmade.name(12, b"somebody-else"), attribute)
    bent = mutants([*known, found.good(name)], count // 2, chance)
    for der in (*bent, *signed_mutants(two_reasons, found.keys[device], count - count // 2, chance)):
        yield _form(der, chance)


def _form(der: bytes, chance: random.Random) -> str:
    kind = chance.randrange(10)
    if kind == 0:
        return handmade.pem("CERTIFICATE REQUEST", der)
    if kind == 1:
        text = _base64(der)
        at = chance.randrange(len(text) + 1)
        return text[:at] + chance.choice("=!-\x00\n \x7f") + text[at:]
    return _base64(der)


def storm(found: Target, name: str, count: int, seed: int) -> collections.Counter[str]:
    """Send everything to one route; return how often which code was the answer; raise AssertionError with the input."""
    seen: collections.Counter[str] = collections.Counter()
    for text in texts(found, name, count, random.Random(f"{seed} {name}")):  # noqa: S311
        status, answer = found.send(name, text)
        assert 400 <= status < 500, f"{name} answered {status}: {answer!r} to this request: {text!r}"
        seen[_code(answer)] += 1
    return seen


def _code(answer: bytes) -> str:
    return str(json.loads(answer)["error"]) if answer.startswith(b"{") else answer.split(b":")[0].decode().strip()


def run(count: int, seed: int) -> dict[str, collections.Counter[str]]:
    """Send everything to every route of a new gateway, and look whether that left anything."""
    with tempfile.TemporaryDirectory(prefix="hostile-") as place, target(Path(place)) as found:
        before = found.ledger()
        seen = {name: storm(found, name, count, seed) for name in found.routes}
        assert found.ledger() == before
        for name in found.routes:
            status, answer = found.send(name, _base64(found.good(name)))
            assert status == 200, f"{name} refuses what is good: {answer!r}"
        assert found.site.findings() == ()
    return seen


def main() -> None:
    parser = argparse.ArgumentParser(description="Hostile requests for every route that takes a certificate request.")
    parser.add_argument("count", type=int, help="mutants for each route")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--here", action="store_true", help="with the libraries of this interpreter only")
    chosen = parser.parse_args()
    try:
        found = run(chosen.count, chosen.seed)
    except AssertionError as error:
        sys.exit(f"{error}")
    for name, seen in found.items():
        codes = ", ".join(f"{code} {number}" for code, number in seen.most_common())
        sys.stdout.write(f"{name}: {sum(seen.values())} requests refused ({codes})\n")
    for release in () if chosen.here else VERSIONS:
        sys.stdout.write(f"with the libraries of {release}:\n")
        sys.stdout.flush()
        again: list[str | Path] = [
            interpreter(release),
            "-m",
            "tests.support.hostile",
            str(chosen.count),
            f"--seed={chosen.seed}",
        ]
        subprocess.run([*again, "--here"], check=True)


if __name__ == "__main__":
    main()
