"""The routes: a row for each, with who may ask, what for, what is answered and what is refused."""

from collections.abc import Sequence
from dataclasses import dataclass

from fleetmint.service import operators, stations
from fleetmint.service.answers import EST, V1
from fleetmint.service.queries import Parameter

NOBODY, DEVICE, EITHER, OPERATOR, STATION = "nobody", "device", "either", "operator", "station"
ANYBODY, EVERYBODY = "anybody", "everybody"
JSON, HTML, TEXT = "application/json", "text/html", "text/plain"
BINARY, CRL = "application/octet-stream", "application/pkix-crl"
PKCS7, PKCS10, ATTRIBUTES = "application/pkcs7-mime", "application/pkcs10", "application/csrattrs"

_CERTIFICATE = ("certificate_needed", "certificate_refused")
_BODY = ("request_timeout", "request_entity_too_large")
_ALWAYS = ("not_found", "internal_error", "unavailable")
_OF_WHO = {
    NOBODY: _ALWAYS,
    DEVICE: (*_CERTIFICATE, "superseded", *_ALWAYS),
    EITHER: ("credentials_needed", "certificate_refused", "superseded", *_ALWAYS),
    OPERATOR: (*_CERTIFICATE, *_ALWAYS),
    STATION: (*_CERTIFICATE, *_BODY, "unsupported_media_type", "document_refused", *_ALWAYS),
    ANYBODY: (*_CERTIFICATE, "superseded", *_ALWAYS),
    EVERYBODY: ("internal_error",),
}
_CSR = (
    *_BODY,
    "bad_encoding",
    "bad_name",
    "bad_key",
    "bad_hash",
    "bad_signature",
    "bad_extension",
    "weak_key",
    "key_in_use",
    "key_retired",
    "too_large",
)
_STRANGER = ("refused", "too_many_failures")
_TOKEN = (*_STRANGER, "approval_pending", "handover_pending", "approval_denied", "wrong_board", "too_many_keys")
_EST = (*_CSR, *_TOKEN, "bad_attribute", "new_key_needed")


@dataclass(frozen=True)
class Operation:
    """One method of one route.

    `who` may ask, and at which listener follows from that: `nobody` is a device without a certificate, `either` one
    with or without, `anybody` a device or an operator, and `everybody` asks at every listener. `body` and `answer` are
    names of schemas; where they are of another type than JSON they have none. `refusals` are the codes that this route
    has beside those that each of its kind has, and `others` what else it answers, by status.
    """

    method: str
    path: str
    who: str
    summary: str
    answer: str = ""
    body: str = ""
    query: tuple[Parameter, ...] = ()
    refusals: tuple[str, ...] = ()
    answer_type: str = JSON
    body_type: str = JSON
    others: tuple[tuple[int, str], ...] = ()

    @property
    def codes(self) -> Sequence[str]:
        """Every code that it may refuse with."""
        asked = self.path.startswith(V1) and self.who in (OPERATOR, STATION)
        return tuple(dict.fromkeys((*self.refusals, *_OF_WHO[self.who], *(("bad_query",) if asked else ()))))

    @property
    def refusal_type(self) -> str:
        """The type of what it refuses with."""
        return JSON if self.path.startswith(V1) else TEXT if self.path.startswith(EST) else HTML


_CHECK = (stations.CHECK,)
OPERATIONS = (
    Operation("GET", "/", ANYBODY, "A page: hello to a device, the fleet to an operator.", answer_type=HTML),
    # --- devices ---
    Operation(
        "POST",
        "/v1/enrol",
        NOBODY,
        "Get the first certificate for a one-time token.",
        "Issued",
        "Enrolment",
        refusals=(*_CSR, *_TOKEN, "bad_request"),
    ),
    Operation(
        "POST",
        "/v1/recover",
        NOBODY,
        "Get a certificate after the last one has ended, within the time of grace and for the same key.",
        "Issued",
        "Recovery",
        refusals=(*_CSR, *_STRANGER, "bad_request"),
    ),
    Operation(
        "POST",
        "/v1/renew",
        DEVICE,
        "Get the next certificate; the key may be a new one.",
        "Issued",
        "Renewal",
        refusals=(*_CSR, "bad_request", "new_key_needed"),
    ),
    Operation("GET", "/v1/whoami", DEVICE, "What the gateway wants of the device that asks.", "Whoami"),
    Operation(
        "GET",
        "/v1/trust-bundle",
        DEVICE,
        "The signed trust bundle; 304 to whoever sends its label as If-None-Match.",
        refusals=("no_trust_bundle",),
        answer_type=BINARY,
        others=((304, "The client has it."),),
    ),
    # --- devices with an EST client (RFC 7030) ---
    Operation("GET", f"{EST}cacerts", NOBODY, "The chain of the device CA.", answer_type=PKCS7),
    Operation("GET", f"{EST}csrattrs", NOBODY, "What a request should look like.", answer_type=ATTRIBUTES),
    Operation(
        "POST",
        f"{EST}simpleenroll",
        EITHER,
        "Get the first certificate, with device id and token by HTTP Basic.",
        refusals=_EST,
        answer_type=PKCS7,
        body_type=PKCS10,
    ),
    Operation(
        "POST",
        f"{EST}simplereenroll",
        EITHER,
        "Get the next certificate, with the one before.",
        refusals=_EST,
        answer_type=PKCS7,
        body_type=PKCS10,
    ),
    Operation(
        "POST",
        f"{EST}serverkeygen",
        NOBODY,
        "Not offered: no key is made here.",
        refusals=("not_offered",),
        answer_type="",
        body_type=PKCS10,
    ),
    Operation(
        "POST", f"{EST}fullcmc", NOBODY, "Not offered.", refusals=("not_offered",), answer_type="", body_type=PKCS7
    ),
    # --- monitoring ---
    Operation(
        "GET",
        "/healthz",
        EVERYBODY,
        "Whether a device could enrol now.",
        answer_type=TEXT,
        others=((503, "It could not: the journal says why."),),
    ),
    Operation("GET", "/metrics", OPERATOR, "Metrics for Prometheus.", answer_type=TEXT),
    # --- operators ---
    Operation("GET", "/v1/devices", OPERATOR, "Devices, by id.", "Devices", query=operators.DEVICES_QUERY),
    Operation(
        "GET",
        "/v1/devices/{device}",
        OPERATOR,
        "One device with its certificates, tokens and latest events.",
        "DeviceInFull",
        refusals=("no_such_device",),
    ),
    Operation(
        "GET",
        "/v1/certificates",
        OPERATOR,
        "Certificates, by serial number.",
        "Certificates",
        query=operators.CERTIFICATES_QUERY,
    ),
    Operation(
        "GET", "/v1/tokens", OPERATOR, "Tokens, by their hash: nobody has more.", "Tokens", query=operators.TOKENS_QUERY
    ),
    Operation("GET", "/v1/events", OPERATOR, "What was done, as a hash chain.", "Events", query=operators.EVENTS_QUERY),
    Operation("GET", "/v1/batches", OPERATOR, "How many devices of each batch are in which state.", "Batches"),
    Operation(
        "GET",
        "/v1/expiries",
        OPERATOR,
        "What ends on this gateway, the earliest first, and what of it somebody has to see to.",
        "Expiries",
        query=operators.EXPIRIES_QUERY,
    ),
    Operation("GET", "/v1/crls", OPERATOR, "The CRLs of this gateway.", "Crls"),
    Operation("GET", "/v1/crls/{name}", OPERATOR, "One CRL, as DER.", refusals=("no_such_crl",), answer_type=CRL),
    Operation("GET", "/v1/approvals", OPERATOR, "What waits for a person.", "Approvals"),
    Operation("GET", "/v1/openapi.json", OPERATOR, "This document.", "OpenApi"),
    # --- stations ---
    Operation(
        "POST",
        "/v1/registrations",
        STATION,
        "Register the devices of a batch.",
        "RegistrationReport",
        "Registration",
        query=_CHECK,
    ),
    Operation(
        "POST",
        "/v1/handovers",
        STATION,
        "Say which board each device is, and what became of it.",
        "HandoverReport",
        "Handover",
        query=_CHECK,
    ),
    Operation(
        "POST",
        "/v1/revocations",
        STATION,
        "Revoke devices, take new CRLs, and have both in force before the answer.",
        "RevocationsReport",
        "Revocations",
    ),
    Operation(
        "POST",
        "/v1/devices/{device}/token",
        STATION,
        "Give a device another one-time token, and another owner with `owner`.",
        "NewTokenReport",
        "NewToken",
    ),
    Operation(
        "POST", "/v1/approvals", STATION, "Approve or deny what a device asks for.", "DecisionReport", "Decision"
    ),
    Operation(
        "POST",
        "/v1/public-keys",
        STATION,
        "Know the keys of another gateway of the site, which no device here may have.",
        "KeysReport",
        "KeysElsewhere",
    ),
    Operation("POST", "/v1/alerts/test", STATION, "Have the gateway try its alert_command.", "AlertReport"),
)
