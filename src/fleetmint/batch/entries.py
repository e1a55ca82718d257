"""The entries of a batch file: which fields a YAML file and the columns of a CSV may have, and both in one form."""

import re
from collections.abc import Collection

from fleetmint.batch.file import Fields, Problems, Text
from fleetmint.nvs.values import BLOB, STRING

COUNTS = ("count", "serials", "ids")
_HEAD = (
    "batch", "prefix", "chip", "layout", "product", "hardware", "gateway", "wifi", "nvs_encryption",
    "flash_encryption", "identity", "approval", "token_binding", "tls", "shelf_days", "first", "values",
)  # fmt: skip
_ENTRY = (*COUNTS, "key_origin", "wifi", "values")
# What a row of CSV says of its own devices; the rest is about the batch.
_ROW = ("count", "serial", "id", "key_origin", "wifi")
# What blanks belong to where nothing says that they do not.
_WITH_BLANKS = (STRING, BLOB)
_VALUE = re.compile(r"value:([^:]*):([^:]*):([^:]*)")


def from_yaml(document: Fields, problems: Problems) -> tuple[Fields, list[Fields]]:
    """Return what a YAML file says of the batch, and its entries."""
    _known(document, (*_HEAD, "devices"), "a batch", problems)
    devices = document.values.get("devices")
    if devices is None:
        problems.add(document.line, "the batch lacks devices")
    elif not isinstance(devices, list):
        problems.add(document.line, "devices has to be a list of entries, each with count, serials or ids")
    entries = []
    for entry in devices if isinstance(devices, list) else ():
        if isinstance(entry, Fields):
            _known(entry, _ENTRY, "an entry of devices", problems)
            entries.append(entry)
        else:
            problems.add(entry.line, "an entry of devices is a mapping with count, serials or ids")
    return document, entries


def from_csv(line: int, columns: list[str], rows: list[Fields], problems: Problems) -> tuple[Fields, list[Fields]]:
    """Return what a CSV says of the batch, and its entries; `line` is that of its columns."""
    values = {name: match.groups() for name in columns if (match := _VALUE.fullmatch(name))}
    allowed = {*_HEAD, *_ROW} - {"values", "batch"}
    for name in columns:
        if name not in allowed and name not in values:
            problems.add(line, f"there is no column {name!r}: choose of {', '.join(sorted(allowed))}, value:…")
    if not {"count", "serial", "id"} & set(columns):
        problems.add(line, "the column that says which devices is missing: serial, id or count")
    problems.end()
    head: dict[str, Text | Fields | list[Text | Fields]] = {}
    entries = []
    for row in rows:
        own: dict[str, Text | Fields | list[Text | Fields]] = {}
        extra: list[Text | Fields] = []
        for name, cell in row.values.items():
            if not isinstance(cell, Text):
                continue
            bare = cell if cell.quoted else Text(cell.text.strip(), cell.line)
            if name in values:
                if bare.text != cell.text and values[name][2] in _WITH_BLANKS:
                    problems.add(cell.line, f"{name} has blanks around it: put it in quotes to keep them")
                parts = dict(zip(("namespace", "key", "type"), values[name], strict=True))
                extra.append(Fields(row.line, {**{k: Text(v, row.line) for k, v in parts.items()}, "value": bare}))
            elif name in ("serial", "id"):
                own[f"{name}s"] = [bare]
            elif name == "wifi" and "|" in bare.text:
                own[name] = [Text(part.strip(), cell.line) for part in bare.text.split("|")]
            elif name in _ROW:
                own[name] = bare
            elif (before := head.setdefault(name, bare)) and isinstance(before, Text) and before.text != bare.text:
                problems.add(row.line, f"{name} is {bare.text!r} here and {before.text!r} in line {before.line}")
        entries.append(Fields(row.line, {**own, "values": extra} if extra else own))
    return Fields(line, head), entries


def _known(found: Fields, allowed: Collection[str], what: str, problems: Problems) -> None:
    for name, value in found.values.items():
        if name not in allowed:
            problems.add(line_of(value, found), f"{what} has no field {name!r}: choose of {', '.join(allowed)}")


def line_of(value: Text | Fields | list[Text | Fields], around: Fields) -> int:
    """Return the line that a value stands on, or that of what is `around` it."""
    if isinstance(value, list):
        return value[0].line if value else around.line
    return value.line
