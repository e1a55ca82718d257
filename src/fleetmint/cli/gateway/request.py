"""`fleetmint gateway request`: the key of a server, made here, and what the controller signs for it."""

from __future__ import annotations

from pathlib import Path

import click

from fleetmint.choices import KEY_KINDS, P256
from fleetmint.cli.gateway.common import say
from fleetmint.cli.lazily import for_work
from fleetmint.cli.output import examples, json_option

with for_work():
    from fleetmint.gateway.host_request import make_request


@click.command(
    "request", epilog=examples("fleetmint gateway request gateway.local --san 192.0.2.7 --key /etc/fleetmint/nginx.key")
)
@click.argument("name")
@click.option("--san", "sans", multiple=True, help="Another host name or address; may be given several times.")
@click.option(
    "--key",
    "key_path",
    required=True,
    type=click.Path(dir_okay=False, path_type=Path),
    help="The private key: made when it is missing, never replaced.",
)
@click.option(
    "--kind",
    type=click.Choice(KEY_KINDS),
    default=P256,
    show_default=True,
    help="What key to make when it is missing; RSA is for servers of legacy clients.",
)
@json_option
def request(name: str, sans: tuple[str, ...], key_path: Path, kind: str, as_json: bool) -> None:
    """Print a certificate request for NAME, this host's name or address, with its own key, which stays here."""
    csr, changed = make_request(key_path, name, sans, kind)
    say(as_json, {"changed": changed, "csr": csr.decode()}, csr.decode().rstrip("\n"))
