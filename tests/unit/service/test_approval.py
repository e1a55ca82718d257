"""Devices of batches whose first certificate a person approves, and tokens that are good on one board alone."""

import base64
from datetime import timedelta

import pytest
from cryptography import x509

from fleetmint.documents.handover import read_handover
from fleetmint.ledger import approvals
from fleetmint.ledger.approvals import MOST_KEYS, RETRY_SECONDS
from fleetmint.ledger.handover import import_handover
from fleetmint.ledger.replacement import NewToken, add_token
from fleetmint.ledger.revocation import revoke
from fleetmint.x509.keys import spki_sha256
from tests.support.gateway_site import board, environ, handover, make_csr, new_key, registration, token_entry

MAC = "24:0a:c4:00:00:01"
LAMP = "lamp-000001"


@pytest.fixture
def token(site, now):
    """The token of a device that has to be approved."""
    return site.register(now, LAMP, policy={"approval": "manual"})[LAMP]


@pytest.fixture
def enrol(client):
    def run(token, key, address="192.0.2.1", **more):
        body = {"device": LAMP, "token": token, "csr": base64.b64encode(make_csr(key)).decode(), **more}
        return client.post("/v1/enrol", json=body, environ_overrides=environ("devices", address=address))

    return run


@pytest.fixture
def operator(client, site, now):
    def run(path="/v1/approvals", data=None, name="bench@test", listener="operators"):
        profile = "station" if name == "bench@test" else "operator"
        shown = site.hierarchy.authority("operator").issue(profile, new_key().public_key(), name, now=now)
        if data is None:
            return client.get(path, environ_overrides=environ(listener, shown))
        return client.post(path, json=data, environ_overrides=environ(listener, shown))

    return run


def fingerprint(key):
    return spki_sha256(key.public_key()).hex()


def said(answer):
    return answer.status_code, answer.json["error"]


def rows_in(site, table):
    with site.reading() as connection:
        return connection.exec_driver_sql(f"select count(*) from {table}").scalar()  # noqa: S608


def hand_over(site, now, mac=MAC, result="burned", at=None):
    document = read_handover(handover([board(LAMP, mac, at or now, result)]), site="test", gateway="gateway")
    with site.writing() as connection:
        import_handover(connection, document, actor="test", now=now)


def test_a_device_waits_until_an_operator_approves_its_key_and_then_gets_its_certificate(
    enrol, operator, token, site, now
):
    key = new_key()
    first = enrol(token, key)
    assert said(first) == (202, "approval_pending")
    assert first.headers["Retry-After"] == str(RETRY_SECONDS)
    assert said(enrol(token, key)) == (202, "approval_pending")
    hand_over(site, now)
    (row,) = operator(name="alice@test").json["approvals"]
    assert (row["device"], row["batch"], row["key"], row["mac"]) == (LAMP, "lamps-1", fingerprint(key), MAC)
    assert row["source"] == "192.0.2.1"
    assert operator(data={"device": LAMP, "decision": "approve"}).json["keys"] == [fingerprint(key)]
    answer = enrol(token, key)
    assert answer.status_code == 200
    issued = x509.load_der_x509_certificate(base64.b64decode(answer.json["certificate"]))
    assert spki_sha256(issued.public_key()).hex() == fingerprint(key)
    assert operator().json == {"approvals": []}
    assert enrol(token, key).json["serial"] == answer.json["serial"]
    assert site.findings() == ()


def test_a_client_of_est_waits_in_the_same_queue(client, enrol, operator, token):
    key = new_key()

    def simpleenroll():
        headers = {"Authorization": "Basic " + base64.b64encode(f"{LAMP}:{token}".encode()).decode()}
        return client.post(
            "/.well-known/est/simpleenroll",
            data=base64.b64encode(make_csr(key)),
            content_type="application/pkcs10",
            headers=headers,
            environ_overrides=environ("devices"),
        )

    waiting = simpleenroll()
    assert (waiting.status_code, waiting.headers["Retry-After"]) == (202, str(RETRY_SECONDS))
    assert waiting.text.startswith("approval_pending: ")
    assert [row["key"] for row in operator().json["approvals"]] == [fingerprint(key)]
    operator(data={"device": LAMP, "decision": "approve"})
    assert simpleenroll().status_code == 200


def test_nothing_but_the_queue_is_written_while_a_device_waits(enrol, token, site, now):
    enrol(token, new_key())
    with site.reading() as connection:
        kinds = connection.exec_driver_sql("select kind from events order by seq").scalars().all()
    assert kinds == ["import", "wait"]
    assert (rows_in(site, "certificates"), rows_in(site, "public_keys")) == (0, 0)


def test_a_thief_with_the_token_stands_beside_the_device_and_neither_is_approved_by_accident(
    enrol, operator, token, site, now
):
    mine, theirs = new_key(), new_key()
    enrol(token, theirs, address="198.51.100.7")
    enrol(token, mine)
    rows = operator().json["approvals"]
    assert [(row["key"], row["source"]) for row in rows] == [
        (fingerprint(theirs), "198.51.100.7"),
        (fingerprint(mine), "192.0.2.1"),
    ]
    both = operator(data={"device": LAMP, "decision": "approve"})
    assert said(both) == (409, "document_refused")
    assert fingerprint(mine)[:16] in both.json["message"]
    assert fingerprint(theirs)[:16] in both.json["message"]
    assert operator(data={"device": LAMP, "decision": "approve", "key": fingerprint(mine)[:12]}).json["changed"]
    assert said(enrol(token, theirs)) == (403, "approval_denied")
    assert enrol(token, mine).status_code == 200
    assert said(enrol(token, theirs)) == (403, "refused")
    assert site.findings() == ()


def test_who_is_denied_is_told_so_and_can_be_approved_by_key_after_all(enrol, operator, token):
    key = new_key()
    enrol(token, key)
    assert operator(data={"device": LAMP, "decision": "deny"}).json["changed"]
    assert not operator(data={"device": LAMP, "decision": "deny"}).json["changed"]
    assert said(enrol(token, key)) == (403, "approval_denied")
    assert said(operator(data={"device": LAMP, "decision": "approve"})) == (409, "document_refused")
    assert operator(data={"device": LAMP, "decision": "approve", "key": fingerprint(key)}).json["changed"]
    assert enrol(token, key).status_code == 200


def test_the_keys_of_a_token_that_wait_are_few(enrol, operator, token, site):
    for _ in range(MOST_KEYS):
        assert said(enrol(token, new_key())) == (202, "approval_pending")
    assert said(enrol(token, new_key())) == (403, "too_many_keys")
    assert rows_in(site, "approvals") == MOST_KEYS


def test_a_stranger_comes_into_no_queue(enrol, token, site):
    assert said(enrol("f" * 32, new_key())) == (403, "refused")
    assert rows_in(site, "approvals") == 0


@pytest.mark.parametrize("ended", ["revoked", "replaced", "expired"])
def test_what_asks_for_nothing_more_waits_no_longer(enrol, operator, token, site, now, ended):
    enrol(token, new_key())
    later = now
    with site.writing() as connection:
        if ended == "revoked":
            revoke(connection, LAMP, reason="key_compromise", actor="test", now=now)
        elif ended == "replaced":
            add_token(connection, NewToken(LAMP, "b" * 64, now + timedelta(days=9)), actor="test", now=now)
        else:
            later = now + timedelta(days=366)
    with site.reading() as connection:
        assert approvals.list_waiting(connection, later) == ()
        assert approvals.count_waiting(connection, later) == 0


def test_a_new_token_begins_a_queue_of_its_own(enrol, operator, token, site, now):
    for _ in range(MOST_KEYS):
        enrol(token, new_key())
    again = site.register(now, LAMP, policy={"approval": "manual"})[LAMP]
    assert said(enrol(again, new_key())) == (202, "approval_pending")


def test_only_a_station_decides(enrol, operator, token):
    enrol(token, new_key())
    decision = {"device": LAMP, "decision": "approve"}
    assert said(operator(data=decision, name="alice@test")) == (403, "certificate_refused")
    assert operator(listener="devices").status_code == 404
    assert operator(data=decision, listener="devices").status_code == 404


@pytest.mark.parametrize(
    "data",
    [
        {"device": LAMP},
        {"device": LAMP, "decision": "perhaps"},
        {"device": LAMP, "decision": "approve", "key": 7},
        {"device": LAMP, "decision": "approve", "key": "%"},
        {"device": LAMP, "decision": ["approve"]},
        {"device": "A", "decision": "approve"},
        {"device": "lamp-000009", "decision": "approve"},
    ],
)
def test_a_decision_that_cannot_be_carried_out_says_why(operator, enrol, token, data):
    enrol(token, new_key())
    answer = operator(data=data)
    assert said(answer) == (409, "document_refused")
    assert len(answer.json["message"]) > 20


def test_a_batch_that_is_made_automatic_lets_its_devices_in(enrol, token, site, now):
    key = new_key()
    enrol(token, key)
    document = registration([token_entry(LAMP, token, now + timedelta(days=365))])
    assert site.import_(document, now).ruled == (LAMP,)
    assert enrol(token, key).status_code == 200
    assert site.import_(document, now).ruled == ()


def test_a_device_that_is_revoked_is_left_as_it_is_when_its_batch_changes(token, site, now):
    with site.writing() as connection:
        revoke(connection, LAMP, reason="key_compromise", actor="test", now=now)
    assert not site.import_(registration([token_entry(LAMP, token, now + timedelta(days=365))]), now).changed


def test_a_renewal_needs_no_approval(enrol, operator, token, site, client, now):
    key = new_key()
    enrol(token, key)
    operator(data={"device": LAMP, "decision": "approve"})
    issued = x509.load_der_x509_certificate(base64.b64decode(enrol(token, key).json["certificate"]))
    csr = base64.b64encode(make_csr(new_key())).decode()
    answer = client.post("/v1/renew", json={"csr": csr}, environ_overrides=environ("devices", issued))
    assert answer.status_code == 200


@pytest.fixture
def bound(site, now):
    """The token of a device whose token is good on its board alone."""
    return site.register(now, LAMP, policy={"token_binding": "mac"})[LAMP]


def test_a_bound_token_waits_for_the_handover_and_is_good_on_that_board_alone(enrol, bound, site, now):
    key = new_key()
    assert said(enrol(bound, key, mac=MAC)) == (202, "handover_pending")
    hand_over(site, now)
    assert said(enrol(bound, key)) == (403, "wrong_board")
    assert said(enrol(bound, key, mac="24:0a:c4:00:00:02")) == (403, "wrong_board")
    assert said(enrol(bound, key, mac=7)) == (403, "wrong_board")
    assert rows_in(site, "public_keys") == 0
    assert enrol(bound, key, mac=MAC.upper()).status_code == 200
    assert site.findings() == ()


def test_a_board_that_was_quarantined_gives_no_certificate_to_a_bound_token(enrol, bound, site, now):
    hand_over(site, now, result="quarantined")
    assert said(enrol(bound, new_key(), mac=MAC)) == (202, "handover_pending")


def test_a_token_that_is_not_bound_is_good_whatever_the_device_says(enrol, site, now):
    token = site.register(now, LAMP)[LAMP]
    hand_over(site, now)
    assert enrol(token, new_key(), mac="24:0a:c4:00:00:02").status_code == 200


def test_both_can_be_wanted_at_once(enrol, operator, site, now):
    token = site.register(now, LAMP, policy={"approval": "manual", "token_binding": "mac"})[LAMP]
    key = new_key()
    hand_over(site, now)
    assert said(enrol(token, key, mac="24:0a:c4:00:00:02")) == (403, "wrong_board")
    assert operator().json == {"approvals": []}
    assert said(enrol(token, key, mac=MAC)) == (202, "approval_pending")
    operator(data={"device": LAMP, "decision": "approve"})
    assert enrol(token, key, mac=MAC).status_code == 200


def test_a_key_that_was_denied_stays_out_when_its_batch_needs_no_approval_any_more(enrol, operator, token, site, now):
    thief, own = new_key(), new_key()
    enrol(token, thief)
    assert operator(data={"device": LAMP, "decision": "deny"}).status_code == 200
    site.import_(registration([token_entry(LAMP, token, now + timedelta(days=365))]), now)
    assert said(enrol(token, thief)) == (403, "approval_denied")
    assert enrol(token, own).status_code == 200
