"""`fleetmint wifi`: the networks of devices that are in the field."""

from __future__ import annotations

from collections.abc import Sequence

import click

from fleetmint.cli.bench.wifi import open_wifi_source
from fleetmint.cli.controller.settings import Asked, chosen, confirm, progress, report, settings_options
from fleetmint.cli.lazily import for_work
from fleetmint.cli.output import examples
from fleetmint.site.state import Site

with for_work():
    from fleetmint.batch.networks import Wifi, checked_wifi
    from fleetmint.site import settings
    from fleetmint.site.client import open_gateway


@click.group(epilog=examples("fleetmint wifi set lamp-000001 --network workshop"))
def wifi() -> None:
    """Change the networks that devices join, over their session."""


@wifi.command(
    "set",
    epilog=examples(
        "fleetmint wifi set lamp-000001 --network workshop",
        "fleetmint wifi set --batch spring --network workshop --network 'workshop attic'",
        "fleetmint wifi set --all --network workshop --canary lamp-000001 --passphrases fd:3 --yes 3< networks",
    ),
)
@click.option(
    "--network",
    "ssids",
    metavar="SSID",
    required=True,
    multiple=True,
    help="Name of a network, up to four times: the first is tried first.",
)
@click.option("--open", "without", metavar="SSID", multiple=True, help="Which of these is open, and has no passphrase.")
@click.option(
    "--passphrases",
    metavar="SOURCE",
    default="prompt:",
    show_default=True,
    help="Where the passphrases come from: prompt:, fd:N or file:PATH with lines `SSID PASSPHRASE`.",
)
@settings_options
def set_(
    asked: Asked,
    ssids: tuple[str, ...],
    without: tuple[str, ...],
    passphrases: str,
    site: Site,
    name: str | None,
    gateway: str | None,
) -> None:
    """Tell each DEVICE which networks to join; they take the place of all that it knew.

    A device tries them at once, and keeps them when it has reached its gateway and the broker in one of them. Otherwise
    it goes back to what it had and says why. It has to be connected; who is away, or has not kept them, is named with
    the command to run again, and the exit code is 1 then. Running it again for a device that has them changes nothing.

    The passphrases are never an argument, nor does the broker keep them.
    """
    for each in without:
        if each not in ssids:
            raise click.UsageError(f"--open {each}: this is none of the networks (--network)")
    reached = open_gateway(site, name, gateway)
    devices = chosen(asked, site, reached)
    # the names first: nobody types a passphrase for a network that cannot be one
    settings.wifi_message([checked_wifi(ssid, Wifi(ssid, "")) for ssid in ssids])
    ask = open_wifi_source(passphrases, ssids)
    networks = [checked_wifi(ssid, Wifi(ssid, "" if ssid in without else ask(ssid, ssid))) for ssid in ssids]
    confirm(asked, devices, f"to join {_listed(ssids)}")
    message = settings.wifi_message(networks)
    manner = settings.Manner(asked.seconds, asked.at_once, asked.keep_going, asked.canary)
    results = settings.tell(reached, settings.WIFI, lambda _: message, devices, manner, heard=progress(asked))
    words = [word for ssid in ssids for word in ("--network", ssid)]
    words += [word for ssid in without for word in ("--open", ssid)]
    words += ["--passphrases", passphrases] if passphrases.startswith("file:") else []
    words += ["--gateway", gateway] if gateway else []
    words += ["--as", name] if name else []
    report(asked, results, ["wifi", "set", *words])


def _listed(ssids: Sequence[str]) -> str:
    return ", then ".join(repr(ssid) for ssid in ssids)
