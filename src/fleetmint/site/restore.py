"""Going on with a site on another controller, or another disk, from the backup that backup.py made.

Everything is looked at before anything is written, and written beside its place before it gets its name.
"""

import fcntl
import hashlib
import io
import json
import os
import re
import shutil
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from fleetmint import files, trouble
from fleetmint.errors import StateError
from fleetmint.plan import Plan
from fleetmint.site import age
from fleetmint.site.backup import CAS, FORMAT, INVENTORY, MANIFEST, PASSPHRASES, STATE
from fleetmint.site.state import FILE

_PLACES = (INVENTORY, STATE, CAS, PASSPHRASES)
_CHUNK = 1 << 20
_LARGEST_MANIFEST = 256 << 20
# What nobody else may be given by a restore, whatever an archive says.
_MODES = 0o755
# A text in JSON; and what a source of passphrases has before its path.
_TEXT = re.compile(rb'"(?:[^"\\]|\\.)*"')
_SOURCE = re.compile(r"((?:file:|vault:)?)(.*)", re.DOTALL)


@dataclass(frozen=True)
class RestoredSite:
    """A site as it was when its backup was `made`; `inventory` and `state` are where it is now."""

    site: str
    made: str
    files: int
    bytes: int
    inventory: str | None = None
    state: str | None = None


@dataclass(frozen=True)
class _Manifest:
    site: str
    made: str
    places: Mapping[str, Path]
    entries: Mapping[str, Mapping[str, Any]]


def plan_restore(path: Path, passphrase: str, inventory: Path | None) -> Plan[RestoredSite]:
    """Plan to restore the backup at `path` with the site's inventory at `inventory`; None is to look at it only.

    What lay in the inventory goes there again, what lay elsewhere where it was. Raises SecretError for another
    passphrase, and StateError for a file that is damaged, cut or no backup, and for a place that is taken: nothing is
    written then.
    """
    manifest = _checked(path, passphrase)
    size = sum(int(row.get("size", 0)) for row in manifest.entries.values())
    number = sum("sha256" in row for row in manifest.entries.values())
    found = RestoredSite(manifest.site, manifest.made, number, size)
    if inventory is None:
        return Plan((), expected=found)
    targets = _targets(manifest, inventory.absolute())
    for target in targets.values():
        _refuse_taken(target)
    found = RestoredSite(
        manifest.site, manifest.made, number, size, str(targets[INVENTORY]), str(_place(manifest, STATE, targets))
    )

    def restore() -> RestoredSite:
        with ExitStack() as stack:
            staged = {name: stack.enter_context(_stage(target)) for name, target in targets.items()}
            _extract(path, passphrase, manifest, staged, targets)
            _put_in_place(staged, targets)
        return found

    where = " and ".join(map(str, targets.values()))
    return Plan((f"restore the site {manifest.site} as it was on {manifest.made} to {where}",), restore, expected=found)


def _checked(path: Path, passphrase: str) -> _Manifest:
    """Read all of a backup once, and return its manifest, to which everything else in it corresponds."""
    seen: dict[str, dict[str, Any]] = {}
    manifest = None
    for member, data in _members(path, passphrase):
        if manifest is not None:
            raise _no_backup(path, f"there is something behind {MANIFEST}")
        if member.name == MANIFEST:
            manifest = _manifest(path, b"".join(data))
        elif member.issym():
            seen[member.name] = {"link": member.linkname}
        elif member.isdir():
            seen[member.name] = {"mode": member.mode}
        elif member.isreg():
            digest = hashlib.sha256()
            for part in data:
                digest.update(part)
            seen[member.name] = {"mode": member.mode, "size": member.size, "sha256": digest.hexdigest()}
        else:
            raise _no_backup(path, f"{member.name} is neither a file nor a directory")
    if manifest is None:
        raise _no_backup(path, f"there is no {MANIFEST} in it")
    if seen != manifest.entries:
        wrong = sorted(name for name in {*seen, *manifest.entries} if seen.get(name) != manifest.entries.get(name))
        raise _no_backup(path, f"{wrong[0]} is not as {MANIFEST} says")
    for name in seen:
        parts = PurePosixPath(name).parts
        if name.startswith("/") or ".." in parts or parts[0] not in manifest.places:
            raise _no_backup(path, f"{name} has no place in it")
    return manifest


def _manifest(path: Path, data: bytes) -> _Manifest:
    try:
        content = json.loads(data)
        if content["format"] != FORMAT:
            raise StateError(
                f"{path} has the format {content['format']!r}, and this Fleetmint knows {FORMAT!r}: use the version"
                f" {content.get('fleetmint', 'that made it')}"
            )
        found = {str(name): Path(place) for name, place in content["places"].items()}
        if not {INVENTORY, STATE} <= found.keys() <= set(_PLACES):
            raise ValueError(found)
        return _Manifest(str(content["site"]), str(content["made"]), found, dict(content["entries"]))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise _no_backup(path, f"its {MANIFEST} cannot be read") from error


def _no_backup(path: Path, why: str) -> StateError:
    return StateError(f"{path} is no whole backup of a site ({why}): bring another one; nothing was restored")


def _members(path: Path, passphrase: str) -> Iterator[tuple[tarfile.TarInfo, Iterator[bytes]]]:
    """Yield what is in the archive, each with its content, which is read before the next one is asked for."""
    try:
        with path.open("rb") as file:
            stream = _Stream(age.decrypt(passphrase, file, str(path)))
            with tarfile.open(fileobj=stream, mode="r|") as archive:
                for member in archive:
                    content = archive.extractfile(member) if member.isreg() else None
                    yield member, iter(()) if content is None else iter(lambda: content.read(_CHUNK), b"")  # noqa: B023
            stream.drain()  # what is behind the archive has to be genuine, too
    except tarfile.TarError as error:
        raise _no_backup(path, "it is no tar file") from error
    except OSError as error:
        raise StateError(f"cannot read {path}: {error.strerror}; {trouble.remedy(error, path)}") from error


class _Stream(io.RawIOBase):
    """What an iterator yields, as a file that tarfile can read."""

    def __init__(self, parts: Iterator[bytes]) -> None:
        self._parts = parts
        self._waiting = b""

    def read(self, size: int = -1) -> bytes:
        found = [self._waiting]
        have = len(self._waiting)
        while size < 0 or have < size:
            part = next(self._parts, None)
            if part is None:
                break
            found.append(part)
            have += len(part)
        data = b"".join(found)
        cut = len(data) if size < 0 else size
        self._waiting = data[cut:]
        return data[:cut]

    def drain(self) -> None:
        for _ in self._parts:
            pass


def _targets(manifest: _Manifest, inventory: Path) -> dict[str, Path]:
    """Return where the places go that lie in no other one: the inventory, and what was elsewhere."""
    old = manifest.places[INVENTORY]
    return {INVENTORY: inventory} | {
        name: place for name, place in manifest.places.items() if not place.is_relative_to(old)
    }


def _place(manifest: _Manifest, name: str, roots: Mapping[str, Path]) -> Path:
    """Return where a place is, when those of `roots` are there: a target, or its stage."""
    if name in roots:
        return roots[name]
    return roots[INVENTORY] / manifest.places[name].relative_to(manifest.places[INVENTORY])


def _refuse_taken(target: Path) -> None:
    try:
        taken = os.path.lexists(target) and (not target.is_dir() or target.is_symlink() or any(target.iterdir()))
    except OSError as error:
        raise StateError(f"cannot read {target}: {error.strerror}; {trouble.remedy(error, target)}") from error
    if taken:
        raise StateError(f"{target} is there already, and nothing of it is overwritten: move it away, or name another")


@contextmanager
def _stage(target: Path) -> Iterator[Path]:
    """Give a path beside `target` to write to; what is there at the end is removed, and what a killed run left."""
    files.make_private_dir(target.parent)
    path = target.with_name(f".{target.name}.fleetmint-restore")
    try:
        path.mkdir(mode=files.PRIVATE_DIR, exist_ok=True)
        handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError as error:
        raise StateError(f"cannot write {path}: {error.strerror}; {trouble.remedy(error, target.parent)}") from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        with suppress(FileNotFoundError):
            shutil.rmtree(path / "content")
        yield path / "content"
    except BlockingIOError as error:
        raise StateError(f"another run restores {target} already: wait for it") from error
    finally:
        shutil.rmtree(path, ignore_errors=True)
        os.close(handle)


def _extract(
    path: Path, passphrase: str, manifest: _Manifest, staged: Mapping[str, Path], targets: Mapping[str, Path]
) -> None:
    moved = _moved(manifest, targets)
    links: list[tuple[Path, str]] = []
    modes: list[tuple[Path, int]] = []
    try:
        for member, data in _members(path, passphrase):
            if member.name == MANIFEST:
                continue
            name, *below = PurePosixPath(member.name).parts
            target = _place(manifest, name, staged).joinpath(*below)
            if member.issym():
                links.append((target, _renamed(member.linkname, moved)))
            elif member.isdir():
                files.make_private_dir(target)
                modes.append((target, member.mode & _MODES))
            elif member.name == f"{STATE}/{FILE}":
                _write(target, [_with_new_places(b"".join(data), moved)], member.mode & _MODES)
            else:
                _write(target, data, member.mode & _MODES)
        for target, link in links:
            target.symlink_to(link)
        for target, mode in reversed(modes):
            target.chmod(mode)
    except OSError as error:
        raise StateError(
            f"cannot write {error.filename or path}: {error.strerror}; nothing was restored;"
            f" {trouble.remedy(error, next(iter(staged.values())).parent)}"
        ) from error


def _write(target: Path, parts: Iterator[bytes] | list[bytes], mode: int) -> None:
    files.make_private_dir(target.parent)
    handle = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, files.PRIVATE_FILE)
    with os.fdopen(handle, "wb") as file:
        file.writelines(parts)
        os.fchmod(handle, mode)
        file.flush()
        os.fsync(handle)


def _moved(manifest: _Manifest, targets: Mapping[str, Path]) -> list[tuple[str, str]]:
    """Return what paths of then begin with, and those of now, the longest first."""
    pairs = {(str(place), str(_place(manifest, name, targets))) for name, place in manifest.places.items()}
    return sorted(((old, new) for old, new in pairs if old != new), key=lambda pair: -len(pair[0]))


def _renamed(text: str, moved: list[tuple[str, str]]) -> str:
    for old, new in moved:
        if text == old or text.startswith(f"{old}/"):
            return new + text[len(old) :]
    return text


def _with_new_places(data: bytes, moved: list[tuple[str, str]]) -> bytes:
    """Return the site's file with its paths as they are now, as the role `controller` would write it again."""

    def renamed(found: re.Match[bytes]) -> bytes:
        source, path = _SOURCE.fullmatch(json.loads(found[0])).groups()  # type: ignore[union-attr]
        return json.dumps(source + _renamed(path, moved)).encode()

    return _TEXT.sub(renamed, data)


def _put_in_place(staged: Mapping[str, Path], targets: Mapping[str, Path]) -> None:
    """Give everything its name, or nothing."""
    done: list[str] = []
    try:
        for name, target in targets.items():
            staged[name].rename(target)
            done.append(name)
    except OSError as error:
        for name in reversed(done):
            targets[name].rename(staged[name])
        raise StateError(
            f"cannot put {targets[name]} in its place: {error.strerror}; nothing was restored;"
            f" {trouble.remedy(error, targets[name].parent)}"
        ) from error
