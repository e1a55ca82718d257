"""The container of one virtual Pi: one for each checkout and purpose."""

import hashlib
import json
import re
import time
from dataclasses import dataclass
from pathlib import Path

from virtual.pi import host, image
from virtual.pi.command import PiError, attempt, last_line, run
from virtual.pi.ports import ADDRESS, INSIDE

CHECKOUT = Path(__file__).resolve().parents[2]
PURPOSE_PATTERN = "[a-z][a-z0-9]{0,19}"
BOOT_SECONDS = 90


@dataclass(frozen=True)
class Container:
    """A container by name; whether it exists is podman's to say. `suite` is the release of Debian to make it from."""

    name: str
    suite: str = image.SUITE

    def status(self) -> str:
        """Return "running", "stopped" or "absent"."""
        asked = attempt("podman", "container", "inspect", "--format", "{{.State.Running}}", self.name)
        if asked.returncode:
            if "no such container" not in asked.stderr.lower():
                raise PiError(f"podman does not work here: {last_line(asked.stderr)}")
            return "absent"
        return "running" if asked.stdout.strip() == "true" else "stopped"

    def ports(self) -> dict[str, int]:
        """Return the loopback ports it was made with."""
        asked = run("podman", "container", "inspect", "--format", "{{json .HostConfig.PortBindings}}", self.name)
        bindings = json.loads(asked)
        return {
            name: int(bindings[f"{inside}/tcp"][0]["HostPort"])
            for name, inside in INSIDE.items()
            if f"{inside}/tcp" in bindings
        }

    def create(self, image_name: str, ports: dict[str, int]) -> None:
        """Make and start it."""
        published = [f"--publish={ADDRESS}:{ports[name]}:{inside}" for name, inside in INSIDE.items()]
        try:
            run("podman", "run", *host.run_flags(), "--detach", f"--name={self.name}", "--hostname=gateway",
            "--systemd=always", *published, image_name)  # fmt: skip
        except PiError:
            self.remove()  # podman leaves what it could not start
            raise

    def start(self) -> None:
        """Start it again, after a reboot of the host for instance."""
        run("podman", "start", self.name)

    def remove(self) -> None:
        """Remove it with everything in it."""
        run("podman", "rm", "--force", "--ignore", "--time=10", "--volumes", self.name)

    def execute(self, *command: str, stdin: str | None = None) -> str:
        """Return what `command` printed inside, as root."""
        return run(
            "podman", "exec", *(["--interactive"] if stdin is not None else []), self.name, *command, stdin=stdin
        )

    def wait_until_booted(self) -> None:
        """Return when systemd has finished its start-up; raise PiError when it does not in time."""
        deadline = time.monotonic() + BOOT_SECONDS
        while time.monotonic() < deadline:
            asked = attempt("podman", "exec", self.name, "systemctl", "is-system-running", "--wait")
            if asked.stdout.strip() in ("running", "degraded"):
                return
            if self.status() != "running":
                raise PiError(f"{self.name} stopped while it booted: see `podman logs {self.name}`")
            time.sleep(0.2)
        raise PiError(
            f"systemd in {self.name} did not come up within {BOOT_SECONDS} s: "
            f"see `podman exec {self.name} systemctl list-jobs`"
        )


def of(purpose: str, suite: str = image.SUITE) -> Container:
    """Return the container of this checkout for `purpose`; raise PiError when that is no name."""
    if not re.fullmatch(PURPOSE_PATTERN, purpose):
        raise PiError(f"{purpose!r} is no purpose: 1 to 20 of a-z and 0-9, starting with a letter, such as 'demo'")
    checkout = hashlib.sha256(str(CHECKOUT).encode()).hexdigest()[:8]
    return Container(f"fleetmint-pi-{checkout}-{purpose}", suite)
