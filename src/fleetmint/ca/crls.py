"""The CRLs that the controller signs, and the copy of the root's beside its key."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from fleetmint import files
from fleetmint.ca import generations
from fleetmint.ca.hierarchy import PROFILE_OF, ROOT, Hierarchy, check_clock, title
from fleetmint.errors import StateError
from fleetmint.plan import Plan
from fleetmint.x509 import compat, revocation
from fleetmint.x509.authority import CERTIFICATE, load_certificate
from fleetmint.x509.profiles import PROFILES

# Who signs a CRL on the controller; a device CA's is signed on its gateway, and nobody looks at a server CA's.
WITH_CRL = ("operator", "factory")


def plan_authority_crl(
    hierarchy: Hierarchy, name: str, serials: Sequence[int], now: datetime, reason: str = "unspecified"
) -> Plan[None]:
    """Plan the CRL of the CA called `name`, with `serials` added to what it revokes, for `reason` (see Revoked)."""
    check_clock(load_certificate(hierarchy.directory / ROOT / CERTIFICATE), now)
    plan = revocation.plan_crl(
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
