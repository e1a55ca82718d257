"""The approval queue and the keys of other gateways, in a ledger on a server."""

from collections.abc import Iterator
from datetime import timedelta

import pytest
from sqlalchemy.engine import Engine

from fleetmint.documents.registration import read_registration
from fleetmint.ledger import approvals, audit, create_schema, elsewhere, imports, open_ledger, reading, writing
from fleetmint.ledger.approvals import ApprovalPendingError
from fleetmint.ledger.elsewhere import Key
from fleetmint.service.enrolment import enrol
from fleetmint.x509.keys import spki_sha256
from fleetmint.x509.request import RequestRefusedError
from tests.support.gateway_site import enrolment, issuing, new_key, registration, token_entry
from virtual import postgres

TOKENS = {"lamp-000001": "first", "lamp-000002": "second"}


@pytest.fixture
def engine(now) -> Iterator[Engine]:
    with postgres.cluster() as url:
        engine = open_ledger(url, create=True)
        create_schema(engine, site="test", owner="gateway")
        entries = [token_entry(device, token, now + timedelta(days=9)) for device, token in TOKENS.items()]
        data = registration(entries, policy={"approval": "manual"})
        document = read_registration(data, site="test", gateway="gateway", factory_cas=[])
        with writing(engine) as connection:
            imports.import_registration(connection, document, actor="test", now=now)
        yield engine
        engine.dispose()


def test_a_server_keeps_the_queue_and_the_keys_of_others_as_a_file_does(engine, site, now):
    mine, thief, theirs = new_key(), new_key(), new_key()

    def ask(device, key):
        return enrol(issuing(engine, site.device_ca, now), enrolment(device, TOKENS[device], key), source="2001:db8::1")

    for device, key in (("lamp-000001", mine), ("lamp-000001", thief), ("lamp-000001", mine), ("lamp-000002", theirs)):
        with pytest.raises(ApprovalPendingError):
            ask(device, key)
    shown = spki_sha256(theirs.public_key()).hex()
    with writing(engine) as connection:
        assert len(approvals.list_waiting(connection, now)) == approvals.count_waiting(connection, now) == 3
        own = spki_sha256(mine.public_key()).hex()[:10]
        assert approvals.approve(connection, "lamp-000001", own, actor="bench@test", now=now).changed
        assert approvals.approve(connection, "lamp-000002", None, actor="bench@test", now=now).changed
        for retired in (False, True):
            keys = [Key(shown, "sensor-000001", retired)]
            assert elsewhere.take(connection, "attic", keys, actor="bench@test", now=now).added == 1
    assert ask("lamp-000001", mine).device == "lamp-000001"
    with pytest.raises(RequestRefusedError, match="of another gateway"):
        ask("lamp-000002", theirs)
    with reading(engine) as connection:
        assert audit.findings(connection) == ()
