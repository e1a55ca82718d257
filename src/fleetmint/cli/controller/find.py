"""`fleetmint find`: the Raspberry Pis and gateways of this network."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Sequence
from typing import Any

import click

from fleetmint.cli.lazily import for_work
from fleetmint.cli.output import examples, json_option, table
from fleetmint.printable import json_line

with for_work():
    from fleetmint.discovery import machines as judged
    from fleetmint.discovery.machines import Machine
    from fleetmint.discovery.mdns import ask
    from fleetmint.discovery.neighbours import neighbours


def _names(ctx: click.Context, parameter: click.Parameter, value: tuple[str, ...]) -> tuple[str, ...]:
    found = tuple(each.lower().removesuffix(".local") for each in value)
    for each in found:
        if not re.fullmatch("[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", each):
            raise click.BadParameter(f"{each!r} is no name by mDNS: write workshop for workshop.local, say")
    return found


@click.command(
    epilog=examples(
        "fleetmint find",
        "fleetmint find workshop --seconds 15   a Pi that was given the name workshop",
        "fleetmint find --json | jq -r '.machines[].reach'",
    )
)
@click.argument("names", metavar="[NAME]...", nargs=-1, callback=_names)
@click.option("--seconds", type=click.FloatRange(1, 300), default=5.0, show_default=True, help="How long to ask.")
@json_option
def find(names: tuple[str, ...], seconds: float, as_json: bool) -> None:
    """List the Raspberry Pis and the gateways of this network; they are asked by mDNS.

    A gateway says that it is one. A Pi is known by the name raspberrypi, by its network card where this machine has
    talked with it, or by a NAME that you gave it. A router and a guest network keep mDNS back.

    Whatever answers is no proof of who it is: compare the host key when you log in. Exits with 1 when nothing is found.
    """
    click.echo(f"Asking this network by mDNS, for {seconds:g} seconds ...", err=True)
    answers = ask(dict.fromkeys(("raspberrypi", *names)), seconds)
    found = judged.machines(answers, neighbours(), names)
    if as_json:
        click.echo(json_line({"machines": [_object(each) for each in found]}))
    elif found:
        _show(found)
    if not found:
        click.echo(
            "fleetmint: no Raspberry Pi and no gateway has answered: see that it has been on for two minutes and is in"
            " this network (not behind a router, nor in a guest Wi-Fi), that the firewall of this machine lets UDP port"
            f" 5353 in, and ask for longer (--seconds {max(30, round(seconds * 3))}) or by the name that you gave it;"
            " your router lists addresses, too",
            err=True,
        )
        sys.exit(1)


def _object(machine: Machine) -> dict[str, Any]:
    return {
        "host": machine.host,
        "addresses": list(machine.addresses),
        "gateway": machine.is_gateway,
        "reach": machine.reach,
        "reasons": list(machine.reasons),
        "ports": list(machine.ports),
        "said": dict(machine.said),
    }


def _show(found: Sequence[Machine]) -> None:
    rows = [
        (each.host, ", ".join(each.addresses[:3]), "gateway" if each.is_gateway else "Raspberry Pi", _about(each))
        for each in found
    ]
    table(("name", "addresses", "what", "why"), rows)
    click.echo()
    if fresh := [each for each in found if not each.is_gateway]:
        click.echo("Bring your key to a Pi, with the account that you made on it, and name it in hosts.yml:")
        for each in fresh:
            click.echo(f"  ssh-copy-id {shlex.quote(f'pi@{each.reach}')}\n  ansible_host: {each.reach}")
    else:
        click.echo("What hosts.yml calls them:")
        for each in found:
            click.echo(f"  ansible_host: {each.reach}")
    click.echo("Anybody in this network can answer like that: compare the host key that ssh shows you.")


def _about(machine: Machine) -> str:
    said = [f"{key} {machine.said[key]}" for key in ("site", "version") if machine.said.get(key)]
    return ", ".join((*machine.reasons, *said))
