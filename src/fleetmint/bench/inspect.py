"""What a board's flash or a part of it holds, in plain words: partitions, program, and the NVS (inspect_nvs.py)."""

from datetime import datetime

from littlefs import LittleFS, LittleFSError

from fleetmint.bench.inspect_nvs import keys_findings, nvs_findings
from fleetmint.bench.inspect_secure_cert import secure_cert_findings
from fleetmint.errors import ImageError
from fleetmint.flash import secure_cert
from fleetmint.flash.app import BLOCK_SIZE
from fleetmint.flash.table import DATA, NVS, NVS_KEYS, OWN_IDENTITY, TABLE_OFFSET, TABLE_SIZE, Partition, PartitionTable
from fleetmint.nvs.crypt import NvsKeys
from fleetmint.x509.inspect import Finding

_TABLE_MAGIC = b"\xaa\x50"
_LITTLEFS_MAGIC = slice(8, 16)
_LARGEST_FLASH = 1 << 24


def inspect_flash(data: bytes, now: datetime, keys: NvsKeys | None = None) -> list[Finding]:
    """Return what of a board `data` is: a partition table, an NVS, an esp_secure_cert, a littlefs, or a whole flash.

    Empty for none of them. `keys` open an encrypted NVS, of which otherwise no more than that can be said. A plain one
    is shown with them, too. Raises ImageError or NvsError when it clearly is one of them and damaged.
    """
    if data.startswith(secure_cert.MAGIC):
        return secure_cert_findings(data, now)
    if data[:2] == _TABLE_MAGIC:
        return [_table(PartitionTable.from_bytes(data[:TABLE_SIZE]), None)]
    if data[_LITTLEFS_MAGIC] == b"littlefs":
        return [_littlefs(data)]
    if data[TABLE_OFFSET : TABLE_OFFSET + 2] == _TABLE_MAGIC:
        return _whole_flash(data, now, keys)
    return keys_findings(data) or nvs_findings(data, now, keys)


def is_flash(data: bytes) -> bool:
    """Whether `data` is of a flash by its first bytes, whatever certificates in PEM there are in it."""
    return data.startswith(secure_cert.MAGIC) or data[TABLE_OFFSET : TABLE_OFFSET + 2] == _TABLE_MAGIC


def _whole_flash(data: bytes, now: datetime, keys: NvsKeys | None) -> list[Finding]:
    table = PartitionTable.from_bytes(data[TABLE_OFFSET : TABLE_OFFSET + TABLE_SIZE])
    found = [_table(table, len(data))]
    for partition in table.partitions:
        part = data[partition.offset : partition.end]
        if (partition.type, partition.subtype) == (DATA, NVS):
            found += nvs_findings(part, now, keys)
        elif (partition.type, partition.subtype) == (DATA, NVS_KEYS):
            found += keys_findings(part)
        elif partition.type == OWN_IDENTITY:
            found += secure_cert_findings(part, now)
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
