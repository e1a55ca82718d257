"""Whatever is cut, wherever: nothing is issued twice, nothing is issued that the ledger does not know."""

import base64
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fleetmint import timekeeping
from fleetmint.ledger import engine as ledger_engine
from fleetmint.ledger import issuance
from fleetmint.ledger.revocation import revoke
from fleetmint.service.app import create_app
from fleetmint.x509.authority import Authority
from tests.support.gateway_site import environ, make_csr, new_key


class KilledError(BaseException):
    """As good as kill -9 for what is in memory: nothing between here and the test catches it."""


def post(client, device, token, csr: bytes):
    body = {"device": device, "token": token, "csr": base64.b64encode(csr).decode()}
    return client.post("/v1/enrol", json=body, environ_overrides=environ("devices"))


@pytest.fixture
def lamp(site, now):
    return site.register(now, "lamp-000001")["lamp-000001"]


def rows(site, table):
    with site.reading() as connection:
        return connection.exec_driver_sql(f"select * from {table}").mappings().all()  # noqa: S608


def dying(function, *, after: bool):
    def die(*args, **kwargs):
        if after:
            function(*args, **kwargs)
        raise KilledError

    return die


STEPS = [
    (issuance, "find_token"),
    (issuance, "reserve"),
    (Authority, "issue"),
    (issuance, "store_signed"),
]


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize(("owner", "step"), STEPS, ids=[step for _, step in STEPS])
def test_a_retry_after_a_crash_at_any_step_gets_the_one_certificate(
    client, site, lamp, monkeypatch, owner, step, after
):
    key = new_key()
    with monkeypatch.context() as patch:
        patch.setattr(owner, step, dying(getattr(owner, step), after=after))
        with pytest.raises(KilledError):
            post(client, "lamp-000001", lamp, make_csr(key))
    assert site.findings() == ()
    before = [row["serial"] for row in rows(site, "certificates")]

    thief = post(client, "lamp-000001", lamp, make_csr(new_key())) if before else None
    answer = post(client, "lamp-000001", lamp, make_csr(key))
    again = post(client, "lamp-000001", lamp, make_csr(key))

    assert answer.status_code == 200
    assert answer.data == again.data
    assert thief is None or thief.status_code == 403
    assert before in ([], [answer.json["serial"]])
    assert [row["serial"] for row in rows(site, "certificates")] == [answer.json["serial"]]
    assert site.findings() == ()


def test_a_reply_that_was_lost_is_given_again(client, site, lamp):
    """The worker dies after it has stored, before it has answered."""
    key = new_key()
    lost = post(client, "lamp-000001", lamp, make_csr(key))
    assert post(client, "lamp-000001", lamp, make_csr(key)).data == lost.data


def test_a_reservation_that_was_revoked_before_it_was_signed_is_never_answered(client, site, now, lamp, monkeypatch):
    issue = Authority.issue

    def revoked_meanwhile(*args, **kwargs):
        with site.writing() as connection:
            revoke(connection, "lamp-000001", reason="unspecified", actor="test", now=now + timedelta(hours=1))
        return issue(*args, **kwargs)

    monkeypatch.setattr(Authority, "issue", revoked_meanwhile)
    assert post(client, "lamp-000001", lamp, make_csr(new_key())).status_code == 403
    assert [row["status"] for row in rows(site, "certificates")] == ["revoked"]
    assert [row["der"] for row in rows(site, "certificates")] == [None]
    assert site.findings() == ()


def test_one_token_used_by_many_at_once_gives_one_serial(app, site, lamp):
    keys = [new_key() for _ in range(8)]
    start = threading.Barrier(len(keys))

    def enrol(key):
        start.wait()
        return post(app.test_client(), "lamp-000001", lamp, make_csr(key))

    with ThreadPoolExecutor(len(keys)) as pool:
        answers = list(pool.map(enrol, keys))
    assert sorted(answer.status_code for answer in answers) == [200] + [403] * 7
    assert len(rows(site, "certificates")) == 1
    assert site.findings() == ()


def test_one_token_and_key_used_by_many_at_once_give_one_certificate(app, site, lamp):
    key = new_key()
    start = threading.Barrier(8)

    def enrol(_):
        start.wait()
        return post(app.test_client(), "lamp-000001", lamp, make_csr(key))

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(enrol, range(8)))
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.data for answer in answers}) == 1
    assert len(rows(site, "certificates")) == 1
    assert site.findings() == ()


WORKER = """
import base64, sys
from pathlib import Path
from fleetmint.service.app import create_app
from fleetmint.gateway.config import load_config
client = create_app(load_config(Path(sys.argv[1]))).test_client()
body = {"device": "lamp-000001", "token": sys.argv[2], "csr": sys.argv[3]}
print("ready", flush=True)
sys.stdin.readline()
answer = client.post("/v1/enrol", json=body, environ_overrides={"FLEETMINT_LISTENER": "devices", "REMOTE_ADDR": "::1"})
print(answer.status_code, answer.json.get("serial"))
"""


def test_worker_processes_do_not_issue_twice(site, lamp):
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", WORKER, site.config_path, lamp, base64.b64encode(make_csr(new_key())).decode()],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    for worker in workers:
        assert worker.stdout.readline() == "ready\n"
    for worker in workers:
        worker.stdin.write("go\n")
        worker.stdin.flush()
    answers = sorted(worker.communicate(timeout=30)[0].split()[0] for worker in workers)
    assert answers == ["200", "403", "403"]
    assert site.findings() == ()


KILLED = """
import base64, os, signal, sys
from pathlib import Path
from fleetmint.x509.authority import Authority
from fleetmint.service.app import create_app
from fleetmint.gateway.config import load_config
Authority.issue = lambda *args, **kwargs: os.kill(os.getpid(), signal.SIGKILL)
client = create_app(load_config(Path(sys.argv[1]))).test_client()
body = {"device": "lamp-000001", "token": sys.argv[2], "csr": sys.argv[3]}
client.post("/v1/enrol", json=body, environ_overrides={"FLEETMINT_LISTENER": "devices", "REMOTE_ADDR": "::1"})
"""


def test_a_worker_that_is_really_killed_leaves_a_ledger_that_goes_on(client, site, lamp):
    csr = make_csr(new_key())
    dead = subprocess.run(
        [sys.executable, "-c", KILLED, site.config_path, lamp, base64.b64encode(csr).decode()], check=False
    )
    assert dead.returncode == -signal.SIGKILL
    reserved = rows(site, "certificates")
    assert [row["status"] for row in reserved] == ["reserved"]
    assert post(client, "lamp-000001", lamp, csr).json["serial"] == reserved[0]["serial"]
    assert site.findings() == ()


def test_a_locked_ledger_is_a_503_and_nothing_is_lost(client, site, lamp, monkeypatch):
    monkeypatch.setattr(ledger_engine, "BUSY_SECONDS", 0.2)
    other = sqlite3.connect(site.root / "ledger.sqlite", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    csr = make_csr(new_key())
    busy = post(client, "lamp-000001", lamp, csr)
    other.execute("ROLLBACK")
    other.close()
    assert (busy.status_code, busy.json["error"]) == (503, "unavailable")
    assert int(busy.headers["Retry-After"]) > 0
    assert rows(site, "certificates") == []
    assert post(client, "lamp-000001", lamp, csr).status_code == 200


def test_a_full_disk_is_a_503_and_nothing_is_acknowledged(app, client, site, now):
    tokens = site.register(now, *[f"lamp-{number:06}" for number in range(30)])
    engine = app.extensions["fleetmint"].engine
    with engine.connect() as connection:  # the pool gives this very connection to the next request
        connection.exec_driver_sql("PRAGMA max_page_count = 1")  # as large as it is now
    csrs = {device: make_csr(new_key()) for device in tokens}
    answers = {device: post(client, device, tokens[device], csrs[device]) for device in tokens}
    full = [device for device, answer in answers.items() if answer.status_code == 503]
    good = [device for device, answer in answers.items() if answer.status_code == 200]
    assert full
    assert len(full) + len(good) == len(tokens)
    assert all("Retry-After" in answers[device].headers for device in full)
    with site.reading() as connection:
        stored = connection.exec_driver_sql("select device from certificates where der is not null").scalars().all()
    assert sorted(stored) == sorted(good)
    assert site.findings() == ()
    with engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA max_page_count = 100000")
    assert {post(client, device, tokens[device], csrs[device]).status_code for device in full} == {200}
    assert site.findings() == ()


def test_a_ledger_that_vanished_is_a_503(client, site, lamp):
    shutil.move(site.root / "ledger.sqlite", site.root / "away.sqlite")
    assert post(client, "lamp-000001", lamp, make_csr(new_key())).status_code == 503
    shutil.move(site.root / "away.sqlite", site.root / "ledger.sqlite")
    assert post(client, "lamp-000001", lamp, make_csr(new_key())).status_code == 200


@pytest.mark.parametrize("gone", ["ca.key", "ca.crt"])
def test_a_missing_ca_is_a_503_until_it_is_there(client, site, lamp, gone):
    path = site.config.device_ca / gone
    shutil.move(path, site.root / "away")
    assert post(client, "lamp-000001", lamp, make_csr(new_key())).status_code == 503
    shutil.move(site.root / "away", path)
    assert post(client, "lamp-000001", lamp, make_csr(new_key())).status_code == 200


def test_a_clock_before_the_ca_was_made_signs_nothing(site, now, lamp):
    app = create_app(site.config, clock=lambda: now - timedelta(days=400))
    answer = post(app.test_client(), "lamp-000001", lamp, make_csr(new_key()))
    app.extensions["fleetmint"].engine.dispose()
    assert (answer.status_code, answer.json["error"]) == (503, "unavailable")
    assert "Retry-After" in answer.headers
    assert rows(site, "certificates") == []


def test_a_clock_before_the_latest_row_of_the_ledger_signs_nothing(site, now, lamp):
    app = create_app(site.config, clock=lambda: now - timedelta(seconds=1))
    answer = post(app.test_client(), "lamp-000001", lamp, make_csr(new_key()))
    app.extensions["fleetmint"].engine.dispose()
    assert answer.status_code == 503
    assert rows(site, "certificates") == []


def test_one_enrolment_by_a_clock_that_ran_ahead_keeps_nobody_else_out(site, now):
    tokens = site.register(now, "lamp-000001", "lamp-000002")
    clock = iter([now + timedelta(days=90), now, now])
    app = create_app(site.config, clock=lambda: next(clock))
    client = app.test_client()
    answers = [post(client, device, token, make_csr(new_key())).status_code for device, token in tokens.items()]
    app.extensions["fleetmint"].engine.dispose()
    assert answers == [200, 200]


def test_a_clock_that_nothing_keeps_enrols_nobody_until_somebody_attests_it(client, site, now, lamp, monkeypatch):
    monkeypatch.setattr(timekeeping, "kept", lambda: "")
    assert post(client, "lamp-000001", lamp, make_csr(new_key())).status_code == 503
    assert rows(site, "certificates") == []
    timekeeping.attest(site.config.attested_clock, now, now, "maria")
    assert post(client, "lamp-000001", lamp, make_csr(new_key())).status_code == 200


GOOD = make_csr(new_key(), "lamp-000001")


@st.composite
def mutants(draw) -> bytes:
    """A good request with a few bytes changed, or cut off, or with something behind it."""
    changed = bytearray(GOOD)
    for _ in range(draw(st.integers(0, 4))):
        changed[draw(st.integers(0, len(GOOD) - 1))] ^= draw(st.integers(1, 255))
    return bytes(changed[: draw(st.sampled_from([len(GOOD)] * 3 + list(range(len(GOOD)))))]) + draw(
        st.sampled_from([b"", b"", b"\0", GOOD])
    )


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(mutant=mutants().filter(lambda mutant: mutant != GOOD))
def test_no_mutant_of_a_request_gets_anything_but_a_400(client, site, lamp, mutant):
    answer = post(client, "lamp-000001", lamp, mutant)
    assert answer.status_code == 400
    assert answer.json["error"]
    assert answer.json["message"]
