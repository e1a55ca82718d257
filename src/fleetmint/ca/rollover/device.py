"""A new device CA for each gateway, certified by the root in use."""

from collections.abc import Callable, Mapping
from datetime import datetime
from functools import partial

from fleetmint import files
from fleetmint.ca import generations
from fleetmint.ca.generations import INCOMING, OUTGOING, ROOT
from fleetmint.ca.hierarchy import new_common_name, sealed_key, title
from fleetmint.ca.rollover.steps import (
    DEVICE,
    INTRODUCE,
    RETIRE,
    SWITCH,
    Move,
    Rollover,
    Step,
    advance,
    need,
    need_root,
    put_away,
    refuse_before_switch,
    refuse_while_new_root_waits,
    run,
)
from fleetmint.x509.authority import CERTIFICATE, pem
from fleetmint.x509.profiles import PROFILES

# What is left to do, by where the CA lies.
LEFT: Mapping[str, Callable[[], str]] = {
    INCOMING: lambda: f"the gateways trust the new one from now on, and {run(DEVICE)} goes on to issue with it",
    OUTGOING: lambda: (
        f"the new one issues; {run(DEVICE, RETIRE)} ends the old one when none of its certificates is valid any more"
    ),
}


def _introduce_device(rollover: Rollover, now: datetime) -> list[Step]:
    hierarchy = rollover.hierarchy
    refuse_while_new_root_waits(rollover)
    wanted = []
    for name in rollover.authorities:
        need(rollover, name)
        if not generations.generations(rollover.directory, name, [INCOMING, OUTGOING]):
            wanted.append(name)
    if wanted:
        need_root(rollover, f"make a new {title(wanted[0])}")

    def make(name: str) -> None:
        root = hierarchy.authority(ROOT)
        key, new = sealed_key(hierarchy, f"{INCOMING}/{name}", PROFILES["device-ca"].key_kind)
        certificate = root.issue("device-ca", key.public_key(), new_common_name(hierarchy, name), now=now)
        path = rollover.directory / INCOMING / name / CERTIFICATE
        files.write_together([*new, files.File(path, pem(certificate), files.PUBLIC_FILE)])

    return [(f"make a new {title(name)}", partial(make, name)) for name in wanted]


def _switch_device(rollover: Rollover, now: datetime) -> list[Step]:
    names = [name for name in rollover.authorities if generations.generations(rollover.directory, name, [INCOMING])]
    return [
        (
            f"issue with the new {title(name)}",
            partial(advance, rollover.directory, name, f"{INCOMING}/{name}"),
        )
        for name in names
    ]


def _retire_device(rollover: Rollover, now: datetime) -> list[Step]:
    """The gateway's ledger, which knows what is still valid, is asked on the gateway before (gateway/device_ca.py)."""
    for name in rollover.authorities:
        refuse_before_switch(rollover, name)
    return put_away(rollover, [f"{OUTGOING}/{name}" for name in rollover.authorities])


MOVES: Mapping[str, Move] = {INTRODUCE: _introduce_device, SWITCH: _switch_device, RETIRE: _retire_device}
