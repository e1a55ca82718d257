"""Files as a tree: compared, staged, and renamed into place. It runs on the gateway, with nothing but Python."""

from __future__ import annotations

import contextlib
import errno
import grp
import os
import pwd
import re
import stat
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

FILE_MODE = "0644"
DIRECTORY_MODE = "0755"


@dataclass(frozen=True)
class Entry:
    """A file with its content, or a directory when `content` is None."""

    path: Path
    content: bytes | None
    mode: int
    owner: str
    group: str

    def reasons(self) -> list[str]:
        """Why what is at `path` is not this entry yet; empty when it is."""
        try:
            found = self.path.lstat()
        except FileNotFoundError:
            return [f"{self.path} is missing"]
        if stat.S_IFMT(found.st_mode) != (stat.S_IFDIR if self.content is None else stat.S_IFREG):
            return [f"{self.path} is of another kind"]
        reasons = []
        if self.content is not None and self.path.read_bytes() != self.content:
            reasons.append(f"{self.path} has another content")
        if stat.S_IMODE(found.st_mode) != self.mode:
            reasons.append(f"{self.path} has mode {stat.S_IMODE(found.st_mode):04o}, not {self.mode:04o}")
        if self._ids() != (found.st_uid, found.st_gid):
            reasons.append(f"{self.path} does not belong to {self.owner}:{self.group}")
        return reasons

    def before(self) -> str:
        """Return the content that is there now, for a diff."""
        with contextlib.suppress(OSError):
            return self.path.read_text(errors="replace")
        return ""

    def write(self, root: Path = Path("/")) -> None:
        """Put this entry under `root`: a file appears whole, with owner and mode, or not at all."""
        path = root / self.path.relative_to("/")
        if self.content is None:
            path.mkdir(parents=True, exist_ok=True)
            self._own(path)
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(self.content)
                file.flush()
                os.fsync(file.fileno())
            self._own(Path(name))
            Path(name).replace(path)
        except OSError:
            Path(name).unlink(missing_ok=True)
            raise

    def _own(self, path: Path) -> None:
        ids = self._ids()
        if ids is None:
            raise FileNotFoundError(errno.ENOENT, f"there is no account {self.owner}:{self.group}", str(self.path))
        os.chown(path, *ids)
        path.chmod(self.mode)

    def _ids(self) -> tuple[int, int] | None:
        # In check mode the package that brings the account would only be installed now.
        try:
            return pwd.getpwnam(self.owner).pw_uid, grp.getgrnam(self.group).gr_gid
        except KeyError:
            return None


def entry(given: Mapping[str, Any]) -> Entry:
    """Return what one item of the module's option describes."""
    content = given["content"]
    mode = given["mode"] or (DIRECTORY_MODE if content is None else FILE_MODE)
    if content is not None and given.get("keep_from"):
        content += _end(Path(given["path"]), given["keep_from"])
    return Entry(
        Path(given["path"]),
        None if content is None else content.encode(),
        int(mode, 8),
        given["owner"] or pwd.getpwuid(os.geteuid()).pw_name,
        given["group"] or grp.getgrgid(os.getegid()).gr_name,
    )


def _end(path: Path, first: str) -> str:
    """Return what somebody else has written at the end of the file at `path`, from the line `first` on."""
    with contextlib.suppress(FileNotFoundError, IsADirectoryError):
        _, found, behind = path.read_text(errors="replace").partition(f"\n{first}\n")
        return found + behind
    return ""


def staged(entries: Sequence[Entry], stage: str) -> list[Entry]:
    """Return the entries with the paths of files among them pointing into the directory `stage`."""
    files = sorted((str(item.path) for item in entries if item.content is not None), key=len, reverse=True)
    # a path ends where no further character of a file name follows
    names = re.compile(b"(?:" + b"|".join(re.escape(path.encode()) for path in files) + rb")(?![\w./-])")
    return [
        item if item.content is None else replace(item, content=names.sub(stage.encode() + rb"\g<0>", item.content))
        for item in entries
    ]
