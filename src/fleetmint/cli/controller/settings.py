"""What the commands that tell devices something over their session share: which devices, in which manner, what came."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import click

from fleetmint import commands
from fleetmint.cli import completion
from fleetmint.cli.lazily import for_work
from fleetmint.cli.output import json_option, table
from fleetmint.cli.place import as_option, gateway_option, site_option
from fleetmint.errors import FleetmintError
from fleetmint.printable import json_line, printable
from fleetmint.site.state import Site

with for_work():
    from fleetmint.batch.handover import read_registration
    from fleetmint.site import settings
    from fleetmint.site.client import Gateway

_Command = TypeVar("_Command", bound=Callable[..., Any])
# More names than these make no line that a person pastes; the same command again does the same.
_NAMED = 20


@dataclass(frozen=True)
class Asked:
    """Which devices are meant, and in which manner they are told."""

    devices: Sequence[str]
    batch: str | None
    everyone: bool
    canary: str | None
    at_once: int
    seconds: float
    keep_going: bool
    yes: bool
    as_json: bool


def settings_options(command: _Command) -> _Command:
    """Give a command the devices and the manner as `asked`, and `site`, `name` and `gateway`."""

    def gathered(**given: Any) -> Any:
        fields = {name: given.pop(name) for name in Asked.__dataclass_fields__}
        return command(asked=Asked(**fields), **given)

    gathered.__doc__ = command.__doc__
    gathered.__name__ = command.__name__
    decorated: Any = gathered
    for option in reversed(
        (
            click.argument("devices", metavar="[DEVICE]...", nargs=-1, shell_complete=completion.devices),
            click.option("--batch", metavar="BATCH", shell_complete=completion.batches, help="All devices of a batch."),
            click.option("--all", "everyone", is_flag=True, help="All devices of the gateway."),
            click.option(
                "--canary",
                metavar="DEVICE",
                shell_complete=completion.devices,
                help="Device that is told first, alone; otherwise the first one that is there.",
            ),
            click.option(
                "--at-once",
                type=click.IntRange(1, 1000),
                default=10,
                show_default=True,
                help="Devices that are told at once, after the first one has kept it.",
            ),
            click.option(
                "--seconds",
                type=click.FloatRange(min=1),
                default=180,
                show_default=True,
                help="Time that each device has to try it and to answer.",
            ),
            click.option("--keep-going", is_flag=True, help="Tell the others although a device has failed."),
            click.option("--yes", is_flag=True, help="Do not ask."),
            site_option,
            as_option,
            gateway_option,
            json_option,
        )
    ):
        decorated = option(decorated)
    result: _Command = decorated
    return result


def chosen(asked: Asked, site: Site, reached: Gateway) -> list[str]:
    """Return the devices that are meant, each once; raise FleetmintError for one that the gateway does not know.

    Of a batch and of the fleet these are the active ones.
    """
    if bool(asked.devices) + (asked.batch is not None) + asked.everyone != 1:
        raise click.UsageError("say which devices: by name, or --batch BATCH, or --all")
    status = {row["device"]: row["status"] for row in reached.get("/v1/devices")["devices"]}
    if asked.devices:
        found = list(dict.fromkeys(asked.devices))
        for device in found:
            _refuse_unknown(device, status, reached)
    else:
        active = sorted(device for device, each in status.items() if each == "active")
        of_batch = None if asked.batch is None else {e["device"] for e in _registered(site, asked.batch)}
        found = [device for device in active if of_batch is None or device in of_batch]
        if not found:
            whose = f"of the batch {asked.batch} " if asked.batch is not None else ""
            raise FleetmintError(f"{reached.name} knows no active device {whose}to tell this")
    if asked.canary is not None and asked.canary not in found:
        raise FleetmintError(f"{asked.canary} is to be told first, and is none of the devices that are to be told")
    return found


def _registered(site: Site, batch: str) -> Sequence[Mapping[str, Any]]:
    devices: Sequence[Mapping[str, Any]] = read_registration(site.batch(batch))["devices"]
    return devices


def _refuse_unknown(device: str, status: Mapping[str, str], reached: Gateway) -> None:
    if device not in status:
        raise FleetmintError(
            f"{reached.name} does not know {device}: {commands.fleetmint('devices')} lists those it knows. Nobody was"
            " told anything"
        )
    if status[device] != "active":
        raise FleetmintError(
            f"{device} is {status[device]}, so it has no session at the broker. Nobody was told anything"
        )


def confirm(asked: Asked, devices: Sequence[str], what: str) -> None:
    """Ask before several devices are told something: what, whom first, and what stops it."""
    if len(devices) == 1 or asked.yes:
        return
    first = asked.canary or f"the first one that is there, from {devices[0]} on"
    click.echo(
        f"This will tell {len(devices)} devices {printable(what)}. Alone at first: {first}. When it has kept it, the"
        f" others follow, {asked.at_once} at once{'' if asked.keep_going else ', until one fails'}. A device that gets"
        " no proven connection in this way goes back to what it had.",
        err=True,
    )
    try:
        typed = click.prompt(f"Type {len(devices)} to go on", err=True, default="", show_default=False)
    except click.Abort:
        raise FleetmintError("nobody confirmed: nobody was told anything; --yes does it without asking") from None
    if typed.strip() != str(len(devices)):
        raise FleetmintError(f"that is not {len(devices)}: nobody was told anything")


def progress(asked: Asked) -> Callable[[settings.Result], None]:
    """Return what tells a person at once what came of a device."""

    def heard(result: settings.Result) -> None:
        if not asked.as_json and result.state != settings.UNTRIED and sys.stderr.isatty():
            click.echo(f"{result.device}: {_in_words(result)}", err=True)

    return heard


def report(asked: Asked, results: Sequence[settings.Result], again: Sequence[str]) -> None:
    """Print what came of each device, and the command `again` for those that did not keep it; exit with 1 if any."""
    left = list(settings.left(results))
    command = commands.fleetmint(*again, *_selection(asked, left)).line if left else None
    if asked.as_json:
        rows = [{"device": each.device, "state": each.state, "reason": each.reason} for each in results]
        click.echo(json_line({"changed": any(e.state == settings.KEPT for e in results), "devices": rows}))
    else:
        table(["device", "result", "reason"], [[each.device, each.state, each.reason] for each in results])
    if left:
        which = f"{len(left)} of {len(results)} devices do" if len(results) > 1 else f"{left[0]} does"
        click.echo(f"fleetmint: {which} not work with this yet; again for them: `{command}`", err=True)
        sys.exit(1)


def _selection(asked: Asked, left: Sequence[str]) -> list[str]:
    if len(left) <= _NAMED:
        return list(left)
    return ["--all"] if asked.everyone else ["--batch", asked.batch] if asked.batch is not None else list(left)


def _in_words(result: settings.Result) -> str:
    return f"{result.state}: {result.reason}" if result.reason else result.state
