"""Which site a command works at: none is worked at that was not named, on the command line or in the environment.

--site DIR or FLEETMINT_SITE     the site's inventory directory, as Ansible reads it; its state is DIR/state
--state DIR or FLEETMINT_STATE   the state itself, where it is somewhere else

What is typed counts before what the environment says. A relative path on the command line is meant from where it is
typed; in the environment it is meant from the checkout, as Ansible means it.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from fleetmint import commands
from fleetmint.commands import SITE_VARIABLE, STATE_VARIABLE
from fleetmint.errors import StateError

# What the role `operators` writes for this command line.
FILE = "site.json"
_SITE = "fleetmint.cli.place.site"
_DIRECTORY = click.Path(file_okay=False, path_type=Path)

_Command = TypeVar("_Command", bound=Callable[..., Any])


def state_option(command: _Command) -> _Command:
    """Give a command the options --site and --state; it gets the directory of the state as `state`."""
    state = click.option(
        "--state",
        type=_DIRECTORY,
        callback=_resolve,
        help=f"The site's state directory, where it is not SITE/state.  [env: {STATE_VARIABLE}]",
    )
    site = click.option(
        "--site",
        type=_DIRECTORY,
        callback=_remember,
        is_eager=True,
        expose_value=False,
        help=f"The site's inventory directory, such as inventory/home.  [env: {SITE_VARIABLE}]",
    )
    return site(state(command))


def _remember(ctx: click.Context, parameter: click.Parameter, value: Path | None) -> None:
    ctx.meta[_SITE] = value


def _resolve(ctx: click.Context, parameter: click.Parameter, state: Path | None) -> Path:
    """Return the state that was named, and let printed commands name the same site.

    While a shell completes a line, click takes a refusal for None.
    """
    site: Path | None = ctx.meta[_SITE]
    if site is None and state is None:
        site, state = (commands.from_environment(name) for name in (SITE_VARIABLE, STATE_VARIABLE))
    if state is None:
        if site is None:
            raise click.UsageError(
                f"no site is named: give --site, such as --site inventory/home, or export {SITE_VARIABLE}", ctx
            )
        state = _state_of(site)
    inventory = _inventory_of(state)
    commands.act_on(state=state, inventory=site or inventory)
    if site is not None and inventory is not None and inventory.resolve() != site.resolve():
        raise StateError(
            f"{state} is the state of the site {inventory}, and not of {site}: name one of them (--site or --state,"
            f" {SITE_VARIABLE} or {STATE_VARIABLE}); if you have moved it, run"
            f" {commands.playbook('ca.yml')}"
        )
    return state


def _state_of(site: Path) -> Path:
    if (site / FILE).exists():
        raise StateError(f"{site} is the state of a site, not its inventory: name it with --state or {STATE_VARIABLE}")
    if not any(site.glob("hosts*")):
        raise StateError(
            f"there is no site {site}: --site and {SITE_VARIABLE} name an inventory directory, in which hosts.yml is"
        )
    state = site / "state"
    below = sorted(str(path.parent) for path in state.glob(f"*/{FILE}"))
    if below and not (state / FILE).exists():
        raise StateError(f"{site} has several states: name one with --state or {STATE_VARIABLE}: {', '.join(below)}")
    return state


def _inventory_of(state: Path) -> Path | None:
    """Return the inventory directory that the role `operators` noted, or where it usually is; None when neither is."""
    try:
        noted = json.loads((state / FILE).read_bytes())["inventory"] or ".."
    except (OSError, ValueError, KeyError, TypeError):
        noted = ".."
    found = (state / str(noted), state.parent)
    return next((path for path in found if any(path.glob("hosts*"))), None)
