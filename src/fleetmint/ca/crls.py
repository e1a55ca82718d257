"""The CRLs that the controller signs, and the copy of the root's beside its key."""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509

from fleetmint import commands, files
from fleetmint.ca import generations
from fleetmint.ca.hierarchy import PROFILE_OF, ROOT, Hierarchy, check_clock, title
from fleetmint.errors import StateError
from fleetmint.plan import Plan
from fleetmint.x509 import compat, revocation
from fleetmint.x509.authority import CERTIFICATE, Authority, load_certificate
from fleetmint.x509.profiles import PROFILES, SKEW

# Who signs a CRL on the controller; a device CA's is signed on its gateway, and nobody looks at a server CA's.
WITH_CRL = ("operator", "factory")


def plan_authority_crl(
    hierarchy: Hierarchy, name: str, serials: Sequence[int], now: datetime, reason: str = "unspecified"
) -> Plan[None]:
    """Plan the CRL of the CA called `name`, with `serials` added to what it revokes, for `reason` (see Revoked)."""
    check_clock(load_certificate(hierarchy.directory / ROOT / CERTIFICATE), now)
    plan = plan_crl(
        hierarchy.directory / name / revocation.CRL,
        load_certificate(hierarchy.directory / name / CERTIFICATE),
        lambda: hierarchy.authority(name),
        [revocation.Revoked(serial, now.replace(microsecond=0), reason) for serial in serials],
        lifetime=crl_lifetime(hierarchy, name, now),
        now=now,
    )
    if name != ROOT or not plan.changed:
        return plan

    def apply() -> None:
        plan.apply()
        plan_copy(hierarchy).apply()

    return Plan(plan.reasons, apply, plan.before, plan.after)


def plan_copy(hierarchy: Hierarchy) -> Plan[None]:
    """Plan the copy of the root's CRL beside a key that lies elsewhere: with it a lost controller can be set up anew.

    Without the medium, and before there is a root, there is nothing to do.
    """
    own = hierarchy.directory / ROOT / revocation.CRL
    copy = hierarchy.key_path(ROOT).with_name(revocation.CRL)
    if copy == own or not own.exists() or not hierarchy.key_path(ROOT).exists():
        return Plan()
    if copy.exists() and copy.read_bytes() == files.read(own, "CRL"):
        return Plan()
    return Plan(
        (f"copy the root's CRL to {copy}",),
        lambda: files.write_atomically(copy, files.read(own, "CRL"), files.PUBLIC_FILE),
    )


def crl_lifetime(hierarchy: Hierarchy, name: str, now: datetime) -> timedelta:
    """Return how long a CRL of the CA called `name` lasts from `now` on; raise StateError when it signs none here."""
    if generations.base(name) == ROOT:  # until the first issuing CA ends: nobody has to fetch the root before
        paths = [hierarchy.directory / each / CERTIFICATE for each in generations.authorities(hierarchy.directory)]
        ends = [compat.not_after(load_certificate(path)) for path in paths]
        return min(end for end in ends if end > now) - now
    fixed = PROFILES[PROFILE_OF[name]].crl_lifetime
    if fixed is None:
        raise StateError(f"the {title(name)} signs no CRL on the controller")
    return fixed


def read_record(path: Path, issuer: x509.Certificate) -> x509.CertificateRevocationList:
    """Return the list of `issuer` on the controller; raise StateError when it is missing, damaged or another CA's.

    A list that is missing is not begun again: it would forget whom it revoked, with numbers that were used before.
    """
    if not path.exists():
        name = path.parent.name
        raise StateError(
            f"{path} is missing, and a new list would forget whom the CA has revoked: restore it from the backup, or"
            f" fetch the one that a gateway holds (`curl -fO http://GATEWAY/{name}.crl`) and take it over with"
            f" {commands.fleetmint('ca', 'restore-crl', f'{name}.crl')}"
        )
    found = revocation.load_crl(files.read(path, "CRL"), str(path))
    if not revocation.signed_by(found, issuer):
        raise StateError(f"{path} is not signed by the CA beside it: restore both from one backup")
    return found


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

    The file is the record of what that CA revoked, and only grows. It is signed again when `revoke` adds to it, or
    when a quarter of its life has passed. `open_authority` is called only to sign. Raises StateError when the file is
    missing or not that CA's: the first list comes into being together with the CA, so a missing one is lost.
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
    if now - compat.last_update(old) > (compat.next_update(old) - compat.last_update(old)) / 4:
        reasons.append(f"a quarter of the life of {path} has passed")
    added = {entry.serial: entry for entry in revoke if entry.serial not in known}
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


def _summary(number: int | None, end: datetime, revoked: Iterable[int]) -> str:
    lines = [f"number {'-' if number is None else number}", f"next update {end:%Y-%m-%d %H:%M}Z"]
    return "\n".join(lines + [f"revoked {serial:x}" for serial in sorted(revoked)]) + "\n"
