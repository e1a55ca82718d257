"""`fleetmint enrol`: a Linux machine gets its first certificate, for a token."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import click

from fleetmint.cli.device.common import report
from fleetmint.cli.lazily import for_work
from fleetmint.cli.output import examples, json_option
from fleetmint.printable import printable_lines

with for_work():
    from fleetmint.device.directory import About, prepare
    from fleetmint.device.keeping import Kept, WaitingError, keeper
    from fleetmint.documents import token as token_file
    from fleetmint.documents.reach import Reach
    from fleetmint.x509.hosts import host


@click.command(
    epilog=examples(
        "fleetmint enrol --token-file sensor-000001.token --to /var/lib/sensor/tls",
        "fleetmint enrol --token-file sensor-000001.token --to tls --gateway 192.168.1.20 --json",
    )
)
@click.option(
    "--token-file",
    "token",
    required=True,
    type=click.Path(dir_okay=False, path_type=Path),
    help="File that `fleetmint token new --to` or `fleetmint batch export --token` has written.",
)
@click.option(
    "--to",
    "directory",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Directory for ca.pem, cert.pem and key.pem; made if it is missing.",
)
@click.option(
    "--gateway",
    metavar="HOST[:PORT]",
    help="Another name or address of the gateway than the file's, or another port for HTTPS.",
)
@click.option("--no-wait", is_flag=True, help="End with exit code 1 while an operator has to approve this machine.")
@json_option
def enrol(token: Path, directory: Path, gateway: str | None, no_wait: bool, as_json: bool) -> None:
    """Make this machine the device that a token is for: key and certificate, where programs look for them.

    The key is made here and never leaves. ca.pem, cert.pem and key.pem are what `tls_set` of paho and the options of
    other clients take; client.json says who this is and where its gateway is. Whom to trust comes from the file with
    the token, not from the network.

    Where an operator has to approve the machine this says so, with the beginning of the SHA-256 of its key, and waits
    for that. Running it again changes nothing, and goes on where a run was cut or an answer was lost. `fleetmint renew`
    keeps the certificate from then on.
    """
    found, contact = token_file.load_contact(token)
    reach = contact.reach if gateway is None else _reach(gateway, contact.reach)
    place = prepare(directory, About(found.device, reach), contact)
    with place.held():
        kept = _when_approved(lambda: keeper(place).enrol(found), no_wait)
    hint = f"Delete {token}: the token in it is used." if kept.changes else ""
    report(as_json, place.path, kept, hint)


def _when_approved(enrol: Callable[[], Kept], no_wait: bool) -> Kept:
    said = ""
    while True:
        try:
            return enrol()
        except WaitingError as error:
            if no_wait:
                raise
            if str(error) != said:
                said = str(error)
                click.echo(f"{printable_lines(said)}; asking again every {error.seconds} s", err=True)
            time.sleep(error.seconds)


def _reach(text: str, known: Reach) -> Reach:
    name, colon, port = text.rpartition(":")
    if not colon or (":" in name and not name.endswith("]")):
        name, port = text, ""
    if port and not (port.isdigit() and 1 <= int(port) <= 65535):
        raise click.UsageError(f"{port!r} is no port number: choose one from 1 to 65535")
    name = name.removeprefix("[").removesuffix("]")
    return replace(known, gateway=host(name), https_port=int(port) if port else known.https_port)
