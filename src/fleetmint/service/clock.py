"""Whether the time can be right. A Raspberry Pi has no battery for its clock: it may wake up years ago.

What is certain: now is not before the device CA was made, and not before the latest row of the ledger.
"""

from datetime import UTC, datetime

from sqlalchemy.engine import Connection

from fleetmint.errors import ClockError
from fleetmint.ledger import events
from fleetmint.pki import compat
from fleetmint.pki.authority import Authority


def utc_now() -> datetime:
    """Return the time, aware, in UTC."""
    return datetime.now(UTC)


def refuse_wrong_clock(connection: Connection, authority: Authority, now: datetime) -> None:
    """Raise ClockError when `now` is certainly wrong, so that nothing may be signed by it.

    In a transaction of `writing` only: `now` has to be read after the lock was taken, or another worker's row is newer.
    """
    floor = compat.not_before(authority.certificate)
    if now < floor:
        raise ClockError(f"the clock says {now:%Y-%m-%d %H:%M}Z, before this CA was made: set it, or wait for NTP")
    last = events.last_time(connection)
    if last is not None and now < last:
        raise ClockError(
            f"the clock says {now:%Y-%m-%d %H:%M:%S}Z, before the latest row of the ledger ({last:%Y-%m-%d %H:%M:%S}Z):"
            " set it, or wait for NTP"
        )
