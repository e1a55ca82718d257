"""Enrollment over Secure Transport (RFC 7030, 8951, 9908): the same ledger and policy, for clients that are not ours.

    GET  /.well-known/est/cacerts           the root and the device CAs
    GET  /.well-known/est/csrattrs          what a request should look like
    POST /.well-known/est/simpleenroll      with HTTP Basic, device id and token: as /v1/enrol
    POST /.well-known/est/simplereenroll    with the device's certificate: as /v1/renew

Either of the last two takes either proof, and a certificate counts first: RFC 7030 leaves it to the client with what it
authenticates itself, and a device that has a certificate cannot enrol for a first time.
"""

import base64
import binascii
import hashlib
from collections.abc import Callable
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.serialization import pkcs7
from flask import Flask, Response, request

from fleetmint.errors import NameRefusedError
from fleetmint.ledger.grants import GrantRefusedError
from fleetmint.service import identity
from fleetmint.service.adoption import known_certificate
from fleetmint.service.answers import EST, only_at, read_body, refuse
from fleetmint.service.body import MAX_BYTES, Enrolment, read_est
from fleetmint.service.devices import issued_der, issuing, refuse_stranger
from fleetmint.service.enrolment import enrol, renew
from fleetmint.service.identity import NoCertificateError
from fleetmint.service.limiter import FailureLimiter
from fleetmint.service.resources import Resources
from fleetmint.x509 import names
from fleetmint.x509.csr_attributes import csr_attributes
from fleetmint.x509.listeners import DEVICES
from fleetmint.x509.request import RequestRefusedError

_CERTS_ONLY = "application/pkcs7-mime; smime-type=certs-only"
# challengePassword (RFC 2985, 5.4.1) as it stands in a request
_CHALLENGE_PASSWORD = bytes.fromhex("06092a864886f70d010907")
_NOT_OFFERED = {
    "serverkeygen": "a key is made on its device and never leaves it: make one there and use simpleenroll",
    "fullcmc": "send the certificate request itself, to simpleenroll or simplereenroll",
}


def add_est(app: Flask, resources: Resources, clock: Callable[[], datetime], limiter: FailureLimiter) -> None:
    """Add the routes to `app`."""

    @app.get(f"{EST}cacerts")
    def ca_certificates() -> Response:
        # Whoever is new has to have them before it has proven anything (RFC 7030, 4.1.2).
        only_at(DEVICES)
        return _certificates(*resources.chain)

    @app.get(f"{EST}csrattrs")
    def attributes() -> Response:
        only_at(DEVICES)
        return _answer(csr_attributes(resources.config.site), "application/csrattrs")

    @app.post(f"{EST}simpleenroll")
    @app.post(f"{EST}simplereenroll")
    def enroll() -> Response:
        only_at(DEVICES)
        try:
            found = resources.peer(DEVICES, request.environ)
        except NoCertificateError:
            return with_token()
        return with_certificate(found)

    @app.post(f"{EST}serverkeygen")
    @app.post(f"{EST}fullcmc")
    def not_offered() -> Response:
        only_at(DEVICES)
        return refuse(404, "not_offered", _NOT_OFFERED[request.path.removeprefix(EST)])

    def with_token() -> Response:
        shown = _basic(request.headers.get("Authorization", ""))
        if shown is None:
            return _challenge()
        device, token = shown
        enrolment = Enrolment(_device_id(device), hashlib.sha256(token).hexdigest(), _read_request())
        try:
            issued = enrol(issuing(resources, clock), enrolment, source=request.remote_addr or "")
        except GrantRefusedError as error:
            return refuse_stranger(limiter, enrolment.device, error, device=enrolment.device)
        return _issued(issued_der(issued, "enrolled"))

    def with_certificate(found: identity.Peer) -> Response:
        csr = _read_request()
        shown = known_certificate(resources, clock, found)
        issued = renew(issuing(resources, clock), shown, csr, source=request.remote_addr or "")
        return _issued(issued_der(issued, "renewed"))


def _basic(header: str) -> tuple[str, bytes] | None:
    """Return user and password of an Authorization header (RFC 7617); None when there are none in it.

    Taken apart by hand: some versions of the library raise what becomes a 500 at a password that is not UTF-8.
    """
    scheme, _, encoded = header.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        user, colon, password = base64.b64decode(encoded.strip(), validate=True).partition(b":")
        return (user.decode(), password) if colon else None
    except (ValueError, binascii.Error):
        return None


def _device_id(text: str) -> str:
    try:
        return names.device_id(text)
    except NameRefusedError as error:
        raise RequestRefusedError("bad_name", str(error)) from error


def _read_request() -> bytes:
    """Return the CSR in the body; raise RequestRefusedError when it cannot be read or is bound to a connection."""
    csr = read_est(read_body(MAX_BYTES))
    if _CHALLENGE_PASSWORD in csr:
        # It may be the tls-unique of the connection, which has to be checked (RFC 7030, 3.5) and ends at nginx.
        raise RequestRefusedError("bad_attribute", "the request has a challengePassword, which nobody here can check")
    return csr


def _challenge() -> Response:
    response = refuse(
        401,
        "credentials_needed",
        "show the device's certificate, or give its id and its token as user and password of HTTP Basic",
    )
    response.headers["WWW-Authenticate"] = 'Basic realm="enrolment"'
    return response


def _issued(der: bytes) -> Response:
    # this one and no other (RFC 7030, 4.2.3)
    return _certificates(x509.load_der_x509_certificate(der))


def _certificates(*certificates: x509.Certificate) -> Response:
    return _answer(pkcs7.serialize_certificates(list(certificates), serialization.Encoding.DER), _CERTS_ONLY)


def _answer(der: bytes, content_type: str) -> Response:
    # in one line: clients of before RFC 8951 skip no line feeds
    return Response(base64.b64encode(der), content_type=content_type)
