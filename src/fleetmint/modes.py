"""Who may read a file, and what to do where others can and must not.

As with the keys of SSH: nobody but the owner, who is whoever runs the command. root may also work with what belongs to
the owner of the directory, or to whoever called `sudo`.
"""

import contextlib
import os
import pwd
import re
import shlex
import stat
from dataclasses import dataclass
from pathlib import Path

# The bits of a mode that let others read or change a file.
OTHERS = 0o077
# They have no owners and modes of their own: mount options make them up for all files alike.
_WITHOUT_MODES = {"vfat", "msdos", "exfat", "ntfs", "ntfs3", "fuseblk", "drvfs", "vboxsf"}
_ESCAPE = re.compile(r"\\([0-7]{3})")


@dataclass(frozen=True)
class _Mount:
    point: str
    kind: str
    source: str


def problem(path: Path, status: os.stat_result) -> str | None:
    """Return who else may read the file at `path`, whose fstat is `status`, and what mends that; None when nobody."""
    if stat.S_IMODE(status.st_mode) & OTHERS:
        return f"others may read {path} (mode {stat.S_IMODE(status.st_mode):04o}): {explain(path)}"
    if status.st_uid not in _owners(path):
        return (
            f"{path} belongs to {_name(status.st_uid)}, who may read it: `sudo chown {_name(os.geteuid())}"
            f" {shlex.quote(str(path))}`, and think about who could have read it"
        )
    return None


def explain(path: Path) -> str:
    """Return how to keep others from reading a file at `path`."""
    mount = _mount_of(path)
    if mount is not None and mount.kind in _WITHOUT_MODES:
        point = shlex.quote(mount.point)
        options = f"uid={os.getuid()},gid={os.getgid()},umask=077"
        return (
            f"the file system at {mount.point} is {mount.kind}, where files have no modes and chmod changes nothing:"
            f" mount it for its owner alone (`sudo umount {point} && sudo mount -o {options}"
            f" {shlex.quote(mount.source)} {point}`), or keep the file on one that has modes, such as ext4"
        )
    return f"`chmod 600 {shlex.quote(str(path))}`, and think about who could have read it"


def _owners(path: Path) -> set[int]:
    me = os.geteuid()
    if me != 0:
        return {me, 0}
    owners = {me}
    with contextlib.suppress(KeyError, ValueError):
        owners.add(int(os.environ["SUDO_UID"]))
    with contextlib.suppress(OSError):
        owners.add(path.parent.stat().st_uid)
    return owners


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _mount_of(path: Path) -> _Mount | None:
    """Return where the file system of `path` is mounted, of which kind it is, and from what (proc(5), mountinfo)."""
    try:
        lines = Path("/proc/self/mountinfo").read_text(errors="surrogateescape").splitlines()
        real = path.resolve()
    except (OSError, RuntimeError):
        return None
    found = None
    for line in lines:
        before, _, behind = line.partition(" - ")
        fields, rest = before.split(), behind.split()
        if len(fields) < 5 or len(rest) < 2:
            continue
        mount = _Mount(_unescaped(fields[4]), rest[0], _unescaped(rest[1]))
        # the last one at a place lies on top of those before
        if real.is_relative_to(mount.point) and (found is None or len(mount.point) >= len(found.point)):
            found = mount
    return found


def _unescaped(text: str) -> str:
    return _ESCAPE.sub(lambda match: chr(int(match[1], 8)), text)
