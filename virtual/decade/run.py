"""A story, day by day. A lock-out is a day on which a device that has power and the right to come in did not.

Who was on must be let in with the certificate that it has. Who was off must come back by itself: by that certificate,
or by recovery within the grace. Who was off for longer is named with the command that brings it back, and the command
is carried out and has to do so.
"""

import collections
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import cast

from cryptography.hazmat.primitives import serialization

from fleetmint.batch.secrets import Secret
from fleetmint.errors import FleetmintError
from fleetmint.x509.keys import PrivateKey
from virtual.decade import story as stories
from virtual.decade.device import TRIES, Day, Device
from virtual.decade.faketime import Clock
from virtual.decade.site import Site
from virtual.decade.story import Event, Story

GRACE = timedelta(days=180)
# A device that was on for so many days had its chance to renew.
ON_LONG = 30
_WORKERS = 6
_PROGRESS_DAYS = 30


@dataclass
class Record:
    """What came of a story."""

    lockouts: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    named: dict[str, str] = field(default_factory=dict)
    counts: "collections.Counter[str]" = field(default_factory=collections.Counter)
    returns: dict[int, "collections.Counter[str]"] = field(default_factory=dict)

    @property
    def good(self) -> bool:
        """Whether nobody was locked out and nothing else went wrong."""
        return not self.lockouts and not self.wrong


class Simulation:
    """One run of a story on a site that is up and empty."""

    def __init__(self, story: Story, site: Site, clock: Clock) -> None:
        self.story, self._site, self._clock = story, site, clock
        self.record = Record()
        self.devices: list[Device] = []
        self._off_since: dict[int, int] = {}
        self._back_since: dict[int, int] = {}
        self._gateway_on = True
        self._failing = ""

    def run(self) -> Record:
        """Make the fleet, and live through all days; return what came of them."""
        self._make()
        return self.live()

    def live(self) -> Record:
        """Live through all days with the devices that there are; return what came of them."""
        begun, start = time.monotonic(), self._clock.now()
        day = previous = 0
        with ThreadPoolExecutor(_WORKERS) as pool:
            while True:
                self._day(pool, previous, day)
                if day // _PROGRESS_DAYS != previous // _PROGRESS_DAYS or day == 0:
                    self._audit(day)
                    self._progress(day, time.monotonic() - begun)
                if day >= self.story.days:
                    break
                previous, day = day, min(day + self.story.step, self.story.days)
                # the plays have taken some time of their own
                self._clock.move(max(start + timedelta(days=day) - self._clock.now(), timedelta(0)))
        for device in self.devices:
            device.power_off()
        self.record.counts["sessions that the broker ended"] = sum(each.ended_sessions for each in self.devices)
        self.record.counts["crashes of the broker"] = self._site.crashes()
        self.record.counts["alarms about devices that are off"] = self._site.alarms
        return self.record

    def _make(self) -> None:
        if self.story.boards:
            self._site.make_boards(self.story.boards)
        made, place = self._site.make_batch("years", "lamp", self.story.devices), self._site.place()
        for number, (device, secret) in enumerate(_mixed(sorted(made.devices.items()))):
            each = Device(
                device, place, made.settings.common.bundle, seed=self.story.seed, keeps_session=number % 3 == 0
            )
            each.token = secret.token
            if secret.key is not None and secret.certificate is not None:
                key = serialization.load_der_private_key(secret.key, None)
                each.made(cast("PrivateKey", key), secret.certificate)
            self.devices.append(each)

    # --- a day ---

    def _day(self, pool: ThreadPoolExecutor, previous: int, day: int) -> None:
        events, often = self.story.between(previous, day), self.story.board_days
        if self._gateway_on:
            self._note_failing(day, self._site.timers())
        for event in events:
            self._happen(day, event)
        on = [number for number in range(len(self.devices)) if self._has_power(number, previous, day)]
        now, tries = self._clock.now(), TRIES if self._gateway_on else 1
        lives = pool.map(lambda number: self.devices[number].day(now, tries=tries), on)
        for number, lived in zip(on, lives, strict=True):
            self._judge(day, number, lived)
        if self.story.boards and self._gateway_on and (day // often > previous // often or day == 0):
            self._boards(day)

    def _boards(self, day: int) -> None:
        for name, lived in self._site.lives().items():
            self.record.counts["days of a board"] += 1
            for what in lived.did:
                self.record.counts[f"{what} (boards)"] += 1
            if not lived.served:
                self._locked_out(day, name, "", lived)
            elif "recovered" in lived.did:
                self._locked_out(day, name, "was on, and had to recover", lived)

    def _has_power(self, number: int, previous: int, day: int) -> bool:
        """Whether it has power on this day; a short absence within a step is a loss of power and no more."""
        if self.story.is_on(number, day):
            if not all(self.story.is_on(number, each) for each in range(previous + 1, day)):
                self.devices[number].power_off()
            return True
        if number not in self._off_since:
            self.devices[number].power_off()
            self._off_since[number] = day
        return False

    def _happen(self, day: int, event: Event) -> None:
        begun = time.monotonic()
        try:
            if event.what == stories.SITE:
                self._site.maintain()
            elif event.what == stories.ROLLOVER:
                self._site.roll(event.arguments)
            elif event.what == stories.GATEWAY_OFF:
                self._site.switch_off()
                self._gateway_on = False
            elif event.what == stories.GATEWAY_ON:
                self._gateway_on = True
                self._note_failing(day, self._site.switch_on())
        except FleetmintError as error:
            self._wrong(day, f"{event.what} {' '.join(event.arguments)}: {error}")
        said = " ".join((event.what, *event.arguments))
        self._say(f"{self._at(day)}  {said}  ({time.monotonic() - begun:.0f} s)")
        self.record.counts[event.what] += 1

    def _judge(self, day: int, number: int, lived: Day) -> None:
        device = self.devices[number]
        off_since = self._off_since.pop(number, None)
        if off_since is not None:
            self._back_since[number] = day
        for what in lived.did:
            self.record.counts[what] += 1
        if not self._gateway_on:
            # nobody can tell yet how it came back
            if off_since is not None:
                self._off_since[number] = off_since
            return
        long_on = off_since is None and day - self._back_since.get(number, -ON_LONG) >= ON_LONG
        if lived.served:
            if "recovered" in lived.did and long_on:
                self._locked_out(day, device.name, "was on, and had to recover", lived)
        elif self._was_forgotten(device):
            self._bring_back(day, device, lived)
        else:
            self._locked_out(day, device.name, "", lived)
        self._returned(day, off_since, lived)

    def _was_forgotten(self, device: Device) -> bool:
        """Whether no promise holds any more: its certificate and the grace behind it have ended."""
        return device.slot is not None and device.slot.not_after + GRACE < self._clock.now()

    def _bring_back(self, day: int, device: Device, lived: Day) -> None:
        try:
            command, device.token = self._site.token(device.name)
        except FleetmintError as error:
            self._locked_out(day, device.name, f"no token: {error}", lived)
            return
        again = device.day(self._clock.now())
        if not again.served:
            self._locked_out(day, device.name, f"`{command}` did not bring it back", again)
            return
        lived.did += again.did
        self.record.counts["brought back by a token"] += 1
        self.record.named[f"{self._at(day)} {device.name}"] = command
        self._say(f"{self._at(day)}  {device.name} came back by `{command}`")

    def _returned(self, day: int, off_since: int | None, lived: Day) -> None:
        if off_since is None:
            return
        how = next((word for word in ("recovered", "enrolled") if word in lived.did), "by its certificate")
        if not lived.served and how == "by its certificate":
            how = "locked out"
        self.record.returns.setdefault(day - off_since, collections.Counter())[how] += 1

    # --- what is said ---

    def _audit(self, day: int) -> None:
        refused = self._site.operator() if self._gateway_on else ""
        if "playbooks/ca.yml" in refused or "fleetmint operator" in refused:
            # a person is told the command, as a device that was off for long is; nobody is to run it for 23 months
            self.record.counts["months without an operator's certificate"] += 1
            self.record.named.setdefault("operators", refused)
        elif refused:
            self._wrong(day, f"no operator is let in: {refused}")
        for found in self._site.audit():
            self._wrong(day, found)

    def _note_failing(self, day: int, said: str) -> None:
        if said and said != self._failing:
            self._wrong(day, said)
        self._failing = said

    def _locked_out(self, day: int, device: str, why: str, lived: Day) -> None:
        text = f"{self._at(day)}  {device}: {'; '.join(filter(None, (why, *lived.refused)))}"
        self.record.lockouts.append(text)
        self._say(f"LOCKED OUT {text}")

    def _wrong(self, day: int, what: str) -> None:
        self.record.wrong.append(f"{self._at(day)}  {what}")
        self._say(f"WRONG {self._at(day)}  {what}")

    def _progress(self, day: int, seconds: float) -> None:
        counts = self.record.counts
        self._say(
            f"{self._at(day)}  on {sum(self.story.is_on(each, day) for each in range(len(self.devices)))} of"
            f" {len(self.devices)}, renewed {counts['renewed'] + counts['proved later']}, recovered"
            f" {counts['recovered']}, by token {counts['brought back by a token']}, locked out"
            f" {len(self.record.lockouts)}, wrong {len(self.record.wrong)}  ({seconds:.0f} s)"
        )

    def _at(self, day: int) -> str:
        return f"day {day:4} {self._clock.now():%Y-%m-%d}"

    def _say(self, text: str) -> None:
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()


def table(story: Story, record: Record, begun: datetime, ended: datetime, seconds: float) -> str:
    """Return what came of a story as text for a person."""
    lines = [f"{story.name}, {begun:%Y-%m-%d} to {ended:%Y-%m-%d}, seed {story.seed}, in {seconds:.0f} s:"]
    lines += [f"{count:6} {what}" for what, count in sorted(record.counts.items())]
    lines.append("came back after days without power:")
    for days, ways in sorted(record.returns.items()):
        lines.append(f"{days:6} {', '.join(f'{count} {way}' for way, count in sorted(ways.items()))}")
    lines += [f"named: {who}: {command}" for who, command in record.named.items()]
    lines += [f"LOCKED OUT: {text}" for text in record.lockouts]
    lines += [f"WRONG: {text}" for text in record.wrong]
    lines.append("nobody was locked out" if record.good else "this must not be")
    return "\n".join(lines) + "\n"


def _mixed(made: list[tuple[str, Secret]]) -> list[tuple[str, Secret]]:
    """Return the devices with both kinds of key in turns: the first half of a batch has another than the second."""
    half = (len(made) + 1) // 2
    first, second = made[:half], made[half:]
    return [each for pair in zip(first, second, strict=False) for each in pair] + first[len(second) :]
