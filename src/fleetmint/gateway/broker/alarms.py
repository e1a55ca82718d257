"""What devices did to the broker, for people: lines in the journal, and a file that the audit reads.

Bounded: one entry for each device and kind of alarm, the latest of them all.
"""

import json
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

from fleetmint import files
from fleetmint.errors import StateError

MOST = 200
# What is told by the audit; what has not happened for so long is over.
RECENT = timedelta(days=7)
_TIME = "%Y-%m-%dT%H:%M:%SZ"


@dataclass(frozen=True)
class Alarm:
    """`kind` is retained, session, memory or disk; `who` is a device, or the broker; times are UTC as text."""

    who: str
    kind: str
    what: str
    first: str
    last: str
    count: int


class Alarms:
    """The alarms of one gateway, kept in the file `path`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._found = {(each.who, each.kind): each for each in load(path)}
        self._written = dict(self._found)

    def raise_(self, who: str, kind: str, what: str, now: datetime) -> bool:
        """Note an alarm; return whether it is worth a line, as the first one of its kind within a minute is."""
        time, before = f"{now:{_TIME}}", self._found.pop((who, kind), None)
        alarm = Alarm(who, kind, what, time, time, 1)
        if before is not None:
            alarm = replace(alarm, first=before.first, count=before.count + 1)
        self._found[who, kind] = alarm
        while len(self._found) > MOST:
            del self._found[next(iter(self._found))]
        return before is None or before.last[:16] != time[:16]

    def write(self) -> None:
        """Write what has changed."""
        if self._found != self._written:
            data = json.dumps([asdict(each) for each in self._found.values()], indent=1).encode() + b"\n"
            files.write_atomically(self._path, data, files.PUBLIC_FILE)
            self._written = dict(self._found)


def load(path: Path) -> tuple[Alarm, ...]:
    """Return the alarms in the file; a damaged one has none, since the next alarm writes it anew."""
    try:
        return tuple(Alarm(**each) for each in json.loads(files.read(path, "alarms of the broker")))
    except (StateError, ValueError, TypeError):
        return ()


def recent(path: Path, now: datetime) -> tuple[Alarm, ...]:
    """Return the alarms of the last days, the latest first."""
    since = f"{now - RECENT:{_TIME}}"
    return tuple(sorted((each for each in load(path) if each.last >= since), key=lambda each: each.last, reverse=True))
