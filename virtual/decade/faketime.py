"""A clock that can be moved: this process, what it starts, and all of the virtual Pi but PID 1 have the same time.

libfaketime adds what a file says, in seconds, to the time of day; the monotonic clock stays as it is, so that nothing
times out when a day is skipped. A container has the clock of its host, so the Pi gets a file of its own.
"""

import os
import shutil
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

from fleetmint.errors import FleetmintError
from virtual.purpose import ROOT

# Read at each call: whoever asks for the time after a move gets the new one.
OPTIONS = {"FAKETIME_NO_CACHE": "1", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
_PLACES = ("/usr/lib/{}/faketime", "/usr/lib/faketime", "/usr/lib64/faketime")
_LIBRARY = "libfaketime.so.1"
# For time.sleep of Python, see there.
_PYTHON = ROOT / "tests/dates"
_FILE, _PRELOAD = "FAKETIME_TIMESTAMP_FILE", "LD_PRELOAD"
# What libfaketime looks for when no variable names a file.
_PI_FILE = "/etc/faketimerc"
_DONE = "fleetmint-done"

# Everything in the Pi is told by ld.so, so that sandboxes, sudo and SSH need nothing; the two options come by
# systemd, PAM and sudo. Its Python sleeps as ours does.
_PREPARE = f"""set -eu
DEBIAN_FRONTEND=noninteractive apt-get install -y -qq libfaketime >/dev/null 2>&1
library=$(dpkg -L libfaketime | grep '/{_LIBRARY}$')
echo +0 >{_PI_FILE}
mkdir -p /etc/systemd/system.conf.d
printf '[Manager]\\nDefaultEnvironment={" ".join(f"{name}={value}" for name, value in OPTIONS.items())}\\n' \
    >/etc/systemd/system.conf.d/faketime.conf
printf '{"".join(f"{name}={value}" + chr(92) + "n" for name, value in OPTIONS.items())}' >>/etc/environment
echo 'Defaults env_keep += "{" ".join(OPTIONS)}"' >/etc/sudoers.d/faketime
for file in /etc/python3.*/sitecustomize.py; do cat >>"$file"; done
echo "$library" >/etc/ld.so.preload
systemctl daemon-reload
systemctl restart $(systemctl list-units --plain --no-legend --state=running nginx.service mosquitto.service \
    'fleetmint*.service' | awk '{{ print $1 }}')
"""


def library() -> Path:
    """Return the library that is preloaded; raise FleetmintError when it is not installed."""
    triplet = getattr(sys.implementation, "_multiarch", "")
    for place in _PLACES:
        path = Path(place.format(triplet)) / _LIBRARY
        if path.exists():
            return path
    raise FleetmintError("libfaketime is not installed: `scripts/setup test` does it, or `apt-get install faketime`")


def environment(file: Path) -> dict[str, str]:
    """Return the variables of a process whose clock `file` moves."""
    path = os.pathsep.join(filter(None, (str(_PYTHON), os.environ.get("PYTHONPATH", ""))))
    return {_PRELOAD: str(library()), _FILE: str(file), "PYTHONPATH": path, **OPTIONS}


def true_environment() -> dict[str, str]:
    """Return the variables of a process that sees the true time, started from one that does not."""
    faked = {_PRELOAD, _FILE, *OPTIONS}
    return {name: value for name, value in os.environ.items() if name not in faked}


def is_faked(file: Path) -> bool:
    """Whether `file` moves the clock of this process."""
    return os.environ.get(_FILE) == str(file) and _PRELOAD in os.environ


class Clock:
    """The clock of this process and of the Pi in a container; only ever put forward."""

    def __init__(self, file: Path, container: str) -> None:
        self._file, self._container = file, container
        self.moved = timedelta(0)
        self._shell: subprocess.Popen[str] | None = None
        self._lock = threading.Lock()
        if not is_faked(file):
            raise FleetmintError(f"this process does not take its clock from {file}")
        self._write()

    def prepare(self) -> None:
        """Bring libfaketime into the Pi, and start anew what runs there."""
        content = (_PYTHON / "sitecustomize.py").read_text()
        command = [_podman(), "exec", "--interactive", self._container, "bash", "-c", _PREPARE]
        done = subprocess.run(  # noqa: S603 - our container
            command, input=content, capture_output=True, text=True, check=False, env=true_environment()
        )
        if done.returncode:
            raise FleetmintError(f"the clock of {self._container} cannot be moved: {done.stderr or done.stdout}")
        self._write()

    def move(self, by: timedelta) -> None:
        """Put both clocks forward."""
        if by < timedelta(0):
            raise FleetmintError("time goes forward only")
        self.moved += by
        self._write()

    def now(self) -> datetime:
        """Return the simulated time, as everybody here sees it."""
        return datetime.now(UTC)

    def run(self, script: str) -> tuple[int, str]:
        """Run a shell script on the Pi as root; return its exit code and what it printed, both kinds together."""
        with self._lock:
            shell = self._open()
            if shell.stdin is not None:
                shell.stdin.write(f"( {script}\n) </dev/null 2>&1; echo {_DONE} $?\n")
                shell.stdin.flush()
            said: list[str] = []
            for line in shell.stdout or ():
                if line.startswith(_DONE):
                    return int(line.split()[1]), "".join(said)
                said.append(line)
        raise FleetmintError(f"{self._container} is gone")

    def close(self) -> None:
        """End the shell on the Pi."""
        if self._shell is not None:
            self._shell.communicate()
            self._shell = None

    def _open(self) -> "subprocess.Popen[str]":
        # one for all days: starting it takes longer than most of what it is asked
        if self._shell is None:
            options = [f"--env={name}={value}" for name, value in OPTIONS.items()]
            self._shell = subprocess.Popen(  # noqa: S603 - our container
                [_podman(), "exec", "--interactive", *options, self._container, "bash"],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=true_environment(),
            )  # fmt: skip
        return self._shell

    def _write(self) -> None:
        text = f"+{int(self.moved.total_seconds())}\n"
        _replace(self._file, text)
        # what libfaketime leaves behind of each process that has ended would fill the memory
        move = f"echo {text.strip()} >{_PI_FILE}.new; mv {_PI_FILE}.new {_PI_FILE}"
        self.run(f"{move}; rm -f /dev/shm/faketime_shm_* /dev/shm/sem.faketime_sem_*")


def _replace(file: Path, text: str) -> None:
    # somebody reads it at every moment, and an empty one is the true time
    new = file.with_name(f"{file.name}.new")
    new.write_text(text)
    new.replace(file)


def _podman() -> str:
    return shutil.which("podman") or "podman"


def restart(file: Path, arguments: list[str]) -> int:
    """Run this Python with `arguments` under the clock of `file`, from now; return its exit code."""
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    file.write_text("+0\n")
    command = [sys.executable, *arguments]
    return subprocess.run(command, env={**os.environ, **environment(file)}, check=False).returncode  # noqa: S603
