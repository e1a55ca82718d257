"""The systemd units that keep the certificate of a device: a service that runs `fleetmint renew`, and its timer."""

import contextlib
import os
import pwd
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from fleetmint import files
from fleetmint.device.directory import Directory
from fleetmint.documents.client import CERTIFICATE
from fleetmint.errors import FleetmintError, StateError

_SYSTEM = Path("/etc/systemd/system")
# When what uses the certificate was restarted last, one file for each device.
_RESTARTED = Path("/var/lib/fleetmint-renew")

_SERVICE = """\
# Made by fleetmint for {plain}: `--timer remove` of its command `renew` takes it away.
[Unit]
Description=Renew the certificate of {device} when its gateway says so
Wants=network-online.target time-sync.target
After=network-online.target time-sync.target

[Service]
Type=oneshot
User={user}
ExecStart={program} renew {directory}
{post}TimeoutStartSec=5min
# A gateway that does not answer is asked again long before the timer would.
Restart=on-failure
RestartSec=15min

NoNewPrivileges=yes
CapabilityBoundingSet=
SystemCallArchitectures=native
SystemCallFilter=@system-service
# Without what root could do, or systemd needs a capability for this filter, which machines in containers lack.
SystemCallFilter=~@privileged @resources
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
RestrictNamespaces=yes
RestrictSUIDSGID=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes
ProtectSystem=strict
ReadWritePaths={directory}
PrivateTmp=yes
PrivateDevices=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
UMask=0077
"""
_TIMER = """\
# Made by fleetmint for {plain}: `--timer remove` of its command `renew` takes it away.
[Unit]
Description=Look after the certificate of {device}

[Timer]
OnCalendar=*-*-* 00/6:00
# Machines of one kind are not to ask all at once.
RandomizedDelaySec=3h
Persistent=yes

[Install]
WantedBy=timers.target
"""
# A program reads its certificate when it starts. Root's part of the work: + takes no user and no sandbox.
_POST = (
    'ExecStartPost=+/bin/sh -c \'test "$$0" -nt "$$1" || {{ systemctl try-restart "$$2" && touch "$$0"; }}\''
    " {marker} {certificate} {restart}\n"
)


@dataclass(frozen=True)
class Units:
    """The units of one device: their name without what follows the dot, and path → content."""

    name: str
    contents: Mapping[Path, str]
    marker: Path | None

    @property
    def timer(self) -> str:
        """Name of the timer."""
        return f"{self.name}.timer"


def units(directory: Directory, restart: str | None = None) -> Units:
    """Return the units for the device in `directory`, run as its owner; `restart` is a unit that uses the certificate.

    Raises StateError when no device is there.
    """
    path = directory.path.absolute()
    device = directory.about().device
    name = f"fleetmint-renew-{device}"
    marker = _RESTARTED / device if restart else None
    post = ""
    if marker is not None and restart is not None:
        certificate = _word(str(path / CERTIFICATE))
        post = _POST.format(marker=_word(str(marker)), certificate=certificate, restart=_word(restart))
    values = {
        "device": device,
        "user": _owner(path),
        "program": _word(str(_program())),
        "directory": _word(str(path)),
        "plain": path,
        "post": post,
    }
    contents = {
        _SYSTEM / f"{name}.service": _SERVICE.format(**values),
        _SYSTEM / f"{name}.timer": _TIMER.format(**values),
    }
    return Units(name, contents, marker)


def install(wanted: Units) -> bool:
    """Write the units and start the timer; return whether anything was changed. Needs root. Raises StateError."""
    old = [path for path, text in wanted.contents.items() if not path.exists() or path.read_text() != text]
    for path in old:
        files.write_atomically(path, wanted.contents[path].encode(), files.PUBLIC_FILE)
    if wanted.marker is not None and not wanted.marker.exists():
        files.make_private_dir(wanted.marker.parent)
        files.write_atomically(wanted.marker, b"")
    if old:
        _systemctl("daemon-reload")
    enabled = _systemctl("is-enabled", wanted.timer, check=False) == "enabled"
    active = _systemctl("is-active", wanted.timer, check=False) == "active"
    if not (enabled and active):
        _systemctl("enable", "--now", wanted.timer)
    return bool(old) or not (enabled and active)


def remove(wanted: Units) -> bool:
    """Stop the timer and remove the units; return whether there was anything. Needs root. Raises StateError."""
    there = [path for path in wanted.contents if path.exists()]
    if there:
        _systemctl("disable", "--now", wanted.timer)
    for path in there:
        files.remove(path)
    files.remove(_RESTARTED / wanted.name.removeprefix("fleetmint-renew-"))
    if there:
        _systemctl("daemon-reload")
    return bool(there)


def _systemctl(*words: str, check: bool = True) -> str:
    program = shutil.which("systemctl")
    if program is None:
        raise StateError(
            "there is no systemctl on this machine: print the units with --timer print, and let what starts jobs here"
            " run the command of ExecStart= every few hours"
        )
    done = subprocess.run([program, *words], capture_output=True, text=True, check=False)  # noqa: S603
    if check and done.returncode:
        raise FleetmintError(f"`systemctl {' '.join(words)}` failed: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout.strip()


def _owner(path: Path) -> str:
    uid = os.stat(path).st_uid  # noqa: PTH116
    with contextlib.suppress(KeyError):
        return pwd.getpwuid(uid).pw_name
    return str(uid)


def _program() -> Path:
    """Return this installation's command line: the unit has no PATH of a person's."""
    ours = Path(sys.executable).with_name("fleetmint")
    found = ours if ours.exists() else shutil.which("fleetmint")
    if found is None:
        raise StateError("there is no program fleetmint in PATH: install the package, such as with pipx")
    return Path(found).absolute()


def _word(text: str) -> str:
    """Return a word as systemd reads it in a unit: systemd.service(5), command lines."""
    if any(ord(character) < 32 for character in text):
        raise StateError(f"{text!r} cannot stand in a unit of systemd: choose a name without control characters")
    escaped = text.replace("%", "%%").replace("$", "$$")
    if all(character.isalnum() or character in "/._-@:%$" for character in escaped):
        return escaped
    return '"' + escaped.replace("\\", "\\\\").replace('"', '\\"') + '"'
