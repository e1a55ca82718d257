"""The state of one site: its directory, and the only place that says what lies where in it.

    site.json                       what the role `controller` writes for the commands (below)
    ca/                             the CAs, unless the file says that they are elsewhere
    passphrases/                    theirs, where they are kept beside them
    issued/GATEWAY/  issued/operators/    certificates of gateways, of people, stations and dashboards
    issued/services/                of servers of the maker's own
    batches/BATCH/                  what the bench needs of a batch, and what its gateway may know
    ledger.sqlite                   the factory's ledger, unless a URL says that it is elsewhere

The file holds:

    site        the O of every certificate
    inventory   directory of the site's inventory
    station     name of the bench's certificate
    ca          directory: of the CAs; passphrases: the source of their passphrases (fleetmint.passphrases), never one;
                root_directory: of the root's key, where that is on a medium of its own
    alert_command   words of a command that is told when a run without a person has failed; none: nobody is told
    gateways    by name: host, https_port and mqtt_port of its operators' listeners, devices_https_port and
                devices_mqtt_port, tls_profile and tls_classes as in the site's variables; the one of batches that
                name none first
    wifi        the networks that devices join: name of the profile, ssid, whether it is open; no passphrase

It is read when something of it is wanted and only once: help, completion and much of the bench's work need no file.
What takes long to import is imported where it is used, since completion asks here for names.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fleetmint import commands, files
from fleetmint.batch.filenames import REGISTRATION
from fleetmint.commands import LEDGER
from fleetmint.errors import FleetmintError, StateError

if TYPE_CHECKING:
    from fleetmint.batch import common
    from fleetmint.ca.hierarchy import Hierarchy
    from fleetmint.passphrases import Source

FILE = "site.json"
_CAS = "ca"


@dataclass(frozen=True)
class Listeners:
    """Where operators reach a gateway: host name or address, ports over HTTPS and MQTT."""

    host: str
    https_port: int
    mqtt_port: int


@dataclass(frozen=True)
class BatchValues:
    """What batches of a site choose from. `networks` is profile → name of the network and whether it is open."""

    gateways: Mapping[str, common.Gateway]
    networks: Mapping[str, tuple[str, bool]]

    def classes(self) -> dict[str, tuple[str, ...]]:
        """Return the classes of devices for which each gateway has listeners."""
        return {name: tuple(gateway.classes) for name, gateway in self.gateways.items()}


@dataclass(frozen=True)
class Site:
    """A site by the directory of its state.

    `given_ledger` is the URL of the factory's ledger where it is not in the state, as `checked_ledger` returns it.
    What is asked of the file raises StateError, with the remedy, when it is missing, damaged or of an older version.
    """

    directory: Path
    given_ledger: str = ""

    @property
    def file(self) -> Path:
        """The site's file."""
        return self.directory / FILE

    @property
    def issued(self) -> Path:
        """Directory of the certificates: one directory for each gateway, and that of the operators."""
        return self.directory / "issued"

    @property
    def operators(self) -> Path:
        """Directory of keys and certificates of people, stations and dashboards."""
        return self.issued / "operators"

    @property
    def services(self) -> Path:
        """Directory of the certificates of the maker's own servers, and of the keys that were made for them."""
        return self.issued / "services"

    @property
    def batches(self) -> Path:
        """Directory of the batches, one directory for each."""
        return self.directory / "batches"

    @property
    def passphrases(self) -> Path:
        """Directory of the passphrases of the CAs, where they are kept in the state."""
        return self.directory / "passphrases"

    @property
    def has_ledger(self) -> bool:
        """Whether there is a ledger of the factory: its file in the state, or a URL that was given."""
        return bool(self.given_ledger) or (self.directory / LEDGER).exists()

    @property
    def ledger(self) -> str:
        """SQLAlchemy URL of the factory's ledger."""
        return self.given_ledger or commands.ledger_in(self.directory)

    def batch(self, name: str) -> Path:
        """Return the directory of a batch that was made; raise StateError when there is none."""
        directory = self.batches / name
        if not directory.is_dir():
            raise StateError(
                f"there is no batch {name} in {self.directory}: {commands.fleetmint('batch', 'list')} lists those there"
                f" are, and {commands.fleetmint('batch', 'new', 'FILE')} makes one"
            )
        return directory

    def batch_names(self) -> list[str]:
        """Return the batches that are here, those that were cut while they were made, too."""
        return sorted(path.name for path in self.batches.glob("*") if path.is_dir())

    def registrations(self) -> list[Path]:
        """Return the files that say in public which devices there are, one for each batch, by its name."""
        return sorted(self.batches.glob(f"*/{REGISTRATION}"))

    @property
    def is_described(self) -> bool:
        """Whether there is the site's file."""
        return self.file.exists()

    @property
    def inventory(self) -> Path | None:
        """The site's inventory directory: as the file notes it, or where it usually is; None when neither is one.

        A file that cannot be read is not told here: whatever needs it tells.
        """
        try:
            noted = str(self._content["inventory"] or "..")
        except (OSError, StateError, KeyError):
            noted = ".."
        found = (self.directory / noted, self.directory.parent)
        return next((path for path in found if any(path.glob("hosts*"))), None)

    @property
    def name(self) -> str:
        """The O of every certificate."""
        return self._text("site")

    @property
    def station(self) -> str:
        """Name of the bench's certificate."""
        return self._text("station")

    @property
    def ca_directory(self) -> Path:
        """Directory of the CAs: where the file says; without a file yet, where they are made unless it is told."""
        if not self.is_described:
            return self.directory / _CAS
        with self._understood():
            return Path(self._content["ca"]["directory"])

    @property
    def root_directory(self) -> Path | None:
        """Directory of the root's key, where that is on a medium of its own."""
        if not self.is_described:
            return None
        with self._understood():
            medium = self._content["ca"].get("root_directory")
            return None if medium is None else Path(medium)

    def source(self, given: str | None = None) -> Source:
        """Return the source of the passphrases: what was given, or the site's; raise SecretError when it is none."""
        from fleetmint.passphrases import open_source

        if given is not None:
            return open_source(given)
        with self._understood():
            return open_source(self._content["ca"]["passphrases"])

    def hierarchy(self) -> Hierarchy:
        """Return the site's CAs. Their passphrases are read from their source when something is signed, and only then.

        Raises StateError when the file does not say where they are, or nothing is there.
        """
        from fleetmint.ca.hierarchy import Hierarchy

        name = self.name  # first: without a file there is more to say than that no CA is here
        directory = self.ca_directory
        hierarchy = Hierarchy(directory, name, self.source(), self.root_directory)
        if not directory.is_dir():
            raise StateError(
                f"{self.file} says that the CAs are in {directory}, and nothing is: run {commands.playbook('ca.yml')}"
            )
        return hierarchy

    @property
    def alert_command(self) -> list[str]:
        """Words of the command that is told when a run without a person has failed; a file of before has none."""
        with self._understood():
            return [str(word) for word in self._content.get("alert_command", [])]

    @property
    def gateways(self) -> tuple[str, ...]:
        """Names of the gateways, the one of batches that name none first."""
        with self._understood():
            return tuple(self._content.get("gateways", {}).keys())

    def listeners(self, gateway: str) -> Listeners:
        """Return where operators reach a gateway of the site."""
        with self._understood():
            row = self._content["gateways"][gateway]
            return Listeners(row["host"], int(row["https_port"]), int(row["mqtt_port"]))

    def batch_values(self) -> BatchValues:
        """Return what the batches of the site choose from."""
        from fleetmint.batch import common

        with self._understood():
            gateways = {
                name: common.gateway(
                    row["host"],
                    int(row["devices_https_port"]),
                    int(row["devices_mqtt_port"]),
                    # a file of before says nothing of these
                    row.get("tls_profile", "compatible"),
                    row.get("tls_classes", {}),
                )
                for name, row in self._content["gateways"].items()
            }
            networks = {row["name"]: (row["ssid"], bool(row["open"])) for row in self._content["wifi"]}
            return BatchValues(gateways, networks)

    def _text(self, key: str) -> str:
        with self._understood():
            found = self._content[key]
            if not isinstance(found, str):
                raise TypeError(key)
            return found

    @cached_property
    def _content(self) -> dict[str, Any]:
        if not self.is_described:
            raise StateError(
                f"{self.directory} is not the state of a site, or of none that has CAs yet: name the right one with"
                f" --site, or make its CAs with {commands.playbook('ca.yml')}"
            )
        with self._understood():
            content = json.loads(files.read(self.file, "description of the site"))
            if not isinstance(content, dict):
                raise TypeError(content)
            return content

    @contextmanager
    def _understood(self) -> Iterator[None]:
        try:
            yield
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise StateError(
                f"{self.file} is damaged or of an older version: run {commands.playbook('ca.yml')} again"
            ) from error


def checked_ledger(url: str) -> str:
    """Return the URL of a ledger; raise FleetmintError when it cannot be read or has a password in it."""
    from sqlalchemy.engine import make_url
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
    return url
