"""What the commands know of a site, from the file that the role `controller` writes to its state directory.

site        the O of every certificate
station     name of the bench's certificate
ca          directory: of the CAs; passphrases: the source of their passphrases (fleetmint.passphrases), never one;
            root_directory: of the root's key, where that is on a medium of its own
gateways    by name: host, https_port and mqtt_port of its operators' listeners, devices_https_port and
            devices_mqtt_port;
            the one of batches that name none first
wifi        the networks that devices join: name of the profile, ssid, whether it is open; no passphrase
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fleetmint import commands, files
from fleetmint.cli import completion
from fleetmint.cli.lazily import for_work
from fleetmint.cli.place import FILE as FILE
from fleetmint.cli.place import state_option as state_option
from fleetmint.commands import LEDGER as LEDGER
from fleetmint.commands import LEDGER_VARIABLE
from fleetmint.errors import FleetmintError, StateError
from fleetmint.x509.hosts import bracketed

if TYPE_CHECKING:
    import ssl

with for_work():
    from fleetmint.batch import common as factory
    from fleetmint.ca.hierarchy import Hierarchy
    from fleetmint.passphrases import Source, open_source
    from fleetmint.trust import bundle
    from fleetmint.x509.authority import pem


SECONDS = 15
# The program of the devices, in the checkout of which this package is a part.
DEVICE_PROGRAM = Path(__file__).resolve().parents[3] / "firmware"

passphrases_option = click.option(
    "--passphrases",
    metavar="SOURCE",
    help="Source of the passphrase `bench`, which opens the batch: file:DIR, vault:DIR, prompt: or fd:N. The site's own"
    " by default.",
)
ledger_option = click.option(
    "--ledger",
    "url",
    metavar="URL",
    envvar=LEDGER_VARIABLE,
    help="SQLAlchemy URL of the factory's ledger, if it is not in the state.  [env: FLEETMINT_LEDGER]",
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


@dataclass(frozen=True)
class Gateway:
    """A gateway as an operator reaches it."""

    state: Path
    name: str
    operator: str
    host: str
    https_port: int
    mqtt_port: int

    def url(self, path: str) -> str:
        """Return where it answers over HTTPS."""
        return f"https://{bracketed(self.host)}:{self.https_port}{path}"

    def tls(self) -> ssl.SSLContext:
        """Return a context that trusts the site's server CAs and nothing else, and shows the operator's certificate."""
        import ssl  # most commands ask no gateway

        issued = operators_directory(self.state)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        # The server CAs are the anchors, as they are for devices: another CA under that root could not pass for one.
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN | ssl.VERIFY_X509_STRICT
        anchors = pem(*bundle.anchors(self.state / "ca")).decode()
        try:
            context.load_verify_locations(cadata=anchors)
            context.load_cert_chain(issued / f"{self.operator}.crt", issued / f"{self.operator}.key")
        except OSError as error:
            raise StateError(
                f"there is no usable certificate for {self.operator} in {issued} ({error.strerror or error}):"
                f" run {commands.playbook('ca.yml')}, or choose another name with --as"
            ) from error
        return context

    def get(self, path: str) -> Any:
        """Return the JSON that the gateway's operator listener answers to a GET of `path`."""
        import urllib.request  # most commands ask no gateway
        from http.client import HTTPException

        try:
            with urllib.request.urlopen(self.url(path), timeout=SECONDS, context=self.tls()) as answer:  # noqa: S310
                return json.load(answer)
        except (OSError, ValueError, HTTPException) as error:
            from fleetmint.cli.unreachable import why

            raise FleetmintError(why(error, self, self.https_port)) from error


def open_gateway(state: Path, name: str | None, gateway: str | None) -> Gateway:
    """Return the gateway to talk to; raise StateError when the site does not say which."""
    site = read_site(state)
    try:
        gateways = site["gateways"]
        chosen = gateway or (next(iter(gateways)) if len(gateways) == 1 else "")
        if chosen not in gateways:
            raise StateError(f"choose one of the site's gateways with --gateway: {', '.join(gateways)}")
        row = gateways[chosen]
        return Gateway(
            state, chosen, name or site["station"], row["host"], int(row["https_port"]), int(row["mqtt_port"])
        )
    except (KeyError, TypeError, ValueError) as error:
        raise _damaged(state) from error


def open_hierarchy(state: Path) -> Hierarchy:
    """Return the site's CAs. Their passphrases are read from their source when something is signed, and only then."""
    site = read_site(state)
    try:
        directory = Path(site["ca"]["directory"])
        medium = site["ca"].get("root_directory")
        root = None if medium is None else Path(medium)
        hierarchy = Hierarchy(directory, site["site"], open_source(site["ca"]["passphrases"]), root)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise _damaged(state) from error
    if not directory.is_dir():
        raise StateError(
            f"{state / FILE} says that the CAs are in {directory}, and nothing is: run {commands.playbook('ca.yml')}"
        )
    return hierarchy


def ledger_url(state: Path, url: str | None) -> str:
    """Return the URL of the factory's ledger: what was given, or the file in the state; refuse one with a password."""
    if not url:
        return f"sqlite:///{(state / LEDGER).absolute()}"
    from sqlalchemy.engine import make_url  # most commands need no ledger
    from sqlalchemy.exc import ArgumentError

    try:
        has_password = make_url(url).password is not None
    except (ArgumentError, ValueError):
        # it may hold a password, in whatever way it is wrong
        raise FleetmintError(
            "the ledger's URL cannot be read: write sqlite:////path/ledger.sqlite or"
            " postgresql+psycopg2://user@host/database"
        ) from None
    if has_password:
        raise FleetmintError("the ledger's URL has a password, which every process can read: put it into ~/.pgpass")
    commands.use_ledger(url)
    return url


def bench_source(state: Path, given: str | None) -> Source:
    """Return the source of the passphrase that opens batches: what was given, or the site's."""
    if given is not None:
        return open_source(given)
    try:
        return open_source(read_site(state)["ca"]["passphrases"])
    except (KeyError, TypeError) as error:
        raise _damaged(state) from error


@dataclass(frozen=True)
class BatchValues:
    """What batches of a site choose from. `networks` is profile → name of the network and whether it is open."""

    gateways: Mapping[str, factory.Gateway]
    networks: Mapping[str, tuple[str, bool]]


def read_values(state: Path) -> BatchValues:
    """Return what the site's file says for batches; raise StateError when it is missing or damaged."""
    site = read_site(state)
    try:
        gateways = {
            name: factory.Gateway(row["host"], int(row["devices_https_port"]), int(row["devices_mqtt_port"]))
            for name, row in site["gateways"].items()
        }
        return BatchValues(gateways, {row["name"]: (row["ssid"], bool(row["open"])) for row in site["wifi"]})
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _damaged(state) from error


def read_site(state: Path) -> dict[str, Any]:
    """Return the content of the site's file; raise StateError when it is missing or damaged."""
    path = state / FILE
    if not path.exists():
        raise StateError(
            f"{state} is not the state of a site, or of none that has CAs yet: name the right one with --site, or make"
            f" its CAs with {commands.playbook('ca.yml')}"
        )
    try:
        site = json.loads(files.read(path, "description of the site"))
    except ValueError as error:
        raise _damaged(state) from error
    if not isinstance(site, dict):
        raise _damaged(state)
    return site


def operators_directory(state: Path) -> Path:
    """Return where keys and certificates of operators are."""
    return state / "issued" / "operators"


def _damaged(state: Path) -> StateError:
    return StateError(f"{state / FILE} is damaged or of an older version: run {commands.playbook('ca.yml')} again")
