"""The NVS content of one device."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime

from fleetmint.batch.identity import NVS
from fleetmint.batch.networks import Wifi
from fleetmint.batch.secrets import BatchSecrets
from fleetmint.nvs import keys
from fleetmint.nvs.values import Entries

# MicroPython's ESP32 port counts its time from here.
DEVICE_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)


def wifi_entries(networks: Sequence[Wifi]) -> dict[str, bytes]:
    """Return key → value for the networks that a device joins, the best first; what reads one only reads that."""
    values = {keys.WIFI_SSID: networks[0].ssid.encode(), keys.WIFI_PSK: networks[0].psk.encode()}
    if len(networks) > 1:
        rows = [[each.ssid, each.psk] for each in networks]
        values[keys.WIFI_LIST] = json.dumps(rows, ensure_ascii=False, separators=(",", ":")).encode()
    return values


def nvs_entries(device: str, known: BatchSecrets, now: datetime) -> Entries:
    """Return namespace → key → value for the device's first boot. `now` becomes the floor of its clock.

    Fleetmint's own namespace comes first; behind it is what the maker added.
    """
    secret, settings = known.of(device), known.settings
    common = settings.common
    values: dict[str, int | bytes] = {
        keys.DEVICE_ID: device.encode(),
        **wifi_entries(settings.wifi_of(device)),
        keys.GATEWAY: common.gateway.encode(),
        keys.HTTPS_PORT: common.https_port,
        keys.MQTT_PORT: common.mqtt_port,
        keys.BUNDLE: common.bundle,
        keys.CLOCK_FLOOR: int((now - DEVICE_EPOCH).total_seconds()),
    }
    if secret.token is not None:
        values[keys.TOKEN] = secret.token.encode()
    if secret.key is not None and secret.certificate is not None and known.identity == NVS:
        values[keys.KEYS[0]] = secret.key
        values[keys.CERTIFICATES[0]] = secret.certificate
        values[keys.SLOT] = 0
    return {keys.NAMESPACE: values, **settings.values_of(device)}
