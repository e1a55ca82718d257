"""`fleetmint inspect`: what is in a file, in plain words."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from fleetmint import files
from fleetmint.cli.lazily import for_work
from fleetmint.cli.output import examples, json_option, say
from fleetmint.errors import FleetmintError, StateError

with for_work():
    from fleetmint.bench.inspect import inspect_flash, is_flash
    from fleetmint.bench.inspect_nvs import KIND as NVS
    from fleetmint.nvs.crypt import NvsKeys
    from fleetmint.trust.inspect import bundle_findings, is_bundle
    from fleetmint.x509.inspect import Finding
    from fleetmint.x509.inspect import inspect as inspect_x509
    from fleetmint.x509.pkcs12 import first_line


_MANY_ROWS = 20


@click.command(
    epilog=examples(
        "fleetmint inspect inventory/home/state/ca/*/ca.crt",
        "fleetmint inspect alice@workshop.p12",
        "fleetmint inspect nvs.bin --json",
        "fleetmint inspect nvs.bin --nvs-keys nvs_keys.bin",
    )
)
@click.argument("paths", metavar="FILE...", nargs=-1, required=True, type=click.Path(dir_okay=False, path_type=Path))
@click.option(
    "--password-file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="File with the password of a PKCS #12 file; asked for on the terminal otherwise.",
)
@click.option(
    "--nvs-keys",
    "keys_path",
    type=click.Path(dir_okay=False, path_type=Path),
    help="File that opens an encrypted NVS: its partition nvs_keys, or the HMAC key of the board's eFuse.",
)
@json_option
def inspect(paths: tuple[Path, ...], password_file: Path | None, keys_path: Path | None, as_json: bool) -> None:
    """Say what each FILE is.

    Certificates, requests, CRLs, keys, PKCS #12, trust bundles, NVS images, esp_secure_cert, flash, partition tables,
    littlefs.

    Secrets are never printed: of a key its public part and whether it is encrypted, of an NVS the names and sizes.
    """
    now = datetime.now(UTC)

    def ask() -> bytes:
        if password_file is not None:
            return first_line(files.read(password_file, "password")).strip()
        answer: str = click.prompt("Password of the PKCS #12 file", hide_input=True, err=True)
        return answer.encode()

    keys = (
        None
        if keys_path is None
        else NvsKeys.from_file(files.read_foreign(keys_path, "keys of the NVS"), str(keys_path))
    )
    found = []
    for path in paths:
        data = files.read_foreign(path, "file")
        if is_bundle(data):
            findings = bundle_findings(data, now, str(path))
        elif is_flash(data):
            findings = _flash(data, now, keys, path)
        else:
            findings = inspect_x509(data, now, ask, str(path)) or _flash(data, now, keys, path)
        if not findings:
            raise StateError(
                f"{path} is nothing that this command knows: certificates, requests, CRLs, keys, PKCS #12, trust"
                " bundles, NVS, esp_secure_cert, flash, partition tables and littlefs"
            )
        found.append((path, findings))
    if keys is not None and not any(one.kind == NVS and "encrypted" in one.facts for _, many in found for one in many):
        files_said = ", ".join(map(str, paths))
        raise StateError(f"there is no encrypted NVS in {files_said}: leave --nvs-keys out, nothing has to be opened")
    rows = [
        {"file": str(path), "kind": one.kind, "title": one.title, **one.facts} for path, many in found for one in many
    ]
    say(as_json, {"found": rows}, "\n\n".join(_text(path, many) for path, many in found))


def _flash(data: bytes, now: datetime, keys: NvsKeys | None, path: Path) -> list[Finding]:
    try:
        return inspect_flash(data, now, keys)
    except FleetmintError as error:
        raise StateError(f"{path}: {error}") from error


def _text(path: Path, findings: list[Finding]) -> str:
    lines = [str(path)]
    for finding in findings:
        lines.append(f"  {finding.title}")
        lines += [f"    {line}" for line in _lines(finding.facts)]
    return "\n".join(lines)


def _lines(facts: Mapping[str, Any]) -> list[str]:
    lines = []
    for name, value in facts.items():
        label = name.replace("_", " ")
        if isinstance(value, Mapping):
            for group, rows in value.items():
                lines += [f"{label} of {group}:", *_rows(rows)]
        elif isinstance(value, list) and value and isinstance(value[0], Mapping):
            lines += [f"{label}:", *_rows(value)]
        elif value not in (None, []):
            lines.append(f"{label}: {', '.join(map(str, value)) if isinstance(value, list) else value}")
    return lines


def _rows(rows: list[Mapping[str, Any]]) -> list[str]:
    lines = [
        f"  {'  '.join(f'{value}' if key == 'name' else _cell(key, value) for key, value in row.items())}"
        for row in rows
    ]
    left = len(lines) - _MANY_ROWS
    return lines if left <= 0 else [*lines[:_MANY_ROWS], f"  and {left} more: see --json"]


def _cell(key: str, value: object) -> str:
    return key if value is True else f"{key} {value}"
