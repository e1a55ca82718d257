"""`fleetmint gateway move`: where devices that are in the field find their gateway."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import click

from fleetmint.cli import completion
from fleetmint.cli.controller.settings import Asked, chosen, confirm, progress, report, settings_options
from fleetmint.cli.lazily import for_work
from fleetmint.cli.output import examples
from fleetmint.errors import FleetmintError
from fleetmint.site.state import Site

with for_work():
    from fleetmint import commands
    from fleetmint.batch import common, overview
    from fleetmint.site import certificates, settings
    from fleetmint.site.client import open_gateway
    from fleetmint.x509 import hosts


@click.command(
    epilog=examples(
        "fleetmint gateway move lamp-000001 --host gateway.example.net",
        "fleetmint gateway move --all --host 192.0.2.8 --canary lamp-000001",
        "fleetmint gateway move --batch spring --host attic --gateway cellar",
    )
)
@click.option(
    "--host",
    "target",
    metavar="HOST|GATEWAY",
    required=True,
    shell_complete=completion.gateways,
    help="Where it is: a host name or an address that is in its certificate, or another gateway of the site.",
)
@click.option("--https-port", type=click.IntRange(1, 65535), help="Its port for HTTPS, if it is another one.")
@click.option("--mqtt-port", type=click.IntRange(1, 65535), help="Its port for MQTT, if it is another one.")
@settings_options
def move(
    asked: Asked,
    target: str,
    https_port: int | None,
    mqtt_port: int | None,
    site: Site,
    name: str | None,
    gateway: str | None,
) -> None:
    """Tell each DEVICE where its gateway is. This runs on the controller.

    A device goes there at once, and keeps the address when a gateway of this site answered there over TLS and its
    broker took the device in. Otherwise it goes back and says why. Whom it trusts stays as it is. It has to be
    connected; who is away, or has not kept the address, is named with the command to run again, and the exit code is 1
    then.
    """
    reached = open_gateway(site, name, gateway)
    known = site.batch_values().gateways
    there = known.get(target, known[reached.name])
    host = there.host if target in known else hosts.host(target)
    held = certificates.names_of_gateways(site)
    if held and host.lower() not in held:
        raise FleetmintError(
            f"no device would keep {host}: no certificate of a gateway of this site holds it. Add it to"
            f" gateway_certificates_names in the inventory, run {commands.playbook('gateway.yml')}, and then this again"
        )
    devices = chosen(asked, site, reached)
    ports = _ports(devices, there, overview.classes(site.batches), https_port, mqtt_port)
    where = f"that their gateway is {host}, ports {_listed(ports)}"
    confirm(asked, devices, where)
    also = open_gateway(site, name, target) if target in known and target != reached.name else None
    manner = settings.Manner(asked.seconds, asked.at_once, asked.keep_going, asked.canary)

    def message(device: str) -> dict[str, Any]:
        return settings.gateway_message(host, *ports[device])

    results = settings.tell(reached, settings.GATEWAY, message, devices, manner, also=also, heard=progress(asked))
    words = ["--host", target]
    words += ["--https-port", str(https_port)] if https_port else []
    words += ["--mqtt-port", str(mqtt_port)] if mqtt_port else []
    words += ["--gateway", gateway] if gateway else []
    words += ["--as", name] if name else []
    report(asked, results, ["gateway", "move", *words])


def _ports(
    devices: Sequence[str],
    there: common.Gateway,
    classes: Mapping[str, str | None],
    https_port: int | None,
    mqtt_port: int | None,
) -> dict[str, common.Ports]:
    """Return what ports each device is told: those of its class, but for what the command line says."""
    if https_port and mqtt_port:
        return dict.fromkeys(devices, common.Ports(https_port, mqtt_port))
    found = {}
    for device in devices:
        if device not in classes and len(there.classes) > 1:
            raise FleetmintError(
                f"no batch here has {device}, so its class, and with it its ports, are not known: name them with"
                " --https-port and --mqtt-port. Nobody was told anything"
            )
        at = there.of_class(classes.get(device))
        found[device] = common.Ports(https_port or at.https_port, mqtt_port or at.mqtt_port)
    return found


def _listed(ports: Mapping[str, common.Ports]) -> str:
    return ", or ".join(f"{https} and {mqtt}" for https, mqtt in sorted(set(ports.values())))
