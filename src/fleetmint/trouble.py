"""What a person can do when the system refuses to read or write a file: one sentence for each kind of trouble."""

import errno
import os
import shlex
from pathlib import Path

_ROOM = "make room on that file system, then run this again"
_REMEDIES = {
    errno.ENOSPC: _ROOM,
    errno.EDQUOT: _ROOM,
    errno.EFBIG: "put it on a file system that takes files of this size, or raise the limit (`ulimit -f`)",
    errno.EIO: "the disk or card fails (`sudo dmesg` says how): copy what is on it to another one while it can be read,"
    " and run this again there",
    errno.EROFS: "mount that file system writable; Linux makes one read-only by itself when the disk or card fails"
    " (`sudo dmesg` says so)",
    errno.ENOENT: "make the directory it is in, or correct the path",
    errno.ENOTDIR: "a part of the path is a file where a directory has to be: correct the path, or move that file away",
    errno.EISDIR: "there is a directory where the file has to be: correct the path, or move it away",
    errno.ELOOP: "a part of the path is a symbolic link that leads nowhere, or has no place there: remove it",
    errno.ENAMETOOLONG: "choose a shorter name or path",
    errno.EMFILE: "close what else runs here, or raise the limit (`ulimit -n`)",
    errno.ENFILE: "close what else runs on this machine",
    errno.ENODEV: "plug in the medium, and run this again",
    errno.ENXIO: "plug in the medium, and run this again",
    errno.ESTALE: "mount the network's file system anew, and run this again",
    errno.ETXTBSY: "end the program that runs from it, and run this again",
    errno.EBUSY: "end what uses it, and run this again",
}


def remedy(error: OSError, path: Path) -> str:
    """Return what to do about `error` at `path`."""
    if error.errno in (errno.EACCES, errno.EPERM):
        return f"run this as its owner, or correct owner and mode (`ls -ld {shlex.quote(str(path))}` shows them)"
    return _REMEDIES.get(error.errno or 0, "mend that, and run this again")


def sentence(error: OSError, doing: str) -> str:
    """Say of an error that nobody expected at its place which file it was about, and what to do."""
    name = error.filename
    if isinstance(name, bytes):
        name = os.fsdecode(name)
    said = error.strerror or str(error) or type(error).__name__
    if not isinstance(name, str):
        return f"{doing}: {said}; {remedy(error, Path())}" if error.errno else f"{doing}: {said}"
    return f"{doing}: {name}: {said}; {remedy(error, Path(name))}"
