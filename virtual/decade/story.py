"""What happens on which day, as data: a story can be read, and told again with another seed."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

YEAR = 365
# What a device is switched off for, in days.
ABSENCES = (1, 3, 10, 45, 120, 250, 400, 500, 640, 3 * YEAR)

SITE = "site"
ROLLOVER = "rollover"
GATEWAY_OFF = "gateway off"
GATEWAY_ON = "gateway on"
BATCH = "batch"


@dataclass(frozen=True)
class Event:
    """Something that is done on a day; `arguments` are those of the play, or of the batch (name, prefix, devices)."""

    day: int
    what: str
    arguments: tuple[str, ...] = ()


@dataclass(frozen=True)
class Absence:
    """The days on which a device (by its number in the fleet, from 0) has no power; `last` is the last of them."""

    device: int
    first: int
    last: int

    @property
    def days(self) -> int:
        """How long it is."""
        return self.last - self.first + 1


@dataclass(frozen=True)
class Story:
    """Some years of a site. A day of the simulation is `step` days long, and each is lived through once."""

    name: str
    days: int
    step: int
    seed: int
    devices: int
    # how many boards with MicroPython there are beside the devices, and how often each lives through a day
    boards: int
    board_days: int
    events: Sequence[Event]
    absences: Sequence[Absence] = field(default_factory=tuple)

    def between(self, after: int, day: int) -> list[Event]:
        """Return the events that fall on the days behind `after`, up to `day`."""
        return [event for event in self.events if after < event.day <= day]

    def is_on(self, device: int, day: int) -> bool:
        """Whether a device has power on a day."""
        return not any(each.device == device and each.first <= day <= each.last for each in self.absences)


def rollover(day: int, what: str, step: str = "", *more: str) -> Event:
    """Return the event of a CA that is replaced, or with step `retire` of the end of the old one."""
    extra = (f"ca_rollover={what}", *([f"ca_rollover_step={step}"] if step else []), *more)
    return Event(day, ROLLOVER, extra)


def decade(seed: int = 1, *, devices: int = 24, step: int = 1) -> Story:
    """Return ten years in which every CA but the root is replaced, the server CA twice, and devices come and go.

    The controller is used three times in the first year, by nobody for 23 months, and from then on once more and when
    a CA is replaced, which runs the same plays. Rollovers of the server CA are further apart than a device is away, as
    docs/rollover.md asks for.
    """
    untouched = range(YEAR + 5, YEAR + 5 + 700)
    visits = [30, 180, untouched.start, untouched.stop, 1300]
    events = [
        *(Event(day, SITE) for day in visits),
        rollover(1503, "device"),
        Event(1700, GATEWAY_OFF),
        Event(1712, GATEWAY_ON),
        rollover(1950, "device", "retire"),
        rollover(2001, "server"),
        rollover(2120, "server", "retire"),
        rollover(2603, "operator"),
        rollover(2610, "factory"),
        rollover(2700, "operator", "retire"),
        rollover(3050, "factory", "retire"),
        rollover(3160, "server"),
        rollover(3250, "server", "retire"),
    ]
    return Story(
        "ten years", 10 * YEAR + 2, step, seed, devices, 3, 14, sorted(events, key=lambda event: event.day),
        _absences(seed, 10 * YEAR, range(0, devices, 2)),
    )  # fmt: skip


def cut(seed: int = 1) -> Story:
    """Return fourteen months at steps of twelve days: one renewal of everybody, two rollovers, most kinds of return."""
    events = [
        rollover(60, "device"),
        rollover(264, "server"),
    ]
    absences = [
        Absence(0, 36, 36), Absence(1, 36, 90), Absence(2, 96, 346), Absence(3, 24, 394),
        Absence(6, 12, 18), Absence(7, 130, 380), Absence(8, 6, 382), Absence(9, 12, 400),
    ]  # fmt: skip
    return Story("fourteen months", 420, 12, seed, 12, 2, 120, events, absences)


def until(story: Story, days: int) -> Story:
    """Return a story that ends after so many days."""
    return replace(story, days=min(days, story.days))


def _absences(seed: int, days: int, who: range) -> tuple[Absence, ...]:
    """Return absences of the devices `who`, one after the other with weeks in between; the others are always on."""
    dice = random.Random(f"{seed} absences")  # noqa: S311 - a story that can be repeated
    found = []
    for device in who:
        day = dice.randrange(20, 200)
        for length in dice.sample(ABSENCES, len(ABSENCES)):
            if day + length >= days:
                continue
            found.append(Absence(device, day, day + length - 1))
            day += length + dice.randrange(15, 150)
    return tuple(found)
