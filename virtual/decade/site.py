"""The site of a simulation: the plays and commands of a user, and what systemd's timers would start on the Pi."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from fleetmint.batch import secrets
from fleetmint.errors import FleetmintError
from fleetmint.passphrases import open_source
from virtual.decade import boards
from virtual.decade.device import Day
from virtual.decade.faketime import Clock
from virtual.decade.wire import Place
from virtual.esp32 import fleet
from virtual.purpose import ROOT, VARIABLE, Purpose

# Packages and the clock of the machine are not what the years change, and apt takes its time.
_SKIP = "base,time,firewall"
_FACTORY = "batch,register,burn,handover"
_INVENTORY = "inventory/virtual"
_SERVERS = "fleetmint.service nginx.service mosquitto.service fleetmint-broker-watch.service"
# Each unit that a timer of the project starts: that is systemd's to do, whose clock is not ours to move.
_TIMERS = """
for timer in $(systemctl list-units --all --plain --no-legend --type=timer 'fleetmint*' | awk '{ print $1 }'); do
    unit=$(systemctl show --value --property=Unit $timer)
    systemctl reset-failed $unit 2>/dev/null  # it counts the starts within true seconds
    # the hour that systemd sees may have started it, and what read the clock before it was moved is no run of today
    while [ "$(systemctl show --value --property=ActiveState $unit)" = activating ]; do sleep 0.2; done
    systemctl start $unit 2>/dev/null && continue
    if [ $unit = fleetmint-expiries.service ]; then  # failing is how it raises an alarm
        runuser --user=fleetmint -- /opt/fleetmint/bin/fleetmint gateway expiries --json | sed 's/^/alarm: /'
    else
        echo "$unit failed:"; journalctl --unit=$unit --lines=6 --output=cat
    fi
done
"""
_ALARM = "alarm: "
# What a fleet with devices that are off is right to say.
_OF_DEVICES = ("not renewed", "never enrolled")


_EXPIRED = "certificate has expired"


class Site:
    """What a user can do to the site, at the time that the clock shows."""

    def __init__(self, purpose: Purpose, clock: Clock) -> None:
        self.state, self._purpose, self._clock = purpose.state, purpose, clock
        self._batch: Path | None = None
        self.plays: list[tuple[str, float]] = []
        self.alarms = 0

    # --- the controller ---

    def play(self, name: str, *arguments: str) -> str:
        """Run a play; return what it says, and raise FleetmintError with its end when it fails."""
        begun = time.monotonic()
        done = self._run("ansible-playbook", "--inventory", _INVENTORY, f"playbooks/{name}", *arguments)
        log = self.state / "log" / f"{self._clock.now():%Y-%m-%d}.{name}.log"
        log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        log.write_text(done.stdout + done.stderr)
        self.plays.append((" ".join((name, *arguments)), time.monotonic() - begun))
        if done.returncode:
            raise FleetmintError(f"playbooks/{name} failed, see {log}:\n{done.stdout[-1500:]}{done.stderr[-300:]}")
        return done.stdout

    def maintain(self) -> None:
        """Run site.yml, without the bench."""
        self.play("site.yml", "--skip-tags", f"{_SKIP},{_FACTORY}", "-e", f"batch={self._batch}")

    def roll(self, arguments: Sequence[str]) -> None:
        """Run ca_rollover.yml with variables."""
        self.play("ca_rollover.yml", "--skip-tags", _SKIP, *(word for each in arguments for word in ("-e", each)))

    def make_boards(self, count: int) -> None:
        """Make boards with MicroPython, and burn a batch into them; they are on when this returns."""
        ports = ",".join(map(str, fleet.up(self.state, count)))
        self._make("boards", "board", count, "-e", f"factory_ports={ports}")

    def lives(self) -> dict[str, Day]:
        """Let each board live through a day; return what came of it by the name of the board."""
        return {f"board {number}": day for number, day in boards.lives(self.state).items()}

    def make_batch(self, name: str, prefix: str, count: int) -> secrets.BatchSecrets:
        """Make and register a batch without boards, half of it with keys of the factory; return what is for them."""
        self._batch = self._make(name, prefix, count)
        return secrets.load(self.state / "batches" / name, open_source(f"file:{self.state / 'passphrases'}"))

    def _make(self, name: str, prefix: str, count: int, *arguments: str) -> Path:
        file = self.state / f"{name}.yml"
        origins = {"device": count - count // 2, "factory": count // 2}
        kinds = "".join(f"  - count: {each}\n    key_origin: {origin}\n" for origin, each in origins.items() if each)
        file.write_text(f"batch: {name}\nprefix: {prefix}\ndevices:\n{kinds}")
        self.play("factory.yml", "-e", f"batch={file}", *arguments)
        return file

    def token(self, device: str) -> tuple[str, str]:
        """Have a token made for a device that cannot come back by itself; return the command and the token."""
        file = self.state / f"{device}.{self._clock.now():%Y%m%d}.token"
        command = ("token", "new", device, "--state", str(self.state.relative_to(ROOT)), "--to", str(file))
        done = self._run("fleetmint", *command)
        if done.returncode and _EXPIRED in done.stderr:
            # the certificate of the bench, when nobody has run a play for a year: ca.yml is what the message leads to
            self.play("ca.yml")
            done = self._run("fleetmint", *command)
        if done.returncode:
            raise FleetmintError(f"fleetmint {' '.join(command)} failed: {done.stderr}{done.stdout}")
        return f"fleetmint token new {device}", str(json.loads(file.read_text())["token"])

    def audit(self) -> list[str]:
        """Return what the audits of the controller and of the gateway find."""
        done = self._run("fleetmint", "audit", "--state", str(self.state))
        found = [f"fleetmint audit: {(done.stderr or done.stdout).strip()[-400:]}"] if done.returncode else []
        code, said = self._clock.run("runuser --user=fleetmint -- /opt/fleetmint/bin/fleetmint gateway audit")
        return found + ([f"gateway audit: {said.strip()[-400:]}"] if code else [])

    def operator(self) -> str:
        """Return why an operator is not let in, nothing when one is."""
        done = self._run("fleetmint", "devices", "--state", str(self.state))
        return done.stderr.strip() if done.returncode else ""

    # --- the gateway ---

    def place(self) -> Place:
        """Return where devices find the gateway."""
        ports = json.loads((self.state / "pi/ports.json").read_text())
        return Place("localhost", ports["https"], ports["mqtt"])

    def timers(self) -> str:
        """Start what the timers would have started; return what failed, and each alarm but those about devices.

        Those are kept in `alarms`: devices that are off are what they are about.
        """
        failed = []
        for line in self._clock.run(_TIMERS)[1].splitlines():
            if not line.startswith(_ALARM):
                failed.append(line)
                continue
            due = json.loads(line.removeprefix(_ALARM))["due"] or [{"what": "an alarm about nothing"}]
            for what in (str(each["what"]) for each in due):
                if any(words in what for words in _OF_DEVICES):
                    self.alarms += 1
                else:
                    failed.append(f"{_ALARM}{what}")
        return "\n".join(failed).strip()

    def crashes(self) -> int:
        """Return how often systemd had to start the broker again because it had died."""
        return int(self._clock.run("systemctl show --value --property=NRestarts mosquitto.service")[1])

    def switch_off(self) -> None:
        """Take the gateway off the network, and its timers with it."""
        self._clock.run(f"systemctl stop {_SERVERS}")

    def switch_on(self) -> str:
        """Start the gateway as a boot does; return what failed."""
        # After more than a week without power the list of the device CA has ended, and publishing at the start fails,
        # as it should: the timer signs a new one and has that published.
        start = "systemctl restart fleetmint-publish-at-start.service 2>/dev/null"
        said = self._clock.run(f"{start}; systemctl start {_SERVERS}")[1]
        return "\n".join(filter(None, (said.strip(), self.timers())))

    def _run(self, program: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
        environment = {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
            "ANSIBLE_NOCOLOR": "1",
            VARIABLE: self._purpose.name,
        }
        return subprocess.run(  # noqa: S603 - ours
            [program, *arguments], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
        )
