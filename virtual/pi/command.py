"""Running other programs, with failures as sentences."""

import subprocess
import sys

from fleetmint.errors import FleetmintError

PACKAGE_OF = {"podman": "podman", "mmdebstrap": "mmdebstrap", "ssh": "openssh-client", "ssh-keygen": "openssh-client"}


class PiError(FleetmintError):
    """The virtual Pi cannot be built, started or reached."""


def run(*command: str, stdin: str | None = None, timeout: float = 120) -> str:
    """Return what `command` printed; raise PiError with its last line when it fails."""
    done = attempt(*command, stdin=stdin, timeout=timeout)
    if done.returncode:
        raise PiError(f"`{' '.join(command[:3])} …` failed: {last_line(done.stderr)}")
    return done.stdout


def attempt(*command: str, stdin: str | None = None, timeout: float = 120) -> subprocess.CompletedProcess[str]:
    """Run `command` and return how it went; only a missing or a hanging program raises PiError."""
    try:
        return subprocess.run(  # noqa: S603 - fixed programs, no shell
            command, input=stdin, capture_output=True, text=True, errors="replace", timeout=timeout, check=False
        )
    except FileNotFoundError as error:
        raise PiError(f"{command[0]} is not installed: `sudo apt-get install {PACKAGE_OF[command[0]]}`") from error
    except subprocess.TimeoutExpired as error:
        raise PiError(f"`{' '.join(command[:3])} …` did not end within {timeout:.0f} seconds") from error


def say(text: str) -> None:
    """Tell the user at once what is going on."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def last_line(text: str) -> str:
    """Return the last line of `text` that says something."""
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "it said nothing")
