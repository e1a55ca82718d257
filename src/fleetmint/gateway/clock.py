"""Whether the time can be right. A Raspberry Pi has no battery for its clock: it may wake up years ago.

A clock is asked who keeps it (timekeeping.py). Then it is more to be trusted than a row of the ledger: one that lies
far ahead was written by a clock that ran ahead, and must not keep everybody out until its time has come. A few minutes
are waited for, so that events stay in their order when NTP sets the clock. `fleetmint gateway audit` finds such rows,
and `repair-clock` puts them right (ledger/early.py).
"""

from collections.abc import Callable
from datetime import UTC, datetime

from sqlalchemy.engine import Connection

from fleetmint import commands, timekeeping
from fleetmint.errors import ClockError
from fleetmint.gateway.config import Config
from fleetmint.ledger import events
from fleetmint.x509 import compat
from fleetmint.x509.authority import Authority


def utc_now() -> datetime:
    """Return the time, aware, in UTC."""
    return datetime.now(UTC)


def kept(config: Config, clock: Callable[[], datetime] = utc_now) -> datetime:
    """Return the time to sign by; raise ClockError when nothing keeps the clock and nobody has attested it."""
    now = clock()
    attest = str(commands.gateway("attest-clock", "TIME", root=True))
    timekeeping.refuse_unsynchronised(config.attested_clock, now, attest)
    return now


def refuse_wrong_clock(connection: Connection, authority: Authority, now: datetime) -> None:
    """Raise ClockError when `now` is certainly wrong, so that nothing may be signed by it.

    In a transaction of `writing` only: `now` has to be read after the lock was taken, or another worker's row is newer.
    """
    refuse_before(authority, now)
    ahead = events.later_than(connection, now, now + timekeeping.TOLERANCE)
    if ahead:
        last = max(row.at for row in ahead)
        raise ClockError(
            f"the clock says {now:%Y-%m-%d %H:%M:%S}Z, before the latest row of the ledger ({last:%Y-%m-%d %H:%M:%S}Z):"
            " set it, or wait for NTP"
        )


def refuse_before(authority: Authority, now: datetime) -> None:
    """Raise ClockError when this CA begins later than now, so that nobody would take what it signs."""
    begin = compat.not_before(authority.certificate)
    if now < begin:
        another = commands.playbook("ca_rollover.yml", ca_rollover="device", preflight_clock_is_right="true")
        raise ClockError(
            f"the clock says {now:%Y-%m-%d %H:%M}Z, before this CA was made ({begin:%Y-%m-%d %H:%M}Z): set it, or wait"
            " for NTP. If it is right, the controller's ran ahead when it made this CA, and"
            f" {another} brings another CA"
        )
