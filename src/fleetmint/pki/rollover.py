"""A new device CA, server CA or root in the place of the one in use, while both are trusted: each move, and when.

    device   introduce: a new CA for each gateway, trusted at its doors    switch: it issues    retire: the old one ends
    server   switch: the sealed next CA is in use, and a new one is sealed                      retire: the old one ends
    root     introduce: a new root, trusted, and each CA certified by it   switch: it is shown  leave, retire: the same

Between two moves the gateways get what follows from the last one (shipped.py). What lies on disk says how far a
rollover is (generations.py), so a run that was cut is simply run again: a move that was made is not made twice, one
that was half made is finished. A key is moved and never made again; those of retired CAs stay, encrypted.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from fleetmint import files
from fleetmint.errors import FleetmintError, StateError
from fleetmint.pki import bundle, chain, compat, generations, names, revocation
from fleetmint.pki.authority import CERTIFICATE, KEY, load_certificate, pem, self_signed
from fleetmint.pki.exchange import profile_of
from fleetmint.pki.generations import (
    CERTIFICATE_INCOMING,
    CERTIFICATE_OUTGOING,
    INCOMING,
    LEAVING,
    OUTGOING,
    RETIRED,
    ROOT,
)
from fleetmint.pki.hierarchy import Hierarchy, check_clock, device_ca, fingerprint, new_common_name, sealed_key, title
from fleetmint.pki.profiles import BACKDATE, PROFILES
from fleetmint.plan import Plan

DEVICE, SERVER = "device", "server"
KINDS = (DEVICE, SERVER, ROOT)
INTRODUCE, SWITCH, LEAVE, RETIRE = "introduce", "switch", "leave", "retire"
# A device asks its gateway once a day whom to trust. One that was away for longer than this knows one server CA less,
# and would be lost when two are replaced meanwhile.
LEARN = timedelta(days=30)

# One thing to do: why, and how.
_Step = tuple[str, Callable[[], None]]


@dataclass(frozen=True)
class Rollover:
    """What is to be replaced.

    `issued` is the directory of the gateways' certificates; `force` skips the waiting; `ceremony`: the root's key is on
    a machine of its own, which never comes here.
    """

    hierarchy: Hierarchy
    kind: str
    gateways: Sequence[str]
    issued: Path
    force: bool = False
    ceremony: bool = False

    @property
    def directory(self) -> Path:
        """Return the directory of the CAs."""
        return self.hierarchy.directory

    @property
    def authorities(self) -> list[str]:
        """Return the names of the CAs that are replaced."""
        return [device_ca(gateway) for gateway in self.gateways] if self.kind == DEVICE else [self.kind]


def plan_move(rollover: Rollover, move: str, now: datetime) -> Plan:
    """Plan one move; empty when it was made before. `facts["left"]` says what is left to do after it.

    Raises StateError when it must not be made now, with what to wait for or to do instead, and ClockError.
    """
    moves = _MOVES.get(rollover.kind, {})
    if move not in moves:
        raise FleetmintError(f"a {rollover.kind} has no move {move!r}: choose one of {', '.join(moves) or 'none'}")
    roots = generations.roots(rollover.directory)
    if not roots:
        raise StateError(f"there is no root in {rollover.directory}: run playbooks/ca.yml first")
    check_clock(roots[0], now)
    steps = moves[move](rollover, now)

    def apply() -> None:
        for _, step in steps:
            step()

    reasons = tuple(reason for reason, _ in steps)
    return Plan(
        reasons, apply, after="".join(f"{reason}\n" for reason in reasons), facts={"left": _left_after(rollover, move)}
    )


def left_to_do(directory: Path) -> list[str]:
    """Return a sentence for every rollover that is under way: how far it is, and what comes next."""
    found = []
    for name in generations.authorities(directory):
        kind = DEVICE if generations.base(name).startswith("device-") else generations.base(name)
        sentence = _LEFT.get((kind, generations.phase(name)))
        if sentence is not None:
            found.append(f"{title(name)}: {sentence}")
    return found


def _left_after(rollover: Rollover, move: str) -> str:
    place = {INTRODUCE: INCOMING, SWITCH: OUTGOING, LEAVE: LEAVING}.get(move, "")
    return _LEFT.get((rollover.kind, place), "")


_RUN = "ansible-playbook playbooks/ca_rollover.yml -e ca_rollover="
_LEFT = {
    (DEVICE, INCOMING): f"the gateways trust the new one from now on, and `{_RUN}device` goes on to issue with it",
    (DEVICE, OUTGOING): (
        f"the new one issues; `{_RUN}device -e ca_rollover_step=retire` ends the old one when none of its certificates"
        " is valid any more"
    ),
    (SERVER, OUTGOING): (
        f"the gateways stand under the new one; `{_RUN}server -e ca_rollover_step=retire` takes the old one out of the"
        " devices' trust"
    ),
    (ROOT, INCOMING): (
        "the gateways trust the new root beside the old one. Give it to everybody who trusts the old one, then run"
        f" `{_RUN}root -e ca_rollover_step=switch`"
    ),
    (ROOT, OUTGOING): (
        "the gateways show certificates of the new root; `"
        f"{_RUN}root -e ca_rollover_step=retire` ends the trust in the old one"
    ),
    (ROOT, LEAVING): f"no door trusts the old root any more, and `{_RUN}root -e ca_rollover_step=retire` puts it away",
}


# --- device CAs ---


def _introduce_device(rollover: Rollover, now: datetime) -> list[_Step]:
    hierarchy = rollover.hierarchy
    _refuse_while_new_root_waits(rollover)
    wanted = []
    for name in rollover.authorities:
        _need(rollover, name)
        if not generations.generations(rollover.directory, name, [INCOMING, OUTGOING]):
            wanted.append(name)
    if wanted:
        _need_root(rollover, f"make a new {title(wanted[0])}")

    def make(name: str) -> None:
        root = hierarchy.authority(ROOT)
        key, new = sealed_key(hierarchy, f"{INCOMING}/{name}", PROFILES["device-ca"].key_kind)
        certificate = root.issue("device-ca", key.public_key(), new_common_name(hierarchy, name), now=now)
        path = rollover.directory / INCOMING / name / CERTIFICATE
        files.write_together([*new, files.File(path, pem(certificate), files.PUBLIC_FILE)])

    return [(f"make a new {title(name)}", partial(make, name)) for name in wanted]


def _switch_device(rollover: Rollover, now: datetime) -> list[_Step]:
    names = [name for name in rollover.authorities if generations.generations(rollover.directory, name, [INCOMING])]
    return [
        (
            f"issue with the new {title(name)}",
            partial(_advance, rollover.directory, name, f"{INCOMING}/{name}"),
        )
        for name in names
    ]


def _retire_device(rollover: Rollover, now: datetime) -> list[_Step]:
    """The gateway's ledger, which knows what is still valid, is asked on the gateway before (service/device_ca.py)."""
    for name in rollover.authorities:
        _refuse_before_switch(rollover, name)
    return _put_away(rollover, [f"{OUTGOING}/{name}" for name in rollover.authorities])


# --- server CA ---


def _switch_server(rollover: Rollover, now: datetime) -> list[_Step]:
    directory = rollover.directory
    _refuse_while_new_root_waits(rollover)
    outgoing = directory / OUTGOING / SERVER
    if outgoing.exists() and (directory / SERVER / CERTIFICATE).exists():
        return []
    if not outgoing.exists():
        _need(rollover, SERVER)
        _need(rollover, "server-next")
        _refuse_unknown_next(rollover, now)
        _need_root(rollover, "seal a new next server CA")
    return [("bring the sealed next server CA into service", lambda: _advance(directory, SERVER, "server-next"))]


def _retire_server(rollover: Rollover, now: datetime) -> list[_Step]:
    _refuse_before_switch(rollover, SERVER)
    if not (rollover.directory / OUTGOING / SERVER).exists():
        return []
    current = load_certificate(rollover.directory / SERVER / CERTIFICATE)
    for gateway in rollover.gateways:
        for path in sorted((rollover.issued / gateway).glob("*.crt")):
            if not chain.issued_by(load_certificate(path), current):
                raise StateError(
                    f"{path} is still of the old server CA, and devices would refuse {gateway}: run"
                    " playbooks/gateway.yml for it, or remove the file if no server shows it, then run this again"
                )
    return _put_away(rollover, [f"{OUTGOING}/{SERVER}"])


def _refuse_unknown_next(rollover: Rollover, now: datetime) -> None:
    """Raise StateError while devices may not have heard of the next server CA, unless forced.

    The first one is in every bundle that a factory ever wrote. Of a later one it is known since when it could be
    learned, and not who has.
    """
    made = _made(rollover.directory, "server-next")
    if rollover.force or not list((rollover.directory / RETIRED).glob(f"{SERVER}.*")):
        return
    version = bundle.load(rollover.directory / bundle.FILE).label
    if now - made < LEARN:
        raise StateError(
            f"the next server CA is known since {made:%Y-%m-%d} only (trust bundle {version}): a device that has not"
            f" asked its gateway since then would refuse every gateway. Wait until {made + LEARN:%Y-%m-%d} and see that"
            " all devices have been there, or give ca_rollover_force=true if the others may be lost"
        )


def _made(directory: Path, name: str) -> datetime:
    paths = [directory / name / file for file in (CERTIFICATE, CERTIFICATE_OUTGOING, CERTIFICATE_INCOMING)]
    return min(compat.not_before(load_certificate(path)) for path in paths if path.exists()) + BACKDATE


# --- root ---


def _introduce_root(rollover: Rollover, now: datetime) -> list[_Step]:
    directory, hierarchy = rollover.directory, rollover.hierarchy
    _need(rollover, ROOT)
    if generations.generations(directory, ROOT, [OUTGOING, LEAVING]):
        return []
    for name in generations.authorities(directory):
        if generations.phase(name) == INCOMING and generations.base(name) != ROOT:
            raise StateError(f"the {title(name)} is being replaced: finish that first with `{_RUN}device`")
    _refuse_revoked(rollover)
    new = f"{INCOMING}/{ROOT}"
    there = (directory / new / CERTIFICATE).exists()
    steps: list[_Step] = []
    if not there:
        _refuse_ceremony(rollover)
        _need_medium(rollover, "hold the new root")
        steps.append(("make a new root", lambda: _make_root(rollover, now)))
    waiting = [name for name in _certified(directory) if not (directory / name / CERTIFICATE_INCOMING).exists()]
    if waiting and there:
        hierarchy.need_root("certify the CAs with it", new)
    steps += [
        (f"certify the {title(name)} with the new root", partial(_certify, rollover, name, now)) for name in waiting
    ]
    return steps


def _switch_root(rollover: Rollover, now: datetime) -> list[_Step]:
    directory = rollover.directory
    waiting = _half_switched(directory)
    if not waiting:
        return []
    if (directory / INCOMING / ROOT).exists():
        uncertified = [name for name in _certified(directory) if not _has_both(directory, name)]
        if uncertified:
            raise StateError(
                "the new root has not certified everything yet: run the playbook without ca_rollover_step first"
            )
    if rollover.hierarchy.root_is_elsewhere:
        _need_medium(rollover, "move the old root aside on it")
    steps: list[_Step] = [
        (f"show the {title(name)} under the new root", partial(_show_new, directory / name))
        for name in _certified(directory)
        if (directory / name / CERTIFICATE_INCOMING).exists()
    ]
    if (directory / INCOMING / ROOT).exists():
        steps.append(("bring the new root into service", lambda: _advance_root(rollover)))
    return steps


def _leave_root(rollover: Rollover, now: datetime) -> list[_Step]:
    _refuse_before_switch(rollover, ROOT)
    old = rollover.directory / OUTGOING / ROOT
    if not old.exists():
        return []
    if _half_switched(rollover.directory):
        raise StateError(
            f"the switch to the new root was interrupted: finish it with `{_RUN}root` ca_rollover_step=switch"
        )
    return [("trust the old root no more", lambda: _rename(old, rollover.directory / LEAVING / ROOT))]


def _retire_root(rollover: Rollover, now: datetime) -> list[_Step]:
    directory = rollover.directory
    if generations.generations(directory, ROOT, [OUTGOING, INCOMING]):
        raise StateError("the old root is still trusted: it leaves the doors before it is put away")
    leftovers = [directory / name / CERTIFICATE_OUTGOING for name in generations.authorities(directory)]
    steps: list[_Step] = [
        (f"forget the {title(path.parent.name)} under the old root", path.unlink) for path in leftovers if path.exists()
    ]
    return steps + _put_away(rollover, [f"{LEAVING}/{ROOT}"])


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
            _rename(medium / revocation.CRL, medium / OUTGOING / revocation.CRL)
        for file in (KEY, CERTIFICATE):
            if not (medium / INCOMING / file).exists():
                continue
            if (medium / file).exists():
                files.make_private_dir(medium / OUTGOING)
                _rename(medium / file, medium / OUTGOING / file)
            _rename(medium / INCOMING / file, medium / file)
    _advance(rollover.directory, ROOT, f"{INCOMING}/{ROOT}")


def _tidy_medium(hierarchy: Hierarchy) -> None:
    """Put the root before the last one aside on the medium, which may have been away when it was retired."""
    old = hierarchy.key_path(f"{OUTGOING}/{ROOT}").parent
    if hierarchy.root_is_elsewhere and (old / CERTIFICATE).exists():
        _rename(old, old.parent / f"{RETIRED}.{_short(load_certificate(old / CERTIFICATE))}")


def _certified(directory: Path) -> list[str]:
    """Return the CAs that a root certifies."""
    return [name for name in generations.authorities(directory) if generations.base(name) != ROOT]


def _has_both(directory: Path, name: str) -> bool:
    return any((directory / name / file).exists() for file in (CERTIFICATE_INCOMING, CERTIFICATE_OUTGOING))


def _half_switched(directory: Path) -> bool:
    """Whether a new root waits, or its switch was cut in the middle."""
    return (directory / INCOMING / ROOT).exists() or any(
        (directory / name / CERTIFICATE_INCOMING).exists() for name in _certified(directory)
    )


# --- what they share ---


def _advance(directory: Path, name: str, new: str) -> None:
    """Put the CA in use aside and the new one in its place; cut between the two, a second call does the rest."""
    if (directory / name).exists():
        _rename(directory / name, directory / OUTGOING / name)
    _rename(directory / new, directory / name)


def _put_away(rollover: Rollover, old: Sequence[str]) -> list[_Step]:
    directory = rollover.directory
    steps: list[_Step] = []
    for name in old:
        path = directory / name / CERTIFICATE
        if not path.exists():
            continue
        target = directory / RETIRED / f"{generations.base(name)}.{_short(load_certificate(path))}"
        steps.append((f"retire the old {title(name)}", partial(_rename, path.parent, target)))
    return steps


def _short(certificate: x509.Certificate) -> str:
    return fingerprint(certificate).replace(":", "").lower()[:16]


def _rename(source: Path, target: Path) -> None:
    files.make_private_dir(target.parent)
    try:
        source.rename(target)
    except OSError as error:
        raise StateError(f"cannot move {source} to {target}: {error.strerror}; run this again") from error


def _need(rollover: Rollover, name: str) -> None:
    path = rollover.directory / name / CERTIFICATE
    old = generations.generations(rollover.directory, name, [OUTGOING])
    if not path.exists() and not old:
        raise StateError(f"there is no {path}, so there is nothing to replace: run playbooks/ca.yml first")


def _need_root(rollover: Rollover, what: str) -> None:
    _refuse_ceremony(rollover)
    rollover.hierarchy.need_root(what)


def _refuse_ceremony(rollover: Rollover) -> None:
    if rollover.ceremony:
        raise StateError(
            "a rollover needs the root's key at this controller, and this site's root was made in a ceremony: it cannot"
            " be asked for a second CA of one name yet (docs/rollover.md)"
        )


def _need_medium(rollover: Rollover, what: str) -> None:
    place = rollover.hierarchy.key_path(ROOT).parent
    if not place.is_dir():
        raise StateError(f"{place} is not there: plug in the medium that is to {what}, and run this again")


def _refuse_revoked(rollover: Rollover) -> None:
    """Raise StateError when a root has revoked a CA that is here: under a new root it would be good again."""
    directory = rollover.directory
    roots = [directory / name for name in generations.generations(directory, ROOT)]
    lists = [revocation.read_record(root / revocation.CRL, load_certificate(root / CERTIFICATE)) for root in roots]
    revoked = {entry.serial for crl in lists for entry in revocation.entries(crl)}
    for name in _certified(directory):
        if load_certificate(directory / name / CERTIFICATE).serial_number in revoked:
            raise StateError(
                f"the {title(name)} is revoked, and a new root would certify it as if it were not: move"
                f" {directory / name} away, and run playbooks/ca.yml if a new one is wanted (docs/recovery.md)"
            )


def _refuse_before_switch(rollover: Rollover, name: str) -> None:
    if generations.generations(rollover.directory, name, [INCOMING]):
        raise StateError(
            f"the new {title(name)} is not in service yet, so the old one cannot be retired: run the playbook with"
            f" ca_rollover_step={SWITCH if name == ROOT else 'start'} first"
        )


def _refuse_while_new_root_waits(rollover: Rollover) -> None:
    if _half_switched(rollover.directory):
        raise StateError(
            f"a new root waits, which would not have certified a new CA: bring it into service first with `{_RUN}root"
            f" -e ca_rollover_step={SWITCH}`"
        )


_MOVES: Mapping[str, Mapping[str, Callable[[Rollover, datetime], list[_Step]]]] = {
    DEVICE: {INTRODUCE: _introduce_device, SWITCH: _switch_device, RETIRE: _retire_device},
    SERVER: {SWITCH: _switch_server, RETIRE: _retire_server},
    ROOT: {INTRODUCE: _introduce_root, SWITCH: _switch_root, LEAVE: _leave_root, RETIRE: _retire_root},
}
