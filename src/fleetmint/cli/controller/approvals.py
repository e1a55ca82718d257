"""`fleetmint waiting`, `approve` and `deny`: devices whose first certificate waits for a person."""

from __future__ import annotations

import json

import click

from fleetmint.cli import completion
from fleetmint.cli.approvals import decided_text, key_option, show_waiting
from fleetmint.cli.lazily import for_work
from fleetmint.cli.output import examples, json_option, say
from fleetmint.cli.place import as_option, gateway_option, site_option
from fleetmint.site.state import Site

with for_work():
    from fleetmint.site.client import open_gateway
    from fleetmint.x509 import names


@click.command(epilog=examples("fleetmint waiting", "fleetmint waiting --json | jq -r '.approvals[].device'"))
@site_option
@as_option
@click.option(
    "--gateway", metavar="NAME", shell_complete=completion.gateways, help="Only this gateway; every one otherwise."
)
@json_option
def waiting(site: Site, name: str | None, gateway: str | None, as_json: bool) -> None:
    """List the devices that wait for approval, each with the SHA-256 of its key, its board and where it asked from.

    Devices of batches with `approval: manual` wait before their first certificate (docs/approval.md).
    """
    rows = [
        {"gateway": each, **row}
        for each in ([gateway] if gateway else site.gateways)
        for row in open_gateway(site, name, each).get("/v1/approvals")["approvals"]
    ]
    show_waiting(as_json, rows)


@click.command(
    epilog=examples("fleetmint approve lamp-000002", "fleetmint approve lamp-000002 --fingerprint 3f2a9c0d11e47b58")
)
@click.argument("device", shell_complete=completion.devices)
@site_option
@as_option
@gateway_option
@key_option
@json_option
def approve(device: str, site: Site, name: str | None, gateway: str | None, key: str | None, as_json: bool) -> None:
    """Give DEVICE the certificate that it asks for, and deny every other key that asks to be it.

    Where several keys ask, --fingerprint says which one is its own: the device says it on its console.
    """
    _decide("approve", device, site, name, gateway, key, as_json)


@click.command(epilog=examples("fleetmint deny lamp-000002"))
@click.argument("device", shell_complete=completion.devices)
@site_option
@as_option
@gateway_option
@key_option
@json_option
def deny(device: str, site: Site, name: str | None, gateway: str | None, key: str | None, as_json: bool) -> None:
    """Refuse what DEVICE asks for: one key of it, or all that have asked.

    Its token stays: another key may ask with it. `fleetmint revoke` ends the device.
    """
    _decide("deny", device, site, name, gateway, key, as_json)


def _decide(
    decision: str, device: str, site: Site, name: str | None, gateway: str | None, key: str | None, as_json: bool
) -> None:
    document = {"device": names.device_id(device), "decision": decision, **({"key": key} if key else {})}
    done = open_gateway(site, name, gateway).post("/v1/approvals", json.dumps(document).encode())
    say(as_json, done, decided_text(decision, done))
