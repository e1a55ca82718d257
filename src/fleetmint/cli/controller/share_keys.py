"""`fleetmint share-keys`: no public key for two devices, at whatever gateways of the site."""

from __future__ import annotations

import click

from fleetmint.cli.lazily import for_work
from fleetmint.cli.output import examples, json_option, say
from fleetmint.cli.place import as_option, site_option
from fleetmint.errors import FleetmintError
from fleetmint.site.state import Site

with for_work():
    from fleetmint.site.shared_keys import share


@click.command("share-keys", epilog=examples("fleetmint share-keys", "fleetmint share-keys --json"))
@site_option
@as_option
@json_option
def share_keys(site: Site, name: str | None, as_json: bool) -> None:
    """Tell each gateway of the site the public keys of the others, so that it refuses them for its own devices.

    `fleetmint batch handover` does it, too. Needed where gateways have ledgers of their own; gateways that share a
    ledger know each other's keys. Exits with 1 when two devices have one key already.
    """
    done = share(site, name)
    conflicts = [sentence for each in done for sentence in each.conflicts]
    lines = [f"{each.gateway}: {each.added} keys of other gateways are news" for each in done]
    say(
        as_json,
        {"gateways": [vars(each) for each in done], "changed": any(each.added for each in done)},
        "\n".join(lines),
    )
    if conflicts:
        raise FleetmintError("; ".join(conflicts))
