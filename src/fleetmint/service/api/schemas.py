"""The shapes of what is sent and answered, as JSON schemas (2020-12)."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from fleetmint.choices import APPROVALS, REASONS, TOKEN_BINDINGS
from fleetmint.documents import handover, registration
from fleetmint.ledger.replacement import LONGEST_OWNER
from fleetmint.ledger.schema import CERTIFICATE_STATES, DEVICE_STATES, RESULTS, TOKEN_STATES
from fleetmint.service.approvals import DECISIONS
from fleetmint.x509.listeners import DELIVERED, DEVICE, FACTORY
from fleetmint.x509.names import DEVICE_ID_PATTERN

Schema = dict[str, Any]

TEXT: Schema = {"type": "string"}
YES_OR_NO: Schema = {"type": "boolean"}
COUNT: Schema = {"type": "integer", "minimum": 0}
DEVICE_ID: Schema = {"type": "string", "pattern": DEVICE_ID_PATTERN}
SERIAL: Schema = {"type": "string", "pattern": "^([0-9a-f]{2}){1,20}$", "description": "Hexadecimal."}
SHA256: Schema = {"type": "string", "pattern": "^[0-9a-f]{64}$"}
MAC: Schema = {"type": "string", "pattern": "^[0-9a-f]{2}(:[0-9a-f]{2}){5}$"}
TIME: Schema = {"type": "string", "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z$"}
EXACT_TIME: Schema = {
    "type": "string",
    "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}[.][0-9]{6}Z$",
}
BASE64: Schema = {"type": "string", "contentEncoding": "base64"}


def _maybe(schema: Mapping[str, Any]) -> Schema:
    return {"anyOf": [dict(schema), {"type": "null"}]}


def _one_of(values: Iterable[str]) -> Schema:
    return {"type": "string", "enum": list(values)}


def _list(items: Mapping[str, Any]) -> Schema:
    return {"type": "array", "items": dict(items)}


def _object(optional: Mapping[str, Schema] | None = None, /, **required: Schema) -> Schema:
    properties = {**required, **(optional or {})}
    return {"type": "object", "required": list(required), "properties": properties}


def of(name: str) -> Schema:
    """Return what stands for the schema of this name."""
    return {"$ref": f"#/components/schemas/{name}"}


def _page(name: str, rows: str) -> Schema:
    following = {**_maybe(TEXT), "description": "The `cursor` of the page behind this one; null when it is the last."}
    return _object(**{name: _list(of(rows)), "next": following})


_DEVICE = {
    "device": DEVICE_ID,
    "batch": TEXT,
    "status": _one_of(DEVICE_STATES),
    "serial": _maybe(SERIAL),
    "not_before": _maybe(TIME),
    "not_after": _maybe(TIME),
    "issuer": _maybe(_one_of((DEVICE, FACTORY))),
    "mac": _maybe(MAC),
    "result": _maybe(_one_of(RESULTS)),
    "token_expires": _maybe(TIME),
}
_TOKEN = {"token_sha256": SHA256, "token_expires": TIME}
_REPORT = {
    "changed": YES_OR_NO,
    "unchanged": COUNT,
    "skipped": _list(_object(device=DEVICE_ID, reason=TEXT)),
    "kept": _list({"type": "object"}),
}
_TURNS = {
    "in_force": {**YES_OR_NO, "description": "Every listener refuses it and no session of it is left."},
    "revoked_by_lists": _list(DEVICE_ID),
    "disconnected": _list(TEXT),
    "kicked": _list(TEXT),
    "restarted": _list(TEXT),
    "problems": _list(TEXT),
}


def _document(forms: Sequence[str], *rows: Schema, optional: Mapping[str, Schema] | None = None) -> Schema:
    form, listed = _one_of(forms), _list({"anyOf": list(rows)})
    return _object(optional, format=form, site=TEXT, gateway=TEXT, batch=TEXT, devices=listed)


SCHEMAS: Mapping[str, Schema] = {
    # operators read
    "Device": _object(**_DEVICE),
    "Devices": _page("devices", "Device"),
    "DeviceInFull": _object(
        **_DEVICE, certificates=_list(of("Certificate")), tokens=_list(of("Token")), events=_list(of("Event"))
    ),
    "Certificate": _object(
        serial=SERIAL,
        issuer=_one_of((DEVICE, FACTORY)),
        device=DEVICE_ID,
        status=_one_of(CERTIFICATE_STATES),
        spki_sha256=SHA256,
        predecessor=_maybe(SERIAL),
        revoke_reason=_maybe(TEXT),
        not_before=_maybe(TIME),
        not_after=_maybe(TIME),
        reserved_at=TIME,
        confirmed_at=_maybe(TIME),
        superseded_at=_maybe(TIME),
        revoked_at=_maybe(TIME),
        cloned_at=_maybe(TIME),
    ),
    "Certificates": _page("certificates", "Certificate"),
    "Token": _object(
        device=DEVICE_ID, state=_one_of(TOKEN_STATES), token_sha256=SHA256, expires_at=TIME, used_at=_maybe(TIME)
    ),
    "Tokens": _page("tokens", "Token"),
    "Event": _object(
        seq={"type": "integer", "minimum": 1},
        at=EXACT_TIME,
        actor=TEXT,
        kind=TEXT,
        subject=TEXT,
        detail={"type": "object"},
        previous=SHA256,
        digest={
            **SHA256,
            "description": "SHA-256 of the JSON list [seq, at, actor, kind, subject, detail as text with sorted keys,"
            " previous], without spaces.",
        },
    ),
    "Events": _page("events", "Event"),
    "Batches": _object(
        batches=_list(_object(batch=TEXT, devices=COUNT, **dict.fromkeys((*DEVICE_STATES, *RESULTS), COUNT)))
    ),
    "Expiries": _object(
        expiries=_list(_object(kind=TEXT, name=TEXT, ends=TIME)),
        not_renewed=_list(DEVICE_ID),
        due=_list(_object(what=TEXT, remedy=_list(TEXT))),
    ),
    "Crls": _object(
        crls=_list(
            _object(name=TEXT, issuer=TEXT, number=_maybe(COUNT), this_update=TIME, next_update=TIME, revoked=COUNT)
        ),
        damaged=_list(TEXT),
    ),
    "Approvals": _object(
        approvals=_list(_object(device=DEVICE_ID, batch=TEXT, key=SHA256, mac=_maybe(MAC), since=TIME, source=TEXT))
    ),
    "OpenApi": {"type": "object", "required": ["openapi", "info", "paths", "components"]},
    # stations write
    "Registration": _document(
        (registration.FORMAT, registration.FORMAT_WITH_POLICY),
        _object(device=DEVICE_ID, **_TOKEN),
        _object(device=DEVICE_ID, certificate=BASE64),
        optional={"approval": _one_of(APPROVALS), "token_binding": _one_of(TOKEN_BINDINGS)},
    ),
    "RegistrationReport": _object({"policy_changed": COUNT}, **_REPORT, added=COUNT, replaced=COUNT),
    "Handover": _document(
        (handover.FORMAT,), _object(device=DEVICE_ID, result=_one_of(handover.RESULTS), mac=MAC, at=EXACT_TIME)
    ),
    "HandoverReport": _object(**_REPORT, updated=COUNT, revoked=COUNT),
    "Revocations": _object(
        {
            "devices": _list(DEVICE_ID),
            "reason": {**_one_of(REASONS), "default": REASONS[0]},
            "lists": {
                "type": "object",
                "properties": {name: {**TEXT, "description": "CRLs as PEM."} for name in DELIVERED},
                "additionalProperties": False,
            },
        }
    ),
    "RevocationsReport": _object(
        changed=YES_OR_NO,
        unknown=_list(DEVICE_ID),
        unlisted={
            "type": "object",
            "additionalProperties": _list(SERIAL),
            "description": "By device: serials that the factory CA has to put on its list. This gateway refuses them.",
        },
        **_TURNS,
    ),
    "NewToken": _object({"owner": {"type": "string", "minLength": 1, "maxLength": LONGEST_OWNER}}, **_TOKEN),
    "NewTokenReport": _object(changed=YES_OR_NO, device=DEVICE_ID),
    "Decision": _object(
        {"key": {**TEXT, "description": "The beginning of the key's SHA-256, where several ask to be one device."}},
        device=DEVICE_ID,
        decision=_one_of(DECISIONS),
    ),
    "DecisionReport": _object(changed=YES_OR_NO, device=DEVICE_ID, keys=_list(SHA256)),
    "KeysElsewhere": _object(
        of=DEVICE_ID, keys=_list(_object(spki_sha256=SHA256, device=DEVICE_ID, retired=YES_OR_NO))
    ),
    "KeysReport": _object(
        changed=YES_OR_NO,
        added=COUNT,
        conflicts=_list(_object(spki_sha256=SHA256, here=DEVICE_ID, there=DEVICE_ID)),
    ),
    "AlertReport": _object(ok=YES_OR_NO, said=TEXT),
    # devices
    "Enrolment": _object(
        {"mac": {**TEXT, "description": "Of its board, where a token is bound to that."}},
        device=DEVICE_ID,
        token=TEXT,
        csr=of("Csr"),
    ),
    "Renewal": _object(csr=of("Csr")),
    "Recovery": _object(
        certificate={**BASE64, "description": "The certificate that has ended, as DER."}, csr=of("Csr")
    ),
    "Csr": {"type": "string", "description": "A PKCS #10 request: base64 of DER, or PEM."},
    "Issued": _object(certificate=BASE64, serial=SERIAL, not_after=TIME, renew_at=TIME),
    "Whoami": _object(
        device=DEVICE_ID,
        status={"const": DEVICE_STATES[1]},
        serial=SERIAL,
        not_after=TIME,
        renew_at=TIME,
        renew=YES_OR_NO,
        new_key=YES_OR_NO,
        trust_bundle={**_maybe(TEXT), "description": "Generation and version of the trust bundle, such as 0.3."},
    ),
}
