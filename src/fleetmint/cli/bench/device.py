"""`fleetmint device`: what happens to one device after the bench: out of quarantine, back, or to another owner."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path

import click

from fleetmint import commands
from fleetmint.burn_codes import BurnCode
from fleetmint.cli import completion
from fleetmint.cli.bench.handover import gateway_of, tell_handover, to_option
from fleetmint.cli.bench.token import ask_again, days_option, give, port_option, told
from fleetmint.cli.bench.token import to_option as token_to_option
from fleetmint.cli.lazily import for_work
from fleetmint.cli.output import examples, json_option, say
from fleetmint.cli.place import (
    DEVICE_PROGRAM,
    as_option,
    gateway_option,
    ledger_option,
    passphrases_option,
    site_option,
)
from fleetmint.cli.signals import undisturbed
from fleetmint.errors import BurnError, FleetmintError
from fleetmint.site.state import Site

with for_work():
    from fleetmint.batch import secrets
    from fleetmint.bench.update import Update, carry_out
    from fleetmint.flash.burn import Board, Worker
    from fleetmint.ledger import looking, open_factory_ledger, writing
    from fleetmint.ledger.factory import Unit, find_unit, take_back
    from fleetmint.ledger.factory import release as release_unit
    from fleetmint.ledger.schema import BURNED
    from fleetmint.site import in_force
    from fleetmint.site.client import open_gateway
    from fleetmint.x509 import names


@click.group(
    epilog=examples(
        "fleetmint device update --port /dev/ttyUSB0 --app --wifi",
        "fleetmint device release lamp-000007",
        'fleetmint device return lamp-000002 --reason "display broken"',
        'fleetmint device transfer lamp-000002 --owner "Bob, Berlin" --port /dev/ttyUSB0',
    )
)
def device() -> None:
    """Bring a board up to date, out of quarantine, back, or to another owner."""


@device.command(epilog=examples("fleetmint device release lamp-000007"))
@click.argument("device_id", metavar="DEVICE", shell_complete=completion.devices)
@site_option
@ledger_option
@json_option
def release(device_id: str, site: Site, as_json: bool) -> None:
    """Let the board of DEVICE be burned again, once what set it aside is mended.

    It is the same board with the same identity: something may have been written to it, so no other board gets that. A
    claim of a station that died can be ended like this, too; end the station first.
    """
    engine = open_factory_ledger(site.ledger)
    try:
        with writing(engine) as connection:
            unit = release_unit(connection, names.device_id(device_id), untouched=False, now=datetime.now(UTC))
    finally:
        engine.dispose()
    burn = commands.fleetmint("burn", unit.batch, "--port", "auto")
    text = f"{device_id} and its board {unit.mac} can be burned again: {burn}"
    say(as_json, {"device": device_id, "mac": unit.mac, "batch": unit.batch}, text)


@device.command("return", epilog=examples('fleetmint device return lamp-000002 --reason "display broken"'))
@click.argument("device_id", metavar="DEVICE", shell_complete=completion.devices)
@click.option("--reason", required=True, help="Why it came back, for the ledger.")
@site_option
@ledger_option
@as_option
@to_option
@json_option
def return_(device_id: str, reason: str, site: Site, name: str | None, file: Path | None, as_json: bool) -> None:
    """Record that the board of DEVICE came back: its identity ends for ever, the board is free for another one.

    The gateway revokes it with the handover, which this command sends (or writes, with --to). If the gateway is away
    just now, the ledger has it nevertheless: run the command again, or `fleetmint batch handover`.
    """
    engine = open_factory_ledger(site.ledger)
    actor = name or site.station
    try:
        with writing(engine) as connection:
            unit = take_back(connection, names.device_id(device_id), reason, actor=actor, now=datetime.now(UTC))
    finally:
        engine.dispose()
    result = tell_handover(site, unit.batch, name, file)
    told = (
        [] if file is not None else in_force.end(site, name, gateway_of(site, unit.batch), [device_id], for_ever=True)
    )
    text = f"{device_id} is returned, and its board {unit.mac} may get another identity.\n"
    text += result if file is not None else in_force.in_words(told, commands.playbook("revoke.yml", device=device_id))
    values = {"device": device_id, "mac": unit.mac, "batch": unit.batch, "file": str(file) if file else None}
    say(as_json, {**values, "gateways": in_force.values(told)}, text)
    if any(each.problem for each in told):
        sys.exit(1)


@device.command(
    "transfer", epilog=examples('fleetmint device transfer lamp-000002 --owner "Bob, Berlin" --to lamp-000002.token')
)
@click.argument("device_id", metavar="DEVICE", shell_complete=completion.devices)
@click.option("--owner", required=True, help="Whose it is from now on, for the gateway's record of events.")
@site_option
@as_option
@gateway_option
@days_option
@token_to_option
@port_option
@json_option
def transfer(
    device_id: str,
    owner: str,
    site: Site,
    name: str | None,
    gateway: str | None,
    days: int,
    file: Path | None,
    port: str | None,
    as_json: bool,
) -> None:
    """Give DEVICE to another owner: what it has now is revoked, and a new token lets it make itself a new key.

    The owner before could have copied the key, since the flash is readable. So the device is locked out from now on,
    until the token is in it: at once with --port, later with --to and `fleetmint token write`.
    """
    reached = open_gateway(site, name, gateway)
    made = give(reached, device_id, days, file, port, owner)
    old = in_force.end(site, name, reached.name, [device_id])
    text = f"{device_id} belongs to {owner} from now on. {told(made, file, port)}\nOf its old certificate: "
    text += in_force.in_words(old, commands.to_gateways())
    values = {"device": device_id, "owner": owner, "expires": made.expires, "file": str(file) if file else None}
    say(as_json, {**values, "gateways": in_force.values(old)}, text)
    if any(each.problem for each in old):
        sys.exit(1)


@device.command(
    "update",
    epilog=examples(
        "fleetmint device update --port /dev/ttyUSB0 --app", "fleetmint device update --port /dev/ttyUSB0 --wifi --json"
    ),
)
@click.option(
    "--port",
    required=True,
    metavar="PORT",
    shell_complete=completion.ports,
    help="Serial port of the board, such as /dev/ttyUSB0.",
)
@click.option("--app", is_flag=True, help="Give it the program in firmware/ as it is now.")
@click.option("--wifi", is_flag=True, help="Give it the Wi-Fi that its batch has now.")
@click.option(
    "--app-dir",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    default=DEVICE_PROGRAM,
    help="Another program.",
)
@site_option
@ledger_option
@passphrases_option
@json_option
def update(
    port: str,
    app: bool,
    wifi: bool,
    app_dir: Path,
    site: Site,
    passphrases: str | None,
    as_json: bool,
) -> None:
    """Bring the board at PORT up to date: its program, its Wi-Fi, or both. It stays the device that it is.

    Its key, its certificate and everything else in its NVS stay as they are, and what is right already is not written.
    A changed Wi-Fi is in the batch once playbooks/factory.yml, or `fleetmint batch new`, has run again. Leave the board
    connected until this is done: its NVS holds its key, too.
    """
    if not app and not wifi:
        raise click.UsageError("say what is to be brought up to date: --app, --wifi or both")
    with Worker(port) as worker:
        board = worker.identify(hold=True)
        try:
            unit = _unit_of(board, port, site.ledger)
            known = secrets.load(site.batches / unit.batch, site.source(passphrases)) if wifi else None
            wanted = Update(
                app_dir if app else None, known.settings.wifi_of(unit.device) if known is not None else None
            )
        except FleetmintError:
            worker.release()
            raise
        with undisturbed():  # half-written, the board could have lost its key
            changed = carry_out(worker, board, wanted, ask_again())
    what = f"has the new {' and '.join(changed)}" if changed else "was up to date"
    values = {"device": unit.device, "mac": board.mac, "batch": unit.batch, "changed": list(changed)}
    say(as_json, values, f"{unit.device} ({board.mac}) {what}; it is the device that it was.")


def _unit_of(board: Board, port: str, url: str) -> Unit:
    """Return what the ledger knows of the board; raise BurnError unless it is the burned board of its device."""
    with looking(url) as connection:
        unit = find_unit(connection, names.device_id(board.device_id)) if board.device_id else None
    if unit is None:
        whose = "holds no identity that can be read, as with an encrypted NVS or on an ESP8266: burn it"
        if board.device_id:
            whose = f"is {board.device_id!r}, which this site's ledger does not know"
        raise BurnError(f"{port}: the board ({board.mac}) {whose}. Nothing was written", BurnCode.IDENTITY, board.mac)
    if unit.mac != board.mac or unit.state != BURNED:
        reason = f"which the ledger has as {unit.state}" + (f" on the board {unit.mac}" if unit.mac else "")
        raise BurnError(
            f"{port}: the board ({board.mac}) says it is {unit.device}, {reason}. Nothing was written",
            BurnCode.IDENTITY,
            board.mac,
        )
    return unit
