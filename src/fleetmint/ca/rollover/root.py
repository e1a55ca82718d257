"""A new root, which certifies the keys of all CAs once more; with it the medium on which the root's key may lie."""

from collections.abc import Callable, Mapping
from datetime import datetime
from functools import partial

from cryptography.hazmat.primitives.asymmetric import ec

from fleetmint import commands, files
from fleetmint.ca.crls import root_crl_lifetime
from fleetmint.ca.hierarchy import sealed_key
from fleetmint.ca.identifier import PHASES, ROOT, CaId, Kind, Phase
from fleetmint.ca.rollover.steps import (
    INTRODUCE,
    LEAVE,
    RETIRE,
    SWITCH,
    Move,
    Rollover,
    Step,
    half_switched,
    need,
    put_away,
    refuse_before_switch,
    refuse_ceremony,
    run,
)
from fleetmint.ca.store import RETIRED, CaStore, move, short
from fleetmint.errors import StateError
from fleetmint.x509 import names, revocation
from fleetmint.x509.authority import load_certificate, pem, self_signed
from fleetmint.x509.profiles import PROFILES

_PENDING, _PREVIOUS, _DISTRUSTED = (ROOT.at(phase) for phase in PHASES[1:])
# What is left to do, by the phase of the CA.
LEFT: Mapping[Phase, Callable[[], str]] = {
    Phase.PENDING: lambda: (
        "the gateways trust the new root beside the old one. Give it to everybody who trusts the old one, then run"
        f" {run(Kind.ROOT, SWITCH)}"
    ),
    Phase.PREVIOUS: lambda: (
        f"the gateways show certificates of the new root; {run(Kind.ROOT, RETIRE)} ends the trust in the old one"
    ),
    Phase.DISTRUSTED: lambda: f"no listener trusts the old root any more, and {run(Kind.ROOT, RETIRE)} puts it away",
}


def _introduce_root(rollover: Rollover, now: datetime) -> list[Step]:
    store = rollover.store
    need(rollover, ROOT)
    if store.generations(ROOT, [Phase.PREVIOUS, Phase.DISTRUSTED]):
        return []
    for ca in store.issuing():
        if ca.phase is Phase.PENDING:
            raise StateError(f"the {ca.title} is being replaced: finish that first with {run(ca.kind)}")
    _refuse_revoked(rollover)
    there = store.exists(_PENDING)
    steps: list[Step] = []
    if not there:
        refuse_ceremony(rollover)
        _need_medium(store, "hold the new root")
        steps.append(("make a new root", lambda: _make_root(rollover, now)))
    waiting = [ca for ca in store.issuing() if not store.certificate_path(ca, Phase.PENDING).exists()]
    if waiting and there:
        rollover.hierarchy.need_root("certify the CAs with it", _PENDING)
    steps += [(f"certify the {ca.title} with the new root", partial(_certify, rollover, ca, now)) for ca in waiting]
    return steps


def _switch_root(rollover: Rollover, now: datetime) -> list[Step]:
    store = rollover.store
    if not half_switched(store):
        return []
    if store.place(_PENDING).exists() and not all(_has_both(store, ca) for ca in store.issuing()):
        raise StateError(f"the new root has not certified everything yet: first run {run(Kind.ROOT)}")
    if store.root_is_elsewhere:
        _need_medium(store, "move the old root aside on it")
    steps: list[Step] = [
        (f"show the {ca.title} under the new root", partial(_show_new, store, ca))
        for ca in store.issuing()
        if store.certificate_path(ca, Phase.PENDING).exists()
    ]
    if store.place(_PENDING).exists():
        steps.append(("bring the new root into service", lambda: _advance_root(store)))
    return steps


def _leave_root(rollover: Rollover, now: datetime) -> list[Step]:
    refuse_before_switch(rollover, ROOT)
    old = rollover.store.place(_PREVIOUS)
    if not old.exists():
        return []
    if half_switched(rollover.store):
        raise StateError(f"the switch to the new root was interrupted: finish it with {run(Kind.ROOT, SWITCH)}")
    return [("trust the old root no more", lambda: move(old, rollover.store.place(_DISTRUSTED)))]


def _retire_root(rollover: Rollover, now: datetime) -> list[Step]:
    store = rollover.store
    if store.generations(ROOT, [Phase.PREVIOUS, Phase.PENDING]):
        raise StateError("the old root is still trusted: it leaves the listeners before it is put away")
    leftovers = [(ca, store.certificate_path(ca, Phase.PREVIOUS)) for ca in store.identifiers()]
    steps: list[Step] = [
        (f"forget the {ca.title} under the old root", path.unlink) for ca, path in leftovers if path.exists()
    ]
    return steps + put_away(rollover, [_DISTRUSTED])


def _make_root(rollover: Rollover, now: datetime) -> None:
    hierarchy, store = rollover.hierarchy, rollover.store
    _tidy_medium(store)
    key, new = sealed_key(hierarchy, _PENDING, PROFILES[ROOT.profile].key_kind)
    root = self_signed(hierarchy.site, hierarchy.new_common_name(ROOT), key, now)
    # The certificate comes last: with it the root is trusted, and a server that trusts a root without a CRL refuses
    # what it finds under it.
    life = root_crl_lifetime(root.certificate, (), now)
    crl = revocation.crl_pem(revocation.build_crl(root, [], number=1, now=now, lifetime=life))
    public = files.File(store.crl_path(_PENDING), crl, files.PUBLIC_FILE)
    files.write_together([*new, public, *store.public_copies(_PENDING, root.certificate)])


def _certify(rollover: Rollover, ca: CaId, now: datetime) -> None:
    """Issue a certificate of the new root for the same key and name: what the CA has issued stays good under it."""
    store = rollover.store
    known = store.certificate(ca)
    key, common_name = known.public_key(), names.common_name(known.subject)
    if not isinstance(key, ec.EllipticCurvePublicKey) or common_name is None:
        raise StateError(f"{store.certificate_path(ca)} is none of ours: restore it from the backup of the CA")
    root = rollover.hierarchy.authority(_PENDING)
    certificate = root.issue(ca.profile, key, common_name, now=now)
    files.write_atomically(store.certificate_path(ca, Phase.PENDING), pem(certificate), files.PUBLIC_FILE)


def _show_new(store: CaStore, ca: CaId) -> None:
    path, new = store.certificate_path(ca), store.certificate_path(ca, Phase.PENDING)
    in_use = files.read(path, "certificate")
    wanted = files.read(new, "certificate")
    if in_use != wanted:
        files.write_atomically(store.certificate_path(ca, Phase.PREVIOUS), in_use, files.PUBLIC_FILE)
        files.write_atomically(path, wanted, files.PUBLIC_FILE)
    new.unlink()


def _advance_root(store: CaStore) -> None:
    if store.root_is_elsewhere:
        crl, aside = store.crl_beside_key(ROOT), store.crl_beside_key(_PREVIOUS)
        if store.has_key(_PENDING) and crl.exists():
            move(crl, aside)
        for where in (store.key_path, store.certificate_beside_key):
            if not where(_PENDING).exists():
                continue
            if where(ROOT).exists():
                move(where(ROOT), where(_PREVIOUS))
            move(where(_PENDING), where(ROOT))
    store.advance(ROOT, _PENDING)


def _tidy_medium(store: CaStore) -> None:
    """Put the root before the last one aside on the medium, which may have been away when it was retired."""
    old = store.certificate_beside_key(_PREVIOUS)
    if store.root_is_elsewhere and old.exists():
        move(old.parent, old.parent.parent / f"{RETIRED}.{short(load_certificate(old))}")


def _has_both(store: CaStore, ca: CaId) -> bool:
    return any(store.certificate_path(ca, root).exists() for root in (Phase.PENDING, Phase.PREVIOUS))


def _need_medium(store: CaStore, what: str) -> None:
    place = store.key_place(ROOT)
    if not place.is_dir():
        raise StateError(f"{place} is not there: plug in the medium that is to {what}, and run this again")


def _refuse_revoked(rollover: Rollover) -> None:
    """Raise StateError when a root has revoked a CA that is here: under a new root it would be good again."""
    store = rollover.store
    revoked = {entry.serial for root in store.generations(ROOT) for entry in revocation.entries(store.record(root))}
    for ca in store.issuing():
        if store.certificate(ca).serial_number in revoked:
            raise StateError(
                f"the {ca.title} is revoked, and a new root would certify it as if it were not: move"
                f" {store.place(ca)} away, and run {commands.playbook('ca.yml')} if a new one is wanted"
                " (docs/recovery.md)"
            )


MOVES: Mapping[str, Move] = {
    INTRODUCE: _introduce_root,
    SWITCH: _switch_root,
    LEAVE: _leave_root,
    RETIRE: _retire_root,
}
