"""What a board's flash or a part of it holds, in plain words: partitions, program, and the names of the NVS entries.

Values are shown for an explicit list of names only; everything else counts as a secret and gives its size.
"""

from datetime import datetime
from typing import Any

from littlefs import LittleFS, LittleFSError

from fleetmint.errors import FleetmintError, ImageError, NvsError
from fleetmint.flash.app import BLOCK_SIZE
from fleetmint.flash.table import DATA, NVS, TABLE_OFFSET, TABLE_SIZE, Partition, PartitionTable
from fleetmint.nvs import keys as entries
from fleetmint.nvs.decode import decode
from fleetmint.nvs.layout import PAGE_SIZE
from fleetmint.pki.inspect import BROKEN, Finding, bundle_findings, certificate_finding, read_certificates

_TEXTS = (entries.DEVICE_ID, entries.WIFI_SSID, entries.GATEWAY)
_NUMBERS = (entries.HTTPS_PORT, entries.MQTT_PORT, entries.CLOCK_FLOOR, entries.SLOT)
_PUBLIC = (entries.BUNDLE, *entries.CERTIFICATES)
_TABLE_MAGIC = b"\xaa\x50"
_LITTLEFS_MAGIC = slice(8, 16)
_LARGEST_FLASH = 1 << 24


def inspect_flash(data: bytes, now: datetime) -> list[Finding]:
    """Return what of a board `data` is: a partition table, an NVS, a littlefs, or a whole flash; empty for none.

    Raises ImageError or NvsError when it clearly is one of them and damaged.
    """
    if data[:2] == _TABLE_MAGIC:
        return [_table(PartitionTable.from_bytes(data[:TABLE_SIZE]), None)]
    if data[_LITTLEFS_MAGIC] == b"littlefs":
        return [_littlefs(data)]
    if data[TABLE_OFFSET : TABLE_OFFSET + 2] == _TABLE_MAGIC:
        return _whole_flash(data, now)
    if data and len(data) % PAGE_SIZE == 0:
        return _nvs(data, now)
    return []


def _whole_flash(data: bytes, now: datetime) -> list[Finding]:
    table = PartitionTable.from_bytes(data[TABLE_OFFSET : TABLE_OFFSET + TABLE_SIZE])
    found = [_table(table, len(data))]
    for partition in table.partitions:
        part = data[partition.offset : partition.end]
        if (partition.type, partition.subtype) == (DATA, NVS):
            found += _nvs(part, now)
    place = _file_system(table, len(data))
    if data[place : place + BLOCK_SIZE][_LITTLEFS_MAGIC] == b"littlefs":
        found.append(_littlefs(data[place:]))
    return found


def _file_system(table: PartitionTable, flash_size: int) -> int:
    """Return where MicroPython has its file system; where it has none, a place behind the flash."""
    try:
        return table.with_vfs(flash_size).find("vfs").offset
    except ImageError:
        return flash_size


def _table(table: PartitionTable, flash_size: int | None) -> Finding:
    remarks: dict[Partition, list[str]] = {}
    for partition, remark in table.remarks(flash_size):
        remarks.setdefault(partition, []).append(remark)
    rows = [
        {
            "name": p.name if p.name.isprintable() else ascii(p.name)[1:-1],
            "kind": p.kind,
            "type": p.type,
            "subtype": p.subtype,
            "offset": f"{p.offset:#x}",
            "size": f"{p.size:#x}",
            **({"remark": ", and ".join(remarks[p])} if p in remarks else {}),
        }
        for p in table.partitions
    ]
    return Finding("partition table", f"a partition table with {len(rows)} partitions", {"partitions": rows})


def _nvs(data: bytes, now: datetime) -> list[Finding]:
    try:
        spaces = decode(data)
    except NvsError:
        # Content that is no NVS at all is damaged from the first header on; one that holds entries is worth a message.
        if not decode(data, skip_damaged=True):
            return []
        raise
    if not spaces:
        return []
    found = [
        Finding(
            "NVS",
            f"an NVS partition of {len(data)} bytes: {_owner(spaces)}",
            {
                "bytes": len(data),
                "entries": {space: _rows(values) for space, values in spaces.items()},
            },
        )
    ]
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


def _owner(spaces: dict[str, dict[str, int | bytes]]) -> str:
    device = spaces.get(entries.NAMESPACE, {}).get(entries.DEVICE_ID)
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


def _littlefs(data: bytes) -> Finding:
    """List the files. The image may end behind the blocks in use, as the program's does (flash/app.py)."""
    fs = LittleFS(mount=False, block_size=BLOCK_SIZE, block_count=0)  # 0: as many as the superblock says
    fs.context.buffer = bytearray(data.ljust(_LARGEST_FLASH, b"\xff"))
    try:
        fs.mount()
        size = fs.block_count * BLOCK_SIZE
        rows = [
            {"name": f"{place.rstrip('/')}/{name}", "bytes": fs.stat(f"{place.rstrip('/')}/{name}").size}
            for place, _, names in fs.walk("/")
            for name in names
        ]
    except LittleFSError as error:
        raise ImageError(f"this littlefs is damaged: {error}") from error
    return Finding("littlefs", f"a littlefs of {size} bytes with {len(rows)} files", {"files": rows})
