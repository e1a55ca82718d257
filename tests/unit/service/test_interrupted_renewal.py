"""kill -9 of the service at every write of renewal and recovery, and every reply lost: on both databases."""

import base64
import itertools
import json
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import pytest
from cryptography import x509

from fleetmint.documents.registration import read_registration
from fleetmint.ledger import audit, create_schema, imports, open_ledger, reading, writing
from fleetmint.service.app import create_app
from tests.support.gateway_site import der, environ, make_csr, new_key, registration, token_entry
from virtual import postgres

# A worker that is killed before its nth write or commit, or after all of them and before it has answered.
WORKER = """
import json, os, signal, sys
from datetime import datetime
from pathlib import Path
from sqlalchemy import event
from sqlalchemy.engine import Engine
from fleetmint.gateway.config import load_config
from fleetmint.ledger.statement import Statement
from fleetmint.service.app import create_app

given = json.load(sys.stdin)
left = given["kill_at"]

def count(*_):
    global left
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)

def statement(connection, cursor, text, *_):
    if text.split(None, 1)[0].upper() in ("INSERT", "UPDATE", "DELETE"):
        count()

execute = Statement.execute

def changing(*args, **kwargs):
    count()
    return execute(*args, **kwargs)

Statement.execute = changing
event.listen(Engine, "before_cursor_execute", statement)
event.listen(Engine, "commit", count)
now = datetime.fromisoformat(given["now"])
client = create_app(load_config(Path(given["config"])), clock=lambda: now).test_client()
answer = client.post(given["route"], json=given["body"], environ_overrides=given["environ"])
count()  # the reply is lost
print(answer.status_code)
"""


@pytest.fixture(scope="module")
def server():
    with postgres.cluster() as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def gateway(request, site):
    """The configuration of a gateway whose ledger is of this kind."""
    if request.param == "sqlite":
        yield site.config
        return
    url = request.getfixturevalue("server")
    engine = open_ledger(url, create=True)
    create_schema(engine, site="test")
    engine.dispose()
    text = site.config_path.read_text().replace(site.config.ledger, url)
    site.config_path.write_text(text)
    yield replace(site.config, ledger=url)
    engine = open_ledger(url)
    with engine.begin() as connection:
        connection.exec_driver_sql("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    engine.dispose()


class Service:
    """The service on a ledger, at a time of its own."""

    def __init__(self, config, now):
        self.now = now
        self.config = config
        self.app = create_app(config, clock=lambda: self.now)
        self.http = self.app.test_client()
        self.engine = open_ledger(config.ledger)

    def register(self, *devices):
        expires = self.now + timedelta(days=30)
        data = registration([token_entry(device, f"token of {device}", expires) for device in devices])
        document = read_registration(data, site="test", gateway="gateway", factory_cas=[])
        with writing(self.engine) as connection:
            imports.import_registration(connection, document, actor="test", now=self.now)

    def post(self, route, body, certificate=None):
        return self.app.test_client().post(route, json=body, environ_overrides=environ("devices", certificate))

    def get_in(self, certificate) -> bool:
        return self.http.get("/", environ_overrides=environ("devices", certificate)).status_code == 200

    def enrolled(self, device, key):
        self.register(device)
        answer = self.post("/v1/enrol", {"device": device, "token": f"token of {device}", "csr": b64(make_csr(key))})
        certificate = certificate_of(answer)
        assert self.get_in(certificate)
        return certificate

    def findings(self):
        with reading(self.engine) as connection:
            return tuple(map(str, audit.findings(connection)))


@pytest.fixture
def service(gateway, now):
    service = Service(gateway, now)
    yield service
    service.engine.dispose()
    service.app.extensions["fleetmint"].engine.dispose()


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def certificate_of(answer) -> x509.Certificate:
    assert answer.status_code == 200, answer.text
    return x509.load_der_x509_certificate(base64.b64decode(answer.json["certificate"]))


def killed(service, site, kill_at, route, body, shown) -> bool:
    """Have a worker answer, and kill it at that write; return whether it was: later there are no more writes."""
    given = {
        "kill_at": kill_at, "route": route, "body": body, "config": str(site.config_path),
        "environ": environ("devices", shown), "now": service.now.isoformat(),
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", WORKER], input=json.dumps(given), capture_output=True, text=True, check=False
    )
    assert done.returncode in (0, -signal.SIGKILL), done.stderr
    assert done.returncode or done.stdout == "200\n"
    return done.returncode != 0


@pytest.mark.parametrize("way", ["renew", "renew with another key", "recover", "recover what was never used"])
def test_whatever_write_a_kill_hits_the_ledger_is_whole_and_a_retry_gets_the_one_certificate(service, site, way):
    start = service.now
    hit = 0
    for kill_at in itertools.count(1):
        service.now = start + timedelta(minutes=kill_at)
        device, key = f"lamp-{kill_at:06}", new_key()
        if "never" in way:
            service.register(device)
            body = {"device": device, "token": f"token of {device}", "csr": b64(make_csr(key))}
            old = certificate_of(service.post("/v1/enrol", body))
        else:
            old = service.enrolled(device, key)
        if way.startswith("renew"):
            wanted = new_key() if "another" in way else key
            route, body, shown = "/v1/renew", {"csr": b64(make_csr(wanted))}, old
        else:
            body = {"certificate": b64(der(old)), "csr": b64(make_csr(key))}
            route, shown = "/v1/recover", None
        was_killed = killed(service, site, kill_at, route, body, shown)
        assert service.findings() == ()
        assert service.get_in(old)  # the old one is good, whatever was cut
        answer = service.post(route, body, shown)
        assert answer.data == service.post(route, body, shown).data
        new = certificate_of(answer)
        assert service.findings() == ()
        assert service.get_in(new)
        assert service.get_in(old)  # for some hours
        assert service.findings() == ()
        hit += was_killed
        if not was_killed:
            break
    # key or none, confirmation or none; both transactions with their commits, and the reply
    assert hit >= 6


def test_whatever_write_a_kill_hits_a_first_request_confirms_in_the_end(service, site, now):
    """The confirmation of a successor is the write that sets an end to its predecessor."""
    old = service.enrolled("lamp-000001", new_key())
    for kill_at in (1, 2, 3, 4):
        key = new_key()
        new = certificate_of(service.post("/v1/renew", {"csr": b64(make_csr(key))}, old))
        # a renewal with the new one confirms it first
        assert killed(service, site, kill_at, "/v1/renew", {"csr": b64(make_csr(key))}, new)
        assert service.findings() == ()
        assert service.get_in(old)
        assert service.get_in(new)
        assert service.findings() == ()
        old = new


@pytest.mark.parametrize("another", [False, True], ids=["one key", "many keys"])
def test_a_certificate_that_is_renewed_by_many_at_once_has_one_successor(service, another):
    old = service.enrolled("lamp-000001", first := new_key())
    keys = [new_key() if another else first for _ in range(8)]
    start = threading.Barrier(len(keys))

    def renew(key):
        start.wait()
        return service.post("/v1/renew", {"csr": b64(make_csr(key))}, old)

    with ThreadPoolExecutor(len(keys)) as pool:
        answers = list(pool.map(renew, keys))
    # who was replaced before it was signed asks again
    assert {answer.status_code for answer in answers} <= ({200, 503} if another else {200})
    given = {answer.data for answer in answers if answer.status_code == 200}
    good = [certificate for each in given if service.get_in(certificate := x509.load_der_x509_certificate(
        base64.b64decode(json.loads(each)["certificate"])))]  # fmt: skip
    assert len(good) == 1
    assert another or len(given) == 1
    assert service.findings() == ()
