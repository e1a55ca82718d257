"""Servers of the maker's own: a broker, a web server, a container that shows a certificate of the server CA.

The directory `issued/services` holds for each `<name>.json`, which says what its certificate is to be, `<name>.crt`,
and `<name>.key` or, where the key is elsewhere, `<name>.csr`.

Devices trust the server CA, and tell servers apart by the name that they call. So no service gets a name of a gateway:
its key would be one of the gateway's. A name is taken by what gateways show, whatever an inventory says meanwhile.
"""

import json
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from fleetmint import commands, files
from fleetmint.ca.hierarchy import Hierarchy
from fleetmint.ca.leaves import alternative_names, plan_leaf
from fleetmint.errors import FleetmintError, StateError
from fleetmint.plan import Plan
from fleetmint.x509 import compat, keys, names
from fleetmint.x509.authority import load_certificate
from fleetmint.x509.hosts import host
from fleetmint.x509.profiles import profile
from fleetmint.x509.request import read_host_request

PROFILE = "service"
DIRECTORY, OPERATORS = "services", "operators"
FORMAT = "fleetmint-service-1"
RECORD, CERTIFICATE, KEY, REQUEST = ".json", ".crt", ".key", ".csr"


@dataclass(frozen=True)
class Service:
    """What a service's certificate is to be: its DNS names and addresses, and how long it lasts if not its profile."""

    name: str
    sans: tuple[str, ...]
    days: int | None = None

    @property
    def lifetime(self) -> timedelta | None:
        """How long the certificate lasts; None leaves it to the profile."""
        return None if self.days is None else timedelta(days=self.days)


def find_service(issued: Path, name: str) -> Service | None:
    """Return what was asked for under this name; None when nothing was. Raises StateError when that is damaged."""
    path = _file(issued, name, RECORD)
    return _read(path) if path.exists() else None


def list_services(issued: Path) -> list[Service]:
    """Return all services of the directory of certificates `issued`, by name."""
    return [_read(path) for path in sorted((issued / DIRECTORY).glob(f"*{RECORD}"))]


def gateway_names(issued: Path) -> set[str]:
    """Return every name and address that a certificate of a gateway below `issued` carries."""
    found = set()
    for path in issued.glob("*/*.crt"):
        if path.parent.name not in (DIRECTORY, OPERATORS):
            found.update(alternative_names(load_certificate(path)))
    return found


def plan_service(
    hierarchy: Hierarchy,
    issued: Path,
    wanted: Service,
    now: datetime,
    *,
    taken: Collection[str] = (),
    request: bytes | None = None,
) -> Plan[None]:
    """Plan certificate, and key unless `request` (PKCS #10) was made for one, of a service.

    The key is made once; a certificate that is no longer young is issued again for the same key. `taken` are names of
    gateways beside those that their certificates carry. Raises FleetmintError for a name of a gateway, for none at all,
    and for a request beside a key.
    """
    names.service_name(wanted.name)
    _check_names(wanted, {*taken, *gateway_names(issued)})
    key_path, request_path = (_file(issued, wanted.name, suffix) for suffix in (KEY, REQUEST))
    staged = []
    if request is not None:
        if key_path.exists():
            raise StateError(
                f"the key of {wanted.name} was made here, and lies in {key_path}: move it away to go on with the key of"
                " a request"
            )
        public_key = read_host_request(request)
        if not request_path.exists() or request_path.read_bytes() != request:
            staged.append(files.File(request_path, request, files.PUBLIC_FILE))
    elif request_path.exists() and not key_path.exists():
        public_key = read_host_request(files.read(request_path, "certificate request"))
    elif key_path.exists():
        held = keys.load_leaf_key(files.read_private(key_path, "key"), None, str(key_path))
        public_key = held.public_key()
    else:
        made = keys.new_leaf_key(profile(PROFILE).key_kind)
        public_key = made.public_key()
        staged.append(files.File(key_path, keys.plain_pem(made)))
    certificate = _file(issued, wanted.name, CERTIFICATE)
    plan = plan_leaf(
        hierarchy, PROFILE, public_key, certificate, wanted.name, wanted.sans, now, lifetime=wanted.lifetime
    )
    if find_service(issued, wanted.name) != wanted:
        staged.append(_record(issued, wanted))
    if not staged and not plan.changed:
        return plan
    reasons = plan.reasons or (f"note what the certificate of {wanted.name} is to be",)

    def apply() -> None:
        # the certificate last: what was cut before it goes on with the same key
        files.write_together(staged)
        plan.apply()

    return Plan(reasons, apply, plan.before, plan.after)


def refuse_names_of_services(issued: Path, sans: Collection[str]) -> None:
    """Raise FleetmintError when a gateway is to get a name that a service has a certificate for."""
    wanted = {name.casefold() for name in sans}
    for path in sorted((issued / DIRECTORY).glob(f"*{CERTIFICATE}")):
        certificate = load_certificate(path)
        if shared := [name for name in alternative_names(certificate) if name.casefold() in wanted]:
            raise FleetmintError(
                f"{shared[0]} is a name of the service {path.stem}, whose key could pose as this gateway until"
                f" {compat.not_after(certificate):%Y-%m-%d}: give the gateway another name, or delete"
                f" {path.with_suffix('')}.* after {commands.playbook('ca_rollover.yml', ca_rollover='server')}, which"
                " replaces the CA that it comes from"
            )


def plan_renewals(hierarchy: Hierarchy, issued: Path, now: datetime) -> Plan[None]:
    """Plan what the services below `issued` need by now; raise FleetmintError for one that has a gateway's name."""
    plans = [plan_service(hierarchy, issued, each, now) for each in list_services(issued)]
    return together(plans)


def together(plans: Iterable[Plan[None]]) -> Plan[None]:
    """Return several plans as one."""
    changes = [plan for plan in plans if plan.changed]

    def apply() -> None:
        for plan in changes:
            plan.apply()

    return Plan(
        tuple(reason for plan in changes for reason in plan.reasons),
        apply,
        "".join(plan.before for plan in changes),
        "".join(plan.after for plan in changes),
    )


def _check_names(wanted: Service, taken: Collection[str]) -> None:
    if not wanted.sans:
        raise FleetmintError(f"{wanted.name} lacks a name that somebody can call: give one, or an address, with --san")
    theirs = {name.casefold() for name in taken}
    for name in wanted.sans:
        host(name)
        if name.casefold() in theirs:
            raise FleetmintError(
                f"{name} is a name of a gateway, and whoever has the key of {wanted.name} could pose as that gateway to"
                " devices: give the service a name of its own"
            )


def _record(issued: Path, wanted: Service) -> files.File:
    content = {"format": FORMAT, "sans": list(wanted.sans), "days": wanted.days}
    data = json.dumps(content, indent=1).encode() + b"\n"
    return files.File(_file(issued, wanted.name, RECORD), data, files.PUBLIC_FILE)


def _read(path: Path) -> Service:
    try:
        said = json.loads(files.read(path, "description of the service"))
        if said["format"] != FORMAT:
            raise ValueError(f"it is of another format, {said['format']}")
        days = said["days"]
        return Service(
            names.service_name(path.stem), tuple(map(host, said["sans"])), None if days is None else int(days)
        )
    except StateError:
        raise
    except (ValueError, KeyError, TypeError, FleetmintError) as error:
        again = commands.fleetmint("service-cert", path.stem, "--san", "HOST")
        raise StateError(f"{path} is damaged ({error}): {again} writes it anew") from error


def _file(issued: Path, name: str, suffix: str) -> Path:
    return issued / DIRECTORY / f"{name}{suffix}"
