"""What the controller signed while its clock ran ahead: everybody refuses it until its time has come."""

import base64
import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa

from fleetmint import commands, files
from fleetmint.ca.identifier import OPERATOR, CaId
from fleetmint.ca.rollover.steps import KINDS
from fleetmint.ca.store import CaStore
from fleetmint.errors import StateError
from fleetmint.ledger.findings import Finding
from fleetmint.site.state import Site
from fleetmint.timekeeping import ATTEST, TOLERANCE
from fleetmint.x509 import compat, revocation
from fleetmint.x509.authority import load_certificate
from fleetmint.x509.parsing import UnreadableError, parsing, touch

# A play would refuse to go on while there is something of the future.
_ATTESTED = {ATTEST: "true"}


class _Dated(NamedTuple):
    what: str
    begins: datetime
    remedy: str


def findings(site: Site, now: datetime) -> list[Finding]:
    """Return the CAs, CRLs and leafs of the state that begin in the future, each with what makes it anew.

    A file that cannot be read is passed over: the audit looks at whether files are whole elsewhere.
    """
    dated = (*_authorities(site.ca_directory), *_issued(site), *_of_batches(site))
    return [
        Finding(f"{what} begins on {begins:%Y-%m-%d %H:%M}Z, which is to come: a clock ran ahead", remedy)
        for what, begins, remedy in dated
        if begins > now + TOLERANCE
    ]


def _authorities(directory: Path) -> Iterator[_Dated]:
    store = CaStore(directory)
    for ca in store.identifiers():
        certificate, crl = store.certificate_path(ca), store.crl_path(ca)
        if found := _read(certificate):
            yield _Dated(str(certificate), compat.not_before(found), _renews_ca(ca))
        listed = _read_crl(crl)
        if listed is not None:  # an empty list is false
            again = str(commands.playbook("ca.yml", **_ATTESTED))
            if ca.is_root:
                again += ", with the root's key at hand,"
            anew = f"{again} signs it anew, then {commands.playbook('gateway.yml', **_ATTESTED)} brings it"
            yield _Dated(str(crl), revocation.signed_at(listed), anew)


def _renews_ca(ca: CaId) -> str:
    if ca.kind in KINDS and not ca.is_root:
        return f"{commands.playbook('ca_rollover.yml', ca_rollover=ca.kind.value, **_ATTESTED)} brings another CA"
    return (
        f"while nothing of this site is in use, move its CAs away, and {commands.playbook('ca.yml')} makes others;"
        " otherwise nothing takes its place, and what it signs is good from that date on"
    )


def _issued(site: Site) -> Iterator[_Dated]:
    listed = _read_crl(CaStore(site.ca_directory).crl_path(OPERATOR))
    # a revoked operator gets nothing new
    gone = set() if listed is None else {entry.serial for entry in revocation.entries(listed)}
    for path in sorted(site.issued.glob("*/*.crt")):
        found = _read(path)
        operator = path.parent == site.operators
        if found is None or (operator and found.serial_number in gone):
            continue
        rsa_key = ["--profile", "operator-rsa"] if isinstance(found.public_key(), rsa.RSAPublicKey) else []
        if operator:
            anew = commands.fleetmint("operator", "add", path.stem, *rsa_key)
        elif path.parent == site.services:
            anew = commands.fleetmint("service-cert", path.stem)
        else:
            anew = commands.playbook("gateway.yml", **_ATTESTED)
        yield _Dated(str(path), compat.not_before(found), f"{anew} issues it anew")


def _of_batches(site: Site) -> Iterator[_Dated]:
    for path in site.registrations():
        try:
            rows = [row for row in json.loads(path.read_bytes())["devices"] if "certificate" in row]
            with parsing():
                found = [
                    (row["device"], touch(x509.load_der_x509_certificate(base64.b64decode(row["certificate"]))))
                    for row in rows
                ]
        except (OSError, ValueError, KeyError, TypeError, UnreadableError):
            continue
        for device, leaf in found:
            remedy = f"{commands.fleetmint('token', 'new', device)} gives the board a token for another certificate"
            yield _Dated(f"the factory's certificate of {device}", compat.not_before(leaf), remedy)


def _read(path: Path) -> x509.Certificate | None:
    try:
        return load_certificate(path)
    except StateError:
        return None


def _read_crl(path: Path) -> x509.CertificateRevocationList | None:
    try:
        return revocation.load_crl(files.read(path, "CRL"), str(path))
    except StateError:
        return None
