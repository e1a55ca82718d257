"""Which ends lock somebody out before long: one rule and one sentence, for the controller and for gateways."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

# Long enough for somebody who looks at it once a quarter.
DUE_DAYS = 90
_NAMED = 3


@dataclass(frozen=True)
class Ending:
    """Something that ends: what kind of thing, which one, when, and with which commands it is renewed.

    `begins` is None where nobody knows since when it has been good. What is `replaced`, or renews itself, may end.
    """

    kind: str
    name: str
    ends: datetime
    begins: datetime | None = None
    remedy: tuple[str, ...] = ()
    replaced: bool = False

    def is_due(self, now: datetime) -> bool:
        """Whether it has to be said now."""
        return not self.replaced and is_due(self.begins, self.ends, now)


def is_due(begins: datetime | None, ends: datetime, now: datetime) -> bool:
    """Whether what is good from `begins` to `ends` needs somebody: 90 days before its end, or when a third is left.

    The third is for what lasts short by intention, such as the list that a gateway signs every two days: whoever has it
    renewed by a timer is told when the timer has failed, and not on every day.
    """
    early = timedelta(days=DUE_DAYS)
    if begins is not None:
        early = min(early, (ends - begins) / 3)
    return ends - now <= early


def is_late(begins: datetime | None, ends: datetime, now: datetime) -> bool:
    """Whether a device should have renewed by now: it does so when two thirds are over, and has a twelfth to spare."""
    return begins is not None and now >= ends - (ends - begins) / 4


def sentence(endings: Sequence[Ending], now: datetime) -> str:
    """Return one line about what is due, the earliest first, which names the first few; empty when nothing is."""
    if not endings:
        return ""
    first = sorted(endings, key=lambda each: (each.ends, each.kind, each.name))
    named = [f"{each.kind} {each.name} {_when(each.ends, now)}" for each in first[:_NAMED]]
    more = f", and {len(first) - _NAMED} more" if len(first) > _NAMED else ""
    return f"{', '.join(named)}{more}"


def _when(ends: datetime, now: datetime) -> str:
    return f"{'ended' if ends <= now else 'ends'} on {ends:%Y-%m-%d}"
