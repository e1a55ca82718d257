"""python -m virtual.pi up|down|status --state DIR --purpose NAME."""

import argparse
import contextlib
import fcntl
import sys
from collections.abc import Iterator
from pathlib import Path

from fleetmint.errors import FleetmintError
from fleetmint.files import make_private_dir, write_atomically
from virtual.pi import container, host, image, ports
from virtual.pi.command import say
from virtual.pi.ssh import Access


def main() -> int:
    """Carry out one command; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m virtual.pi", description="A Raspberry Pi in a container.")
    parser.add_argument("command", choices=("up", "down", "status"))
    parser.add_argument("--state", type=Path, required=True, help="directory that keeps the site's state")
    parser.add_argument("--purpose", default="demo", help="one Pi for each purpose and checkout (default: demo)")
    parser.add_argument(
        "--suite", default=image.SUITE, choices=image.SUITES, help="release of Debian (default: %(default)s)"
    )
    arguments = parser.parse_args()
    directory = arguments.state.absolute() / "pi"
    try:
        host.require()
        command = {"up": up, "down": down, "status": status}[arguments.command]
        return command(container.of(arguments.purpose, arguments.suite), directory)
    except FleetmintError as error:
        sys.stderr.write(f"{error}\n")
    except OSError as error:
        sys.stderr.write(f"cannot use {error.filename}: {error.strerror}\n")
    except KeyboardInterrupt:
        sys.stderr.write("Stopped; `up` starts again where this ended\n")
    return 1


def up(pi: container.Container, directory: Path) -> int:
    """Bring the Pi up, whatever state it is in; do nothing when it answers."""
    make_private_dir(directory)
    with _locked(directory):
        found = pi.status()
        if found != "absent" and not (directory / "ports.json").exists():
            say(f"{pi.name} belongs to a state that is gone: removing it")
            pi.remove()
            found = "absent"
        chosen = ports.load_or_choose(directory / "ports.json")
        access = _access(directory, chosen)
        if found == "running" and pi.ports() == chosen and not access.answers():
            say(f"{pi.name} is running")
            return 0
        _bring_up(pi, found, chosen, directory)
        access.make_key()
        access.authorize(pi)
        access.pin(pi)
        access.wait()
        say(f"{pi.name} is up: ssh on {ports.ADDRESS}:{chosen['ssh']}")
    return 0


def _bring_up(pi: container.Container, found: str, chosen: dict[str, int], directory: Path) -> None:
    if found == "absent" or pi.ports() != chosen:
        if found != "absent":
            say(f"{pi.name} was made with other ports than {directory}/ports.json says: making it anew")
            pi.remove()
        ports.require_free(chosen, directory / "ports.json")
        pi.create(image.ensure(pi.suite), chosen)
    elif found == "stopped":
        ports.require_free(chosen, directory / "ports.json")
        say(f"Starting {pi.name} again")
        pi.start()
    write_atomically(directory / "container", f"{pi.name}\n".encode(), mode=0o644)
    pi.wait_until_booted()


def down(pi: container.Container, directory: Path) -> int:
    """Remove the container of this purpose and nothing else: its ports and keys are kept for the next `up`."""
    if pi.status() == "absent":
        say(f"There is no {pi.name}")
    else:
        pi.remove()
        say(f"Removed {pi.name}")
    return 0


def status(pi: container.Container, directory: Path) -> int:
    """Say how the Pi is; 0 when it is up."""
    found = pi.status()
    said = "never brought up"
    if (directory / "ports.json").exists():
        chosen = ports.load(directory / "ports.json")
        said = _access(directory, chosen).answers() or "ssh answers"
        said += ", ports " + ", ".join(f"{name} {port}" for name, port in chosen.items())
    say(f"{pi.name}: {found}, {said}")
    return 0 if found == "running" else 1


def _access(directory: Path, chosen: dict[str, int]) -> Access:
    return Access(key=directory / "ssh_key", known_hosts=directory / "known_hosts", port=chosen["ssh"])


@contextlib.contextmanager
def _locked(directory: Path) -> Iterator[None]:
    with (directory / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


sys.exit(main())
