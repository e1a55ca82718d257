"""The CRLs that the controller signs, how long they last, and the copy of the root's beside its key."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509

from fleetmint import files
from fleetmint.ca.hierarchy import Hierarchy, check_clock
from fleetmint.ca.identifier import FACTORY, OPERATOR, ROOT, CaId, Phase
from fleetmint.ca.store import CaStore, read_record
from fleetmint.errors import StateError
from fleetmint.plan import Plan
from fleetmint.x509 import compat, revocation
from fleetmint.x509.authority import Authority
from fleetmint.x509.chain import issued_by
from fleetmint.x509.profiles import PROFILES, SKEW

# Who signs a CRL on the controller; a device CA's is signed on its gateway, and nobody looks at a server CA's.
WITH_CRL = (OPERATOR, FACTORY)
_REPLACED = "superseded"
# A list is not signed again for less.
_NOT_WORTH_SIGNING = timedelta(days=1)


def plan_authority_crl(
    hierarchy: Hierarchy, ca: CaId | str, serials: Sequence[int], now: datetime, reason: str = "unspecified"
) -> Plan[None]:
    """Plan the CRL of a CA, with `serials` added to what it revokes, for `reason` (see Revoked)."""
    ca, store = CaId.parse(ca) if isinstance(ca, str) else ca, hierarchy.store
    check_clock(store.certificate(ROOT), now)
    plan = plan_crl(
        store.crl_path(ca),
        store.certificate(ca),
        lambda: hierarchy.authority(ca),
        [revocation.Revoked(serial, now.replace(microsecond=0), reason) for serial in serials],
        lifetime=crl_lifetime(store, ca, now),
        now=now,
    )
    if ca != ROOT or not plan.changed:
        return plan

    def apply() -> None:
        plan.apply()
        plan_copy(hierarchy).apply()

    return Plan(plan.reasons, apply, plan.before, plan.after)


def plan_crls(
    hierarchy: Hierarchy, name: str, serials: Sequence[int], now: datetime, reason: str = "unspecified"
) -> Plan[None]:
    """Plan the CRLs of the CA `name` and, while one takes its place, of that one too, with `serials` added to each.

    Which of the two issued a serial number is not known, and on the list of the other it harms nobody.
    """
    generations = hierarchy.store.generations(CaId.parse(name)) if serials else [CaId.parse(name)]
    plans = [plan_authority_crl(hierarchy, ca, serials, now, reason) for ca in generations]

    def apply() -> None:
        for each in plans:
            each.apply()

    return Plan(
        tuple(dict.fromkeys(sentence for each in plans for sentence in each.reasons)),
        apply,
        "".join(each.before for each in plans),
        "".join(each.after for each in plans),
    )


def plan_copy(hierarchy: Hierarchy) -> Plan[None]:
    """Plan the copy of the root's CRL beside a key that lies elsewhere: with it a lost controller can be set up anew.

    Without the medium, and before there is a root, there is nothing to do.
    """
    store = hierarchy.store
    own, copy = store.crl_path(ROOT), store.crl_beside_key(ROOT)
    if copy == own or not own.exists() or not store.has_key(ROOT):
        return Plan()
    if copy.exists() and copy.read_bytes() == files.read(own, "CRL"):
        return Plan()
    return Plan(
        (f"copy the root's CRL to {copy}",),
        lambda: files.write_atomically(copy, files.read(own, "CRL"), files.PUBLIC_FILE),
    )


def crl_lifetime(store: CaStore, ca: CaId, now: datetime) -> timedelta:
    """Return how long a CRL of a CA lasts from `now` on; raise StateError when it signs none on the controller."""
    if ca.is_root:
        signed = [one for each in store.issuing() for one in store.certificates(each)]
        return root_crl_lifetime(store.certificate(ca), signed, now)
    if ca.at(Phase.ACTIVE) not in WITH_CRL:
        raise StateError(f"the {ca.title} signs no CRL on the controller")
    return issuing_crl_lifetime(store.certificates(ca), now)


def issuing_crl_lifetime(own: Sequence[x509.Certificate], now: datetime) -> timedelta:
    """Return how long the CRL of an operator or factory CA lasts from `now` on: until that CA ends.

    `own` are the certificates of the CA, one of each root that has certified it, and the first that ends counts. The
    list reaches gateways by push and its number only rises, so a shorter life would replace nothing earlier: it would
    shut out everybody of that CA once nobody had run the playbook for long enough.
    """
    ends = [compat.not_after(each) for each in own]
    return min((end for end in ends if end > now), default=now) - now


def root_crl_lifetime(root: x509.Certificate, certificates: Iterable[x509.Certificate], now: datetime) -> timedelta:
    """Return how long a root's CRL lasts from `now` on: until the first CA ends of those that it has signed.

    Nobody has to fetch the root before. `certificates` are all that it may have signed; what has ended already does not
    count. A root that has signed nothing yet is about to, so its first CRL lasts until that would end.
    """
    ends = [compat.not_after(each) for each in certificates if issued_by(each, root)]
    left = [end for end in ends if end > now]
    soonest = min(left, default=now + min(each.lifetime for each in PROFILES.values() if each.issuer == ROOT.profile))
    return min(soonest, compat.not_after(root)) - now


def plan_crl(
    path: Path,
    issuer: x509.Certificate,
    open_authority: Callable[[], Authority],
    revoke: Iterable[revocation.Revoked],
    *,
    lifetime: timedelta,
    now: datetime,
) -> Plan[None]:
    """Plan the CRL file of one CA.

    The file is the record of what that CA revoked, and only grows. It is signed again when `revoke` adds to it. A
    root's is, too, when a quarter of its life has passed, since its medium is seldom there; another one as soon as
    a new one would last longer. `open_authority` is called only to sign. Raises StateError when the file is missing or
    not that CA's: the first list comes into being together with the CA, so a missing one is lost.
    """
    old = read_record(path, issuer)
    known = {entry.serial: entry for entry in revocation.entries(old)}
    last = revocation.usable_number(old)
    # seconds since 1970 are more than anybody has counted to, and whatever a gateway holds has to be lower
    number = int(now.timestamp()) if last is None else last + 1
    before = _summary(last, compat.next_update(old), known)
    reasons = []
    if last is None:
        reasons.append(f"{path} has no CRL number of at most {revocation.MAX_NUMBER_OCTETS} octets")
    if revocation.signed_at(old) > now + SKEW:
        reasons.append(f"{path} was signed on {revocation.signed_at(old):%Y-%m-%d %H:%M}Z, which is still to come")
    ends, could_end = compat.next_update(old), revocation.end_of_crl(issuer, now, lifetime)
    if issuer.subject == issuer.issuer:
        if now - compat.last_update(old) > (ends - compat.last_update(old)) / 4:
            reasons.append(f"a quarter of the life of {path} has passed")
    elif could_end - ends > _NOT_WORTH_SIGNING:
        reasons.append(f"{path} ends {ends:%Y-%m-%d} and can last until {could_end:%Y-%m-%d}, as long as its CA")
    added = {entry.serial: each for entry in revoke if (each := _news(entry, known.get(entry.serial))) is not None}
    reasons += [f"revoke {serial:x}" for serial in added]
    if not reasons:
        return Plan(before=before, after=before)
    wanted = {**known, **added}

    def sign() -> None:
        crl = revocation.build_crl(open_authority(), list(wanted.values()), number=number, now=now, lifetime=lifetime)
        files.write_atomically(path, revocation.crl_pem(crl), files.PUBLIC_FILE)

    return Plan(
        tuple(reasons),
        sign,
        before=before,
        after=_summary(number, revocation.end_of_crl(issuer, now, lifetime), wanted),
    )


def _news(entry: revocation.Revoked, old: revocation.Revoked | None) -> revocation.Revoked | None:
    """Return what an entry adds to a list: what a renewal had replaced is revoked for another reason when more ends."""
    if old is None:
        return entry
    return replace(old, reason=entry.reason) if old.reason == _REPLACED != entry.reason else None


def _summary(number: int | None, end: datetime, revoked: Iterable[int]) -> str:
    lines = [f"number {'-' if number is None else number}", f"next update {end:%Y-%m-%d %H:%M}Z"]
    return "\n".join(lines + [f"revoked {serial:x}" for serial in sorted(revoked)]) + "\n"
