"""The Flask application: routes, answers and headers. What is decided, is decided in the modules beside this one.

    devices' listener     GET /   and the routes in devices.py and est.py
    operators' listener   GET /   GET /metrics   and the routes in operators.py, approvals.py and stations.py,
                          and what api/ says of all
    every listener        GET /healthz

Every refusal is a 4xx with a reason, except that of a stranger, which is one and the same 403; what is no fault of the
client and passes is a 503 with Retry-After, and what waits for a person a 202 with Retry-After.
"""

import logging
from collections.abc import Callable
from datetime import datetime
from typing import Any

from flask import Flask, Response, request
from werkzeug.exceptions import HTTPException

from fleetmint.errors import ClockError, FleetmintError, RegistrationRefusedError
from fleetmint.gateway.clock import utc_now
from fleetmint.gateway.config import Config
from fleetmint.gateway.views import device_view
from fleetmint.ledger import reading
from fleetmint.ledger.approvals import ApprovalPendingError, PolicyRefusedError
from fleetmint.ledger.devices import list_devices
from fleetmint.ledger.grants import GrantRefusedError, SupersededError
from fleetmint.ledger.issuance import NewKeyNeededError
from fleetmint.printable import printable
from fleetmint.service import identity, trust_bundle
from fleetmint.service.answers import operator, page, refuse, retry
from fleetmint.service.api.document import add_document
from fleetmint.service.approvals import add_approvals
from fleetmint.service.counters import Counters
from fleetmint.service.devices import add_devices, device
from fleetmint.service.elsewhere import add_elsewhere
from fleetmint.service.est import add_est
from fleetmint.service.health import Health, add_health
from fleetmint.service.identity import IdentityRefusedError, NoCertificateError
from fleetmint.service.journal import event
from fleetmint.service.limiter import FailureLimiter
from fleetmint.service.metrics import add_metrics, count_requests
from fleetmint.service.operators import add_operators
from fleetmint.service.resources import Resources
from fleetmint.service.stations import add_stations
from fleetmint.x509.listeners import DEVICES
from fleetmint.x509.request import RequestRefusedError

_log = logging.getLogger(__name__)

RETRY_SECONDS = 10
RETRY_CLOCK_SECONDS = 60

_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


class _Service(Flask):
    """Flask without its answers to OPTIONS: a 200 with nothing behind it, where no page may ask from elsewhere."""

    def add_url_rule(self, rule: str, *arguments: Any, **options: Any) -> None:
        super().add_url_rule(rule, *arguments, **{**options, "provide_automatic_options": False})


def create_app(config: Config, *, clock: Callable[[], datetime] = utc_now, counters: Counters | None = None) -> Flask:
    """Make the application, which counts in `counters`. Nothing is opened before it is needed: see `resources`."""
    app = _Service(__name__, static_folder=None)
    app.jinja_env.finalize = lambda value: printable(value) if isinstance(value, str) else value
    resources = Resources(config, counters or Counters())
    app.extensions["fleetmint"] = resources
    count_requests(app, resources.counters)
    health = Health(resources, clock)
    add_health(app, health)
    add_metrics(app, resources, health, clock)
    limiter = FailureLimiter()
    add_devices(app, resources, clock, limiter)
    add_est(app, resources, clock, limiter)
    add_operators(app, resources, clock)
    add_stations(app, resources, clock)
    add_approvals(app, resources, clock)
    add_elsewhere(app, resources, clock)
    add_document(app, resources)
    _add_errors(app)

    @app.get("/")
    def hello() -> Response:
        at = identity.listener(request.environ)
        if at == DEVICES:
            return trust_bundle.announce(page("hello.html", name=device(resources, clock).device), config)
        return page("devices.html", operator=operator(resources), devices=_devices(resources), gateway=config.gateway)

    @app.after_request
    def add_headers(response: Response) -> Response:
        for name, value in _HEADERS.items():
            response.headers[name] = value
        return response

    return app


def _add_errors(app: Flask) -> None:
    @app.errorhandler(RequestRefusedError)
    def bad_request(error: RequestRefusedError) -> Response:
        said = event("request_refused", code=error.code)
        _log.info("request from %s refused: %s", request.remote_addr, error.code, extra=said)
        return refuse(413 if error.code == "too_large" else 400, error.code, str(error))

    @app.errorhandler(RegistrationRefusedError)
    def document_refused(error: RegistrationRefusedError) -> Response:
        said = event("document_refused", code="document_refused", reason=str(error))
        _log.warning("document from %s refused: %s", request.remote_addr, error, extra=said)
        return refuse(409, "document_refused", str(error))

    @app.errorhandler(NoCertificateError)
    def no_certificate(error: NoCertificateError) -> Response:
        return refuse(401, "certificate_needed", str(error))

    @app.errorhandler(IdentityRefusedError)
    def wrong_certificate(error: IdentityRefusedError) -> Response:
        said = event("certificate_refused", code="certificate_refused", reason=str(error))
        _log.warning("certificate from %s refused: %s", request.remote_addr, error, extra=said)
        return refuse(403, "certificate_refused", str(error))

    @app.errorhandler(GrantRefusedError)
    def no_right(error: GrantRefusedError) -> Response:
        code = "superseded" if isinstance(error, SupersededError) else "certificate_refused"
        said = event("grant_refused", code=code, reason=str(error))
        _log.warning("a certificate from %s gives no right to another: %s", request.remote_addr, error, extra=said)
        return refuse(403, code, str(error))

    @app.errorhandler(ApprovalPendingError)
    def pending(error: ApprovalPendingError) -> Response:
        if error.is_new:
            said = event("request_waits", code=error.code)
            _log.warning("a request from %s waits: %s", request.remote_addr, error, extra=said)
        return retry(202, error.code, str(error), error.seconds)

    @app.errorhandler(PolicyRefusedError)
    def by_policy(error: PolicyRefusedError) -> Response:
        said = event("request_refused", code=error.code)
        _log.warning("request from %s refused: %s", request.remote_addr, error.code, extra=said)
        return refuse(403, error.code, str(error))

    @app.errorhandler(NewKeyNeededError)
    def key_of_factory(error: NewKeyNeededError) -> Response:
        return refuse(409, "new_key_needed", str(error))

    @app.errorhandler(FleetmintError)
    def not_now(error: FleetmintError) -> Response:
        # the reason is the gateway's own business
        _log.error("%s", error, extra=event("unavailable", code="unavailable", reason=str(error)))
        seconds = RETRY_CLOCK_SECONDS if isinstance(error, ClockError) else RETRY_SECONDS
        return retry(503, "unavailable", "not now, try again later", seconds)

    @app.errorhandler(HTTPException)
    def by_http(error: HTTPException) -> Response:
        response = refuse(error.code or 500, error.name.lower().replace(" ", "_"), error.name)
        for name, value in error.get_headers(request.environ):
            if name in ("Allow", "Retry-After"):
                response.headers[name] = value
        return response

    @app.errorhandler(Exception)
    def by_mistake(error: Exception) -> Response:
        said = event("internal_error", code="internal_error", reason=type(error).__name__)
        _log.error("a mistake in the service: %s", type(error).__name__, exc_info=error, extra=said)
        return refuse(500, "internal_error", "the service has made a mistake; its journal has the details")


def _devices(resources: Resources) -> list[dict[str, str | None]]:
    with reading(resources.engine) as connection:
        return [device_view(device) for device in list_devices(connection)]
