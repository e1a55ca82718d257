"""A batch as its maker describes it: a YAML file, refused as a whole when one line of it is wrong.

batch: first            name of the batch
prefix: lamp            ids are lamp-000001, lamp-000002, ...
chip: esp32             esp32, esp32s3, esp32c3 or esp32c6
token_days: 180         how long an unused token is good for
nvs_encryption: none    none, hmac or flash; MicroPython's stock build reads `none` only (docs/targets.md)
devices:
  - count: 2            key_origin device: a one-time token; the key is made by the device and never leaves it
  - count: 1
    key_origin: factory     key and certificate come from the factory
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import yaml

from fleetmint import files
from fleetmint.errors import FleetmintError
from fleetmint.factory.encryption import NONE, checked_scheme
from fleetmint.pki import names

CHIPS = ("esp32", "esp32s3", "esp32c3", "esp32c6")
ORIGINS = ("device", "factory")
MAX_DEVICES = 999_999


class BatchRefusedError(FleetmintError):
    """A batch file cannot be read, or says something that cannot be made."""


@dataclass(frozen=True)
class Unit:
    """One device that the batch wants: its id and who makes its key (`device` or `factory`)."""

    device: str
    key_origin: str


@dataclass(frozen=True)
class Batch:
    """A batch as described. `units` are in the order of their numbers, which never changes."""

    name: str
    chip: str
    token_lifetime: timedelta
    units: tuple[Unit, ...]
    nvs_encryption: str = NONE


def read_batch(path: Path) -> Batch:
    """Read a batch file; raise BatchRefusedError naming the file, the line where one is known, and the reason."""
    text = files.read(path, "batch file")
    try:
        content = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise BatchRefusedError(f"{path}{line}: {error.problem}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise BatchRefusedError(f"{path} is no YAML file: {error}") from error
    try:
        return _batch(content)
    except FleetmintError as error:
        raise BatchRefusedError(f"{path}: {error}") from error


def _batch(content: Any) -> Batch:
    fields = _mapping(content, {"batch", "prefix", "devices"}, {"chip", "token_days", "nvs_encryption"}, "the batch")
    name = names.device_id(str(fields["batch"]))
    prefix, chip = str(fields["prefix"]), str(fields.get("chip", "esp32"))
    if chip not in CHIPS:
        raise BatchRefusedError(f"chip {chip!r} is unknown: choose one of {', '.join(CHIPS)}")
    encryption = checked_scheme(str(fields.get("nvs_encryption", NONE)), chip)
    days = _whole(fields.get("token_days", 180), "token_days", 1, 3650)
    if not isinstance(fields["devices"], list):
        raise BatchRefusedError("devices has to be a list of entries with a count each")
    origins: list[str] = []
    for position, entry in enumerate(fields["devices"], 1):
        group = _mapping(entry, {"count"}, {"key_origin"}, f"entry {position} of devices")
        origin = str(group.get("key_origin", "device"))
        if origin not in ORIGINS:
            raise BatchRefusedError(f"key_origin {origin!r} is unknown: choose one of {', '.join(ORIGINS)}")
        origins += [origin] * _whole(group["count"], "count", 1, MAX_DEVICES)
    if not 1 <= len(origins) <= MAX_DEVICES:
        raise BatchRefusedError(f"a batch has 1 to {MAX_DEVICES} devices, this one {len(origins)}")
    units = tuple(Unit(names.device_id(f"{prefix}-{number:06d}"), origin) for number, origin in enumerate(origins, 1))
    return Batch(name, chip, timedelta(days=days), units, encryption)


def _mapping(content: Any, needed: set[str], allowed: set[str], what: str) -> Mapping[str, Any]:
    if not isinstance(content, dict):
        raise BatchRefusedError(f"{what} has to be a mapping with {', '.join(sorted(needed))}")
    if missing := needed - content.keys():
        raise BatchRefusedError(f"{what} lacks {', '.join(sorted(missing))}")
    if unknown := {str(key) for key in content} - needed - allowed:
        raise BatchRefusedError(f"{what} has an unknown field {', '.join(sorted(unknown))}")
    return content


def _whole(value: Any, what: str, least: int, most: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise BatchRefusedError(f"{what} has to be a whole number from {least} to {most}, not {value!r}")
    return value
