"""Creating the CAs of a site: what is missing of them is made once, with passphrases and first CRLs."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509

from fleetmint import commands, passphrases, staging
from fleetmint.ca import damage
from fleetmint.ca.crls import WITH_CRL, plan_authority_crl, plan_copy
from fleetmint.ca.hierarchy import Hierarchy, of_site
from fleetmint.ca.identifier import ROOT, SERVER, SERVER_NEXT, CaId, Phase, issuing
from fleetmint.ca.local_root import LocalRoot
from fleetmint.ca.signer import Signer, write
from fleetmint.ca.store import CaStore
from fleetmint.errors import StateError
from fleetmint.plan import Plan
from fleetmint.trust import bundle, release_key
from fleetmint.x509 import chain, names
from fleetmint.x509.authority import KEY


@dataclass(frozen=True)
class Created:
    """The CAs whose request nobody has answered are `waiting`; `warnings` are whole sentences for a person."""

    waiting: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def plan_hierarchy(
    hierarchy: Hierarchy, gateways: Sequence[str], now: datetime, signer: Signer | None = None
) -> Plan[Created]:
    """Plan what is missing of a site's CAs, their passphrases and CRLs.

    `signer` has the root's key, by default this controller. A key that exists is never made again, whatever else is
    missing. Keys are opened only to sign, so a run that finds everything in place needs neither a passphrase nor the
    root's medium. Applied, it writes all that is new or nothing. Raises StateError when what is there, or what came,
    contradicts itself, ClockError when the clock cannot be right.
    """
    signer = signer or LocalRoot()
    site = names.site_name(hierarchy.site)
    store, wanted = hierarchy.store, [*signer.makes, *issuing(gateways)]
    _refuse_damaged(hierarchy)
    roots = signer.roots(hierarchy, now)
    missing = [ca for ca in wanted if not _complete(hierarchy, ca, roots, signer)]
    for ca in missing:
        refuse_half_moved(store, ca)
    certified = signer.certify(hierarchy, missing, now)
    secrets = dict.fromkeys(ca.passphrase for ca in wanted)
    new_secrets = [secret for secret in secrets if _is_new(hierarchy, secret)]
    reasons = [f"make a passphrase for the {secret} key{'s' * (secret != passphrases.ROOT)}" for secret in new_secrets]
    reasons += certified.reasons
    signed, warnings = [], []
    for ca in _with_crl(store, signer):
        if ca in certified.ready:
            reasons.append(f"sign the first CRL of the {ca.title}")
        elif ca not in missing and (why := plan_authority_crl(hierarchy, ca, (), now).reasons):
            if ca.is_root and not store.has_key(ca):
                warnings.append(f"{'; '.join(why)}: bring the root's medium one of these months")
                continue
            signed.append(ca)
            reasons.append("; ".join(why))

    later: list[Plan[object]] = [plan_copy(hierarchy), release_key.plan_release(hierarchy.directory, hierarchy.source)]
    if not {SERVER, SERVER_NEXT} & set(certified.waiting):  # devices are told of both server CAs, or of none
        later.append(bundle.plan_bundle(hierarchy.directory, site, hierarchy.source, now))
    reasons += [reason for plan in later for reason in plan.reasons]

    created = Created(tuple(map(str, certified.waiting)), tuple(warnings))

    def apply() -> Created:
        staging.look_below(hierarchy.directory)
        for secret in new_secrets:
            hierarchy.source.make(secret)
        write(hierarchy, certified, now)
        for ca in signed:
            plan_authority_crl(hierarchy, ca, (), now).apply()
        for plan in later:
            plan.apply()
        return created

    return Plan(
        tuple(reasons),
        apply,
        before="".join(f"{ca}\n" for ca in wanted if ca not in missing),
        after="".join(f"{ca}{' (waiting)' * (ca in certified.waiting)}\n" for ca in wanted),
        expected=created,
    )


def _with_crl(store: CaStore, signer: Signer) -> list[CaId]:
    """Return the CAs whose CRL is signed here, those that another one takes the place of included."""
    roots = [each for ca in signer.makes for each in store.generations(ca, [Phase.PREVIOUS])]
    others = [each for ca in WITH_CRL for each in store.generations(ca, [Phase.PENDING, Phase.PREVIOUS])]
    return [*signer.makes, *roots, *WITH_CRL, *others]


def _refuse_damaged(hierarchy: Hierarchy) -> None:
    """Raise StateError for a key that is damaged: found when it has to sign, it would be found too late."""
    paths = [*hierarchy.store.keys(), *(hierarchy.directory / release_key.DIRECTORY).glob("*.key")]
    if (path := hierarchy.store.key_path(ROOT)).exists():
        paths.append(path)
    if problems := [found for path in sorted(set(paths)) if (found := damage.of_key(path))]:
        raise StateError("; ".join(problems))


def refuse_half_moved(store: CaStore, ca: CaId) -> None:
    """Raise StateError when a CA is missing because a rollover was cut in the middle of a move."""
    if store.generations(ca, [Phase.PREVIOUS]) and not store.exists(ca):
        raise StateError(
            f"the {ca.title} is being replaced, and that was interrupted: run again, as before,"
            f" {commands.playbook('ca_rollover.yml', ca_rollover=ca.kind.value)}, which finishes it"
        )


def _is_new(hierarchy: Hierarchy, secret: str) -> bool:
    """Whether the passphrase `secret` has to be made; raise StateError when it is lost instead."""
    store = hierarchy.store
    if hierarchy.source.has(secret):
        return False
    root = secret == passphrases.ROOT
    users = [ROOT.name] * store.has_key(ROOT) if root else [path.parent.name for path in store.issuing_keys()]
    if users:
        raise StateError(f"the passphrase {secret!r} is missing, but the key of {users[0]} needs it: restore it")
    # of a root that is away, nothing is needed
    return not (root and store.exists(ROOT))


def _complete(hierarchy: Hierarchy, ca: CaId, roots: Sequence[x509.Certificate], signer: Signer) -> bool:
    """Whether a CA is there; raise StateError when what is there cannot be it."""
    store = hierarchy.store
    path = store.certificate_path(ca)
    if not path.exists():
        return False
    if not store.has_key(ca) and not (ca == ROOT and store.root_is_elsewhere):
        raise StateError(f"{path} has no key beside it: restore {KEY} from the backup of the CA")
    certificate = store.certificate(ca)
    of_site(hierarchy.site, path.parent, certificate)
    # a root that is made here may be lost, and taken up again from its medium
    unknown = not roots and bool(signer.makes)
    if not unknown and not any(chain.issued_by(certificate, root) for root in roots):
        raise StateError(
            f"{path} is not signed by the root of {hierarchy.site}, or damaged: restore {path.parent} from the backup"
            " of the CA"
        )
    return True
