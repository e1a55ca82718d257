"""What an NVS partition holds, in plain words; an encrypted one needs its keys.

Values are shown for an explicit list of names only; everything else counts as a secret and gives its size.
"""

from datetime import datetime
from typing import Any

from fleetmint.errors import FleetmintError, NvsError
from fleetmint.nvs import keys as entries
from fleetmint.nvs.crypt import NvsKeys
from fleetmint.nvs.decode import decode
from fleetmint.nvs.layout import PAGE_SIZE, PageState, page_sequence
from fleetmint.trust.inspect import bundle_findings
from fleetmint.x509.inspect import BROKEN, Finding, certificate_finding, read_certificates

KIND = "NVS"
_TEXTS = (entries.DEVICE_ID, entries.WIFI_SSID, entries.GATEWAY)
_NUMBERS = (entries.HTTPS_PORT, entries.MQTT_PORT, entries.CLOCK_FLOOR, entries.SLOT)
_PUBLIC = (entries.BUNDLE, *entries.CERTIFICATES)
_HEADER_SIZE = 32

_Spaces = dict[str, dict[str, int | bytes]]


def keys_findings(data: bytes) -> list[Finding]:
    """Tell a partition nvs_keys, without its keys; empty for anything else."""
    try:
        NvsKeys.from_partition(data)
    except NvsError:
        return []
    title = "a partition nvs_keys: the keys of an encrypted NVS (--nvs-keys), readable to whoever has this file"
    return [Finding("NVS keys", title, {"bytes": len(data), "secret": True})]


def nvs_findings(data: bytes, now: datetime, keys: NvsKeys | None) -> list[Finding]:
    """Describe an NVS partition and what is public in it; empty for anything else, and for erased flash.

    Raises NvsError when it is damaged, and when `keys` are not its own.
    """
    if not any(_has_header(data[start : start + _HEADER_SIZE]) for start in range(0, len(data), PAGE_SIZE)):
        return []
    if len(data) % PAGE_SIZE:
        raise NvsError(
            f"this NVS partition has {len(data)} bytes, which are no whole pages of {PAGE_SIZE}: it was cut off, or has"
            " something behind it; read it from the board again"
        )
    encrypted = False
    try:
        spaces = decode(data)
    except NvsError:
        # entries that can be read say that the others are damaged
        if decode(data, skip_damaged=True):
            raise
        encrypted = True
        if keys is None:
            title = f"an NVS partition of {len(data)} bytes, encrypted (--nvs-keys opens it), or damaged"
            return [Finding(KIND, title, {"bytes": len(data), "encrypted": True})]
        spaces = _opened(data, keys)
    what = "an encrypted NVS partition" if encrypted else "an NVS partition"
    facts = {
        "bytes": len(data),
        **({"encrypted": True} if encrypted else {}),
        "entries": {space: _rows(values) for space, values in spaces.items()},
    }
    return [Finding(KIND, f"{what} of {len(data)} bytes: {_owner(spaces)}", facts), *_all_public(spaces, now)]


def _has_header(head: bytes) -> bool:
    """Whether a page in use begins so. It is plain in an encrypted NVS, too."""
    used = len(head) == _HEADER_SIZE and head[:4] != PageState.EMPTY.to_bytes(4, "little")
    return used and page_sequence(head) is not None


def _opened(data: bytes, keys: NvsKeys) -> _Spaces:
    try:
        return decode(data, keys=keys)
    except NvsError as error:
        if decode(data, skip_damaged=True, keys=keys):
            raise
        raise NvsError(
            "the keys do not open this NVS: they are those of another device, or it is damaged; give the nvs_keys"
            " partition or the HMAC key of the same board"
        ) from error


def _all_public(spaces: _Spaces, now: datetime) -> list[Finding]:
    found = []
    ours = spaces.get(entries.NAMESPACE, {})
    for name in _PUBLIC:
        value = ours.get(name)
        if isinstance(value, bytes) and value:
            try:
                found += _public(name, value, now)
            except (FleetmintError, *BROKEN) as error:
                found.append(Finding(name, f"{name} is damaged", {"problem": str(error)}))
    return found


def _public(name: str, value: bytes, now: datetime) -> list[Finding]:
    what = f"the NVS entry {name}"
    if name == entries.BUNDLE:
        return bundle_findings(value, now, what)
    return [certificate_finding(certificate, now) for certificate in read_certificates(value, what)]


def _owner(spaces: _Spaces) -> str:
    device = spaces.get(entries.NAMESPACE, {}).get(entries.DEVICE_ID)
    if not spaces:
        return "no entry"
    return f"the device {device.decode(errors='replace')}" if isinstance(device, bytes) else "no device of Fleetmint"


def _rows(values: dict[str, int | bytes]) -> list[dict[str, Any]]:
    return [_row(name, value) for name, value in values.items()]


def _row(name: str, value: int | bytes) -> dict[str, Any]:
    row: dict[str, Any] = {"name": name}
    if isinstance(value, bytes):
        row["bytes"] = len(value)
        if name in _TEXTS:
            row["value"] = value.decode(errors="replace")
        elif name not in _PUBLIC:
            row["secret"] = True
    elif name in _NUMBERS:
        row["value"] = value
    return row
