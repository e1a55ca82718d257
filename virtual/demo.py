"""The whole chain on this machine: python -m virtual.demo up|down.

It runs the same playbooks and commands that a user runs against a real Pi; only the Pi is a container and the boards
are processes. Everything it makes is below inventory/virtual/state/<purpose>/.
"""

import argparse
import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from fleetmint import commands
from fleetmint.errors import FleetmintError
from virtual.esp32 import fleet
from virtual.pi import container
from virtual.pi.ports import INSIDE
from virtual.purpose import INVENTORY, ROOT, VARIABLE, Purpose, current

BOARDS = 3
READINGS = 2 * BOARDS


class FailedError(Exception):
    """A command failed and has told the user why."""


def main(arguments: list[str] | None = None) -> int:
    """Bring the demo up or take it down; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m virtual.demo", description="The whole chain on this machine.")
    parser.add_argument("action", choices=["up", "down"])
    action = parser.parse_args(arguments).action
    purpose = current()
    try:
        return _up(purpose) if action == "up" else _down(purpose)
    except FailedError:
        return 1
    except FleetmintError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("\nStopped. What runs goes on; `make demo` takes it up again, `make demo-down` ends it.\n")
        return 130


def _up(purpose: Purpose) -> int:
    started = time.monotonic()
    bring_up(purpose)
    say(f"Listening to the fleet as an operator (fleetmint listen), until {READINGS} readings have come")
    state = str(purpose.state.relative_to(ROOT))
    run(["fleetmint", "listen", "--state", state, "--count", str(READINGS), "--seconds", "120"], purpose)
    say("The fleet (fleetmint devices)")
    run(["fleetmint", "devices", "--state", state, "--readings", "30"], purpose)
    say(f"Up after {time.monotonic() - started:.0f} s. Everything is below {state}/ and goes on running. Try next:")
    sys.stdout.write(next_steps(purpose))
    return 0


def _down(purpose: Purpose) -> int:
    take_down(purpose)
    say(f"What it made stays in {purpose.state.relative_to(ROOT)}/; remove that directory for a new start")
    return 0


def next_steps(purpose: Purpose) -> str:
    """Return what a person may type next, each line to be pasted as it is, in the shell that `make demo` came from."""
    state = purpose.state.relative_to(ROOT)
    ours, _, path = os.environ["PATH"].partition(os.pathsep)
    if "MAKELEVEL" in os.environ and Path(ours) == Path(sys.executable).parent:
        os.environ["PATH"] = path  # make has put it before those of the shell
    commands.act_on(state=purpose.state, inventory=INVENTORY, cwd=ROOT)
    purposely = "" if purpose.name == "demo" else f"{VARIABLE}={purpose.name} "
    steps = {
        "readings as they come": commands.fleetmint("listen").line,
        "what a device says": shlex.join(["tail", "-f", f"{state}/boards/1/console.log"]),
        "one device off the fleet, within seconds": purposely
        + commands.playbook("revoke.yml", device="lamp-000002").line,
        "what would change on the Pi: nothing": purposely + commands.playbook("gateway.yml", "--check", "--diff").line,
        "end the demo; what it made stays": f"{purposely}make demo-down",
    }
    return "".join(f"{what}:\n  {line}\n" for what, line in steps.items())


def bring_up(purpose: Purpose) -> None:
    """Start Pi and boards and run the playbooks; on a site that is up already, change nothing."""
    say("Starting a virtual Pi: Debian, systemd, reached over SSH")
    found = container.of(purpose.name)
    if found.status() == "absent" or found.ports().keys() != INSIDE.keys():
        # The devices' certificates were in the ledger of the Pi that is gone.
        forget_fleet(purpose)
    run(pi("up", purpose), purpose)
    say(f"Starting {BOARDS} virtual ESP32s: flash in a file, a ROM on a pty")
    ports = fleet.up(purpose.state, BOARDS)
    say("Making the CAs (playbooks/ca.yml)")
    playbook("ca.yml", purpose)
    say("Setting up the Pi: nginx, uWSGI, Mosquitto, the signing service (playbooks/gateway.yml)")
    playbook("gateway.yml", purpose)
    say("Making a batch, registering it with the Pi, burning it into the boards (playbooks/factory.yml)")
    playbook("factory.yml", purpose, {"factory_ports": ",".join(map(str, ports))})


def take_down(purpose: Purpose) -> None:
    """End the boards and remove the container of one purpose, and nothing else."""
    fleet.down(purpose.state)
    run(pi("down", purpose), purpose)


def pi(command: str, purpose: Purpose) -> list[str]:
    """Return the command line of the virtual Pi."""
    return ["python", "-m", "virtual.pi", command, "--state", str(purpose.state), "--purpose", purpose.name]


def forget_fleet(purpose: Purpose) -> None:
    """Put away boards, batches and the factory's ledger of a Pi that no longer exists."""
    if not (purpose.state / "ledger.sqlite").exists():
        return
    say("The Pi is a new one and does not know the devices of the one before: making new ones")
    fleet.down(purpose.state)
    for name in ("boards", "batches"):
        shutil.rmtree(purpose.state / name, ignore_errors=True)
    for path in purpose.state.glob("ledger.sqlite*"):
        path.unlink()


def playbook(name: str, purpose: Purpose, variables: Mapping[str, str] | None = None) -> None:
    """Run one of the project's playbooks on the virtual inventory."""
    command = ["ansible-playbook", "--inventory", str(INVENTORY.relative_to(ROOT)), f"playbooks/{name}"]
    for key, value in (variables or {}).items():
        command += ["--extra-vars", f"{key}={value}"]
    log = purpose.state / "log" / f"{name}.log"
    log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with log.open("w") as file, _started(command, purpose, stdout=subprocess.PIPE) as process:
        for line in process.stdout or ():
            file.write(line)
            if line.startswith("TASK [") and "Validating arguments" not in line:
                sys.stdout.write(f"    {line.removeprefix('TASK [').split(']')[0]}\n")
                sys.stdout.flush()
    if process.returncode:
        tail = "".join(log.read_text().splitlines(keepends=True)[-25:])
        raise FleetmintError(f"{tail}\nplaybooks/{name} failed: the message is above, the whole run in {log}")


def run(command: list[str], purpose: Purpose) -> None:
    """Run a command that tells the user what it does; raise FailedError when it fails, since it has said why."""
    with _started(command, purpose) as process:
        pass
    if process.returncode:
        raise FailedError


def _started(command: list[str], purpose: Purpose, stdout: int | None = None) -> subprocess.Popen[str]:
    beside = Path(sys.executable).parent
    environment = {
        **os.environ,
        "PATH": f"{beside}:{os.environ['PATH']}",
        "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
        "FLEETMINT_PURPOSE": purpose.name,
    }
    return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=stdout, text=True)  # noqa: S603


def say(text: str) -> None:
    """Tell the user at once what is going on."""
    sys.stdout.write(f"==> {text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
