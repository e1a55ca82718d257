"""Operators, stations and dashboards on the controller: listed, revoked, and given a new key when one is lost.

The directory `issued/operators` holds `<name>.key` and `<name>.crt`. The operator CA's CRL is the record of who is
revoked. A revoked name keeps its certificate in place, so that no later run of a playbook makes it anew by itself; the
certificates that a renewal or a replacement puts aside lie in `superseded/`, so that a revocation finds those too.
"""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cryptography import x509

from fleetmint import commands
from fleetmint.ca.crls import plan_authority_crl
from fleetmint.ca.hierarchy import Hierarchy
from fleetmint.ca.identifier import OPERATOR, CaId
from fleetmint.ca.leaves import plan_client, put_aside, revoked, superseded
from fleetmint.errors import StateError
from fleetmint.plan import Plan
from fleetmint.x509 import compat, names
from fleetmint.x509.authority import load_certificate

# Everything with the private key in it.
_SECRETS = (".key", ".p12")


@dataclass(frozen=True)
class Client:
    """One certificate of the operator CA. `status` is valid, expired or revoked; `has_key`: the key is still here.

    `in_use` is false for one that was put aside.
    """

    name: str
    certificate: x509.Certificate
    path: Path
    status: str
    has_key: bool
    in_use: bool


def list_clients(hierarchy: Hierarchy, directory: Path, now: datetime) -> list[Client]:
    """Return the certificates in `directory` by name, those put aside after the one in use."""
    paths = sorted(directory.glob("*.crt")) + superseded(directory)
    found = [_client(hierarchy, directory, path, load_certificate(path), now) for path in paths]
    return sorted(found, key=lambda client: (client.name, not client.in_use))


def find_client(hierarchy: Hierarchy, directory: Path, name: str, now: datetime) -> Client:
    """Return the certificate in use of `name`; raise StateError when there is none."""
    path = directory / f"{names.operator_name(name)}.crt"
    if not path.exists():
        raise StateError(
            f"there is no operator {name}: {commands.fleetmint('operator', 'add', name)} makes one, and"
            f" {commands.fleetmint('operator', 'list')} shows who there is"
        )
    return _client(hierarchy, directory, path, load_certificate(path), now)


def plan_revoked_client(hierarchy: Hierarchy, client: Client, reason: str, now: datetime) -> Plan[None]:
    """Plan to revoke one certificate and to delete the copies of its key on this machine.

    With the one in use go those put aside under the same name, since a renewed certificate has the same key.
    The CRL comes first: a run that is cut off leaves a key that is worth nothing, and the next run deletes it.
    """
    certificates = [client.certificate]
    if client.in_use:
        others = list_clients(hierarchy, client.path.parent, now)
        certificates += [other.certificate for other in others if other.name == client.name and not other.in_use]
    serials: dict[CaId, list[int]] = {}
    for certificate in certificates:
        if revoked(hierarchy, OPERATOR, certificate.serial_number) is None:
            issuer = hierarchy.store.issuer_of(certificate) or OPERATOR
            serials.setdefault(issuer, []).append(certificate.serial_number)
    crls = [plan_authority_crl(hierarchy, issuer, found, now, reason) for issuer, found in serials.items()]
    # beside a certificate that was put aside lies none: the key of that name belongs to a newer one
    leftovers = [path for suffix in _SECRETS if (path := client.path.with_name(client.name + suffix)).exists()]
    reasons = tuple(reason for crl in crls for reason in crl.reasons) + tuple(
        f"delete {path.name}" for path in leftovers
    )

    def apply() -> None:
        for crl in crls:
            crl.apply()
        for path in leftovers:
            path.unlink(missing_ok=True)

    return Plan(reasons, apply, "".join(crl.before for crl in crls), "".join(crl.after for crl in crls))


def plan_replacement(
    hierarchy: Hierarchy, profile_name: str, name: str, directory: Path, reason: str, now: datetime
) -> Plan[None]:
    """Plan to revoke what `name` has now and to make a new key and certificate under the same name."""
    client = find_client(hierarchy, directory, name, now)
    withdrawal = plan_revoked_client(hierarchy, client, reason, now)

    def apply() -> None:
        withdrawal.apply()
        put_aside(client.path, name)
        client.path.unlink()
        plan_client(hierarchy, profile_name, name, directory, now).apply()

    return Plan((*withdrawal.reasons, f"make a new key and certificate of {name}"), apply)


def _client(hierarchy: Hierarchy, directory: Path, path: Path, certificate: x509.Certificate, now: datetime) -> Client:
    name = names.common_name(certificate.subject) or path.stem
    status = "valid"
    if revoked(hierarchy, OPERATOR, certificate.serial_number) is not None:
        status = "revoked"
    elif compat.not_after(certificate) < now:
        status = "expired"
    in_use = path.parent == directory
    return Client(name, certificate, path, status, in_use and path.with_name(f"{name}.key").exists(), in_use)
