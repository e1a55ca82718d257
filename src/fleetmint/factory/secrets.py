"""What a batch keeps until its boards are burnt: `secrets.json`, readable by its owner only.

It is written before the ledger knows the batch, so a run that is cut off finds the same secrets again.
"""

import base64
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from fleetmint import files
from fleetmint.errors import StateError
from fleetmint.factory.common import Common

FILE = "secrets.json"
FORMAT = "fleetmint-batch-secrets-1"


@dataclass(frozen=True)
class Secret:
    """What one device gets for itself: a token, or a key (SEC 1 DER) and a certificate (DER)."""

    token: str | None = None
    token_expires: str | None = None
    key: bytes | None = None
    certificate: bytes | None = None


@dataclass(frozen=True)
class BatchSecrets:
    """The secrets of one batch."""

    chip: str
    common: Common
    devices: Mapping[str, Secret]


def load(directory: Path) -> BatchSecrets:
    """Read the secrets of the batch in `directory`; raise StateError when they are missing or damaged."""
    path = directory / FILE
    try:
        content = json.loads(files.read(path, "secrets of the batch"))
        if content["format"] != FORMAT:
            raise StateError(f"{path} has the format {content['format']!r}, this version knows {FORMAT!r}")
        common = content["common"]
        return BatchSecrets(
            content["chip"],
            Common(**{**common, "bundle": base64.b64decode(common["bundle"])}),
            {device: _secret(row) for device, row in content["devices"].items()},
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise StateError(f"{path} is damaged: restore it from a backup, or make a new batch") from error


def save(directory: Path, secrets: BatchSecrets) -> None:
    """Write the secrets of a batch."""
    content = {
        "format": FORMAT,
        "chip": secrets.chip,
        "common": {**asdict(secrets.common), "bundle": base64.b64encode(secrets.common.bundle).decode()},
        "devices": {device: _row(secret) for device, secret in secrets.devices.items()},
    }
    files.make_private_dir(directory)
    files.write_atomically(directory / FILE, json.dumps(content).encode())


def _row(secret: Secret) -> dict[str, str]:
    row: dict[str, str] = {}
    for name, value in asdict(secret).items():
        if value is not None:
            row[name] = base64.b64encode(value).decode() if isinstance(value, bytes) else value
    return row


def _secret(row: Mapping[str, Any]) -> Secret:
    binary = {name: base64.b64decode(row[name]) for name in ("key", "certificate") if name in row}
    return Secret(token=row.get("token"), token_expires=row.get("token_expires"), **binary)
