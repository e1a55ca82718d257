"""Taking back a CA's CRL that the controller has lost, from a gateway that still gives it out.

The CRL is the record of whom a CA revoked, so one that is missing is never begun again. Whoever brings it need not be
trusted: the signature of the CA tells, and its number tells how new it is.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cryptography import x509

from fleetmint import commands, files
from fleetmint.ca import generations
from fleetmint.ca.crls import WITH_CRL, read_record
from fleetmint.ca.hierarchy import ROOT, Hierarchy, title
from fleetmint.errors import ClockError, StateError
from fleetmint.plan import Plan
from fleetmint.x509 import compat, names, revocation
from fleetmint.x509.authority import CERTIFICATE, load_certificate


@dataclass(frozen=True)
class _Restored:
    """One list to be taken over: the directory name of its CA, where it goes, and what is there now."""

    name: str
    path: Path
    crl: x509.CertificateRevocationList
    before: x509.CertificateRevocationList | None


@dataclass(frozen=True)
class RestoredList:
    """A CRL that is in place: the name of its CA, its number, and how many certificates it revokes."""

    ca: str
    number: int
    revoked: int


@dataclass(frozen=True)
class Restored:
    """The CRLs that were given, as they are in place then."""

    lists: tuple[RestoredList, ...]


def plan_restored(hierarchy: Hierarchy, sources: Sequence[Path], now: datetime) -> Plan[Restored]:
    """Plan to take over the CRLs in the files `sources`, PEM or DER, all of them or none.

    Raises StateError for a list that is not signed
    by the root, the operator CA or the factory CA of this site, that is older than the one here, or that would forget
    somebody; ClockError for one from the future.
    """
    found = [_restored(hierarchy, path, now) for path in sources]
    twice = {one.name for one in found if [other.name for other in found].count(one.name) > 1}
    if twice:
        raise StateError(f"two of these files are lists of the {title(min(twice))}: give the newer one only")
    changes = [one for one in found if one.before is None or _number(one.before) < _number(one.crl)]
    contents = [files.File(one.path, revocation.crl_pem(one.crl), files.PUBLIC_FILE) for one in changes]
    restored = Restored(
        tuple(RestoredList(one.name, _number(one.crl), len(revocation.entries(one.crl))) for one in found)
    )

    def take_over() -> Restored:
        files.write_together(contents)
        return restored

    return Plan(
        tuple(f"take over the CRL number {_number(one.crl)} of the {title(one.name)}" for one in changes),
        take_over,
        before="".join(_line(one.name, one.before) for one in found),
        after="".join(_line(one.name, one.crl) for one in found),
        expected=restored,
    )


def _restored(hierarchy: Hierarchy, source: Path, now: datetime) -> _Restored:
    crl = revocation.read_crl(files.read(source, "CRL"), str(source))
    name = _signer(hierarchy, crl, source)
    if compat.last_update(crl) > now:
        raise ClockError(
            f"{source} was signed on {compat.last_update(crl):%Y-%m-%d %H:%M}Z, and here it is {now:%Y-%m-%d %H:%M}Z:"
            " set the clock that is wrong; nothing was taken over"
        )
    path = hierarchy.directory / name / revocation.CRL
    before = _here(path)
    if before is not None:
        revocation.refuse_forgetting(
            crl, before, what=str(source), where=str(path), remedy=lambda lost: _go_on_from(source, path, lost)
        )
    return _Restored(name, path, crl, before)


def _signer(hierarchy: Hierarchy, crl: x509.CertificateRevocationList, source: Path) -> str:
    for base in (ROOT, *WITH_CRL):
        for name in generations.generations(hierarchy.directory, base):
            if revocation.signed_by(crl, load_certificate(hierarchy.directory / name / CERTIFICATE)):
                return name
    who = names.common_name(crl.issuer) or crl.issuer.rfc4514_string()
    for path in sorted(hierarchy.directory.glob(f"device-*/{CERTIFICATE}")):
        if revocation.signed_by(crl, load_certificate(path)):
            raise StateError(
                f"{source} is the list of {who!r}, which its gateway signs and keeps: it is no file of the controller"
                " (docs/moving.md says how a gateway gets it back)"
            )
    raise StateError(
        f"{source} is signed by {who!r}, which is no CA of {hierarchy.site} here, or it is damaged: fetch the list of"
        f" this site again, from http://GATEWAY/NAME.crl with {ROOT}, {' or '.join(WITH_CRL)} as NAME"
    )


def _here(path: Path) -> x509.CertificateRevocationList | None:
    """Return the list that is there and good; one that is damaged or another CA's is none to go on from."""
    try:
        return read_record(path, load_certificate(path.with_name(CERTIFICATE)))
    except StateError:
        return None


def _go_on_from(source: Path, path: Path, lost: Sequence[int]) -> str:
    """Say what to do about a list that must not take the place of the one at `path`."""
    if not lost:
        return f"keep {path}"
    name = path.parent.name
    words = _whole_cas(path.parents[1], lost) if name == ROOT else [(f"{one:x}", "--ca", name) for one in lost]
    again = ", ".join(str(commands.fleetmint("revoke", *each)) for each in sorted(words))
    return f"to go on from {source}, move {path} away, run this again, and then revoke each of these again: {again}"


def _whole_cas(directory: Path, serials: Sequence[int]) -> list[tuple[str, str]]:
    """Return the arguments that revoke these CAs, by their files where those are here."""
    paths = {load_certificate(path).serial_number: path for path in directory.glob(f"*/{CERTIFICATE}")}
    unknown = directory / "NAME" / CERTIFICATE
    return list({(str(paths.get(serial, unknown)), "--whole-ca") for serial in serials})


def _number(crl: x509.CertificateRevocationList) -> int:
    return revocation.crl_number(crl)


def _line(name: str, crl: x509.CertificateRevocationList | None) -> str:
    return (
        f"{name} " + ("-" if crl is None else f"number {_number(crl)}, {len(revocation.entries(crl))} revoked") + "\n"
    )
