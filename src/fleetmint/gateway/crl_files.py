"""The CRL bundles of each listener: which lists belong in one, and whether they may replace what is there.

Of one kind of CA there are several while one takes the place of another: several certificates in its file of trust, and
a list of each in its file of CRLs. nginx refuses everybody when one CRL of a chain is missing or has ended; Mosquitto
lets revoked clients in when the file is garbage. So nothing gets into a bundle that was not checked.
"""

import contextlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cryptography import x509

from fleetmint import commands, files, timekeeping
from fleetmint.errors import PublishError, StateError
from fleetmint.gateway.config import Config
from fleetmint.x509 import chain, compat, revocation
from fleetmint.x509.authority import load_certificates
from fleetmint.x509.listeners import DELIVERED, DEVICE, LISTENERS

# Of the CRLs of one kind of CA: some 300,000 revoked certificates.
LARGEST = 16 << 20
_GO_ON = "go on from the list that is there (docs/recovery.md), then sign a new one"
_PEM_BLOCK = re.compile(rb"-----BEGIN X509 CRL-----.*?-----END X509 CRL-----\s*", re.DOTALL)


@dataclass(frozen=True)
class Bundle:
    """The checked lists of one listener: by the name of their CA, those of earlier ones as `device-2` and so on."""

    listener: str
    lists: Mapping[str, x509.CertificateRevocationList]

    @property
    def pem(self) -> bytes:
        """The file that a server loads."""
        return b"".join(revocation.crl_pem(crl) for crl in self.lists.values())


def remedy(name: str) -> str:
    """Return how a list gets signed anew: the device CA's on this gateway, the others on the controller."""
    if name == DEVICE:
        return "`sudo systemctl start fleetmint-crl` signs it anew"
    ca, gateway = commands.playbook("ca.yml"), commands.playbook("gateway.yml")
    return f"run {ca} and then {gateway}, which sign it anew and bring it here"


def read_bundle(config: Config, listener: str, *, now: datetime) -> Bundle:
    """Collect and check the CRLs of a listener; raise PublishError or StateError naming the first that is no good."""
    lists = {}
    for name in LISTENERS[listener].authorities:
        path = config.crl(name)
        # the device CA's is in the directory of the service, which is not to be trusted by root
        found = read_lists(path, f"{name} CRL", config.state if name == DEVICE else None)
        issuers = load_certificates(config.trusted(name))
        for number, crl in enumerate(found, 1):
            _check(crl, path, name, issuers, now)
            lists[_numbered(name, number)] = crl
        for issuer in issuers:
            if not any(revocation.signed_by(crl, issuer) for crl in found):
                raise PublishError(
                    f"{path} holds no CRL of {chain.title(issuer)}, whose clients would all be refused: run"
                    f" {commands.playbook('gateway.yml')} again, which brings the CAs and their CRLs together"
                )
    return Bundle(listener, lists)


def checked_lists(config: Config, name: str, data: bytes, now: datetime) -> tuple[x509.CertificateRevocationList, ...]:
    """Return the CRLs in `data` if they are those of the CA called `name`, and no older than the ones here.

    Raises PublishError or StateError otherwise.
    """
    path = config.crl(name)
    found = parse_lists(data, f"what came as {name} CRL")
    issuers = load_certificates(config.trusted(name))
    for crl in found:
        _check(crl, path, name, issuers, now)
    for issuer in issuers:
        if not any(revocation.signed_by(crl, issuer) for crl in found):
            raise PublishError(f"what came as {name} CRL holds none of {chain.title(issuer)}")
    lists = {_numbered(name, number): crl for number, crl in enumerate(found, 1)}
    refuse_older(Bundle(name, lists), files.read(path, "CRL") if path.exists() else b"", str(path))
    return found


def read_lists(path: Path, what: str, below: Path | None = None) -> tuple[x509.CertificateRevocationList, ...]:
    """Return the CRLs in a file, at least one; raise StateError naming it when anything in it is no CRL.

    `below` is as for files.read_checked.
    """
    return parse_lists(files.read_checked(path, what, limit=LARGEST, below=below), str(path))


def kept_lists(config: Config) -> tuple[dict[str, x509.CertificateRevocationList], tuple[str, ...]]:
    """Return every list that is here, by the name of its CA, and a sentence about each file that cannot be read."""
    found, damaged = {}, []
    for name in (*DELIVERED, DEVICE):
        try:
            for number, crl in enumerate(read_lists(config.crl(name), f"{name} CRL"), 1):
                found[_numbered(name, number)] = crl
        except StateError as error:
            damaged.append(str(error))
    return found, tuple(damaged)


def _numbered(name: str, number: int) -> str:
    return name if number == 1 else f"{name}-{number}"


def parse_lists(data: bytes, what: str) -> tuple[x509.CertificateRevocationList, ...]:
    """Return the CRLs in `data`, PEM or one as DER; raise StateError naming `what` when anything in it is no CRL."""
    blocks = _PEM_BLOCK.findall(data)
    if b"-----BEGIN" not in data:
        return (revocation.read_crl(data, what),)
    if data.count(b"-----BEGIN") != len(blocks):
        raise StateError(f"{what} is no CRL: sign it again, or restore it from a backup")
    return tuple(revocation.load_crl(block, what) for block in blocks)


def _check(
    crl: x509.CertificateRevocationList, path: Path, name: str, issuers: Sequence[x509.Certificate], now: datetime
) -> None:
    if not any(revocation.signed_by(crl, issuer) for issuer in issuers):
        raise PublishError(f"{path} is not signed by the {name} CA of this site: take the one that is")
    if revocation.usable_number(crl) is None or revocation.issuer_key_id(crl) is None:
        raise PublishError(
            f"{path} has no CRL number of at most {revocation.MAX_NUMBER_OCTETS} octets, or does not name the key of"
            f" its CA, and cannot be told from an older one: {remedy(name)}"
        )
    if compat.next_update(crl) <= now:
        raise PublishError(f"{path} ended {compat.next_update(crl):%Y-%m-%d %H:%M}Z: {remedy(name)}")
    if compat.last_update(crl) > now:
        raise PublishError(
            f"{path} begins {compat.last_update(crl):%Y-%m-%d %H:%M}Z, later than now, {now:%Y-%m-%d %H:%M}Z:"
            f" {_from_the_future(name)}"
        )


def _from_the_future(name: str) -> str:
    """Say whose clock is wrong about a list that begins later than now, and what to do."""
    if timekeeping.kept():
        return f"it was signed by a clock that ran ahead; {remedy(name)}"
    return (
        "nothing keeps the clock of this machine, so that it may be behind: wait for NTP, or set it (`sudo timedatectl"
        f" set-time`); if it is right, the list was signed by a clock that ran ahead, and {remedy(name)}"
    )


def refuse_older(bundle: Bundle, installed: bytes, where: str) -> None:
    """Raise StateError when a list of the bundle would forget what the installed one of the same CA revokes."""
    before = {revocation.issuer_key_id(crl): crl for crl in installed_lists(installed)}
    for name, crl in bundle.lists.items():
        old = before.get(revocation.issuer_key_id(crl))
        if old is not None:
            revocation.refuse_forgetting(crl, old, what=f"the {name} CRL", where=where, remedy=lambda _: _GO_ON)


def installed_lists(data: bytes) -> tuple[x509.CertificateRevocationList, ...]:
    """Return the CRLs of a bundle file, and leave out what is none: the file may be damaged or not there yet."""
    found = []
    for block in _PEM_BLOCK.findall(data):
        with contextlib.suppress(StateError):
            found.append(revocation.load_crl(block, "a list"))
    return tuple(found)
