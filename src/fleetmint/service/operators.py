"""The routes that any operator may read, at the operators' listener. Who may write is in stations.py.

    GET /v1/devices        status, batch, result, text, expires_before     GET /v1/devices/ID
    GET /v1/certificates   status, issuer, device, expires_before
    GET /v1/tokens         state, device, expires_before
    GET /v1/events         subject, kind, actor, order
    GET /v1/batches        GET /v1/expiries        GET /v1/crls        GET /v1/crls/NAME

The first four come in pages: `limit` rows, and `next`, which is the `cursor` of the page behind them, or null. Devices
come all at once when no `limit` is given, as they did before there were pages.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Any

from cryptography.hazmat.primitives import serialization
from flask import Flask, Response, make_response

from fleetmint.errors import NameRefusedError
from fleetmint.gateway import expiries, views
from fleetmint.gateway.crl_files import kept_lists
from fleetmint.ledger import listing, reading
from fleetmint.ledger.devices import list_devices
from fleetmint.ledger.listing import LARGEST_PAGE, Page
from fleetmint.ledger.schema import CERTIFICATE_STATES, DEVICE_STATES, RESULTS, TOKEN_STATES, devices
from fleetmint.service import queries
from fleetmint.service.answers import json_answer, operator
from fleetmint.service.queries import CURSOR, LIMIT, choice, read_query, words
from fleetmint.service.resources import Resources
from fleetmint.x509 import names
from fleetmint.x509.listeners import DEVICE, FACTORY

_EXPIRES = queries.day("expires_before", "Only what ends before this day begins (UTC).")
_DEVICE = words("device", "Only those of this device.")
DEVICES_QUERY = (
    choice("status", "Only devices with this status.", DEVICE_STATES),
    words("batch", "Only devices of this batch."),
    choice("result", "Only devices of which the bench said this.", RESULTS),
    words("text", "Only devices with this in their id or in the MAC address of their board."),
    _EXPIRES,
    CURSOR,
    queries.number("limit", "The most rows of the answer; all there are when it is not given.", 1, LARGEST_PAGE),
)
CERTIFICATES_QUERY = (
    choice("status", "Only certificates with this status.", CERTIFICATE_STATES),
    choice("issuer", "Only certificates of this kind of CA.", (DEVICE, FACTORY)),
    _DEVICE,
    _EXPIRES,
    CURSOR,
    LIMIT,
)
TOKENS_QUERY = (
    choice("state", "Only tokens in this state.", TOKEN_STATES),
    _DEVICE,
    _EXPIRES,
    CURSOR,
    LIMIT,
)
EVENTS_QUERY = (
    words("subject", "Only events of this device, batch or gateway."),
    words("kind", "Only events of this kind, such as `revoke`."),
    words("actor", "Only what this actor did."),
    choice("order", "Which end of the chain comes first.", ("oldest", "newest"), "oldest"),
    queries.number("cursor", "`next` of the page before.", 0, 2**31 - 1),
    LIMIT,
)
EXPIRIES_QUERY = (
    queries.number("devices", "How many of the devices that end next are in it, or tokens.", 0, LARGEST_PAGE, 100),
)


def add_operators(app: Flask, resources: Resources, clock: Callable[[], datetime]) -> None:
    """Add the routes to `app`."""

    def paged(name: str, read: Callable[..., Page[Any]], view: Callable[[Any], Any], **query: Any) -> Response:
        with reading(resources.engine) as connection:
            page = read(connection, after=query.pop("cursor"), **query)
        following = None if page.last is None else str(page.last)
        return json_answer(200, **{name: [view(row) for row in page.rows], "next": following})

    @app.get("/v1/devices")
    def list_of_devices() -> Response:
        operator(resources)
        return paged("devices", listing.devices_page, views.device_view, **read_query(*DEVICES_QUERY))

    @app.get("/v1/certificates")
    def list_of_certificates() -> Response:
        operator(resources)
        return paged(
            "certificates", listing.certificates_page, views.certificate_view, **read_query(*CERTIFICATES_QUERY)
        )

    @app.get("/v1/tokens")
    def list_of_tokens() -> Response:
        operator(resources)
        return paged("tokens", listing.tokens_page, views.token_view, **read_query(*TOKENS_QUERY))

    @app.get("/v1/events")
    def list_of_events() -> Response:
        operator(resources)
        query = read_query(*EVENTS_QUERY)
        newest = query.pop("order") == "newest"
        return paged("events", listing.events_page, views.event_view, newest_first=newest, **query)

    @app.get("/v1/devices/<device>")
    def one_device(device: str) -> Response:
        operator(resources)
        read_query()
        found = _one_device(resources, device)
        if found is None:
            return json_answer(404, error="no_such_device", message="this gateway's ledger has no such device")
        return json_answer(200, **found)

    @app.get("/v1/batches")
    def list_of_batches() -> Response:
        operator(resources)
        read_query()
        with reading(resources.engine) as connection:
            found = listing.batches(connection)
        return json_answer(200, batches=[views.batch_view(name, counts) for name, counts in found.items()])

    @app.get("/v1/expiries")
    def horizon() -> Response:
        operator(resources)
        query, now = read_query(*EXPIRIES_QUERY), clock()
        with reading(resources.engine) as connection:
            found = expiries.find(resources.config, connection, now)
        return json_answer(200, **views.expiries_view(found, now, query["devices"]))

    @app.get("/v1/crls")
    def list_of_crls() -> Response:
        operator(resources)
        read_query()
        lists, damaged = kept_lists(resources.config)
        return json_answer(200, crls=[views.crl_view(name, crl) for name, crl in lists.items()], damaged=list(damaged))

    @app.get("/v1/crls/<name>")
    def one_crl(name: str) -> Response:
        operator(resources)
        read_query()
        crl = kept_lists(resources.config)[0].get(name)
        if crl is None:
            return json_answer(404, error="no_such_crl", message="this gateway has no such list: /v1/crls names them")
        answer = make_response(crl.public_bytes(serialization.Encoding.DER))
        answer.mimetype = "application/pkix-crl"
        return answer


def _one_device(resources: Resources, name: str) -> dict[str, Any] | None:
    try:
        names.device_id(name)
    except NameRefusedError:
        return None
    with reading(resources.engine) as connection:
        found = list_devices(connection, devices.c.device == name)
        if not found:
            return None
        own = listing.certificates_page(connection, device=name, limit=LARGEST_PAGE)
        tokens = listing.tokens_page(connection, device=name, limit=LARGEST_PAGE)
        told = listing.events_page(connection, subject=name, newest_first=True, limit=LARGEST_PAGE)
    newest_first = sorted(own.rows, key=lambda row: row.reserved_at, reverse=True)
    return {
        **views.device_view(found[0]),
        "certificates": [views.certificate_view(row) for row in newest_first],
        "tokens": [views.token_view(row) for row in tokens.rows],
        "events": [views.event_view(row) for row in told.rows],
    }
