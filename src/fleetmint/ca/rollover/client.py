"""A new CA for clients: the device CA of each gateway, the operator CA or the factory CA."""

from collections.abc import Callable, Mapping
from datetime import datetime
from functools import partial

from fleetmint.ca.identifier import CaId, Kind, Phase
from fleetmint.ca.rollover.steps import (
    INTRODUCE,
    RETIRE,
    SWITCH,
    Move,
    Rollover,
    Step,
    need,
    put_away,
    refuse_before_switch,
    refuse_while_new_root_waits,
    run,
)
from fleetmint.ca.signer import write
from fleetmint.errors import StateError
from fleetmint.x509 import compat, revocation
from fleetmint.x509.chain import issued_by

KINDS = (Kind.DEVICE, Kind.OPERATOR, Kind.FACTORY)


def left(kind: Kind) -> Mapping[Phase, Callable[[], str]]:
    """Return what is left to do, by the phase of the CA."""
    return {
        Phase.PENDING: lambda: f"the gateways trust the new one from now on, and {run(kind)} goes on to issue with it",
        Phase.PREVIOUS: lambda: (
            f"the new one issues; {run(kind, RETIRE)} ends the old one when none of its certificates is valid any more"
        ),
    }


def waiting(rollover: Rollover, now: datetime) -> tuple[CaId, ...]:
    """Return the CAs whose successor somebody elsewhere has yet to certify."""
    if rollover.signer.makes:
        return ()
    return rollover.signer.certify(rollover.hierarchy, _missing(rollover), now).waiting


def _missing(rollover: Rollover) -> list[CaId]:
    store = rollover.store
    old = [ca for ca in rollover.authorities if not store.generations(ca, [Phase.PENDING, Phase.PREVIOUS])]
    return [ca.at(Phase.PENDING) for ca in old]


def _introduce(rollover: Rollover, now: datetime) -> list[Step]:
    refuse_while_new_root_waits(rollover)
    for ca in rollover.authorities:
        need(rollover, ca)
    if not (missing := _missing(rollover)):
        return []
    certified = rollover.signer.certify(rollover.hierarchy, missing, now)
    if not certified.reasons:
        return []
    return [("; ".join(certified.reasons), partial(write, rollover.hierarchy, certified, now))]


def _switch(rollover: Rollover, now: datetime) -> list[Step]:
    store = rollover.store
    return [
        (f"issue with the new {ca.title}", partial(store.advance, ca, pending))
        for ca in rollover.authorities
        for pending in store.generations(ca, [Phase.PENDING])
    ]


def _retire(rollover: Rollover, now: datetime) -> list[Step]:
    """What of a device CA is still valid, its gateway's ledger knows, which is asked before (gateway/device_ca.py)."""
    for ca in rollover.authorities:
        refuse_before_switch(rollover, ca)
        if not rollover.force:
            _refuse_valid(rollover, ca, now)
    return put_away(rollover, [ca.at(Phase.PREVIOUS) for ca in rollover.authorities])


def _refuse_valid(rollover: Rollover, ca: CaId, now: datetime) -> None:
    for previous in rollover.store.generations(ca, [Phase.PREVIOUS]):
        old, crl = rollover.store.certificate(previous), rollover.store.crl(previous)
        gone = set() if crl is None else {entry.serial for entry in revocation.entries(crl)}
        ends = {
            leaf.name: compat.not_after(leaf.certificate)
            for leaf in rollover.leaves
            if issued_by(leaf.certificate, old)
            and compat.not_after(leaf.certificate) > now
            and leaf.certificate.serial_number not in gone
        }
        if ends:
            last = max(ends, key=lambda name: ends[name])
            raise StateError(
                f"the old {ca.title} is still needed by {len(ends)} certificate{'s' * (len(ends) != 1)}, the last of"
                f" which, of {last}, ends on {ends[last]:%Y-%m-%d}: renew them first, or give ca_rollover_force=true if"
                " they may be refused"
            )


MOVES: Mapping[str, Move] = {INTRODUCE: _introduce, SWITCH: _switch, RETIRE: _retire}
