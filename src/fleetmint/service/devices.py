"""The routes of the devices' listener.

    POST /v1/enrol         {"device", "token", "csr"}        no certificate: the token is what counts
    POST /v1/recover       {"certificate", "csr"}            no certificate: nginx lets none in that has ended
    POST /v1/renew         {"csr"}                           with its certificate; the key may be a new one
    GET  /v1/whoami                                          what the gateway wants of the device
    GET  /v1/trust-bundle

The first three answer {"certificate", "serial", "not_after", "renew_at"}. A device that is seen with a certificate for
the first time confirms it, which is the one time that one of the others writes anything.
"""

import base64
import hashlib
import logging
from collections.abc import Callable
from datetime import datetime

from flask import Flask, Response, request
from sqlalchemy.engine import Connection

from fleetmint.errors import ClockError, LedgerError, StateError
from fleetmint.gateway import disk
from fleetmint.gateway.clock import kept, refuse_wrong_clock
from fleetmint.gateway.views import time_text
from fleetmint.ledger import reading, succession
from fleetmint.ledger.devices import Certificate, serial_text
from fleetmint.ledger.grants import GrantRefusedError, SupersededError
from fleetmint.ledger.schema import ACTIVE
from fleetmint.service import counters, trust_bundle
from fleetmint.service.adoption import known_certificate
from fleetmint.service.answers import json_answer, only_at, read_body, refuse, retry
from fleetmint.service.body import MAX_BYTES, read_enrolment, read_recovery, read_renewal
from fleetmint.service.enrolment import Issued, Issuing, enrol, recover, renew
from fleetmint.service.identity import IdentityRefusedError
from fleetmint.service.journal import event
from fleetmint.service.limiter import FailureLimiter
from fleetmint.service.renewal import renewal_of
from fleetmint.service.resources import Resources
from fleetmint.x509.listeners import DEVICES

_log = logging.getLogger(__name__)


def add_devices(app: Flask, resources: Resources, clock: Callable[[], datetime], limiter: FailureLimiter) -> None:
    """Add the routes to `app`."""

    @app.post("/v1/enrol")
    def enrol_device() -> Response:
        only_at(DEVICES)
        enrolment = read_enrolment(read_body(MAX_BYTES))
        try:
            issued = enrol(issuing(resources, clock), enrolment, source=request.remote_addr or "")
        except GrantRefusedError as error:
            return refuse_stranger(limiter, enrolment.device, error, device=enrolment.device)
        return _answer(issued, "enrolled")

    @app.post("/v1/recover")
    def recover_device() -> Response:
        only_at(DEVICES)
        recovery = read_recovery(read_body(MAX_BYTES))
        try:
            issued = recover(
                issuing(resources, clock), recovery, grace=resources.config.grace, source=request.remote_addr or ""
            )
        except GrantRefusedError as error:
            shown = hashlib.sha256(recovery.certificate).hexdigest()
            return refuse_stranger(limiter, shown, error)
        return _answer(issued, "recovered")

    @app.post("/v1/renew")
    def renew_device() -> Response:
        only_at(DEVICES)
        found = resources.peer(DEVICES, request.environ)
        csr = read_renewal(read_body(MAX_BYTES))
        shown = known_certificate(resources, clock, found)
        issued = renew(issuing(resources, clock), shown, csr, source=request.remote_addr or "")
        return _answer(issued, "renewed")

    @app.get("/v1/whoami")
    def who_am_i() -> Response:
        only_at(DEVICES)
        shown = device(resources, clock)
        if shown.superseded_at is not None:
            raise SupersededError(shown.serial)
        with reading(resources.engine) as connection:
            renewal = renewal_of(connection, shown, resources.authority)
        offered = trust_bundle.offered(resources.config)
        return json_answer(
            200,
            device=shown.device,
            status=ACTIVE,
            serial=serial_text(shown.serial),
            not_after=time_text(shown.not_after or renewal.at),
            renew_at=time_text(renewal.at),
            renew=renewal.at <= clock(),
            new_key=renewal.new_key,
            trust_bundle=None if offered is None else offered.label,
        )

    @app.get("/v1/trust-bundle")
    def current_trust_bundle() -> Response:
        only_at(DEVICES)
        device(resources, clock)
        offered = trust_bundle.offered(resources.config)
        if offered is None:
            message = "this gateway has no trust bundle: playbooks/gateway.yml brings it"
            return json_answer(404, error="no_trust_bundle", message=message)
        return trust_bundle.answer(offered, request.if_none_match)


def device(resources: Resources, clock: Callable[[], datetime]) -> Certificate:
    """Return the certificate of the device that asks, and confirm it when it was never seen before.

    Raises as identity.peer and adoption.known_certificate do, and SupersededError when its time is over.
    """
    found = resources.peer(DEVICES, request.environ)
    shown = known_certificate(resources, clock, found)
    now = clock()
    if not succession.is_good(shown, now):
        raise SupersededError(shown.serial)
    if shown.not_after is None or shown.not_after <= now:
        # the connection began while it was good, and nginx looks at a certificate once
        raise IdentityRefusedError("the certificate has ended")
    if shown.confirmed_at is None:
        _confirm(resources, clock, shown)
    return shown


def _confirm(resources: Resources, clock: Callable[[], datetime], shown: Certificate) -> None:
    def confirm(connection: Connection) -> None:
        now = kept(resources.config, clock)
        refuse_wrong_clock(connection, resources.authority, now)
        succession.confirm(connection, shown.serial, overlap=resources.config.overlap, now=now)

    try:
        resources.ledger.write(confirm)
    except (ClockError, StateError) as error:
        # the device need not wait for what the gateway lacks: the next request confirms it
        said = event("not_confirmed", device=shown.device, serial=serial_text(shown.serial), reason=str(error))
        _log.error("the certificate of %s is not confirmed yet: %s", shown.device, error, extra=said)


def issuing(resources: Resources, clock: Callable[[], datetime]) -> Issuing:
    """Return what issues, as this gateway is configured; raise StateError when its disk is nearly full."""
    config = resources.config
    disk.refuse_full(config)
    return Issuing(
        resources.ledger,
        resources.authority,
        lambda: kept(config, clock),
        config.overlap,
        lambda kind: resources.counters.add(counters.issued(kind)),
    )


def _answer(issued: Issued, done: str) -> Response:
    der = issued_der(issued, done)
    if issued.not_after is None:
        raise LedgerError("the certificate was not stored")
    return json_answer(
        200,
        certificate=base64.b64encode(der).decode(),
        serial=serial_text(issued.serial),
        not_after=time_text(issued.not_after),
        renew_at=time_text(issued.renewal.at),
    )


def issued_der(issued: Certificate, done: str) -> bytes:
    """Return the certificate that is going to be answered, and say so in the journal."""
    if issued.der is None:
        raise LedgerError("the certificate was not stored")
    serial = serial_text(issued.serial)
    said = event(done, device=issued.device, serial=serial)
    _log.info("%s %s from %s with serial %s", done, issued.device, request.remote_addr, serial, extra=said)
    return issued.der


def refuse_stranger(
    limiter: FailureLimiter, subject: str, error: GrantRefusedError, *, device: str | None = None
) -> Response:
    """Return one and the same refusal for whatever is wrong with a grant, until its source has to wait.

    `subject` is what its failures are counted by; of an enrolment also the `device` that it names.
    """
    source = request.remote_addr or ""
    # Only now: behind one address a neighbour's guesses must not keep out who has the right token.
    wait = limiter.wait(source, subject)
    if wait:
        return retry(429, "too_many_failures", "too many refused attempts", wait)
    limiter.failed(source, subject)
    said = event("grant_refused", device=device, code="refused", reason=str(error))
    what = "a recovery" if device is None else f"enrolment of {device}"
    _log.warning("%s from %s refused: %s", what, source, error, extra=said)
    return refuse(403, "refused")
