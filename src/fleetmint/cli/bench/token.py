"""`fleetmint token`: another one-time token for a device that is known, and how it gets into the board."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click

from fleetmint.cli import completion
from fleetmint.cli.lazily import for_work
from fleetmint.cli.output import examples, json_option, say
from fleetmint.cli.place import as_option, gateway_option, site_option
from fleetmint.cli.signals import undisturbed
from fleetmint.errors import FleetmintError
from fleetmint.printable import printable_lines
from fleetmint.site.state import Site

with for_work():
    from fleetmint.bench import tokens
    from fleetmint.documents import token as token_file
    from fleetmint.documents.token import Token
    from fleetmint.flash.burn import Board, Region, Worker
    from fleetmint.site.client import Gateway, open_gateway
    from fleetmint.site.contact import first_contact


_DAYS = click.IntRange(1, 3650)
days_option = click.option("--days", type=_DAYS, default=30, show_default=True, help="How long it can be used.")
port_option = click.option(
    "--port",
    metavar="PORT",
    shell_complete=completion.ports,
    help="Write it into the board at this serial port, at once.",
)
to_option = click.option(
    "--to", "file", type=click.Path(dir_okay=False, path_type=Path), help="Keep it in this file, for its owner only."
)


@click.group(
    epilog=examples(
        "fleetmint token new lamp-000002 --port /dev/ttyUSB0",
        "fleetmint token new lamp-000002 --to lamp-000002.token",
        "fleetmint token write lamp-000002 --from lamp-000002.token --port /dev/ttyUSB0",
    )
)
def token() -> None:
    """Give a device another one-time token: its certificate has ended, its keys are lost, or nobody trusts them."""


@token.command(
    "new",
    epilog=examples(
        "fleetmint token new lamp-000002 --port /dev/ttyUSB0", "fleetmint token new lamp-000002 --to lamp-000002.token"
    ),
)
@click.argument("device", shell_complete=completion.devices)
@site_option
@as_option
@gateway_option
@days_option
@to_option
@port_option
@json_option
def new(
    device: str,
    site: Site,
    name: str | None,
    gateway: str | None,
    days: int,
    file: Path | None,
    port: str | None,
    as_json: bool,
) -> None:
    """Make a token for DEVICE and tell its gateway the hash; an older token that was not used is void from then on.

    The certificate that the device has stays good until it uses the one that the token gives. The token itself goes
    where --to or --port says, and is shown nowhere.

    For a Linux machine the file of --to is all that `fleetmint enrol` needs there: it names the gateway and holds the
    trust bundle. Carry it there as you would a key.
    """
    made = give(open_gateway(site, name, gateway), device, days, file, port)
    say(
        as_json,
        {"device": device, "expires": made.expires, "file": str(file) if file else None},
        told(made, file, port),
    )


@token.command(
    "write", epilog=examples("fleetmint token write lamp-000002 --from lamp-000002.token --port /dev/ttyUSB0")
)
@click.argument("device", shell_complete=completion.devices)
@click.option(
    "--from",
    "file",
    required=True,
    type=click.Path(dir_okay=False, path_type=Path),
    help="File that `token new --to` has written.",
)
@click.option(
    "--port",
    required=True,
    metavar="PORT",
    shell_complete=completion.ports,
    help="Serial port of the board, such as /dev/ttyUSB0.",
)
@json_option
def write(device: str, file: Path, port: str, as_json: bool) -> None:
    """Put a token into the board of DEVICE; everything else in it stays as it is.

    Only the NVS is written, and only into a board that says it is DEVICE. Leave the board connected until this is done:
    its NVS holds its key, too.
    """
    made = token_file.load(file, device)
    with Worker(port) as worker:
        board, nvs = tokens.check_board(worker, device)
        _write(worker, board, nvs, made)
    say(as_json, {"device": device, "mac": board.mac, "expires": made.expires}, f"{told(made, None, port)}")
    if not as_json:
        click.echo(f"Delete {file}: the token in it can be used once.")


def give(
    gateway: Gateway, device: str, days: int, file: Path | None, port: str | None, owner: str | None = None
) -> Token:
    """Make a token, tell the gateway, and put it where it was asked for; return it.

    The board is asked first who it is, and whether the token fits. The file comes before the gateway knows: a token
    that nobody has is of no use.
    """
    if (file is None) == (port is None):
        raise click.UsageError("say where the token goes: --to FILE, or --port of the board")
    made = token_file.new_token(device, timedelta(days=days), datetime.now(UTC))
    document: dict[str, Any] = {"token_sha256": made.sha256, "token_expires": made.expires}
    if owner is not None:
        document["owner"] = owner

    def tell() -> None:
        gateway.post(f"/v1/devices/{device}/token", json.dumps(document).encode())

    if port is None and file is not None:
        if file.exists():
            raise FleetmintError(f"there is a {file} already, perhaps another token: delete it, or name another file")
        token_file.save(made, file, first_contact(gateway.site, gateway.name, device))
        try:
            tell()
        except FleetmintError:
            file.unlink(missing_ok=True)
            raise
        return made
    with Worker(str(port)) as worker:
        board, nvs = tokens.check_board(worker, device)
        try:
            tokens.with_token(nvs.data, made)
            tell()
        except FleetmintError:
            worker.release()
            raise
        _write(worker, board, nvs, made)
    return made


def _write(worker: Worker, board: Board, nvs: Region, made: Token) -> None:
    with undisturbed():  # half-written, the board would have lost its key
        tokens.write_token(worker, board, nvs, made, ask_again())


def told(made: Token, file: Path | None, port: str | None) -> str:
    """Say where the token is and until when it can be used."""
    where = f"in {file}" if file else f"in the board at {port}"
    return f"The token of {made.device} is {where}; it can be used once, until {made.expires[:10]}."


def ask_again() -> Callable[[FleetmintError], bool]:
    """Return what asks a person at a terminal to connect the board again; without a terminal three tries are made."""
    left = iter(range(2))

    def again(error: FleetmintError) -> bool:
        click.echo(f"fleetmint: {printable_lines(str(error))}", err=True)
        if not sys.stdin.isatty():
            return next(left, None) is not None
        return click.confirm("The board has lost its identity unless this ends well. Connect it again. Go on?", True)

    return again
