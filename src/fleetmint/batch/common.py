"""What the devices of a site get alike: the networks to join, the gateway, and whom to trust."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from fleetmint import commands, files
from fleetmint.batch.networks import Wifi, checked_wifi
from fleetmint.errors import FleetmintError
from fleetmint.trust import bundle
from fleetmint.x509.hosts import host

DEFAULT_WIFI = "default"


@dataclass(frozen=True)
class Gateway:
    """How devices reach a gateway: host name or address, ports of their listeners."""

    host: str
    https_port: int
    mqtt_port: int


@dataclass(frozen=True)
class SiteValues:
    """What a batch can choose from: gateways and Wi-Fi profiles by name, the default gateway first."""

    gateways: Mapping[str, Gateway]
    wifi: Mapping[str, Wifi]


@dataclass(frozen=True)
class Common:
    """The part of an NVS image that does not differ between devices. `bundle` is the trust bundle, `wifi` by profile.

    `gateway` is the host name or address by which devices reach theirs.
    """

    gateway: str
    https_port: int
    mqtt_port: int
    bundle: bytes = field(repr=False)
    wifi: Mapping[str, Wifi]

    def only(self, profiles: set[str]) -> "Common":
        """Return the same with these Wi-Fi profiles only; raise FleetmintError for one that the site does not have."""
        if missing := sorted(profiles - self.wifi.keys()):
            known = ", ".join(self.wifi) or "none"
            raise FleetmintError(
                f"the site has no Wi-Fi profile {missing[0]!r}, it has {known}: name one of them in the batch file, or"
                " describe this one in fleet_wifi of the site's variables"
            )
        return replace(self, wifi={name: self.wifi[name] for name in sorted(profiles)})


def checked(common: Common) -> Common:
    """Return `common` if a device can use it; raise FleetmintError, which never repeats a passphrase, otherwise."""
    for name, wifi in common.wifi.items():
        checked_wifi(name, wifi)
    host(common.gateway)
    for port in (common.https_port, common.mqtt_port):
        if not 1 <= port <= 65535:
            raise FleetmintError(f"{port} is no port number: choose one from 1 to 65535")
    if not bundle.decode(common.bundle, "the trust bundle").is_signed():
        raise FleetmintError(
            f"the trust bundle is not signed by the release key that it names: run {commands.playbook('ca.yml')}"
        )
    return common


def site_common(ca_directory: Path, gateway: Gateway, wifi: Mapping[str, Wifi]) -> Common:
    """Return what the devices of a site get alike; the trust bundle comes from the site's CA directory."""
    trust = files.read(ca_directory / bundle.FILE, "trust bundle, which playbooks/ca.yml makes,")
    return Common(gateway.host, gateway.https_port, gateway.mqtt_port, trust, wifi)
