"""What every device of a batch gets alike: the network to join, the gateway, and whom to trust."""

from dataclasses import dataclass, field
from pathlib import Path

from fleetmint import files
from fleetmint.errors import FleetmintError
from fleetmint.pki import bundle


@dataclass(frozen=True)
class Common:
    """The part of an NVS image that does not differ between devices. `bundle` is the trust bundle."""

    wifi_ssid: str
    wifi_psk: str = field(repr=False)
    gateway: str
    https_port: int
    mqtt_port: int
    bundle: bytes


def checked(common: Common) -> Common:
    """Return `common` if a device can use it; raise FleetmintError, which never repeats the passphrase, otherwise."""
    if not 1 <= len(common.wifi_ssid.encode()) <= 32:
        raise FleetmintError(f"the Wi-Fi name {common.wifi_ssid!r} has to have 1 to 32 bytes (IEEE 802.11)")
    if common.wifi_psk and not 8 <= len(common.wifi_psk.encode()) <= 63:
        raise FleetmintError(
            f"the passphrase of the Wi-Fi {common.wifi_ssid!r} has to have 8 to 63 characters (WPA), or none for an"
            " open network"
        )
    if not common.gateway or not common.gateway.isascii() or len(common.gateway) > 253:
        raise FleetmintError(f"the gateway's name {common.gateway!r} has to be a host name or an address")
    for port in (common.https_port, common.mqtt_port):
        if not 1 <= port <= 65535:
            raise FleetmintError(f"{port} is no port number: choose one from 1 to 65535")
    if not bundle.decode(common.bundle, "the trust bundle").is_signed():
        raise FleetmintError("the trust bundle is not signed by the release key that it names: run playbooks/ca.yml")
    return common


def site_common(
    ca_directory: Path, *, gateway_host: str, https_port: int, mqtt_port: int, wifi_ssid: str, wifi_psk: str
) -> Common:
    """Return what the devices of a site get alike; the trust bundle comes from the site's CA directory."""
    trust = files.read(ca_directory / bundle.FILE, "trust bundle, which playbooks/ca.yml makes,")
    return Common(wifi_ssid, wifi_psk, gateway_host, https_port, mqtt_port, trust)
