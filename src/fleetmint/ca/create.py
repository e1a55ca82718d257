"""The founding of a site's CAs: what is missing of them is made once, with passphrases and first CRLs.

Where the root was made in a ceremony, see offline.py.
"""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from cryptography import x509

from fleetmint import commands, files, passphrases, staging
from fleetmint.ca import damage, generations
from fleetmint.ca.crls import WITH_CRL, crl_lifetime, plan_authority_crl, plan_copy, read_record
from fleetmint.ca.generations import OUTGOING, RETIRED
from fleetmint.ca.hierarchy import (
    ROOT,
    Hierarchy,
    check_clock,
    issuing,
    new_common_name,
    of_site,
    sealed_key,
    secret_of,
    title,
)
from fleetmint.errors import StateError
from fleetmint.plan import Plan, Warned
from fleetmint.trust import bundle, release_key
from fleetmint.x509 import chain, compat, names, revocation
from fleetmint.x509.authority import CERTIFICATE, KEY, Authority, load_authority, load_certificate, pem, self_signed
from fleetmint.x509.profiles import PROFILES


def plan_hierarchy(hierarchy: Hierarchy, gateways: Sequence[str], now: datetime) -> Plan[Warned]:
    """Plan what is missing of a site's CAs, their passphrases and CRLs.

    A key that exists is never made again, whatever else is missing. Keys are opened only to sign, so a run that finds
    everything in place needs neither a passphrase nor the root's medium. Applied, it writes all that is new or nothing.
    Raises StateError when what is there contradicts itself, ClockError when the clock cannot be right.
    """
    site = names.site_name(hierarchy.site)
    wanted = {ROOT: ROOT, **issuing(gateways)}
    _refuse_damaged(hierarchy)
    missing = [name for name in wanted if not _complete(hierarchy, name)]
    for name in missing:
        refuse_half_moved(hierarchy.directory, name)
    if ROOT not in missing:
        root = load_certificate(hierarchy.directory / ROOT / CERTIFICATE)
        check_clock(root, now)
        if missing:
            hierarchy.need_root(f"make the {title(missing[0])}")
    elif hierarchy.root_is_elsewhere and not hierarchy.key_path(ROOT).parent.is_dir():
        # made by hand, it cannot come to lie on the disk under a medium that is not mounted
        raise StateError(
            f"{hierarchy.key_path(ROOT).parent} is not there: plug in the medium that is to hold the root of {site} and"
            " make this directory on it (mkdir -m 700), or correct fleet_ca_root_dir"
        )
    new_secrets = [secret for secret in (passphrases.ROOT, passphrases.ISSUING) if _is_new(hierarchy, secret, wanted)]
    reasons = [f"make a passphrase for the {secret} key{'s' * (secret != ROOT)}" for secret in new_secrets]
    reasons += [f"make the {title(name)}" for name in missing]
    signed, warnings = [], []
    outgoing = generations.generations(hierarchy.directory, ROOT, [OUTGOING])
    for name in (ROOT, *outgoing, *WITH_CRL):
        if name in missing:
            reasons.append(f"sign the first CRL of the {title(name)}")
        elif why := plan_authority_crl(hierarchy, name, (), now).reasons:
            if secret_of(name) == passphrases.ROOT and not hierarchy.key_path(name).exists():
                warnings.append(f"{'; '.join(why)}: bring the root's medium one of these months")
                continue
            signed.append(name)
            reasons.append("; ".join(why))

    later: list[Plan[object]] = [
        plan_copy(hierarchy),
        release_key.plan_release(hierarchy.directory, hierarchy.source),
        bundle.plan_bundle(hierarchy.directory, site, hierarchy.source, now),
    ]
    reasons += [reason for plan in later for reason in plan.reasons]

    warned = Warned(tuple(warnings))

    def apply() -> Warned:
        staging.look_below(hierarchy.directory)
        for secret in new_secrets:
            hierarchy.source.make(secret)
        files.write_together(_founded(hierarchy, missing, wanted, now))
        for name in signed:
            plan_authority_crl(hierarchy, name, (), now).apply()
        for plan in later:
            plan.apply()
        return warned

    return Plan(
        tuple(reasons),
        apply,
        before="".join(f"{name}\n" for name in wanted if name not in missing),
        after="".join(f"{name}\n" for name in wanted),
        expected=warned,
    )


def _refuse_damaged(hierarchy: Hierarchy) -> None:
    """Raise StateError for a key that is damaged: found when it has to sign, it would be found too late."""
    keys = [path for path in hierarchy.directory.rglob("*.key") if RETIRED not in path.parts]
    if (path := hierarchy.key_path(ROOT)).exists():
        keys.append(path)
    if problems := [found for path in sorted(set(keys)) if (found := damage.of_key(path))]:
        raise StateError("; ".join(problems))


def refuse_half_moved(directory: Path, name: str) -> None:
    """Raise StateError when the CA called `name` is missing because a rollover was cut in the middle of a move."""
    if generations.generations(directory, name, [OUTGOING]) and not (directory / name / CERTIFICATE).exists():
        kind = "device" if name.startswith("device-") else name
        raise StateError(
            f"the {title(name)} is being replaced, and that was interrupted: run again, as before,"
            f" {commands.playbook('ca_rollover.yml', ca_rollover=kind)}, which finishes it"
        )


def _founded(hierarchy: Hierarchy, missing: Sequence[str], wanted: dict[str, str], now: datetime) -> list[files.File]:
    """Return the files of the CAs that are `missing`, made in memory, in the order in which they are to be written.

    A CA's first CRL comes before its certificate: where there is a certificate, there has been a CRL, so one that is
    missing later is lost and not begun again (see crls.read_record).
    """
    contents: list[files.File] = []
    made: dict[str, Authority] = {}
    root = None
    for name in missing:
        if name == ROOT:
            made[ROOT], new = _founded_root(hierarchy, now)
        else:
            root = root or made.get(ROOT) or hierarchy.authority(ROOT)
            key, new = sealed_key(hierarchy, name, PROFILES[wanted[name]].key_kind)
            certificate = root.issue(wanted[name], key.public_key(), new_common_name(hierarchy, name), now=now)
            new = [*new, _public(hierarchy.directory / name, certificate)]
            made[name] = Authority(certificate, key)
        contents += new
    ends = [compat.not_after(authority.certificate) for authority in made.values()]
    for name in (ROOT, *WITH_CRL):
        if name in made and not _has_crl(hierarchy, name) and not _taken_up(hierarchy, name):
            lifetime = min(ends) - now if name == ROOT else crl_lifetime(hierarchy, name, now)
            crl = revocation.build_crl(made[name], [], number=1, now=now, lifetime=lifetime)
            path = hierarchy.directory / name / revocation.CRL
            for place in dict.fromkeys((path, hierarchy.key_path(name).with_name(revocation.CRL))):
                contents.append(files.File(place, revocation.crl_pem(crl), files.PUBLIC_FILE))
    return sorted(contents, key=lambda content: content.path.name == CERTIFICATE)


def _founded_root(hierarchy: Hierarchy, now: datetime) -> tuple[Authority, list[files.File]]:
    beside = hierarchy.key_path(ROOT).parent
    if (beside / CERTIFICATE).exists():  # the medium of a controller that was lost, and set up again
        found = load_authority(beside, hierarchy.source.read(passphrases.ROOT))
        of_site(hierarchy.site, beside, found.certificate)
        check_clock(found.certificate, now)
        return found, [_public(hierarchy.directory / ROOT, found.certificate), *_taken_up_crl(hierarchy, found)]
    key, new = sealed_key(hierarchy, ROOT, PROFILES[ROOT].key_kind)
    root = self_signed(hierarchy.site, new_common_name(hierarchy, ROOT), key, now)
    places = dict.fromkeys((beside, hierarchy.directory / ROOT))
    return root, new + [_public(place, root.certificate) for place in places]


def _taken_up(hierarchy: Hierarchy, name: str) -> bool:
    return name == ROOT and _certificate_on_medium(hierarchy).exists()


def _certificate_on_medium(hierarchy: Hierarchy) -> Path:
    return hierarchy.key_path(ROOT).with_name(CERTIFICATE)


def _taken_up_crl(hierarchy: Hierarchy, root: Authority) -> list[files.File]:
    """Return the CRL of a root that was made before: the copy beside its key, where there is none here yet."""
    own = hierarchy.directory / ROOT / revocation.CRL
    kept = own if own.exists() else hierarchy.key_path(ROOT).with_name(revocation.CRL)
    crl = read_record(kept, root.certificate)
    return [] if kept == own else [files.File(own, revocation.crl_pem(crl), files.PUBLIC_FILE)]


def _public(directory: Path, certificate: x509.Certificate) -> files.File:
    return files.File(directory / CERTIFICATE, pem(certificate), files.PUBLIC_FILE)


def _is_new(hierarchy: Hierarchy, secret: str, wanted: dict[str, str]) -> bool:
    """Whether the passphrase `secret` has to be made; raise StateError when it is lost instead."""
    if hierarchy.source.has(secret):
        return False
    users = [name for name in wanted if secret_of(name) == secret and hierarchy.key_path(name).exists()]
    if users:
        raise StateError(f"the passphrase {secret!r} is missing, but the key of {users[0]} needs it: restore it")
    # of a root that is away, nothing is needed
    return not (secret == ROOT and _certificate(hierarchy, ROOT).exists())


def _certificate(hierarchy: Hierarchy, name: str) -> Path:
    return hierarchy.directory / name / CERTIFICATE


def _has_crl(hierarchy: Hierarchy, name: str) -> bool:
    return (hierarchy.directory / name / revocation.CRL).exists()


def _complete(hierarchy: Hierarchy, name: str) -> bool:
    """Whether the CA called `name` is there; raise StateError when what is there cannot be it."""
    key, path = hierarchy.key_path(name), _certificate(hierarchy, name)
    if not path.exists():
        return False
    if not key.exists() and not (name == ROOT and hierarchy.root_is_elsewhere):
        raise StateError(f"{path} has no key beside it: restore {KEY} from the backup of the CA")
    certificate = load_certificate(path)
    of_site(hierarchy.site, path.parent, certificate)
    roots = generations.roots(hierarchy.directory)
    if roots and not any(chain.issued_by(certificate, root) for root in roots):
        raise StateError(
            f"{path} is not signed by the root of {hierarchy.site}, or damaged: restore {path.parent} from the backup"
            " of the CA"
        )
    return True
