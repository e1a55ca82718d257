"""What a partition esp_secure_cert holds, in plain words: its certificates, and the public part of its key."""

from datetime import datetime

from fleetmint.errors import FleetmintError
from fleetmint.flash.secure_cert import (
    CA_CERTIFICATE,
    DEVICE_CERTIFICATE,
    MAGIC,
    PRIVATE_KEY,
    TYPES,
    Entry,
    decode,
)
from fleetmint.flash.table import ESP_SECURE_CERT
from fleetmint.x509.inspect import BROKEN, Finding
from fleetmint.x509.inspect import inspect as inspect_x509

# How a key is kept from being read, by the bits of its flags.
_KEPT = {0x80: "encrypted with an eFuse key", 0x40: "derived from an eFuse key", 0x08: "in an eFuse"}


def secure_cert_findings(data: bytes, now: datetime) -> list[Finding]:
    """Describe a partition esp_secure_cert and what is public in it; empty for erased flash and anything else.

    Raises ImageError when it is damaged.
    """
    if not data.startswith(MAGIC):
        return []
    entries = decode(data)
    rows = [
        {
            "name": TYPES.get(entry.type, f"type {entry.type}"),
            "number": entry.subtype,
            "bytes": len(entry.data),
            **({"secret": True} if entry.type not in (CA_CERTIFICATE, DEVICE_CERTIFICATE) else {}),
            **({"kept": how} if entry.type == PRIVATE_KEY and (how := _kept(entry)) else {}),
        }
        for entry in entries
    ]
    title = f"a partition {ESP_SECURE_CERT} of {len(data)} bytes with {len(entries)} entries"
    found = [Finding(ESP_SECURE_CERT, title, {"bytes": len(data), "entries": rows})]
    for entry in entries:
        if entry.type in (CA_CERTIFICATE, DEVICE_CERTIFICATE) or (entry.type == PRIVATE_KEY and not _kept(entry)):
            found += _public(entry, now)
    return found


def _public(entry: Entry, now: datetime) -> list[Finding]:
    what = f"the {TYPES[entry.type]} {entry.subtype} in {ESP_SECURE_CERT}"
    data = entry.data.rstrip(b"\0") if entry.data.startswith(b"-----") else entry.data
    try:
        # no password is asked for: the reader in the device has none either
        return inspect_x509(data, now, lambda: b"", what)
    except (FleetmintError, *BROKEN) as error:
        return [Finding(TYPES[entry.type], f"{what} is damaged", {"problem": str(error)})]


def _kept(entry: Entry) -> str | None:
    return next((how for bit, how in _KEPT.items() if entry.flags & bit), None)
