"""What a batch keeps about its devices beside their identities: it can change, and boards burnt later get the new."""

import base64
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from fleetmint.batch.common import DEFAULT_WIFI, Common
from fleetmint.batch.encryption import NONE
from fleetmint.batch.identity import NVS
from fleetmint.batch.networks import Wifi
from fleetmint.batch.spec import LINUX, Batch, Extra
from fleetmint.nvs.values import Value


@dataclass(frozen=True)
class DeviceOverride:
    """What one device has otherwise than its batch: Wi-Fi profiles, values of its own."""

    wifi: tuple[str, ...] | None = None
    values: tuple[Extra, ...] = ()


@dataclass(frozen=True)
class Settings:
    """What the devices of a batch are and get.

    `wifi` names profiles of `common`, the best first; `own` has the exceptions by device; `layout` is None where the
    station decides on the partition table.
    """

    chip: str
    common: Common
    wifi: tuple[str, ...] = (DEFAULT_WIFI,)
    layout: str | None = None
    values: tuple[Extra, ...] = ()
    own: Mapping[str, DeviceOverride] = field(default_factory=dict)
    nvs_encryption: str = NONE
    identity: str = NVS
    flash_encryption: str = NONE

    def wifi_of(self, device: str) -> tuple[Wifi, ...]:
        """Return the networks that a device joins, the best first."""
        return tuple(self.common.wifi[profile] for profile in self._own(device).wifi or self.wifi)

    def values_of(self, device: str) -> dict[str, dict[str, Value]]:
        """Return namespace → key → value of what the maker added for a device."""
        found: dict[str, dict[str, Value]] = {}
        for extra in (*self.values, *self._own(device).values):
            found.setdefault(extra.namespace, {})[extra.key] = extra.value
        return found

    def changes(self, to: "Settings") -> list[str]:
        """Return what differs, in words that hold no secret."""
        before, after = self.common, to.common
        changed = [name for name in ("gateway", "https_port", "mqtt_port", "bundle") if _differ(before, after, name)]
        for name in sorted({*before.wifi, *after.wifi}):
            if before.wifi.get(name) != after.wifi.get(name):
                changed.append(f"Wi-Fi profile {name}")
        changed += [name for name in ("wifi", "layout", "values") if _differ(self, to, name)]
        count = sum(self.own.get(device) != own for device, own in to.own.items()) + len(
            self.own.keys() - to.own.keys()
        )
        return changed + ([f"wifi or values of {count} devices"] if count else [])

    def to_json(self) -> bytes:
        """Return it as JSON."""
        common = {**asdict(self.common), "bundle": base64.b64encode(self.common.bundle).decode()}
        own = {device: [each.wifi, _rows(each.values)] for device, each in self.own.items()}
        content: dict[str, Any] = {"chip": self.chip, "common": common, "wifi": self.wifi, "layout": self.layout}
        content |= {"nvs_encryption": self.nvs_encryption, "identity": self.identity}
        content["flash_encryption"] = self.flash_encryption
        return json.dumps({**content, "values": _rows(self.values), "own": own}).encode()

    def _own(self, device: str) -> DeviceOverride:
        return self.own.get(device, _NOTHING)


_NOTHING = DeviceOverride()


def settings_of(batch: Batch, common: Common) -> Settings:
    """Return what the devices of a batch file get; raise FleetmintError for a Wi-Fi profile that `common` lacks."""
    own = {unit.device: DeviceOverride(unit.wifi, unit.values) for unit in batch.units if unit.wifi or unit.values}
    wifi = () if batch.chip == LINUX else batch.wifi or (DEFAULT_WIFI,)
    return Settings(
        batch.chip,
        common.only(profiles(batch)),
        wifi,
        batch.layout,
        batch.values,
        own,
        batch.nvs_encryption,
        batch.identity,
        batch.flash_encryption,
    )


def profiles(batch: Batch) -> set[str]:
    """Return the Wi-Fi profiles that devices of a batch file use."""
    if batch.chip == LINUX:
        return set()
    return {profile for unit in batch.units for profile in unit.wifi or batch.wifi or (DEFAULT_WIFI,)}


def from_json(text: bytes) -> Settings:
    """Return what `to_json` wrote."""
    content = json.loads(text)
    common = content["common"]
    wifi = {name: Wifi(**fields) for name, fields in common["wifi"].items()}
    chosen = _profiles(content["wifi"])
    return Settings(
        content["chip"],
        Common(**{**common, "bundle": base64.b64decode(common["bundle"]), "wifi": wifi}),
        (DEFAULT_WIFI,) if chosen is None else chosen,
        content["layout"],
        _extras(content["values"]),
        {device: DeviceOverride(_profiles(each), _extras(values)) for device, (each, values) in content["own"].items()},
        content["nvs_encryption"],
        content.get("identity", NVS),  # a batch of an earlier version says nothing of these
        content.get("flash_encryption", NONE),
    )


def _profiles(written: str | list[str] | None) -> tuple[str, ...] | None:
    """Return profiles as a batch keeps them; one of an earlier version has a single one."""
    return None if written is None else (written,) if isinstance(written, str) else tuple(written)


def _rows(values: tuple[Extra, ...]) -> list[list[Any]]:
    return [[extra.namespace, extra.key, extra.value.type, _text(extra.value.content)] for extra in values]


def _extras(rows: list[list[Any]]) -> tuple[Extra, ...]:
    return tuple(Extra(namespace, key, Value(kind, _content(content))) for namespace, key, kind, content in rows)


def _text(content: int | bytes) -> int | str:
    return content if isinstance(content, int) else base64.b64encode(content).decode()


def _content(written: int | str) -> int | bytes:
    return written if isinstance(written, int) else base64.b64decode(written)


def _differ(before: object, after: object, name: str) -> bool:
    return bool(getattr(before, name) != getattr(after, name))
