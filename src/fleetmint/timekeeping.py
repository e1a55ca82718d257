"""Who keeps the clock of this machine, and whether anything may be signed by it.

A Raspberry Pi has no battery for its clock: until NTP has set it, it shows the time of its last shutdown, or any other.
The kernel knows whether something keeps its clock: STA_UNSYNC of adjtimex(2), which `timedatectl` shows as well. In a
container or a virtual machine the host keeps it, and this says nothing. Where nobody does, a person attests the time
that a watch shows, for as long as the machine neither restarts nor has its clock set.
"""

import ctypes
import json
import os
import shutil
import subprocess
import time
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

from fleetmint import files
from fleetmint.errors import ClockError, StateError

# Clocks and watches differ; what attests the time is the minute, not the second.
TOLERANCE = timedelta(minutes=5)
# The variable by which a person attests the clock of the controller to a play.
ATTEST = "preflight_clock_is_right"
_STA_UNSYNC = 0x40
_TIMEX_OCTETS = 256
# In struct timex: modes, which alignment makes as long as a long, then offset, freq, maxerror and esterror.
_STATUS_AT = 5 * ctypes.sizeof(ctypes.c_long)
_CONTAINERS = ("/run/systemd/container", "/run/.containerenv", "/.dockerenv")
_DETECT = "systemd-detect-virt"


def kept() -> str:
    """Return what keeps the clock of this machine: `ntp`, `host`, or nothing, which is the empty string."""
    if _synchronised():
        return "ntp"
    return "host" if _is_guest() else ""


def refuse_unsynchronised(attested: Path, now: datetime, attest: str) -> None:
    """Raise ClockError when nothing keeps the clock and nobody has attested it; `attest` is the command that does."""
    if kept() or is_attested(attested, now):
        return
    raise ClockError(
        f"the clock says {now:%Y-%m-%d %H:%M}Z, and nothing keeps it (`timedatectl` says not synchronised): wait for"
        f" NTP, or compare it with a watch and attest it with {attest}, TIME in UTC as in 2031-05-17T16:30Z"
    )


def attest(attested: Path, said: datetime, now: datetime, who: str) -> str:
    """Record that `who` read the time `said` from something that is right, and return that as a sentence.

    Raises ClockError when the clock of this machine says another time.
    """
    if abs(said - now) > TOLERANCE:
        raise ClockError(
            f"the clock says {now:%Y-%m-%d %H:%M}Z, not {said:%Y-%m-%d %H:%M}Z: set it first (`sudo timedatectl"
            f" set-ntp false; sudo timedatectl set-time '{said:%Y-%m-%d %H:%M} UTC'`); nothing was recorded"
        )
    values = {"who": who, "said": f"{said:%Y-%m-%dT%H:%M:%SZ}", "at": f"{now:%Y-%m-%dT%H:%M:%SZ}", "began": _began(now)}
    files.write_atomically(attested, json.dumps(values, indent=1).encode() + b"\n", files.PUBLIC_FILE)
    return f"{who} attests that it is {now:%Y-%m-%d %H:%M}Z, until this machine restarts or its clock is set"


def is_attested(attested: Path, now: datetime) -> bool:
    """Whether somebody attested the time since this machine started and its clock was last set."""
    try:
        began = float(json.loads(files.read(attested, "attested time"))["began"])
    except (StateError, ValueError, KeyError, TypeError):
        return False
    return abs(began - _began(now)) <= TOLERANCE.total_seconds()


def somebody() -> str:
    """Return who types: before sudo, if that is in between."""
    names = (os.environ.get(name) for name in ("SUDO_USER", "LOGNAME", "USER"))
    return next((name for name in names if name), f"uid {os.getuid()}")


def read_time(text: str) -> datetime:
    """Return an ISO time with its zone; raise ClockError when it is none."""
    try:
        found = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        found = None
    if found is None or found.tzinfo is None:
        raise ClockError(f"{text!r} is no time with a zone: write it as 2031-05-17T16:30Z, in UTC")
    return found.astimezone(UTC)


def _began(now: datetime) -> float:
    """Return when this machine started, as its clock has it: changes with a restart, and when the clock is set."""
    running = time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()
    return now.timestamp() - running


def _synchronised() -> bool:
    """Whether the kernel takes its clock for synchronised; not where it cannot be asked."""
    ask = _adjtimex()
    if ask is None:
        return False
    answer = ctypes.create_string_buffer(_TIMEX_OCTETS)  # modes 0: asks, and sets nothing
    if ask(answer) < 0:
        return False
    return not ctypes.c_int.from_buffer(answer, _STATUS_AT).value & _STA_UNSYNC


@cache
def _adjtimex() -> Any:
    library = ctypes.CDLL(None)
    return getattr(library, "adjtimex", None) or getattr(library, "ntp_adjtime", None)


@cache
def _is_guest() -> bool:
    if any(Path(path).exists() for path in _CONTAINERS):
        return True
    program = shutil.which(_DETECT)
    if program is None:
        return False
    try:
        return subprocess.run([program, "--quiet"], check=False, timeout=10).returncode == 0  # noqa: S603
    except (OSError, subprocess.TimeoutExpired):
        return False
