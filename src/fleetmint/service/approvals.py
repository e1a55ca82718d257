"""The routes of the approval queue, at the operators' listener.

    GET  /v1/approvals    what waits for a person, to any operator
    POST /v1/approvals    {"device": ID, "decision": "approve" or "deny", "key": the beginning of its SHA-256}, to a
                          station; "key" where several keys ask to be one device

What cannot be decided as it was asked for is a 409 with a sentence.
"""

from collections.abc import Callable
from datetime import datetime

from flask import Flask, Response

from fleetmint.documents.document import read_object
from fleetmint.errors import LedgerError, NameRefusedError, RegistrationRefusedError, StateError
from fleetmint.gateway.views import approval_view
from fleetmint.ledger import approvals, reading, writing
from fleetmint.service.answers import json_answer, operator, read_body
from fleetmint.service.queries import read_query
from fleetmint.service.resources import Resources
from fleetmint.service.stations import MAX_BYTES, station
from fleetmint.x509 import names

DECISIONS = {"approve": approvals.approve, "deny": approvals.deny}


def add_approvals(app: Flask, resources: Resources, clock: Callable[[], datetime]) -> None:
    """Add the routes to `app`."""

    @app.get("/v1/approvals")
    def waiting() -> Response:
        operator(resources)
        read_query()
        with reading(resources.engine) as connection:
            found = approvals.list_waiting(connection, clock())
        return json_answer(200, approvals=[approval_view(each) for each in found])

    @app.post("/v1/approvals")
    def decide() -> Response:
        actor = station(resources)
        read_query()
        device, decision, key = _decision(read_body(MAX_BYTES))
        try:
            with writing(resources.engine) as connection:
                done = DECISIONS[decision](connection, device, key, actor=actor, now=clock())
        except LedgerError:
            raise
        except StateError as error:
            raise RegistrationRefusedError(str(error)) from error
        return json_answer(200, changed=done.changed, device=done.device, keys=done.keys)


def _decision(data: bytes) -> tuple[str, str, str | None]:
    wanted = read_object(data)
    decision, key = wanted.get("decision"), wanted.get("key")
    if not isinstance(decision, str) or decision not in DECISIONS or not isinstance(key, str | None):
        raise RegistrationRefusedError(f"the decision has to be {' or '.join(DECISIONS)}, and a key is text")
    try:
        return names.device_id(str(wanted.get("device"))), decision, key
    except NameRefusedError as error:
        raise RegistrationRefusedError(str(error)) from error
