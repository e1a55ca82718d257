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
from fleetmint.ca.crls import WITH_CRL
from fleetmint.ca.hierarchy import Hierarchy
from fleetmint.ca.identifier import PHASES, ROOT, CaId, Phase
from fleetmint.ca.store import CaStore
from fleetmint.errors import ClockError, StateError
from fleetmint.plan import Plan
from fleetmint.x509 import compat, names, revocation


@dataclass(frozen=True)
class _Restored:
    """One list to be taken over: whose it is, where it goes, and what is there now."""

    ca: CaId
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
    twice = [one.ca for one in found if [other.ca for other in found].count(one.ca) > 1]
    if twice:
        raise StateError(f"two of these files are lists of the {min(twice, key=str).title}: give the newer one only")
    changes = [one for one in found if one.before is None or _number(one.before) < _number(one.crl)]
    contents = [files.File(one.path, revocation.crl_pem(one.crl), files.PUBLIC_FILE) for one in changes]
    restored = Restored(
        tuple(RestoredList(str(one.ca), _number(one.crl), len(revocation.entries(one.crl))) for one in found)
    )

    def take_over() -> Restored:
        files.write_together(contents)
        return restored

    return Plan(
        tuple(f"take over the CRL number {_number(one.crl)} of the {one.ca.title}" for one in changes),
        take_over,
        before="".join(_line(one.ca, one.before) for one in found),
        after="".join(_line(one.ca, one.crl) for one in found),
        expected=restored,
    )


def _restored(hierarchy: Hierarchy, source: Path, now: datetime) -> _Restored:
    crl = revocation.read_crl(files.read(source, "CRL"), str(source))
    ca = _signer(hierarchy.store, hierarchy.site, crl, source)
    if compat.last_update(crl) > now:
        raise ClockError(
            f"{source} was signed on {compat.last_update(crl):%Y-%m-%d %H:%M}Z, and here it is {now:%Y-%m-%d %H:%M}Z:"
            " set the clock that is wrong; nothing was taken over"
        )
    path = hierarchy.store.crl_path(ca)
    before = _here(hierarchy.store, ca)
    if before is not None:
        revocation.refuse_forgetting(
            crl,
            before,
            what=str(source),
            where=str(path),
            remedy=lambda lost: _go_on_from(source, hierarchy.store, ca, lost),
        )
    return _Restored(ca, path, crl, before)


def _signer(store: CaStore, site: str, crl: x509.CertificateRevocationList, source: Path) -> CaId:
    for name in (ROOT, *WITH_CRL):
        for ca in store.generations(name):
            if revocation.signed_by(crl, store.certificate(ca)):
                return ca
    who = names.common_name(crl.issuer) or crl.issuer.rfc4514_string()
    for ca in store.device_cas():
        if any(revocation.signed_by(crl, store.certificate(each)) for each in store.generations(ca, PHASES)):
            raise StateError(
                f"{source} is the list of {who!r}, which its gateway signs and keeps: it is no file of the controller"
                " (docs/moving.md says how a gateway gets it back)"
            )
    raise StateError(
        f"{source} is signed by {who!r}, which is no CA of {site} here, or it is damaged: fetch the list of"
        f" this site again, from http://GATEWAY/NAME.crl with {ROOT}, {' or '.join(map(str, WITH_CRL))} as NAME"
    )


def _here(store: CaStore, ca: CaId) -> x509.CertificateRevocationList | None:
    """Return the list that is there and good; one that is damaged or another CA's is none to go on from."""
    try:
        return store.record(ca)
    except StateError:
        return None


def _go_on_from(source: Path, store: CaStore, ca: CaId, lost: Sequence[int]) -> str:
    """Say what to do about a list that must not take the place of the one of `ca`."""
    path = store.crl_path(ca)
    if not lost:
        return f"keep {path}"
    words = _whole_cas(store, lost) if ca.is_root else [(f"{one:x}", "--ca", ca.name) for one in lost]
    again = ", ".join(str(commands.fleetmint("revoke", *each)) for each in sorted(words))
    return f"to go on from {source}, move {path} away, run this again, and then revoke each of these again: {again}"


def _whole_cas(store: CaStore, serials: Sequence[int]) -> list[tuple[str, str]]:
    """Return the arguments that revoke these CAs, by their files where those are here."""
    known = [ca for ca in store.identifiers() if ca.phase is Phase.ACTIVE]
    paths = {store.certificate(ca).serial_number: store.certificate_path(ca) for ca in known}
    unknown = store.directory / "NAME" / store.certificate_path(ROOT).name
    return list({(str(paths.get(serial, unknown)), "--whole-ca") for serial in serials})


def _number(crl: x509.CertificateRevocationList) -> int:
    return revocation.crl_number(crl)


def _line(ca: CaId, crl: x509.CertificateRevocationList | None) -> str:
    return f"{ca} " + ("-" if crl is None else f"number {_number(crl)}, {len(revocation.entries(crl))} revoked") + "\n"
