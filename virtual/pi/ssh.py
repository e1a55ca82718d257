"""How the controller gets in: its own key, and the Pi's host keys pinned before the first connection."""

import time
from dataclasses import dataclass
from pathlib import Path

from fleetmint.files import write_atomically
from virtual.pi.command import PiError, attempt, last_line, run
from virtual.pi.container import Container
from virtual.pi.ports import ADDRESS

USER = "pi"
ANSWER_SECONDS = 20
HOST_KEYS = "cat /etc/ssh/ssh_host_*_key.pub"
AUTHORIZE = f"umask 077 && install -d -o {USER} -g {USER} ~{USER}/.ssh && cat > ~{USER}/.ssh/authorized_keys.new"
AUTHORIZE += f" && chown {USER}: ~{USER}/.ssh/authorized_keys.new"
AUTHORIZE += f" && mv ~{USER}/.ssh/authorized_keys.new ~{USER}/.ssh/authorized_keys"


@dataclass(frozen=True)
class Access:
    """The files of one virtual Pi that ssh works with."""

    key: Path
    known_hosts: Path
    port: int

    def make_key(self) -> None:
        """Make the controller's key where there is none."""
        if not self.key.exists():
            run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "fleetmint controller", "-f", str(self.key))

    def authorize(self, container: Container) -> None:
        """Let the controller's key in."""
        container.execute("sh", "-c", AUTHORIZE, stdin=Path(f"{self.key}.pub").read_text())

    def pin(self, container: Container) -> None:
        """Write down the host keys, read from the container itself and not from the network."""
        keys = [line.split()[:2] for line in container.execute("sh", "-c", HOST_KEYS).splitlines()]
        lines = [f"[{ADDRESS}]:{self.port} {kind} {key}\n" for kind, key in keys]
        write_atomically(self.known_hosts, "".join(lines).encode())

    def answers(self) -> str:
        """Return "" when the Pi lets us in, else what ssh says."""
        if not (self.key.exists() and self.known_hosts.exists()):
            return "there is no key yet"
        options = {
            "BatchMode": "yes",
            "ConnectTimeout": "5",
            "IdentitiesOnly": "yes",
            "StrictHostKeyChecking": "yes",
            "UserKnownHostsFile": str(self.known_hosts),
        }
        flags = [f"-o{name}={value}" for name, value in options.items()]
        command = ["ssh", "-F", "none", *flags, "-i", str(self.key), "-p", str(self.port), f"{USER}@{ADDRESS}", "true"]
        asked = attempt(*command, timeout=15)
        return last_line(asked.stderr) if asked.returncode else ""

    def wait(self) -> None:
        """Return when ssh answers; raise PiError when it does not in time."""
        deadline = time.monotonic() + ANSWER_SECONDS
        while said := self.answers():
            if time.monotonic() > deadline:
                raise PiError(f"ssh to {ADDRESS}:{self.port} does not work: {said}")
            time.sleep(0.2)
