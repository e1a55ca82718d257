r"""Files of a batch that only the holder of its key can read or change without being noticed.

The key of a batch is 32 random bytes. It lies in `batch.key`, JSON, wrapped under the site's passphrase `bench`:

    {"format": "fleetmint-batch-key-1", "site": S, "batch": B, "salt": …, "nonce": …, "key": …}     binaries in base64

    key = AES-256-GCM(HKDF-SHA256(passphrase, salt)), with format, site and batch as associated data

HKDF is as good as a slow derivation here, since the passphrase is 160 random bits that nobody thought up.

A sealed file is a line of JSON that says what it is, and frames that can be appended:

    {"format": "fleetmint-sealed-1", "site": S, "batch": B, "holds": H}\n
    frame:  length of the rest, 4 bytes, big endian | nonce, 12 bytes | AES-256-GCM of the content, 16 bytes longer

The associated data of a frame are that line and the number of the frame, so that no frame can be taken to another file
or another place. Nonces are random: a frame that is written again after a cut never meets its first nonce.
What is missing at the end can be a cut append or an older copy; whoever reads has to know what should be there.

Files of their own rather than rows of the ledger: a ledger may be a server that others administer, copy and dump, and
a backup of it must not be a way to keep what was shredded together with its key.
"""

import base64
import fcntl
import json
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from fleetmint import files
from fleetmint.errors import SecretError, StateError
from fleetmint.passphrases import BENCH, Source

KEY_FILE = "batch.key"
KEY_FORMAT = "fleetmint-batch-key-1"
FILE_FORMAT = "fleetmint-sealed-1"
_KEY_BYTES, _SALT_BYTES, _NONCE_BYTES, _TAG_BYTES = 32, 16, 12, 16
# A length beyond this is no length of ours but damage: a frame holds some hundred devices.
_MAX_FRAME = 1 << 26


@dataclass(frozen=True)
class BatchKey:
    """The key of one batch, which seals and opens its files."""

    site: str
    batch: str
    _cipher: AESGCM = field(repr=False)

    def header(self, holds: str) -> bytes:
        """Return the first line of a file of this batch that holds `holds`."""
        return _line({"format": FILE_FORMAT, "site": self.site, "batch": self.batch, "holds": holds})

    def seal(self, holds: str, number: int, content: bytes) -> bytes:
        """Return the frame `number` of the file that holds `holds`."""
        nonce = os.urandom(_NONCE_BYTES)
        sealed = nonce + self._cipher.encrypt(nonce, content, self._about(holds, number))
        return len(sealed).to_bytes(4, "big") + sealed

    def unseal(self, holds: str, number: int, sealed: bytes) -> bytes | None:
        """Return the content of a frame without its length, None when it is damaged or not this one."""
        try:
            return self._cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], self._about(holds, number))
        except (InvalidTag, ValueError):
            return None

    def _about(self, holds: str, number: int) -> bytes:
        return self.header(holds) + number.to_bytes(4, "big")


@dataclass
class SealedFile:
    """One sealed file. `end` is behind the last good frame that was read or appended, `frames` how many there are."""

    path: Path
    holds: str
    key: BatchKey
    end: int = 0
    frames: int = 0

    def read(self) -> Iterator[bytes]:
        """Yield the content of each frame, up to the end or to the first one that is cut or damaged: see `whole`.

        Raises StateError when the file is missing or is not what it should be.
        """
        header = self.key.header(self.holds)
        try:
            with self.path.open("rb") as file:
                if file.read(len(header)) != header:
                    raise StateError(
                        f"{self.path} is not of the batch {self.key.batch} of {self.key.site}, or damaged: restore it"
                        " from a backup"
                    )
                self.end, self.frames = len(header), 0
                while (content := self._next(file.read)) is not None:
                    self.end, self.frames = file.tell(), self.frames + 1
                    yield content
        except OSError as error:
            raise StateError(f"cannot read the sealed file {self.path}: {error.strerror}") from error

    @property
    def whole(self) -> bool:
        """Whether the last reading came to the end of the file."""
        return self.end == self.path.stat().st_size

    def append(self, contents: Iterable[bytes]) -> None:
        """Append frames behind the last good one that was read or appended; what is behind it was cut, and is cut off.

        Raises StateError when the disk is full; what was written until then stays readable.
        """
        if not self.path.exists():
            files.write_atomically(self.path, self.key.header(self.holds))
            self.end, self.frames = len(self.key.header(self.holds)), 0
        files.append(self.path, self.end, self._sealed(contents))

    def _sealed(self, contents: Iterable[bytes]) -> Iterator[bytes]:
        for content in contents:
            frame = self.key.seal(self.holds, self.frames, content)
            yield frame
            self.end, self.frames = self.end + len(frame), self.frames + 1

    def replace(self, content: bytes) -> None:
        """Make this the only frame of the file."""
        files.write_atomically(self.path, self.key.header(self.holds) + self.key.seal(self.holds, 0, content))

    def _next(self, read: Callable[[int], bytes]) -> bytes | None:
        length = int.from_bytes(read(4), "big")
        if not _NONCE_BYTES + _TAG_BYTES <= length <= _MAX_FRAME:
            return None  # the end, or zeros where a power cut left blocks unwritten
        sealed = read(length)
        return self.key.unseal(self.holds, self.frames, sealed) if len(sealed) == length else None


def make_key(directory: Path, site: str, source: Source) -> BatchKey:
    """Make the key of the batch in `directory`, whose name is the batch's, and the passphrase for it if that is new.

    Raises SecretError for a passphrase that opens none of the batches beside it, so that a mistyped one seals nothing.
    """
    files.make_private_dir(directory.parent)
    # another first batch that is made beside this one must not make the passphrase, too
    with locked(directory.parent, alone=True):
        _have_passphrase(directory, source)
        secret, salt, nonce = os.urandom(_KEY_BYTES), os.urandom(_SALT_BYTES), os.urandom(_NONCE_BYTES)
        about = {"format": KEY_FORMAT, "site": site, "batch": directory.name}
        wrapped = _wrapping(source.read(BENCH), salt).encrypt(nonce, secret, _line(about))
        binaries = {"salt": salt, "nonce": nonce, "key": wrapped}
        content = about | {name: base64.b64encode(value).decode() for name, value in binaries.items()}
        files.make_private_dir(directory)
        files.write_atomically(directory / KEY_FILE, _line(content))
    return BatchKey(site, directory.name, AESGCM(secret))


def open_key(directory: Path, source: Source) -> BatchKey:
    """Return the key of the batch in `directory`.

    Raises StateError when it is missing, damaged or of another batch, SecretError when the passphrase does not open it.
    """
    path = directory / KEY_FILE
    if not path.exists():
        raise StateError(f"there is no {path}: the batch {directory.name} was never made here, or it was shredded")
    try:
        content = json.loads(files.read_private(path, "key of the batch"))
        about = {name: str(content[name]) for name in ("format", "site", "batch")}
        salt, nonce, wrapped = (base64.b64decode(content[name], validate=True) for name in ("salt", "nonce", "key"))
    except (ValueError, KeyError, TypeError) as error:
        raise StateError(f"{path} is damaged: restore it from a backup") from error
    if about["format"] != KEY_FORMAT or about["batch"] != directory.name:
        raise StateError(
            f"{path} is the key of the batch {about['batch']!r} in the format {about['format']!r}: this directory wants"
            f" {directory.name!r} in the format {KEY_FORMAT!r}"
        )
    try:
        secret = _wrapping(source.read(BENCH), salt).decrypt(nonce, wrapped, _line(about))
    except (InvalidTag, ValueError) as error:
        raise SecretError(
            f"the {BENCH} passphrase does not open {path}: give the one it was made with, or restore the file if it is"
            " damaged"
        ) from error
    return BatchKey(about["site"], about["batch"], AESGCM(secret))


@contextmanager
def locked(directory: Path, *, alone: bool) -> Iterator[None]:
    """Hold the batch in `directory`: alone to change it, with other readers otherwise. Waits for whoever holds it."""
    handle = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        yield
    finally:
        os.close(handle)


def _have_passphrase(directory: Path, source: Source) -> None:
    others = sorted(directory.parent.glob(f"*/{KEY_FILE}"))
    if not source.has(BENCH):
        if others:
            raise SecretError(f"the passphrase {BENCH!r} is missing, but {others[0]} needs it: restore it")
        source.make(BENCH)
    elif others:
        open_key(others[0].parent, source)
    elif not source.makes:
        raise SecretError(
            "the key of the first batch wants a random passphrase, not one that somebody thought of: make this batch"
            " with vault:DIRECTORY as source"
        )


def _wrapping(passphrase: bytes, salt: bytes) -> AESGCM:
    return AESGCM(HKDF(hashes.SHA256(), _KEY_BYTES, salt, KEY_FORMAT.encode()).derive(passphrase))


def _line(content: dict[str, str]) -> bytes:
    return json.dumps(content).encode() + b"\n"
