"""Whether the time of the controller can be right: what it signs by a wrong one locks people or devices out."""

import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from fleetmint import timekeeping
from fleetmint.errors import FleetmintError
from fleetmint.preflight.problem import Problem
from fleetmint.timekeeping import ATTEST
from fleetmint.x509 import compat, revocation
from fleetmint.x509.authority import load_certificate
from fleetmint.x509.profiles import BACKDATE

# No clock that is right has shown an earlier time to this program.
WRITTEN = datetime(2026, 11, 1, tzinfo=UTC)


def controller_clock(now: datetime, *places: Path) -> list[Problem]:
    """Return what says that `now` is wrong: this program, a certificate or CRL below `places`, or nothing keeps it."""
    remedy = (
        f"set it (`timedatectl`); if it is right, something was signed by a wrong one, and -e {ATTEST}=true goes on"
    )
    if now < WRITTEN:
        return [_problem(now, f"before this program was written ({WRITTEN:%Y-%m-%d})", "set it (`timedatectl`)")]
    made = max(_made(places), default=None)
    if made is None or made[0] <= now:
        return _kept(now)
    return [_problem(now, f"before {made[1]} was signed ({made[0]:%Y-%m-%d %H:%M}Z)", remedy)]


def _kept(now: datetime) -> list[Problem]:
    """A clock that runs ahead is before nothing; macOS does not tell the kernel's clock what sets it."""
    if sys.platform != "linux" or timekeeping.kept():
        return []
    what = f"nothing keeps the clock of this machine, which says {now:%Y-%m-%d %H:%M}Z (`timedatectl`)"
    return [Problem("", what, f"wait for NTP, or compare it with a watch and attest it with -e {ATTEST}=true")]


def _problem(now: datetime, before: str, remedy: str) -> Problem:
    return Problem("", f"the clock of this machine says {now:%Y-%m-%d %H:%M}Z, {before}", remedy)


def _made(places: tuple[Path, ...]) -> Iterator[tuple[datetime, str]]:
    """Yield when each certificate and CRL was signed; one that cannot be read is told by whoever needs it."""
    for place in places:
        for path in sorted((*place.rglob("*.crt"), *place.rglob("crl.pem"))):
            try:
                if path.suffix == ".crt":
                    yield compat.not_before(load_certificate(path)) + BACKDATE, str(path)
                else:
                    yield compat.last_update(revocation.load_crl(path.read_bytes(), str(path))), str(path)
            except (FleetmintError, OSError):
                continue
