"""Canaries: while boards are burned, what is secret is on the wire and in the flash, and nowhere else."""

import base64
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from fleetmint.batch import secrets
from fleetmint.batch.create import plan_batch
from fleetmint.batch.networks import Wifi
from tests.support.canaries import watched
from virtual.esp32.faults import Faults
from virtual.esp32.rack import Blank, Slot

ROOT = Path(__file__).parents[3]
PSK = b"canary-on-the-wire"


def burn(tmp_path, location, hierarchy, ports):
    """Burn one board at each port; return what was printed and where else a canary was seen."""
    known = secrets.load(location.directory, hierarchy.source)
    own = [(each.token or "").encode() or each.key for each in known.devices.values()]
    canaries = [form for secret in (PSK, *own) for form in (secret, base64.b64encode(secret), secret.hex().encode())]
    state, temporary = tmp_path, tmp_path / "tmp"
    temporary.mkdir()
    command = [Path(sys.executable).with_name("fleetmint"), "burn", "--once", "--unregistered", "first"]
    command += [f"--state={state}", f"--passphrases=file:{tmp_path / 'passphrases'}", f"--ledger={location.ledger}"]
    command += [f"--port={port}" for port in ports]
    with watched((temporary, location.directory), canaries) as seen:
        done = subprocess.run(
            command, cwd=ROOT, env={**os.environ, "TMPDIR": str(temporary)}, capture_output=True, check=False
        )
    ledger = b"".join(path.read_bytes() for path in tmp_path.glob("ledger.sqlite*"))
    printed = done.stdout + done.stderr
    return printed, seen | {"ledger" for canary in canaries if canary in ledger + printed}


def test_no_secret_of_a_board_is_seen_while_it_is_burned_or_fails(batch, common, location, hierarchy, now, tmp_path):
    common = replace(common, wifi={"default": Wifi("workshop", PSK.decode())})
    plan_batch(batch, common, location, hierarchy, now).apply()
    slots = [Slot(tmp_path / f"port-{number}") for number in range(3)]
    # the last one breaks in the middle of what is written
    for number, slot in enumerate(slots):
        faults = Faults(unplug=2) if number == 2 else Faults()
        slot.put(Blank(f"24:0a:c4:00:00:0{number}", tmp_path / f"flash-{number}", faults=faults))
    try:
        printed, seen = burn(tmp_path, location, hierarchy, [slot.port for slot in slots])
    finally:
        for slot in slots:
            slot.take()
    assert b"2 done, 1 failed" in printed
    assert seen == set()
    # they were there to be seen
    assert all(PSK in (tmp_path / f"flash-{number}").read_bytes() for number in (0, 1))
