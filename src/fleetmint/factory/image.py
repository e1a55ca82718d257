"""The NVS content of one device."""

from collections.abc import Mapping
from datetime import UTC, datetime

from fleetmint.factory.secrets import BatchSecrets
from fleetmint.nvs import keys

# MicroPython's ESP32 port counts its time from here.
DEVICE_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)


def nvs_entries(device: str, known: BatchSecrets, now: datetime) -> Mapping[str, Mapping[str, int | bytes]]:
    """Return namespace → key → value for the device's first boot. `now` becomes the floor of its clock."""
    secret, common = known.of(device), known.common
    values: dict[str, int | bytes] = {
        keys.DEVICE_ID: device.encode(),
        keys.WIFI_SSID: common.wifi_ssid.encode(),
        keys.WIFI_PSK: common.wifi_psk.encode(),
        keys.GATEWAY: common.gateway.encode(),
        keys.HTTPS_PORT: common.https_port,
        keys.MQTT_PORT: common.mqtt_port,
        keys.BUNDLE: common.bundle,
        keys.CLOCK_FLOOR: int((now - DEVICE_EPOCH).total_seconds()),
    }
    if secret.token is not None:
        values[keys.TOKEN] = secret.token.encode()
    if secret.key is not None and secret.certificate is not None:
        values[keys.KEYS[0]] = secret.key
        values[keys.CERTIFICATES[0]] = secret.certificate
        values[keys.SLOT] = 0
    return {keys.NAMESPACE: values}
