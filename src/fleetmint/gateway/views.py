"""What leaves the gateway about its devices and itself, as plain data: the same on the command line and over HTTP."""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from cryptography import x509

from fleetmint.documents.times import time_text as exact_time_text
from fleetmint.gateway import expiries
from fleetmint.ledger.approvals import Approval
from fleetmint.ledger.devices import Device, serial_text
from fleetmint.ledger.schema import DEVICE_STATES, RESULTS
from fleetmint.x509 import compat, revocation


def time_text(time: datetime) -> str:
    """Return a time as certificates have it: UTC, whole seconds."""
    return f"{time:%Y-%m-%dT%H:%M:%SZ}"


def device_view(device: Device) -> dict[str, str | None]:
    """Return one row of the list of devices."""
    return {
        "device": device.device,
        "batch": device.batch,
        "status": device.status,
        "serial": None if device.serial is None else serial_text(device.serial),
        "not_before": _time(device.not_before),
        "not_after": _time(device.not_after),
        "issuer": device.issuer,
        "mac": device.mac,
        "result": device.result,
        "token_expires": _time(device.token_expires),
    }


def certificate_view(row: Any) -> dict[str, str | None]:
    """Return one row of `certificates`, without the certificate."""
    return {
        "serial": row.serial,
        "issuer": row.issuer,
        "device": row.device,
        "status": row.status,
        "spki_sha256": row.spki_sha256,
        "predecessor": row.predecessor,
        "revoke_reason": row.revoke_reason,
        "not_before": _time(row.not_before),
        "not_after": _time(row.not_after),
        "reserved_at": _time(row.reserved_at),
        "confirmed_at": _time(row.confirmed_at),
        "superseded_at": _time(row.superseded_at),
        "revoked_at": _time(row.revoked_at),
        "cloned_at": _time(row.cloned_at),
    }


def token_view(row: Any) -> dict[str, str | None]:
    """Return one row of `tokens`: never a token, of which the ledger has the hash alone."""
    return {
        "device": row.device,
        "state": row.state,
        "token_sha256": row.token_sha256,
        "expires_at": _time(row.expires_at),
        "used_at": _time(row.used_at),
    }


def event_view(row: Any) -> dict[str, Any]:
    """Return one event, with what is needed to follow the chain (ledger/events.py): `at` has microseconds for that."""
    return {
        "seq": row.seq,
        "at": exact_time_text(row.at),
        "actor": row.actor,
        "kind": row.kind,
        "subject": row.subject,
        "detail": json.loads(row.detail),
        "previous": row.previous,
        "digest": row.digest,
    }


def batch_view(name: str, counts: Mapping[str, int]) -> dict[str, Any]:
    """Return how many devices of a batch are in each state, and how many there are."""
    listed = {state: counts.get(state, 0) for state in (*DEVICE_STATES, *RESULTS)}
    return {"batch": name, "devices": sum(counts.get(state, 0) for state in DEVICE_STATES), **listed}


def expiries_view(found: expiries.Found, now: datetime, devices: int | None = None) -> dict[str, Any]:
    """Return what ends on a gateway and what of it is due; of devices and tokens only the first so many, each."""
    shown, seen = [], dict.fromkeys((expiries.DEVICE, expiries.TOKEN), 0)
    for each in found.endings:
        if each.kind in seen:
            seen[each.kind] += 1
            if devices is not None and seen[each.kind] > devices:
                continue
        shown.append({"kind": each.kind, "name": each.name, "ends": time_text(each.ends)})
    told = [{"what": each.text, "remedy": list(each.remedy)} for each in expiries.due(found, now)]
    return {"expiries": shown, "not_renewed": list(found.late), "due": told}


def crl_view(name: str, crl: x509.CertificateRevocationList) -> dict[str, Any]:
    """Return what a list says of itself."""
    return {
        "name": name,
        "issuer": crl.issuer.rfc4514_string(),
        "number": revocation.usable_number(crl),
        "this_update": time_text(compat.last_update(crl)),
        "next_update": time_text(compat.next_update(crl)),
        "revoked": len(crl),
    }


def approval_view(approval: Approval) -> dict[str, str | None]:
    """Return one row of what waits for a person."""
    return {
        "device": approval.device,
        "batch": approval.batch,
        "key": approval.key,
        "mac": approval.mac,
        "since": time_text(approval.since),
        "source": approval.source,
    }


def _time(time: datetime | None) -> str | None:
    return None if time is None else time_text(time)
