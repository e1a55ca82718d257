"""`fleetmint batch`: identities for many devices, before and after they are burnt. Runs on the station."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import Any

import click

from fleetmint.choices import UNIT_STATES
from fleetmint.cli import completion
from fleetmint.cli.bench.wifi import open_wifi_source
from fleetmint.cli.lazily import for_work
from fleetmint.cli.output import check_option, examples, json_option, say, table
from fleetmint.cli.place import ledger_option, passphrases_option, site_option
from fleetmint.errors import FleetmintError
from fleetmint.plan import Plan, plain
from fleetmint.site.state import Site

with for_work():
    from fleetmint.batch import overview, sealed, secrets
    from fleetmint.batch.common import SiteValues
    from fleetmint.batch.create import plan_batch_file
    from fleetmint.batch.networks import Wifi
    from fleetmint.batch.settings import profiles
    from fleetmint.batch.shred import plan_shred
    from fleetmint.batch.spec import Batch, read_batch
    from fleetmint.batch.spec import Site as Choices
    from fleetmint.passphrases import Source, open_source
    from fleetmint.x509.names import device_id


# A progress bar for what takes longer than a breath.
BAR_FROM = 2000


# Commands in files of their own, imported when asked for: what they need takes long to import.
_ELSEWHERE = {"export": "export", "register": "handover", "handover": "handover", "labels": "labels"}


class _Group(click.Group):
    """Its own commands, and those in _ELSEWHERE."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted([*super().list_commands(ctx), *_ELSEWHERE])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in _ELSEWHERE:
            found: click.Command = getattr(import_module(f"fleetmint.cli.bench.{_ELSEWHERE[cmd_name]}"), cmd_name)
            return found
        return super().get_command(ctx, cmd_name)


@click.group(
    cls=_Group,
    epilog=examples(
        "fleetmint batch new inventory/home/spring.yml",
        "fleetmint batch register spring",
        "fleetmint batch show spring",
        "fleetmint batch handover spring",
        "fleetmint batch labels spring --out spring.pdf",
        "fleetmint batch export spring --out spring.csv",
        "fleetmint batch shred spring",
    ),
)
def batch() -> None:
    """Make batches of devices, tell their gateway, look at them, and destroy their secrets in the end."""


@batch.command(
    "new",
    epilog=examples(
        "fleetmint batch new spring.yml --check",
        "fleetmint batch new spring.csv --wifi-passphrases fd:3 3< passphrases-of-the-networks",
    ),
)
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@site_option
@ledger_option
@passphrases_option
@click.option(
    "--wifi-passphrases",
    "wifi",
    metavar="SOURCE",
    help="Passphrases of the networks: prompt:, fd:N or file:PATH with lines `PROFILE PASSPHRASE`. Without it the batch"
    " keeps those it has, and asks for others at the terminal.",
)
@check_option
@json_option
def new(file: Path, site: Site, passphrases: str | None, wifi: str | None, check: bool, as_json: bool) -> None:
    """Make the batch that FILE describes, YAML or CSV, or what is new in it.

    Running it again changes nothing, and goes on where a run was cut. The gateway has to know the devices before their
    boards are burnt: register the batch next.
    """
    hierarchy = site.hierarchy()
    if passphrases is not None:
        hierarchy = replace(hierarchy, source=open_source(passphrases))
    values = site.batch_values()
    described = read_batch(file, Choices(list(values.gateways), list(values.networks), values.classes()))
    ask = _unasked if check and wifi is None else open_wifi_source(wifi or "prompt:", values.networks)
    kept = _kept(site.batches / described.name, hierarchy.source) if wifi is None else {}
    networks = _networks(described, values.networks, kept, ask)
    with _Progress() as progress:
        plan = plan_batch_file(
            file,
            SiteValues(values.gateways, networks),
            site.batches,
            site.ledger,
            hierarchy,
            datetime.now(UTC),
            progress,
        )
        made = plan.carry_out(check=check)
    done = f"Nothing to do: the batch {made.batch} is made." if not plan.changed else "\n".join(plan.reasons)
    say(as_json, {"changed": plan.changed, "reasons": list(plan.reasons), **plain(made)}, done)


@batch.command("list", epilog=examples("fleetmint batch list", "fleetmint batch list --json | jq '.batches[].batch'"))
@site_option
@ledger_option
@json_option
def list_(site: Site, as_json: bool) -> None:
    """List the batches: for which boards, for which gateway, and how their devices stand."""
    known = overview.overviews(site.batches, site.ledger)
    if as_json:
        click.echo(json.dumps({"batches": [each.to_json() for each in known]}))
        return
    rows = [
        [*(str(each.about[key]) for key in ("batch", "chip", "product", "gateway")), _states(each)] for each in known
    ]
    table(["batch", "chip", "product", "gateway", "devices"], rows)


@batch.command(
    "show", epilog=examples("fleetmint batch show spring", "fleetmint batch show spring --only quarantined --json")
)
@click.argument("name", metavar="BATCH", shell_complete=completion.batches)
@site_option
@ledger_option
@click.option("--only", type=click.Choice(UNIT_STATES), help="Devices in this state only.")
@json_option
def show(name: str, site: Site, only: str | None, as_json: bool) -> None:
    """Show the devices of BATCH: state, board, serial of the certificate. No secret."""
    ledger = site.ledger
    devices = [row for row in overview.devices(_directory(site, name), ledger) if only in (None, row["state"])]
    about = next(each for each in overview.overviews(site.batches, ledger) if each.about["batch"] == name)
    if as_json:
        click.echo(json.dumps({**about.to_json(), "devices": devices}))
        return
    product = " ".join(part for part in (about.about["product"], about.about["hardware"]) if part)
    click.echo(f"{name}: {product or about.about['chip']}, for {about.about['gateway']}; {_states(about)}")
    columns = ("device", "state", "mac", "key_origin", "certificate_serial", "token_expires", "reason")
    table([each.replace("_", " ") for each in columns], [[row[each] for each in columns] for row in devices])


@batch.command("shred", epilog=examples("fleetmint batch shred spring"))
@click.argument("name", metavar="BATCH", shell_complete=completion.batches)
@site_option
@ledger_option
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--unburnt", is_flag=True, help="Although devices are not burnt yet, which then never can be.")
@check_option
@json_option
def shred(name: str, site: Site, yes: bool, unburnt: bool, check: bool, as_json: bool) -> None:
    """Destroy the key of BATCH, and with it its tokens, device keys and Wi-Fi passphrases here.

    Boards that are burnt work on. What the gateway and others have to know of the devices stays. Nobody can take this
    back, unless there is a backup; what it promises on flash media is in docs/factory.md.
    """
    plan = plan_shred(_directory(site, name), site.ledger, datetime.now(UTC), unburnt=unburnt)
    if plan.changed and not (yes or check):
        _confirm(name, plan)
    shredded = plan.carry_out(check=check)
    text = f"The secrets of {name} are destroyed." if plan.changed else f"Nothing to do: {name} was shredded before."
    text = f"would {plan.reasons[0]}" if plan.changed and check else text
    say(as_json, {"changed": plan.changed, "reasons": list(plan.reasons), **plain(shredded)}, text)


def _unasked(_profile: str, _ssid: str) -> str:
    """Stand for a passphrase: where one would be asked for there is a change, whatever it is, so --check needs none."""
    return "unasked" * 2


def _networks(
    described: Batch,
    networks: Mapping[str, tuple[str, bool]],
    kept: Mapping[str, Wifi],
    ask: Callable[[str, str], str],
) -> dict[str, Wifi]:
    """Return the networks that the batch uses, with passphrases: those that it has, and others as `ask` gives them."""
    found = {}
    for name in sorted(profiles(described)):
        ssid, is_open = networks.get(name, ("", True))
        if name in kept and kept[name].ssid == ssid and bool(kept[name].psk) != is_open:
            found[name] = kept[name]
        elif name in networks:
            found[name] = Wifi(ssid, "" if is_open else ask(name, ssid))
    return found


def _kept(directory: Path, source: Source) -> Mapping[str, Wifi]:
    if not (directory / sealed.KEY_FILE).exists():
        return {}
    settings = secrets.open_store(directory, source).settings()
    return settings.common.wifi if settings else {}


def _directory(site: Site, name: str) -> Path:
    return site.batches / device_id(name)


def _states(each: overview.Overview) -> str:
    told = ", ".join(f"{number} {state}" for state, number in each.counts.items() if number)
    return (told or "none entered yet") + ("; shredded" if each.shredded else "")


def _confirm(name: str, plan: Plan[object]) -> None:
    click.echo(f"This will {plan.reasons[0]}. Nobody can take it back.", err=True)
    try:
        typed = click.prompt(f"Type {name} to go on", err=True, default="", show_default=False)
    except click.Abort:
        raise FleetmintError("nobody confirmed: nothing was destroyed; --yes does it without asking") from None
    if typed.strip() != name:
        raise FleetmintError(f"that is not {name}: nothing was destroyed")


class _Progress:
    """A bar on the terminal when there is much to make."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._bar: Any = None
        self._done = 0

    def __enter__(self) -> _Progress:
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def __call__(self, done: int, total: int) -> None:
        if total < BAR_FROM or not sys.stderr.isatty():
            return
        if self._bar is None:
            self._bar = self._stack.enter_context(click.progressbar(length=total, label="Identities", file=sys.stderr))
        self._bar.update(done - self._done)
        self._done = done
