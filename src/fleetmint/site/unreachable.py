"""Why a gateway was not heard: what went wrong on the way to it, told apart by what there is to do.

"Is the gateway up?" is asked only when nothing answers. Whoever answers is up, and something else is the matter: the
clock, the CA, the name, a list of revoked certificates, or what stands behind the listener.
"""

from __future__ import annotations

import errno
import json
import re
import socket
import ssl
from datetime import UTC, datetime
from http.client import HTTPException
from typing import TYPE_CHECKING
from urllib.error import HTTPError, URLError

from fleetmint import commands
from fleetmint.printable import printable, shortened

if TYPE_CHECKING:
    from fleetmint.site.client import Gateway

# OpenSSL, x509_vfy.h.
_NOT_YET_VALID, _EXPIRED, _REVOKED, _HOST, _ADDRESS = 9, 10, 23, 62, 64
_CRLS = range(11, 17)
_SILENT = (errno.ECONNREFUSED, errno.ETIMEDOUT, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EHOSTDOWN)
# What a server says of a client's certificate before it closes the connection: RFC 8446, section 6.2.
_ALERTS = {
    "CERTIFICATE_REVOKED": "is revoked",
    "CERTIFICATE_EXPIRED": "has expired by its clock, or its list of revoked certificates has",
    "BAD_CERTIFICATE": "is not valid yet by its clock, or damaged",
    "CERTIFICATE_REQUIRED": "was not shown",
    "CERTIFICATE_UNKNOWN": "cannot be checked: perhaps a list of revoked certificates is missing there",
    "UNKNOWN_CA": "comes from a CA that it does not know",
}
_LONGEST = 300


def why(error: BaseException, gateway: Gateway, port: int) -> str:
    """Return a sentence about an error on the way to a port of a gateway, with what to do."""
    where = f"{gateway.host}:{port}"
    if isinstance(error, HTTPError):
        return _of_status(error, gateway)
    if isinstance(error, URLError) and isinstance(error.reason, BaseException):
        return why(error.reason, gateway, port)
    if isinstance(error, ssl.SSLCertVerificationError):
        return _of_certificate(error, gateway, where)
    if isinstance(error, ssl.SSLError):
        return _of_tls(error, gateway, where)
    if isinstance(error, socket.gaierror):
        return (
            f"this computer does not know the name {gateway.host} ({error.strerror}): is it in the same network, and"
            " does the name resolve (`getent hosts` tells)?"
        )
    if isinstance(error, TimeoutError) or (isinstance(error, OSError) and error.errno in _SILENT):
        reason = "timed out" if isinstance(error, TimeoutError) else str(error.strerror).lower()
        return f"nothing answers at {where} ({reason}): is the gateway up? Is this its address and port?"
    if isinstance(error, ConnectionError):
        return (
            f"{where} hangs up without a word: too many connections, or a server that is just starting; try again, and"
            " look at its journal if that stays"
        )
    if isinstance(error, HTTPException):
        return f"what answers at {where} does not speak HTTP as a gateway does: is this its operators' port?"
    if isinstance(error, ValueError):
        return f"what answers at {where} is no gateway of this version: it sends no JSON"
    return f"{where} cannot be reached: {printable(str(error))}"


def _of_certificate(error: ssl.SSLCertVerificationError, gateway: Gateway, where: str) -> str:
    clock = f"the clock of this computer says {datetime.now(UTC):%Y-%m-%d %H:%M}Z"
    renew = commands.playbook("gateway.yml")
    if error.verify_code == _NOT_YET_VALID:
        return (
            f"the certificate of {where} is not valid yet: {clock}; set it if it is behind. If it is right, the"
            f" certificate was made by a clock that ran ahead: {renew} makes another one"
        )
    if error.verify_code == _EXPIRED:
        return f"the certificate of {where} has ended: {clock}; set it if it runs ahead. If it is right, run {renew}"
    if error.verify_code in (_HOST, _ADDRESS):
        return (
            f"the certificate of {where} is for other names than {gateway.host}: put this one into"
            f" fleet_gateway_names and run {renew}"
        )
    if error.verify_code == _REVOKED or error.verify_code in _CRLS:
        return f"the certificate of {where} does not pass a list of revoked certificates: {error.verify_message}"
    return (
        f"the certificate of {where} does not come from a server CA of this site ({error.verify_message}): is it this"
        f" site's gateway? If it is, and its CA was replaced, run {renew}"
    )


def _of_tls(error: ssl.SSLError, gateway: Gateway, where: str) -> str:
    reason = str(error.reason or error)
    for alert, meaning in _ALERTS.items():
        if reason.endswith(alert):
            return refused(gateway, meaning)
    if reason in ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE", "PACKET_LENGTH_TOO_LONG"):
        return f"what answers at {where} does not speak TLS: is this the operators' port of the gateway?"
    if "PROTOCOL_VERSION" in reason or "UNSUPPORTED_PROTOCOL" in reason:
        return f"what answers at {where} does not speak TLS 1.3: is this the operators' port of the gateway?"
    if isinstance(error, (ssl.SSLEOFError, ssl.SSLZeroReturnError)):
        return f"{where} hangs up in the middle of TLS: look at its journal"
    return f"TLS with {where} fails: {printable(reason)}"


def refused(gateway: Gateway, meaning: str) -> str:
    """Return what to do about a certificate that a gateway does not take."""
    return (
        f"the certificate of {gateway.operator} {meaning}: {commands.fleetmint('operator', 'list')} says how it stands;"
        f" if that is well, compare the clock of {gateway.name} with this one, and run {commands.to_gateways()}, which"
        " brings the lists"
    )


def _of_status(error: HTTPError, gateway: Gateway) -> str:
    said = _said(error)
    head = f"{gateway.name} answered {error.code} to {gateway.operator}"
    if error.code == 401:
        reason = said.removeprefix("Hello, ").removesuffix(".").removeprefix("the client certificate ")
        return f"{head}: {refused(gateway, reason or 'is not taken')}"
    if error.code in (429, 503):
        wait = printable(error.headers.get("Retry-After") or "")
        return (
            f"{head}: {said or 'not now'}; try again{f' in {wait} s' if wait else ''}, and see its journal if it stays"
        )
    if error.code == 404:
        return (
            f"{head}: it has no such route: is it of an older version, or is this the devices' port?"
            f" {commands.playbook('gateway.yml')} brings this version"
        )
    return f"{head}: {said or 'without a reason'}"


def _said(error: HTTPError) -> str:
    try:
        body = error.read(65536).decode(errors="replace")
    except (OSError, HTTPException):
        return ""
    try:
        return commands.typed_here(str(json.loads(body)["message"]))
    except (ValueError, KeyError, TypeError):
        words = re.sub(r"<title>.*?</title>|<[^>]*>", " ", body, flags=re.DOTALL)
        return shortened(printable(" ".join(words.split())), _LONGEST)
