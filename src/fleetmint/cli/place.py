"""Which site a command works at: none is worked at that was not named, on the command line or in the environment.

--site DIR or FLEETMINT_SITE     the site's inventory directory, as Ansible reads it; its state is DIR/state
--state DIR or FLEETMINT_STATE   the state itself, where it is somewhere else
--ledger URL or FLEETMINT_LEDGER the factory's ledger, where it is not in the state

What is typed counts before what the environment says. A relative path on the command line is meant from where it is
typed; in the environment it is meant from the checkout, as Ansible means it.
"""

from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import click

from fleetmint import commands, notices
from fleetmint.cli import completion
from fleetmint.commands import LEDGER_VARIABLE, SITE_VARIABLE, STATE_VARIABLE
from fleetmint.errors import FleetmintError, StateError
from fleetmint.site.state import FILE, Site, checked_ledger

# The program of the devices, in the checkout of which this package is a part.
DEVICE_PROGRAM = Path(__file__).resolve().parents[3] / "firmware"

_INVENTORY, _LEDGER = "fleetmint.cli.place.inventory", "fleetmint.cli.place.ledger"
_DIRECTORY = click.Path(file_okay=False, path_type=Path)

_Command = TypeVar("_Command", bound=Callable[..., Any])


def site_option(command: _Command) -> _Command:
    """Give a command the options --site and --state; it gets the site as `site` (fleetmint.site.state)."""
    state = click.option(
        "--state",
        "site",
        type=_DIRECTORY,
        callback=_resolve,
        help=f"The site's state directory, where it is not SITE/state.  [env: {STATE_VARIABLE}]",
    )
    inventory = click.option(
        "--site",
        "inventory",
        type=_DIRECTORY,
        callback=_remember(_INVENTORY),
        is_eager=True,
        expose_value=False,
        help=f"The site's inventory directory, such as inventory/home.  [env: {SITE_VARIABLE}]",
    )
    return inventory(state(command))


def _remember(key: str) -> Callable[[click.Context, click.Parameter, Any], None]:
    def callback(ctx: click.Context, parameter: click.Parameter, value: Any) -> None:
        ctx.meta[key] = value

    return callback


# It has no value of its own: the site that the command gets knows its ledger.
ledger_option = click.option(
    "--ledger",
    metavar="URL",
    envvar=LEDGER_VARIABLE,
    callback=_remember(_LEDGER),
    is_eager=True,
    expose_value=False,
    help="SQLAlchemy URL of the factory's ledger, if it is not in the state.  [env: FLEETMINT_LEDGER]",
)
passphrases_option = click.option(
    "--passphrases",
    metavar="SOURCE",
    help="Source of the passphrase `bench`, which opens the batch: file:DIR, vault:DIR, prompt: or fd:N. The site's own"
    " by default.",
)
as_option = click.option(
    "--as",
    "name",
    metavar="NAME",
    shell_complete=completion.operators,
    help="Operator to appear as; the site's station otherwise.",
)
gateway_option = click.option(
    "--gateway",
    metavar="NAME",
    shell_complete=completion.gateways,
    help="Gateway to ask; needed where a site has several.",
)


def _resolve(ctx: click.Context, parameter: click.Parameter, state: Path | None) -> Site:
    """Return the site that was named, and let printed commands name the same one.

    While a shell completes a line, click takes a refusal for None.
    """
    inventory: Path | None = ctx.meta[_INVENTORY]
    if inventory is None and state is None:
        inventory, state = (commands.from_environment(name) for name in (SITE_VARIABLE, STATE_VARIABLE))
    if state is None:
        if inventory is None:
            raise click.UsageError(
                f"no site is named: give --site, such as --site inventory/home, or export {SITE_VARIABLE}", ctx
            )
        state = _state_of(inventory)
    # no name that is offered at Tab is in the ledger, and to read its URL takes long
    given = None if ctx.resilient_parsing else ctx.meta.get(_LEDGER)
    site = Site(state, checked_ledger(given) if given else "")
    noted = site.inventory
    commands.act_on(state=state, inventory=inventory or noted)
    if inventory is not None and noted is not None and noted.resolve() != inventory.resolve():
        raise StateError(
            f"{state} is the state of the site {noted}, and not of {inventory}: name one of them (--site or --state,"
            f" {SITE_VARIABLE} or {STATE_VARIABLE}); if you have moved it, run"
            f" {commands.playbook('ca.yml')}"
        )
    commands.use_ledger(site.ledger)
    if not ctx.resilient_parsing:
        _say_what_ends(site)
    return site


def _say_what_ends(site: Site) -> None:
    from fleetmint.site.expiries import warning

    with suppress(FleetmintError, OSError, ValueError):  # whoever works with what is damaged says it
        if said := warning(site, datetime.now(UTC)):
            notices.add(said)


def _state_of(site: Path) -> Path:
    if Site(site).is_described:
        raise StateError(f"{site} is the state of a site, not its inventory: name it with --state or {STATE_VARIABLE}")
    if not any(site.glob("hosts*")):
        raise StateError(
            f"there is no site {site}: --site and {SITE_VARIABLE} name an inventory directory, in which hosts.yml is"
        )
    state = site / "state"
    below = sorted(str(path.parent) for path in state.glob(f"*/{FILE}"))
    if below and not Site(state).is_described:
        raise StateError(f"{site} has several states: name one with --state or {STATE_VARIABLE}: {', '.join(below)}")
    return state
