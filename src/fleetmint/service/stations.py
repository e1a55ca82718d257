"""The routes of the stations, at the operators' listener: what the factory tells this gateway. No other operator may.

    POST /v1/registrations     a registration document (documents/registration.py)
    POST /v1/handovers         a handover document (documents/handover.py)
    POST /v1/revocations       {"devices": [ID], "reason": "key_compromise", "lists": {"factory": PEM}} (in_force.py)
    POST /v1/alerts/test       {}: the gateway tries alert_command, and says what it answered
    POST /v1/devices/ID/token  {"token_sha256": hex, "token_expires": "2027-11-22T00:00:00Z"}, "owner" if it changes

Each is one transaction: taken whole, or refused with 409 and a sentence. With ?check=1 the first two change nothing.
Their answers have the head of the chain of events in the header Fleetmint-Ledger-Head: {"chain", "digest", "seq"}.
The body has to be called application/json, which no page of a stranger can make a browser send with its certificate.
"""

from collections.abc import Callable
from datetime import UTC, datetime

from flask import Flask, Response, abort, request

from fleetmint.choices import REASONS
from fleetmint.documents.document import read_object
from fleetmint.errors import LedgerError, NameRefusedError, RegistrationRefusedError, StateError
from fleetmint.gateway import alerts, disk, intake
from fleetmint.gateway.config import Config
from fleetmint.gateway.in_force import read_lists, revoke_devices
from fleetmint.ledger import reading, writing
from fleetmint.ledger.head import HEADER, read_head
from fleetmint.ledger.replacement import NewToken, add_token
from fleetmint.service.answers import json_answer, operator, read_body
from fleetmint.service.identity import IdentityRefusedError
from fleetmint.service.queries import choice, read_query
from fleetmint.service.resources import Resources
from fleetmint.x509 import names

# What nginx and uWSGI let through; a station sends a large batch in several documents.
MAX_BYTES = 65536
CHECK = choice("check", "1: say what would come of it, and change nothing.", ("0", "1"), "0")


def add_stations(app: Flask, resources: Resources, clock: Callable[[], datetime]) -> None:
    """Add the routes to `app`."""

    @app.post("/v1/registrations")
    def register() -> Response:
        return take(disk.refuse_full)

    @app.post("/v1/handovers")
    def hand_over() -> Response:
        return take()

    def take(look: Callable[[Config], None] = lambda _: None) -> Response:
        actor = station(resources)
        look(resources.config)
        report = intake.take(
            resources.engine,
            resources.config,
            read_body(MAX_BYTES),
            actor=actor,
            now=clock(),
            check=read_query(CHECK)["check"] == "1",
        )
        return _answer(resources, **report.values())

    @app.post("/v1/revocations")
    def revocations() -> Response:
        actor = station(resources)
        read_query()
        devices, reason, lists = _revocations(read_body(MAX_BYTES))
        done = revoke_devices(
            resources.engine, resources.config, devices, lists, reason=reason, now=clock(), actor=actor
        )
        return json_answer(200, unknown=list(done.unknown), **done.values())

    @app.post("/v1/alerts/test")
    def test_alerts() -> Response:
        station(resources)
        read_query()
        answer = alerts.test(resources.config)
        return json_answer(200, ok=answer.ok, said=answer.said)

    @app.post("/v1/devices/<device>/token")
    def new_token(device: str) -> Response:
        actor = station(resources)
        read_query()
        token = _token(device, read_body(MAX_BYTES))
        try:
            with writing(resources.engine) as connection:
                changed = add_token(connection, token, actor=actor, now=clock())
        except LedgerError:
            raise  # nothing is wrong with the token: try again
        except StateError as error:
            raise RegistrationRefusedError(str(error)) from error
        return _answer(resources, changed=changed, device=token.device)


def _answer(resources: Resources, **values: object) -> Response:
    """Return an answer with the head of the chain of events, which the station keeps (site/heads.py)."""
    with reading(resources.engine) as connection:
        head = read_head(connection)
    response = json_answer(200, **values)
    response.headers[HEADER] = head.text()
    return response


def station(resources: Resources) -> str:
    """Return the name of the station that asks; raise IdentityRefusedError for any other operator.

    Answers 415 to a body that is not called JSON: a browser that holds the certificate sends anything else unasked.
    """
    name = operator(resources)
    if name not in resources.config.station_names:
        raise IdentityRefusedError(
            f"{name} is no station of this gateway: signing_service_stations in the inventory says who is"
        )
    if request.mimetype != "application/json":
        abort(415)
    return name


def _revocations(data: bytes) -> tuple[list[str], str, dict[str, bytes]]:
    wanted = read_object(data)
    devices, reason = wanted.get("devices", []), wanted.get("reason", REASONS[0])
    if not isinstance(devices, list) or reason not in REASONS:
        raise RegistrationRefusedError(f"devices have to be a list, and the reason one of {', '.join(REASONS)}")
    try:
        return [names.device_id(str(device)) for device in devices], reason, read_lists(wanted.get("lists", {}))
    except NameRefusedError as error:
        raise RegistrationRefusedError(str(error)) from error


def _token(device: str, data: bytes) -> NewToken:
    try:
        wanted = read_object(data)
        expires = datetime.strptime(str(wanted["token_expires"]), "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
        owner = wanted.get("owner")
        return NewToken(
            names.device_id(device), str(wanted["token_sha256"]), expires, None if owner is None else str(owner)
        )
    except (KeyError, ValueError, NameRefusedError) as error:
        raise RegistrationRefusedError("a token needs token_sha256 and token_expires, and a device an id") from error
