"""What the devices of a site get alike: the networks to join, the gateway, and whom to trust."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

from fleetmint import commands, files
from fleetmint.batch.networks import Wifi, checked_wifi
from fleetmint.choices import TLS12, TLS13
from fleetmint.errors import FleetmintError
from fleetmint.trust import bundle
from fleetmint.x509.hosts import host

DEFAULT_WIFI = "default"


class Ports(NamedTuple):
    """Where the devices of one class find the listeners of a gateway."""

    https_port: int
    mqtt_port: int


@dataclass(frozen=True)
class Gateway:
    """How devices reach a gateway: host name or address, ports of their listeners.

    `classes` has the ports of classes of devices, by TLS_CLASSES. Devices of none are told those of all.
    """

    host: str
    https_port: int
    mqtt_port: int
    classes: Mapping[str, Ports] = field(default_factory=dict)

    def of_class(self, name: str | None) -> "Gateway":
        """Return the gateway as devices of a class find it; raise FleetmintError when it has none of that name."""
        if name is None:
            return self
        if name not in self.classes:
            raise FleetmintError(f"{self.host} has no listeners of the class {name}: {of_class_remedy(name)}")
        return replace(self, https_port=self.classes[name].https_port, mqtt_port=self.classes[name].mqtt_port)


def gateway(host: str, https_port: int, mqtt_port: int, profile: str, classes: Mapping[str, Any]) -> Gateway:
    """Return a gateway as the site's variables have it: fleet_tls_profile, fleet_tls_classes.

    What is at the ports of all is good for a class that speaks the same, unless that has ports of its own.
    """
    all_alike = {TLS13 if profile == "modern" else TLS12: Ports(https_port, mqtt_port)}
    own = {name: Ports(int(row["https_port"]), int(row["mqtt_port"])) for name, row in classes.items()}
    return Gateway(host, https_port, mqtt_port, all_alike | own)


def of_class_remedy(name: str) -> str:
    """Return what helps where a gateway has no listeners of a class."""
    return f"give {name} ports of its own in fleet_tls_classes, and run {commands.playbook('site.yml')}"


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
