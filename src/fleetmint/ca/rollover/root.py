"""A new root, which certifies the keys of all CAs once more; with it the medium on which the root's key may lie."""

from collections.abc import Callable, Mapping
from datetime import datetime
from functools import partial
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec

from fleetmint import commands, files
from fleetmint.ca import generations
from fleetmint.ca.ceremony.exchange import profile_of
from fleetmint.ca.crls import read_record
from fleetmint.ca.generations import (
    CERTIFICATE_INCOMING,
    CERTIFICATE_OUTGOING,
    INCOMING,
    LEAVING,
    OUTGOING,
    RETIRED,
    ROOT,
)
from fleetmint.ca.hierarchy import Hierarchy, new_common_name, sealed_key, title
from fleetmint.ca.rollover.steps import (
    DEVICE,
    INTRODUCE,
    LEAVE,
    RETIRE,
    SWITCH,
    Move,
    Rollover,
    Step,
    advance,
    certified,
    half_switched,
    need,
    put_away,
    refuse_before_switch,
    refuse_ceremony,
    rename,
    run,
    short,
)
from fleetmint.errors import StateError
from fleetmint.x509 import names, revocation
from fleetmint.x509.authority import CERTIFICATE, KEY, load_certificate, pem, self_signed
from fleetmint.x509.profiles import PROFILES

# What is left to do, by where the CA lies.
LEFT: Mapping[str, Callable[[], str]] = {
    INCOMING: lambda: (
        "the gateways trust the new root beside the old one. Give it to everybody who trusts the old one, then run"
        f" {run(ROOT, SWITCH)}"
    ),
    OUTGOING: lambda: (
        f"the gateways show certificates of the new root; {run(ROOT, RETIRE)} ends the trust in the old one"
    ),
    LEAVING: lambda: f"no listener trusts the old root any more, and {run(ROOT, RETIRE)} puts it away",
}


def _introduce_root(rollover: Rollover, now: datetime) -> list[Step]:
    directory, hierarchy = rollover.directory, rollover.hierarchy
    need(rollover, ROOT)
    if generations.generations(directory, ROOT, [OUTGOING, LEAVING]):
        return []
    for name in generations.authorities(directory):
        if generations.phase(name) == INCOMING and generations.base(name) != ROOT:
            raise StateError(f"the {title(name)} is being replaced: finish that first with {run(DEVICE)}")
    _refuse_revoked(rollover)
    new = f"{INCOMING}/{ROOT}"
    there = (directory / new / CERTIFICATE).exists()
    steps: list[Step] = []
    if not there:
        refuse_ceremony(rollover)
        _need_medium(rollover, "hold the new root")
        steps.append(("make a new root", lambda: _make_root(rollover, now)))
    waiting = [name for name in certified(directory) if not (directory / name / CERTIFICATE_INCOMING).exists()]
    if waiting and there:
        hierarchy.need_root("certify the CAs with it", new)
    steps += [
        (f"certify the {title(name)} with the new root", partial(_certify, rollover, name, now)) for name in waiting
    ]
    return steps


def _switch_root(rollover: Rollover, now: datetime) -> list[Step]:
    directory = rollover.directory
    waiting = half_switched(directory)
    if not waiting:
        return []
    if (directory / INCOMING / ROOT).exists():
        uncertified = [name for name in certified(directory) if not _has_both(directory, name)]
        if uncertified:
            raise StateError(f"the new root has not certified everything yet: first run {run(ROOT)}")
    if rollover.hierarchy.root_is_elsewhere:
        _need_medium(rollover, "move the old root aside on it")
    steps: list[Step] = [
        (f"show the {title(name)} under the new root", partial(_show_new, directory / name))
        for name in certified(directory)
        if (directory / name / CERTIFICATE_INCOMING).exists()
    ]
    if (directory / INCOMING / ROOT).exists():
        steps.append(("bring the new root into service", lambda: _advance_root(rollover)))
    return steps


def _leave_root(rollover: Rollover, now: datetime) -> list[Step]:
    refuse_before_switch(rollover, ROOT)
    old = rollover.directory / OUTGOING / ROOT
    if not old.exists():
        return []
    if half_switched(rollover.directory):
        raise StateError(f"the switch to the new root was interrupted: finish it with {run(ROOT, SWITCH)}")
    return [("trust the old root no more", lambda: rename(old, rollover.directory / LEAVING / ROOT))]


def _retire_root(rollover: Rollover, now: datetime) -> list[Step]:
    directory = rollover.directory
    if generations.generations(directory, ROOT, [OUTGOING, INCOMING]):
        raise StateError("the old root is still trusted: it leaves the listeners before it is put away")
    leftovers = [directory / name / CERTIFICATE_OUTGOING for name in generations.authorities(directory)]
    steps: list[Step] = [
        (f"forget the {title(path.parent.name)} under the old root", path.unlink) for path in leftovers if path.exists()
    ]
    return steps + put_away(rollover, [f"{LEAVING}/{ROOT}"])


def _make_root(rollover: Rollover, now: datetime) -> None:
    hierarchy, name = rollover.hierarchy, f"{INCOMING}/{ROOT}"
    _tidy_medium(hierarchy)
    key, new = sealed_key(hierarchy, name, PROFILES[ROOT].key_kind)
    root = self_signed(hierarchy.site, new_common_name(hierarchy, ROOT), key, now)
    # Until the first CA under it ends, as for every root. The certificate comes last: with it the root is trusted, and
    # a server that trusts a root without a CRL refuses what it finds under it.
    life = min(wanted.lifetime for wanted in PROFILES.values() if wanted.issuer == ROOT)
    crl = revocation.crl_pem(revocation.build_crl(root, [], number=1, now=now, lifetime=life))
    public = files.File(hierarchy.directory / name / revocation.CRL, crl, files.PUBLIC_FILE)
    places = dict.fromkeys((hierarchy.key_path(name).parent, hierarchy.directory / name))
    certificates = [files.File(place / CERTIFICATE, pem(root.certificate), files.PUBLIC_FILE) for place in places]
    files.write_together([*new, public, *certificates])


def _certify(rollover: Rollover, name: str, now: datetime) -> None:
    """Issue a certificate of the new root for the same key and name: what the CA has issued stays good under it."""
    directory = rollover.directory
    known = load_certificate(directory / name / CERTIFICATE)
    key, common_name = known.public_key(), names.common_name(known.subject)
    if not isinstance(key, ec.EllipticCurvePublicKey) or common_name is None:
        raise StateError(f"{directory / name / CERTIFICATE} is none of ours: restore it from the backup of the CA")
    root = rollover.hierarchy.authority(f"{INCOMING}/{ROOT}")
    certificate = root.issue(profile_of(generations.base(name)), key, common_name, now=now)
    files.write_atomically(directory / name / CERTIFICATE_INCOMING, pem(certificate), files.PUBLIC_FILE)


def _show_new(place: Path) -> None:
    new = place / CERTIFICATE_INCOMING
    in_use = files.read(place / CERTIFICATE, "certificate")
    wanted = files.read(new, "certificate")
    if in_use != wanted:
        files.write_atomically(place / CERTIFICATE_OUTGOING, in_use, files.PUBLIC_FILE)
        files.write_atomically(place / CERTIFICATE, wanted, files.PUBLIC_FILE)
    new.unlink()


def _advance_root(rollover: Rollover) -> None:
    hierarchy = rollover.hierarchy
    if hierarchy.root_is_elsewhere:
        medium = hierarchy.key_path(ROOT).parent
        if (medium / INCOMING / KEY).exists() and (medium / revocation.CRL).exists():
            files.make_private_dir(medium / OUTGOING)
            rename(medium / revocation.CRL, medium / OUTGOING / revocation.CRL)
        for file in (KEY, CERTIFICATE):
            if not (medium / INCOMING / file).exists():
                continue
            if (medium / file).exists():
                files.make_private_dir(medium / OUTGOING)
                rename(medium / file, medium / OUTGOING / file)
            rename(medium / INCOMING / file, medium / file)
    advance(rollover.directory, ROOT, f"{INCOMING}/{ROOT}")


def _tidy_medium(hierarchy: Hierarchy) -> None:
    """Put the root before the last one aside on the medium, which may have been away when it was retired."""
    old = hierarchy.key_path(f"{OUTGOING}/{ROOT}").parent
    if hierarchy.root_is_elsewhere and (old / CERTIFICATE).exists():
        rename(old, old.parent / f"{RETIRED}.{short(load_certificate(old / CERTIFICATE))}")


def _has_both(directory: Path, name: str) -> bool:
    return any((directory / name / file).exists() for file in (CERTIFICATE_INCOMING, CERTIFICATE_OUTGOING))


def _need_medium(rollover: Rollover, what: str) -> None:
    place = rollover.hierarchy.key_path(ROOT).parent
    if not place.is_dir():
        raise StateError(f"{place} is not there: plug in the medium that is to {what}, and run this again")


def _refuse_revoked(rollover: Rollover) -> None:
    """Raise StateError when a root has revoked a CA that is here: under a new root it would be good again."""
    directory = rollover.directory
    roots = [directory / name for name in generations.generations(directory, ROOT)]
    lists = [read_record(root / revocation.CRL, load_certificate(root / CERTIFICATE)) for root in roots]
    revoked = {entry.serial for crl in lists for entry in revocation.entries(crl)}
    for name in certified(directory):
        if load_certificate(directory / name / CERTIFICATE).serial_number in revoked:
            raise StateError(
                f"the {title(name)} is revoked, and a new root would certify it as if it were not: move"
                f" {directory / name} away, and run {commands.playbook('ca.yml')} if a new one is wanted"
                " (docs/recovery.md)"
            )


MOVES: Mapping[str, Move] = {
    INTRODUCE: _introduce_root,
    SWITCH: _switch_root,
    LEAVE: _leave_root,
    RETIRE: _retire_root,
}
