"""The CRL bundles of each door: which lists belong in one, and whether they may replace what is there.

nginx refuses everybody when one CRL of a chain is missing or has ended; Mosquitto lets revoked clients in when the file
is garbage. So nothing gets into a bundle that was not checked.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509

from fleetmint import files
from fleetmint.errors import PublishError
from fleetmint.pki import compat, revocation
from fleetmint.pki.authority import load_certificate
from fleetmint.service.config import Config
from fleetmint.service.identity import DEVICES, OPERATORS

# A bundle holds the lists of its own chain only: a chain without a list is refused, so another CA cannot enter.
DOORS: Mapping[str, tuple[str, ...]] = {
    DEVICES: ("root", "device", "factory"),
    OPERATORS: ("root", "operator"),
}
_PEM_BLOCK = re.compile(rb"-----BEGIN X509 CRL-----.*?-----END X509 CRL-----\s*", re.DOTALL)


@dataclass(frozen=True)
class Bundle:
    """The checked lists of one door, by the name of their CA."""

    door: str
    lists: Mapping[str, x509.CertificateRevocationList]

    @property
    def pem(self) -> bytes:
        """The file that a server loads."""
        return b"".join(revocation.crl_pem(crl) for crl in self.lists.values())


def read_bundle(config: Config, door: str, *, now: datetime) -> Bundle:
    """Collect and check the CRLs of a door; raise PublishError or StateError naming the first that is no good."""
    lists = {}
    for name in DOORS[door]:
        path = config.crl(name)
        crl = revocation.load_crl(files.read(path, f"{name} CRL"), str(path))
        if not revocation.signed_by(crl, load_certificate(config.trusted(name))):
            raise PublishError(f"{path} is not signed by the {name} CA of this site: take the one that is")
        if compat.next_update(crl) <= now:
            raise PublishError(f"{path} ended {compat.next_update(crl):%Y-%m-%d %H:%M}Z: sign a new one")
        if compat.last_update(crl) > now:
            raise PublishError(
                f"{path} begins {compat.last_update(crl):%Y-%m-%d %H:%M}Z, later than now: set the clock"
            )
        lists[name] = crl
    return Bundle(door, lists)


def refuse_older(bundle: Bundle, installed: bytes, where: str) -> None:
    """Raise PublishError when a list of the bundle has a lower number than the one of the same CA that is installed."""
    numbers = {crl.issuer: revocation.crl_number(crl) for crl in installed_lists(installed)}
    for name, crl in bundle.lists.items():
        number, before = revocation.crl_number(crl), numbers.get(crl.issuer, 0)
        if number < before:
            raise PublishError(
                f"the {name} CRL has the number {number}, and {where} holds number {before}: an older list would"
                " forget revocations; sign a new one"
            )


def installed_lists(data: bytes) -> tuple[x509.CertificateRevocationList, ...]:
    """Return the CRLs of a bundle file, and leave out what is none: the file may be damaged or not there yet."""
    found = []
    for block in _PEM_BLOCK.findall(data):
        try:
            crl = x509.load_pem_x509_crl(block)
            revocation.crl_number(crl)
        except (ValueError, x509.ExtensionNotFound):
            continue
        found.append(crl)
    return tuple(found)
